//! H.264 out of its payloads (RFC 6184).

use bytes::{BufMut as _, Bytes, BytesMut};
use media::codec::h264;

use super::Picture;

/// Keeps the parameter sets, which come with some pictures and hold for all that follow.
#[derive(Debug, Default)]
pub(super) struct Unpacker {
    sps: Bytes,
    pps: Bytes,
}

impl Unpacker {
    /// The access unit in payloads; with its set-up if it is a keyframe, or none is known yet.
    pub(super) fn picture(&mut self, payloads: &[Bytes], is_first: bool) -> Option<Picture> {
        let mut data = BytesMut::new();
        let mut fragment: Option<BytesMut> = None;
        for payload in payloads {
            self.unpack(payload, &mut data, &mut fragment);
        }
        let data = data.freeze();
        let unit = h264::inspect(&data).ok()?;
        if !unit.picture {
            return None;
        }
        let key = unit.is_keyframe();
        let config = if key || is_first {
            Some(h264::from_parameter_sets(&self.sps, &self.pps).ok()?)
        } else {
            None
        };
        Some(Picture { key, config, data })
    }

    /// Adds the NAL units of a payload (RFC 6184 §5.6 to §5.8). What is broken is left out, and
    /// found missing by the decoder.
    fn unpack(&mut self, payload: &Bytes, out: &mut BytesMut, fragment: &mut Option<BytesMut>) {
        let Some(&first) = payload.first() else {
            return;
        };
        match first & 0x1f {
            1..=23 => self.unit(payload.clone(), out),
            24 => {
                let mut at = 1;
                while let Some(length) = payload.get(at..at + 2) {
                    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                    let from = at + 2;
                    at = from + length;
                    if at > payload.len() {
                        return;
                    }
                    self.unit(payload.slice(from..at), out);
                }
            }
            28 => {
                let Some(&header) = payload.get(1) else {
                    return;
                };
                if header & 0x80 != 0 {
                    let mut unit = BytesMut::with_capacity(payload.len() * 2);
                    unit.put_u8(first & 0xe0 | header & 0x1f);
                    *fragment = Some(unit);
                }
                let Some(unit) = fragment else { return };
                unit.put_slice(&payload[2..]);
                if header & 0x40 != 0 {
                    let whole = fragment.take().unwrap_or_default().freeze();
                    self.unit(whole, out);
                }
            }
            _ => {}
        }
    }

    fn unit(&mut self, unit: Bytes, out: &mut BytesMut) {
        let Some(&header) = unit.first() else { return };
        match header & 0x1f {
            // They stand in the decoder's set-up, and in no access unit (ISO/IEC 14496-15 §5.3.3).
            7 => self.sps = unit,
            8 => self.pps = unit,
            // Delimiters and filler mean nothing here.
            9 | 12 => {}
            _ => {
                let Ok(length) = u32::try_from(unit.len()) else {
                    return;
                };
                out.put_u32(length);
                out.put_slice(&unit);
            }
        }
    }
}
