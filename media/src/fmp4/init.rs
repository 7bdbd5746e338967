//! The init segment of a track.

use bytes::Bytes;
use mp4_atom::{
    Atom, Audio, Av01, Av1c, Avc1, Avcc, Codec, Dinf, Dops, Dref, Encode, Esds, Ftyp, Hdlr, Mdhd,
    Mdia, Minf, Moov, Mp4a, Mvex, Mvhd, Opus, Pasp, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url,
    Visual, Vmhd, Vp09, VpcC, esds,
};

use super::{Error, timescale, track_id};
use crate::codec::vp9;
use crate::{AudioConfig, TrackConfig, VideoConfig};

/// Ticks per second of the movie header, which times nothing here.
const MOVIE_TIMESCALE: u32 = 1000;
/// MPEG-4 audio, and an audio stream (ISO/IEC 14496-1 tables 5 and 6).
const OBJECT_TYPE_MPEG4_AUDIO: u8 = 0x40;
const STREAM_TYPE_AUDIO: u8 = 5;

/// Writes the `ftyp` and `moov` that players need before the chunks of a track.
///
/// # Errors
/// When the picture or sample rate is beyond what a sample entry can tell.
pub fn init_segment(config: &TrackConfig) -> Result<Bytes, Error> {
    let ftyp = Ftyp {
        major_brand: b"iso6".into(),
        minor_version: 0,
        compatible_brands: vec![b"iso6".into(), b"cmfc".into(), b"mp41".into()],
    };
    let id = track_id(config.kind());
    let moov = Moov {
        mvhd: Mvhd {
            timescale: MOVIE_TIMESCALE,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: id + 1,
            ..Mvhd::default()
        },
        mvex: Some(Mvex {
            mehd: None,
            trex: vec![Trex {
                track_id: id,
                default_sample_description_index: 1,
                ..Trex::default()
            }],
        }),
        trak: vec![track(config)?],
        ..Moov::default()
    };
    let mut out = Vec::with_capacity(1024);
    ftyp.encode(&mut out)?;
    moov.encode(&mut out)?;
    Ok(out.into())
}

fn track(config: &TrackConfig) -> Result<Trak, Error> {
    let (entry, handler, name) = match config {
        TrackConfig::Video(video) => (video_entry(video)?, b"vide", "pictures"),
        TrackConfig::Audio(audio) => (audio_entry(audio)?, b"soun", "sound"),
    };
    let mut tkhd = Tkhd {
        track_id: track_id(config.kind()),
        enabled: true,
        in_movie: true,
        ..Tkhd::default()
    };
    let mut minf = Minf {
        dinf: Dinf {
            dref: Dref {
                entries: vec![Url::default().into()],
            },
        },
        stbl: Stbl {
            stsd: Stsd {
                codecs: vec![entry],
            },
            stco: Some(Stco::default()),
            ..Stbl::default()
        },
        ..Minf::default()
    };
    match config {
        TrackConfig::Video(video) => {
            let (width, height) = displayed(video)?;
            tkhd.width = width.into();
            tkhd.height = height.into();
            minf.vmhd = Some(Vmhd::default());
        }
        TrackConfig::Audio(_) => {
            tkhd.volume = 1.into();
            minf.smhd = Some(Smhd::default());
        }
    }
    Ok(Trak {
        tkhd,
        mdia: Mdia {
            mdhd: Mdhd {
                timescale: timescale(config),
                language: "und".to_owned(),
                ..Mdhd::default()
            },
            hdlr: Hdlr {
                handler: handler.into(),
                name: name.to_owned(),
            },
            minf,
        },
        ..Trak::default()
    })
}

/// The size on the screen: what the samples measure, stretched by their aspect.
fn displayed(video: &VideoConfig) -> Result<(u16, u16), Error> {
    let (width, height) = video.resolution();
    let stretched = match video {
        VideoConfig::H264 { sps, .. } => match sps.sample_aspect {
            Some((x, y)) => u64::from(width) * u64::from(x) / u64::from(y),
            None => u64::from(width),
        },
        VideoConfig::Vp8 { .. } | VideoConfig::Vp9(_) | VideoConfig::Av1 { .. } => u64::from(width),
    };
    let fit = |size: u64| u16::try_from(size).map_err(|_| Error::OutOfRange("the resolution"));
    Ok((fit(stretched)?, fit(u64::from(height))?))
}

