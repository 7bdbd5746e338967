//! Packets made of the frames in the track logs, for publishers that do not send packets themselves.

use std::sync::Arc;

use bytes::Bytes;
use fanout::{Lag, Read, Start, Writer};
use kit::rendition::{Feed, Kind, Renditions};
use media::codec::h264;
use media::{AudioConfig, Frame, MediaTime, TrackConfig, TrackKind, VideoConfig};
use sfu_core::{Codec, Packet, packetize, rtp};

use crate::tracks::{Clock, Tracks};

/// Makes packets of both tracks until the broadcast ends, or its pictures cannot be shown.
pub(crate) async fn make_both(tracks: &Tracks, renditions: &Arc<Renditions>) {
    tokio::select! {
        // Both end with the broadcast; and without pictures that can be shown there is nothing.
        () = make_pictures(tracks, renditions) => {}
        () = make_sound(tracks, renditions) => {}
    }
}

/// Makes packets of pictures, from the latest keyframe on; of a rendition, if they are not shown in the
/// order in which they are decoded and the channel wants one.
async fn make_pictures(tracks: &Tracks, renditions: &Arc<Renditions>) {
    let video = &tracks.broadcast.video;
    let mut frames = video.reader(Start::LatestKey, Lag::Record);
    let mut maker = Maker::new(TrackKind::Video);
    let mut in_order: Option<Feed> = None;
    loop {
        let step = tokio::select! {
            step = frames.read() => step,
            frame = Feed::next_of(&mut in_order) => {
                maker.take(&frame, tracks);
                continue;
            }
        };
        let (at, frame) = match step {
            Some(Read::Item(at, frame)) => (at, frame),
            Some(Read::Gap { .. } | Read::TooSlow(_)) => {
                maker.seeking |= in_order.is_none();
                continue;
            }
            None => return,
        };
        if !tracks.is_to_be_made(TrackKind::Video, at.offset) {
            maker.begin_anew();
            in_order = None;
            continue;
        }
        // The first frame alone does not tell the order; what came before it does.
        let reordered = maker.is_reordered(&frame)
            || (maker.seeking && frame.key && tracks.broadcast.is_reordered());
        if reordered && tracks.viewers() == 0 {
            // Nothing is made for those who have asked and not come.
            in_order = None;
            maker.begin_anew();
            continue;
        }
        if reordered && in_order.is_none() {
            // Who is there stays. A new run may well be the first that has to be put in order.
            in_order = pictures_in_order(tracks, renditions).await;
            maker.begin_anew();
            if in_order.is_none() {
                // Who is sent away finds out why, and goes elsewhere or comes again.
                return;
            }
        }
        // A rendition goes on with a new run by itself.
        if in_order.is_none() {
            maker.take(&frame, tracks);
        } else if !tracks.broadcast.transcodes() {
            // It was switched off meanwhile.
            return;
        }
    }
}

/// A rendition that works, if the channel wants one and there is room.
async fn pictures_in_order(tracks: &Tracks, renditions: &Arc<Renditions>) -> Option<Feed> {
    let broadcast = &tracks.broadcast;
    if !broadcast.transcodes() {
        return None;
    }
    let feed = renditions.pictures(broadcast)?;
    feed.works().await.then_some(feed)
}

/// Makes packets of sound as it comes, by way of a rendition if browsers do not take its codec.
async fn make_sound(tracks: &Tracks, renditions: &Arc<Renditions>) {
    let mut frames = tracks.broadcast.audio.reader(Start::Live, Lag::Record);
    let mut maker = Maker::new(TrackKind::Audio);
    let mut opus: Option<Feed> = None;
    loop {
        let step = tokio::select! {
            step = frames.read() => step,
            frame = Feed::next_of(&mut opus) => {
                maker.take(&frame, tracks);
                continue;
            }
        };
        let (at, frame) = match step {
            Some(Read::Item(at, frame)) => (at, frame),
            Some(Read::Gap { .. } | Read::TooSlow(_)) => continue,
            None => return,
        };
        if !tracks.is_to_be_made(TrackKind::Audio, at.offset) {
            maker.begin_anew();
            opus = None;
        } else if Kind::Opus.is_made_of(&frame.config) {
            if tracks.viewers() == 0 {
                opus = None;
            } else {
                opus.get_or_insert_with(|| renditions.sound(&tracks.broadcast, Kind::Opus));
            }
        } else {
            opus = None;
            maker.take(&frame, tracks);
        }
    }
}

