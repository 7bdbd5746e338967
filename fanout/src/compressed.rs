//! Frames that are made smaller for readers who can read that: once for all of them. What somebody
//! is written alone, such as what it fell behind by, comes as it is: compressing costs more than
//! writing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::log::Log;
use crate::packet::{Join, Packet};

/// Frames of a log that are kept for whoever comes to their place next.
const BATCHES_MAX: usize = 16;

/// Packets that go into one of them.
const BATCH_PACKETS: u64 = 512;

/// How frames are made smaller.
#[derive(Clone, Debug)]
pub struct Compressed {
    /// Gives a frame in fewer bytes, or as it is.
    pub compress: fn(&Bytes) -> Bytes,
    /// Longest frame that may be compressed for this reader.
    pub longest: usize,
    /// What readers of the log share who are not written to by a shard, which has its own batches.
    pub batches: Arc<Batches>,
}

/// The latest frames of a log, as they were made for the first who asked.
#[derive(Debug, Default)]
pub struct Batches(Mutex<VecDeque<Batch>>);

#[derive(Debug)]
struct Batch {
    from: u64,
    to: u64,
    plain: Bytes,
    compressed: Bytes,
}

impl Compressed {
    /// A frame as this reader gets it.
    pub(crate) fn fit<'a>(&self, plain: &'a Bytes, compressed: &'a Bytes) -> &'a Bytes {
        if self.is_fit(plain) {
            compressed
        } else {
            plain
        }
    }

    /// Whether a frame may be compressed for this reader.
    pub(crate) fn is_fit(&self, plain: &Bytes) -> bool {
        plain.len() <= self.longest
    }

    /// The frame of what stands in a log from an offset on, and the offset after it: the same that
    /// everybody got who asked with this offset before. None if nothing stands there.
    pub(crate) fn batch(&self, log: &Log<Packet>, from: u64, join: Join) -> Option<(Bytes, u64)> {
        // Whoever else asks wants the same most of the time, and waits for it here.
        let mut batches = self
            .batches
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let made = batches.iter().rposition(|batch| batch.from == from);
        let at = match made {
            Some(at) => at,
            None => {
                let batch = self.make(log, from, join)?;
                if batches.len() >= BATCHES_MAX {
                    batches.pop_front();
                }
                batches.push_back(batch);
                batches.len() - 1
            }
        };
        let batch = batches.get(at)?;
        Some((self.fit(&batch.plain, &batch.compressed).clone(), batch.to))
    }

    fn make(&self, log: &Log<Packet>, from: u64, join: Join) -> Option<Batch> {
        let packets = log.look(|window, _| {
            let to = window.end().min(from + BATCH_PACKETS);
            // All of them are there, or the reader is told elsewhere that it is too slow.
            let packets = (from..to).map(|at| window.get(at).cloned());
            packets.collect::<Option<Vec<_>>>()
        })?;
        if packets.is_empty() {
            return None;
        }
        let pieces = packets.iter().map(|packet| packet.encoded.as_slice(false));
        let plain = join(&pieces.collect::<Vec<_>>());
        Some(Batch {
            from,
            to: from + packets.len() as u64,
            compressed: (self.compress)(&plain),
            plain,
        })
    }
}
