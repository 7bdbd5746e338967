//! H.264 out of its payloads (RFC 6184).

use bytes::{BufMut as _, Bytes, BytesMut};
use media::codec::h264;

use super::{Picture, Unreadable};

/// Keeps the parameter sets, which come with some pictures and hold for all that follow.
#[derive(Debug, Default)]
pub(super) struct Unpacker {
    sps: Bytes,
    pps: Bytes,
}

impl Unpacker {
    /// The access unit in payloads; with its set-up if it is a keyframe, or none is known yet.
    /// Without a picture in it, such as with parameter sets alone, it is none.
    pub(super) fn picture(
        &mut self,
        payloads: &[Bytes],
        is_first: bool,
    ) -> Result<Option<Picture>, Unreadable> {
        let mut data = BytesMut::new();
        let mut fragment: Option<BytesMut> = None;
        for payload in payloads {
            self.unpack(payload, &mut data, &mut fragment)?;
        }
        if fragment.is_some() {
            return Err(Unreadable);
        }
        if data.is_empty() {
            return Ok(None);
        }
        let data = data.freeze();
        let unit = h264::inspect(&data).map_err(|_| Unreadable)?;
        if !unit.picture {
            return Ok(None);
        }
        let key = unit.is_keyframe();
        let config = if key || is_first {
            let config = h264::from_parameter_sets(&self.sps, &self.pps);
            Some(config.map_err(|_| Unreadable)?)
        } else {
            None
        };
        Ok(Some(Picture { key, config, data }))
    }

    /// Adds the NAL units of a payload (RFC 6184 §5.6 to §5.8).
    fn unpack(
        &mut self,
        payload: &Bytes,
        out: &mut BytesMut,
        fragment: &mut Option<BytesMut>,
    ) -> Result<(), Unreadable> {
        let &first = payload.first().ok_or(Unreadable)?;
        match first & 0x1f {
            1..=23 => self.unit(payload.clone(), out),
            24 => {
                let mut at = 1;
                while let Some(length) = payload.get(at..at + 2) {
                    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                    let from = at + 2;
                    at = from + length;
                    if at > payload.len() {
                        return Err(Unreadable);
                    }
                    self.unit(payload.slice(from..at), out);
                }
            }
            28 => {
                let &header = payload.get(1).ok_or(Unreadable)?;
                if header & 0x80 != 0 {
                    let mut unit = BytesMut::with_capacity(payload.len() * 2);
                    unit.put_u8(first & 0xe0 | header & 0x1f);
                    *fragment = Some(unit);
                }
                let unit = fragment.as_mut().ok_or(Unreadable)?;
                unit.put_slice(&payload[2..]);
                if header & 0x40 != 0 {
                    let whole = fragment.take().unwrap_or_default().freeze();
                    self.unit(whole, out);
                }
            }
            _ => {}
        }
        Ok(())
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