/// Makes packets of frames.
struct Maker {
    kind: TrackKind,
    writer: Option<Writer<Packet>>,
    /// Whether a keyframe has to come first.
    seeking: bool,
    run: Option<u32>,
    /// When the newest frame is shown, and its run.
    shown: Option<(u32, MediaTime)>,
    /// When the newest frame is shown that packets were made of.
    made_to: Option<MediaTime>,
}

impl Maker {
    const fn new(kind: TrackKind) -> Self {
        Self {
            kind,
            writer: None,
            seeking: matches!(kind, TrackKind::Video),
            run: None,
            shown: None,
            made_to: None,
        }
    }

    /// Whether a picture is shown before one that was decoded before it.
    fn is_reordered(&mut self, frame: &Frame) -> bool {
        let before = self.shown.replace((frame.run, frame.pts));
        before.is_some_and(|(run, pts)| run == frame.run && frame.pts < pts)
    }

    /// Somebody else wrote; what comes next stands by itself.
    fn begin_anew(&mut self) {
        self.writer = None;
        self.seeking = matches!(self.kind, TrackKind::Video);
        self.shown = None;
    }

    fn take(&mut self, frame: &Frame, tracks: &Tracks) {
        if self
            .run
            .replace(frame.run)
            .is_some_and(|run| run != frame.run)
        {
            self.seeking |= self.kind == TrackKind::Video;
        }
        // Viewers take nothing that would be shown before what they have seen.
        let late = self.made_to.is_some_and(|made_to| frame.pts <= made_to);
        if self.seeking && (!frame.key || late) {
            return;
        }
        self.seeking = false;
        let (codec, payloads) = match &*frame.config {
            TrackConfig::Video(VideoConfig::H264 { record, .. }) => {
                let sets = if frame.key {
                    h264::parameter_sets_of(record)
                } else {
                    Vec::new()
                };
                (Codec::H264, packetize::h264(&frame.data, &sets))
            }
            TrackConfig::Audio(AudioConfig::Opus { .. }) => (Codec::Opus, vec![frame.data.clone()]),
            // Its rendition in Opus is taken; and pictures in other codecs come over WebRTC alone, as
            // packets.
            TrackConfig::Audio(AudioConfig::Aac { .. }) | TrackConfig::Video(_) => return,
        };
        self.made_to = Some(frame.pts);
        self.append(frame.pts, codec, frame.key, payloads, tracks);
    }

    fn append(
        &mut self,
        at: MediaTime,
        codec: Codec,
        key: bool,
        payloads: Vec<Bytes>,
        tracks: &Tracks,
    ) {
        let timestamp = rtp::timestamp(at, codec.clock_rate());
        if self.writer.is_none() {
            self.writer = tracks.writer(self.kind);
        }
        let Some(writer) = &self.writer else { return };
        let track = tracks.track(self.kind);
        track.set_clock(Clock { timestamp, at });
        let (mut number, _) = track.next();
        let count = payloads.len();
        for (index, payload) in payloads.into_iter().enumerate() {
            let packet = Packet {
                number,
                timestamp,
                at,
                codec,
                marker: codec != Codec::Opus && index + 1 == count,
                key: key && index == 0,
                payload,
            };
            number += 1;
            if track.append(writer, packet).is_err() {
                // A publisher over WebRTC has taken over.
                self.writer = None;
                return;
            }
        }
    }
}
