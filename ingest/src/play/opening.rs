//! What a viewer is sent before the first packet, where it wants more than to begin.

use std::time::Duration;

use fanout::{Lag, Log, Packet};
use kit::stream::Broadcast;
use media::{Frame, MediaTime};
use tokio::time::timeout;

use super::{Encoding, Start};

/// How long a viewer who wants a still is let wait for the log to be filled.
const FILLED_WITHIN: Duration = Duration::from_secs(1);

/// How a viewer begins.
pub(super) struct Opening {
    /// What it is sent first, each in its frame.
    pub(super) words: Vec<fanout::Encoded>,
    /// The set-up among them.
    pub(super) setup: Option<u64>,
    pub(super) entry: fanout::shard::Entry,
}

/// A still for those who want one: the latest keyframe, stamped as if it were now. Sound and the
/// next keyframe follow it without a jump.
pub(super) async fn opening(
    broadcast: &Broadcast,
    encoding: Encoding,
    start: Start,
    log: &Log<Packet>,
) -> Opening {
    let plainly = |start: Start| Opening {
        words: Vec::new(),
        setup: None,
        entry: start.entry(),
    };
    if start != Start::Low {
        return plainly(start);
    }
    // Somebody has to be the first; then nothing is in the log yet.
    let mut filled = log.reader(fanout::Start::Oldest, Lag::Record);
    let filled = timeout(FILLED_WITHIN, filled.read()).await;
    let newest = log.look(|window, _| window.get(window.end().wrapping_sub(1)).cloned());
    let (Ok(Some(_)), Some(newest), Some(still)) = (filled, newest, latest_keyframe(broadcast))
    else {
        return plainly(Start::Now);
    };
    let now = MediaTime::from_micros(newest.at_micros);
    let still = Frame {
        pts: now,
        dts: now,
        ..still
    };
    let still = encoding.frame(&still);
    Opening {
        words: std::iter::once(newest.setup.whole.clone())
            .chain(still)
            .collect(),
        setup: Some(newest.setup.number),
        entry: start.entry(),
    }
}

fn latest_keyframe(broadcast: &Broadcast) -> Option<Frame> {
    broadcast
        .video
        .look(|window, _| window.last_key().and_then(|at| window.get(at).cloned()))
}