fn video_entry(video: &VideoConfig) -> Result<Codec, Error> {
    let fit = |size: u32| u16::try_from(size).map_err(|_| Error::OutOfRange("the resolution"));
    let (width, height) = video.resolution();
    let visual = Visual {
        data_reference_index: 1,
        width: fit(width)?,
        height: fit(height)?,
        ..Visual::default()
    };
    Ok(match video {
        VideoConfig::H264 { record, sps } => Avc1 {
            visual,
            avcc: Avcc::decode_body(&mut &record[..])?,
            pasp: sps.sample_aspect.map(|(x, y)| Pasp {
                h_spacing: x.into(),
                v_spacing: y.into(),
            }),
            ..Avc1::default()
        }
        .into(),
        VideoConfig::Vp8 { .. } => return Err(Error::Codec("VP8")),
        VideoConfig::Vp9(header) => vp9_entry(visual, header).into(),
        VideoConfig::Av1 { unit, sequence } => Av01 {
            visual,
            av1c: Av1c {
                seq_profile: sequence.profile,
                seq_level_idx_0: sequence.level,
                seq_tier_0: sequence.high_tier,
                high_bitdepth: sequence.high_bit_depth,
                twelve_bit: sequence.twelve_bit,
                monochrome: sequence.monochrome,
                chroma_subsampling_x: sequence.subsampled_x,
                chroma_subsampling_y: sequence.subsampled_y,
                chroma_sample_position: sequence.chroma_position,
                initial_presentation_delay: None,
                config_obus: unit.to_vec(),
            },
            ..Av01::default()
        }
        .into(),
    })
}

fn vp9_entry(visual: Visual, header: &vp9::KeyHeader) -> Vp09 {
    let [primaries, transfer, matrix] = header.colours;
    Vp09 {
        visual,
        vpcc: VpcC {
            profile: header.profile,
            level: header.level(),
            bit_depth: header.bit_depth,
            chroma_subsampling: header.chroma_subsampling,
            video_full_range_flag: header.full_range,
            color_primaries: primaries,
            transfer_characteristics: transfer,
            matrix_coefficients: matrix,
            codec_initialization_data: Vec::new(),
        },
        btrt: None,
        colr: None,
        pasp: None,
        spatial: None,
    }
}

fn audio_entry(audio: &AudioConfig) -> Result<Codec, Error> {
    let entry = Audio {
        data_reference_index: 1,
        channel_count: u16::from(audio.channels()),
        sample_size: 16,
        // The field has sixteen bits; readers take the rate from the decoder's set-up when it is zero.
        sample_rate: u16::try_from(audio.sample_rate()).unwrap_or(0).into(),
    };
    Ok(match audio {
        AudioConfig::Aac { record, .. } => Mp4a {
            audio: entry,
            esds: Esds {
                es_desc: esds::EsDescriptor {
                    es_id: 1,
                    dec_config: esds::DecoderConfig {
                        object_type_indication: OBJECT_TYPE_MPEG4_AUDIO,
                        stream_type: STREAM_TYPE_AUDIO,
                        dec_specific: Some(esds::DecoderSpecific {
                            raw: record.to_vec(),
                            ..esds::DecoderSpecific::default()
                        }),
                        ..esds::DecoderConfig::default()
                    },
                    ..esds::EsDescriptor::default()
                },
            },
            btrt: None,
            taic: None,
        }
        .into(),
        AudioConfig::Opus { channels, .. } => Opus {
            audio: entry,
            dops: Dops {
                output_channel_count: *channels,
                // Who joins a live stream begins in its middle.
                pre_skip: 0,
                input_sample_rate: audio.sample_rate(),
                output_gain: 0,
                channel_mapping: None,
            },
            btrt: None,
        }
        .into(),
    })
}

#[cfg(test)]
mod tests {
    use mp4_atom::Decode;

    use super::*;
    use crate::codec::{aac, av1, h264};

    const RECORD: &[u8] = &[
        1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 26, 0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05,
        0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83,
        0x19, 0x60, 1, 0, 5, 0x68, 0xeb, 0xec, 0xb2, 0x2c,
    ];

