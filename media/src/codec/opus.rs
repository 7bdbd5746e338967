//! Opus (RFC 6716), as far as a server must read it: how long a packet lasts.

/// Samples per second that Opus always counts in.
pub const SAMPLE_RATE: u32 = 48_000;

/// Most samples of a packet: 120 ms (RFC 6716 §3.2.5).
const SAMPLES_MAX: u32 = 5_760;

/// Samples that a packet decodes to, per channel, by its first byte and count of frames (RFC 6716
/// §3.1 and §3.2); `None` for what is no packet.
pub fn samples(packet: &[u8]) -> Option<u32> {
    let (&toc, rest) = packet.split_first()?;
    let config = toc >> 3;
    let frame = match config {
        // SILK: 10, 20, 40, 60 ms.
        0..=11 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        // Both: 10 and 20 ms.
        12..=15 => [480, 960][usize::from(config & 1)],
        // CELT: 2.5, 5, 10, 20 ms.
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first()? & 0x3f),
    };
    Some(frame * count).filter(|samples| (1..=SAMPLES_MAX).contains(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_tells_how_long_it_lasts() {
        for (packet, lasts) in [
            (&[0xfc_u8, 1][..], Some(960)),
            (&[0x78], Some(960)),
            (&[0x08, 1], Some(960)),
            (&[0x19], Some(5_760)),
            (&[0xe3, 0x03], Some(360)),
            (&[0x1b, 0x03], None),
            (&[0x03, 0x00], None),
            (&[0x03], None),
            (&[], None),
        ] {
            assert_eq!(samples(packet), lasts, "{packet:x?}");
        }
    }
}
