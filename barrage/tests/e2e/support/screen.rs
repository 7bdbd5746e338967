//! Puts together what a viewer over WebRTC gets, packet by packet.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sfu_core::Codec;
use sfu_core::assemble::{Assembler, Output};
use sfu_core::caller::{H264_RTX, OPUS};
use sfu_core::rtcp;
use sfu_core::transport::Received;
use sfu_core::up::{Place, UpTrack};

use super::peer::Peer;

/// Puts together what a viewer gets, asking for what is missing as a browser does.
pub(crate) struct Screen {
    pub(crate) track: Option<UpTrack>,
    assembler: Assembler,
    pub(crate) units: Vec<Bytes>,
    pub(crate) sound: usize,
    pub(crate) lost: usize,
    /// Packets that were asked for again, and that came.
    pub(crate) asked: usize,
    pub(crate) repairs: usize,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            track: None,
            assembler: Assembler::new(Codec::H264),
            units: Vec::new(),
            sound: 0,
            lost: 0,
            asked: 0,
            repairs: 0,
        }
    }

    /// Watches until there are so many pictures.
    pub(crate) async fn watch(&mut self, viewer: &mut Peer, count: usize) {
        let began = Instant::now();
        while self.units.len() < count {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "{} pictures of {count}",
                self.units.len()
            );
            if let Some(Received::Rtp(packet)) = viewer.hear_within(Duration::from_millis(10)).await
            {
                self.take(&packet);
            }
            let missing = self.track.as_mut();
            let missing = missing.map(|track| {
                let again = track.nacks(Instant::now());
                (track.ssrc(), again)
            });
            if let Some((ssrc, missing)) = missing.filter(|(_, missing)| !missing.is_empty()) {
                let mut out = Vec::new();
                rtcp::write_nack(&mut out, 1, ssrc, &missing);
                self.asked += missing.len();
                viewer.say(&out).await;
            }
        }
    }

    pub(crate) fn take(&mut self, packet: &[u8]) {
        let now = Instant::now();
        let header = sfu_core::rtp::Header::parse(packet).unwrap();
        let mut payload = header.payload(packet).unwrap();
        let mut sequence = header.sequence;
        match header.payload_type {
            OPUS => {
                self.sound += 1;
                return;
            }
            H264_RTX => {
                self.repairs += 1;
                sequence = u16::from_be_bytes([payload[0], payload[1]]);
                payload = &payload[2..];
            }
            _ => {
                self.track
                    .get_or_insert_with(|| UpTrack::new(header.ssrc, 90_000, now));
            }
        }
        let Some(track) = &mut self.track else { return };
        let again = header.payload_type == H264_RTX;
        if let Place::At(number) = track.receive(now, sequence, header.timestamp, again) {
            let payload = Bytes::copy_from_slice(payload);
            self.assembler
                .push(now, number, header.timestamp, header.marker, payload);
        }
        while let Some(output) = self.assembler.poll(now) {
            match output {
                Output::Unit(unit) => self.units.push(unit.data),
                Output::Lost => self.lost += 1,
            }
        }
    }
}