    fn read(init: &Bytes) -> Moov {
        let mut rest = &init[..];
        let ftyp = Ftyp::decode(&mut rest).unwrap();
        assert!(ftyp.compatible_brands.contains(&b"cmfc".into()));
        let moov = Moov::decode(&mut rest).unwrap();
        assert!(rest.is_empty());
        moov
    }

    #[test]
    fn a_video_track_tells_its_size_and_decoder() {
        let config = h264::parse_record(RECORD).unwrap().config;
        let VideoConfig::H264 { record, .. } = config.clone() else {
            panic!("it is H.264")
        };
        let moov = read(&init_segment(&TrackConfig::Video(config)).unwrap());
        let track = &moov.trak[0];
        assert_eq!(
            (track.tkhd.width.integer(), track.tkhd.height.integer()),
            (1280, 720)
        );
        assert_eq!(track.mdia.mdhd.timescale, 90_000);
        let Codec::Avc1(avc1) = &track.mdia.minf.stbl.stsd.codecs[0] else {
            panic!("avc1")
        };
        let mut written = Vec::new();
        avc1.avcc.encode_body(&mut written).unwrap();
        assert_eq!(written, record);
        assert_eq!(moov.mvex.unwrap().trex[0].track_id, 1);
    }

    #[test]
    fn vp9_and_av1_tell_their_decoders_and_vp8_is_refused() {
        let vp9 =
            vp9::KeyHeader::parse(&[0x82, 0x49, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x16, 0x70, 0x00]);
        let entry = |config| read(&init_segment(&TrackConfig::Video(config)).unwrap());
        let moov = entry(VideoConfig::Vp9(vp9.unwrap()));
        let Codec::Vp09(found) = &moov.trak[0].mdia.minf.stbl.stsd.codecs[0] else {
            panic!("vp09")
        };
        assert_eq!((found.visual.width, found.vpcc.level), (640, 30));
        assert_eq!(moov.trak[0].tkhd.height.integer(), 360);

        let body = [
            0x00, 0x00, 0x00, 0x0c, 0xc4, 0xff, 0x67, 0x36, 0xbe, 0x40, 0x10,
        ];
        let sequence = av1::Sequence::parse(&body).unwrap();
        let unit = Bytes::from([&[0x0a, 0x0b], &body[..]].concat());
        let moov = entry(VideoConfig::Av1 {
            unit: unit.clone(),
            sequence,
        });
        let Codec::Av01(found) = &moov.trak[0].mdia.minf.stbl.stsd.codecs[0] else {
            panic!("av01")
        };
        assert_eq!((found.visual.width, found.av1c.seq_level_idx_0), (640, 1));
        assert_eq!(found.av1c.config_obus, unit);

        let vp8 = TrackConfig::Video(VideoConfig::Vp8 {
            width: 640,
            height: 360,
        });
        assert!(!super::super::carries(&vp8) && init_segment(&vp8).is_err());
    }

    #[test]
    fn an_audio_track_counts_in_samples() {
        let record = Bytes::from_static(&[0x12, 0x10]);
        let asc = aac::AudioSpecificConfig::parse(&record).unwrap();
        let config = TrackConfig::Audio(AudioConfig::Aac {
            record: record.clone(),
            asc,
        });
        let moov = read(&init_segment(&config).unwrap());
        assert_eq!(moov.trak[0].mdia.mdhd.timescale, 44_100);
        let Codec::Mp4a(mp4a) = &moov.trak[0].mdia.minf.stbl.stsd.codecs[0] else {
            panic!("mp4a")
        };
        let specific = mp4a.esds.es_desc.dec_config.dec_specific.as_ref().unwrap();
        assert_eq!(specific.raw, record);
    }

    #[test]
    fn an_opus_track_tells_its_channels() {
        let config = TrackConfig::Audio(AudioConfig::Opus {
            channels: 2,
            samples_per_frame: 960,
        });
        let moov = read(&init_segment(&config).unwrap());
        assert_eq!(moov.trak[0].mdia.mdhd.timescale, 48_000);
        let Codec::Opus(opus) = &moov.trak[0].mdia.minf.stbl.stsd.codecs[0] else {
            panic!("opus")
        };
        assert_eq!(opus.dops.output_channel_count, 2);
    }
}
