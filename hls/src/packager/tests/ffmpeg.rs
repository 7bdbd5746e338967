//! What a real encoder makes, through the packager, into a real player.

use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use media::codec::{aac, h264};
use media::{AudioConfig, flv};

use super::*;

/// Eight seconds of a test picture and a tone, as a publisher sends them.
fn publisher(rate: &str, extra: &[&str]) -> Vec<Frame> {
    let picture = format!("testsrc2=size=320x180:rate={rate}:duration=8");
    let output = Command::new("ffmpeg")
        .args([
            "-v", "error", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i",
        ])
        .args([
            "sine=sample_rate=48000:duration=8",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
        ])
        .args(["-pix_fmt", "yuv420p", "-g", "60"])
        .args(extra)
        .args(["-c:a", "aac", "-f", "flv", "-"])
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg is needed by the tests: apt-get install ffmpeg");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut reader = flv::Reader::new(1 << 24);
    reader.push(&output.stdout);
    let (mut video, mut audio) = (None, None);
    let mut frames = Vec::new();
    while let Some(tag) = reader.next_tag().unwrap() {
        let dts = MediaTime::from_millis(i64::from(tag.timestamp));
        let mut add = |config: &Option<Arc<TrackConfig>>, pts, key, data| {
            let config = Arc::clone(config.as_ref().expect("a header comes first"));
            frames.push(Frame {
                pts,
                dts,
                key,
                captured_at: BEGAN_AT + dts,
                run: 0,
                config,
                data,
            });
        };
        match tag.kind {
            flv::TagKind::Video => match flv::Video::parse(&tag.body).unwrap() {
                flv::Video::H264SequenceHeader(record) => {
                    let config = h264::parse_record(&record).unwrap().config;
                    video = Some(Arc::new(TrackConfig::Video(config)));
                }
                flv::Video::H264Frame {
                    key,
                    composition_ms,
                    data,
                } => {
                    assert_eq!(h264::inspect(&data).unwrap().is_keyframe(), key);
                    add(&video, dts + i64::from(composition_ms) * 1000, key, data);
                }
                flv::Video::H264EndOfSequence
                | flv::Video::Unsupported(_)
                | flv::Video::Nothing => {}
            },
            flv::TagKind::Audio => match flv::Audio::parse(&tag.body).unwrap() {
                flv::Audio::AacSequenceHeader(record) => {
                    let asc = aac::AudioSpecificConfig::parse(&record).unwrap();
                    audio = Some(Arc::new(TrackConfig::Audio(AudioConfig::Aac {
                        record,
                        asc,
                    })));
                }
                flv::Audio::AacFrame(data) => add(&audio, dts, true, data),
                flv::Audio::Unsupported(_) | flv::Audio::Nothing => {}
            },
            flv::TagKind::Script => {}
        }
    }
    frames
}

/// Writes everything there is to fetch as files, in the shape of the addresses.
fn write_tree(packager: &Packager, dir: &Path) -> std::path::PathBuf {
    let id = wire::BroadcastId::new();
    let base = dir.join("b").join(id.to_string());
    let presentation = packager.presentation();
    for kind in KINDS {
        let Some(rendition) = presentation.rendition(kind) else {
            continue;
        };
        let files = base.join(kind.as_str());
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("init-0.mp4"), rendition.init(0).unwrap()).unwrap();
        for segment in rendition.listed() {
            let parts: Vec<&[u8]> = segment.parts.iter().map(|part| &part.data[..]).collect();
            std::fs::write(files.join(format!("{}.m4s", segment.msn)), parts.concat()).unwrap();
        }
        let text = playlist::media(&presentation, kind, Form::Full, &packager.config).unwrap();
        std::fs::write(base.join(format!("{}.m3u8", kind.as_str())), text).unwrap();
    }
    let entry = dir.join("someone").join("index.m3u8");
    std::fs::create_dir_all(entry.parent().unwrap()).unwrap();
    std::fs::write(&entry, playlist::multivariant(&presentation, id).unwrap()).unwrap();
    entry
}

/// Output and complaints of a program.
fn run(program: &str, args: &[&str], input: &Path) -> (String, String) {
    let output = Command::new(program)
        .args(["-v", "warning", "-allowed_extensions", "ALL", "-i"])
        .arg(input)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg and ffprobe are needed by the tests");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_real_player_reads_and_decodes_every_frame_of_a_real_encoder() {
    let cases: [(&str, &[&str]); 3] = [
        ("30000/1001", &["-bf", "2"]),
        ("25", &["-bf", "0"]),
        ("60", &["-bf", "3", "-x264-params", "open-gop=1"]),
    ];
    for (rate, extra) in cases {
        let frames = publisher(rate, extra);
        let watched = Watched::new(wide(), Checker::new())
            .feed(&frames)
            .end()
            .assert_clean();
        assert!(
            watched.packager.stats().dropped_frames <= 4,
            "sound before the first picture"
        );
        let dir = tempfile::tempdir().unwrap();
        let entry = write_tree(&watched.packager, dir.path());
        let (counted, complaints) = run(
            "ffprobe",
            &[
                "-count_frames",
                "-show_entries",
                "stream=codec_name,width,nb_read_frames",
                "-of",
                "csv=p=0",
            ],
            &entry,
        );
        let lines: Vec<&str> = counted.lines().filter(|line| !line.is_empty()).collect();
        let pictures = frames
            .iter()
            .filter(|f| f.config.kind() == TrackKind::Video)
            .count();
        assert!(
            lines.contains(&format!("h264,320,{pictures}").as_str()),
            "{rate}: {counted}"
        );
        assert!(
            lines.iter().any(|line| line.starts_with("aac,")),
            "{rate}: {counted}"
        );
        assert_eq!(complaints, "", "{rate}: ffprobe complains");
        let (_, complaints) = run("ffmpeg", &["-f", "null", "-"], &entry);
        assert_eq!(complaints, "", "{rate}: ffmpeg complains");
    }
}

#[test]
fn one_part_alone_can_be_decoded_with_its_init_segment() {
    let frames = publisher("30", &["-bf", "2"]);
    let watched = Watched::new(wide(), Checker::new())
        .feed(&frames)
        .end()
        .assert_clean();
    let dir = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let rendition = watched.rendition(kind);
        let part = &rendition.segment(1).unwrap().parts[0];
        assert!(part.independent);
        let file: Bytes = [rendition.init(0).unwrap(), part.data.clone()]
            .concat()
            .into();
        let path = dir.path().join(format!("{}.mp4", kind.as_str()));
        std::fs::write(&path, file).unwrap();
        let output = Command::new("ffprobe")
            .args([
                "-v",
                "warning",
                "-count_frames",
                "-show_entries",
                "stream=nb_read_frames",
            ])
            .args(["-of", "csv=p=0"])
            .arg(&path)
            .output()
            .unwrap();
        let count: u32 = String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .unwrap();
        assert!((5..=10).contains(&count), "{kind:?}: {count}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}
