//! Every metric: its name and what it counts. Told from the start, so that a graph begins at zero;
//! `docs/operating.md` lists the same, which a test compares.

use fanout::shard::Why;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Describes every metric, and begins those that count at zero.
pub fn begin() {
    for (name, what) in [
        (
            "barrage_rtmp_received_bytes_total",
            "Bytes from RTMP peers.",
        ),
        (
            "barrage_rtmp_refused_total",
            "RTMP peers refused, by reason.",
        ),
        (
            "barrage_ingest_dropped_frames_total",
            "Frames that came before their set-up or were not whole.",
        ),
        (
            "barrage_http_connections_refused_total",
            "HTTP connections over http.max_connections.",
        ),
        ("barrage_hls_parts_total", "Parts made."),
        ("barrage_hls_playlist_renders_total", "Playlists rendered."),
        (
            "barrage_hls_gap_frames_total",
            "Frames gone from their log before the packager read them.",
        ),
        (
            "barrage_hls_packager_failures_total",
            "Packagers that failed; each costs its own broadcast.",
        ),
        ("barrage_sign_ins_total", "Passwords tried, by result."),
        ("barrage_mails_total", "Mails, by result."),
        (
            "barrage_viewers_left_total",
            "Viewers over RTMP and FLV who have gone, by protocol and why.",
        ),
        (
            "barrage_viewer_sent_bytes_total",
            "Bytes written to viewers over RTMP and FLV who have gone, by protocol.",
        ),
        (
            "barrage_viewer_skipped_packets_total",
            "Packets passed over because viewers who have gone were too slow, by protocol.",
        ),
        ("barrage_thumbnails_total", "Still pictures, by result."),
        (
            "barrage_webhook_attempts_total",
            "Attempts to tell a webhook something, by result.",
        ),
        (
            "barrage_webhook_dropped_events_total",
            "Events that webhooks are not told of because too much waits or the database fails.",
        ),
        (
            "barrage_emote_uploads_total",
            "Uploads of emotes, by result.",
        ),
        (
            "barrage_chat_items_total",
            "Items of rooms that were kept, danmaku among them.",
        ),
        (
            "barrage_gifts_total",
            "Gifts that somebody wanted to give, by what came of it.",
        ),
        (
            "barrage_gifts_told_total",
            "Entries of the ledger of which a room was told.",
        ),
        (
            "barrage_nats_dropped_total",
            "Messages to other nodes that were not sent because too many waited.",
        ),
        (
            "barrage_nats_uncarried_total",
            "Messages to other nodes that NATS did not acknowledge.",
        ),
        (
            "barrage_chat_connections_left_total",
            "Connections to rooms that have ended, by why.",
        ),
        (
            "barrage_chat_sent_bytes_total",
            "Bytes written to connections to rooms that have ended.",
        ),
        (
            "barrage_chat_spared_items_total",
            "Items of rooms that connections which have ended were spared because they were too slow.",
        ),
        ("barrage_webrtc_sessions_total", "WebRTC sessions made."),
        (
            "barrage_webrtc_packets_total",
            "Packets of media over WebRTC, by direction.",
        ),
        ("barrage_webrtc_bytes_total", "Their payload."),
        (
            "barrage_webrtc_lost_packets_total",
            "Packets lost on the way, by direction.",
        ),
        (
            "barrage_webrtc_repaired_packets_total",
            "Packets sent once more because they were lost, by direction.",
        ),
        (
            "barrage_webrtc_unsent_packets_total",
            "Packets to viewers for which the system or a connection had no room.",
        ),
        (
            "barrage_webrtc_refused_total",
            "WebRTC sessions refused because there were too many.",
        ),
        (
            "barrage_webrtc_freezes_total",
            "How often viewers over WebRTC saw the picture stand still, as their pages tell.",
        ),
        (
            "barrage_webrtc_frozen_milliseconds_total",
            "For how long, as their pages tell.",
        ),
        (
            "barrage_rendition_failures_total",
            "How often making a track in another codec failed, by kind.",
        ),
        (
            "barrage_rendition_skips_total",
            "How often pictures were left out because making them anew was slower than they came.",
        ),
        (
            "barrage_webrtc_shard_restarts_total",
            "How often a WebRTC shard began anew, without its sessions, because something in it was wrong.",
        ),
        (
            "barrage_shard_restarts_total",
            "How often a shard began anew, without its connections, because something in it was wrong.",
        ),
    ] {
        describe_counter!(name, what);
    }
    for (name, what) in [
        ("barrage_live_streams", "Broadcasts under way."),
        ("barrage_viewers", "Viewers, by protocol."),
        ("barrage_rtmp_connections", "Open RTMP connections."),
        ("barrage_webrtc_sessions", "WebRTC sessions of a shard."),
        ("barrage_chat_rooms", "Rooms that somebody is in."),
        ("barrage_chat_connections", "Open connections to rooms."),
        (
            "barrage_chat_ok",
            "1 while what is said in rooms can be kept.",
        ),
        (
            "barrage_nats_ok",
            "1 while other nodes can be reached, and on a server alone.",
        ),
        (
            "barrage_redis_ok",
            "1 while Redis answers, and on a server alone.",
        ),
        (
            "barrage_shard_connections",
            "Viewers that a shard writes to.",
        ),
        (
            "barrage_shard_window_seconds",
            "How long packets gather in a shard before they are written.",
        ),
        (
            "barrage_shard_load",
            "The share of its time for which a shard is busy.",
        ),
        (
            "barrage_hls_waiting_requests",
            "Requests that wait for a part or playlist.",
        ),
        (
            "barrage_database_ok",
            "1 while the database answers within a second.",
        ),
        (
            "barrage_database_answer_seconds",
            "How long the database took to answer the simplest question.",
        ),
        ("barrage_ledger_ok", "1 while something can be given."),
        (
            "barrage_certificate_ok",
            "1 while the https certificate and its files are good.",
        ),
        (
            "barrage_certificate_good_seconds",
            "How long the https certificate is good yet.",
        ),
    ] {
        describe_gauge!(name, what);
    }
    describe_histogram!(
        "barrage_hls_first_part_seconds",
        Unit::Seconds,
        "From a broadcast's first keyframe to its first part."
    );
    describe_histogram!(
        "barrage_chat_commit_seconds",
        Unit::Seconds,
        "How long it took to keep what was said, many at once."
    );
    describe_histogram!(
        "barrage_webrtc_jitter_seconds",
        Unit::Seconds,
        "How uneven packets come over WebRTC, of each track every five seconds, by direction."
    );
    describe_histogram!(
        "barrage_webrtc_round_trip_seconds",
        Unit::Seconds,
        "The time to peers over WebRTC and back, of each track every five seconds, by direction."
    );
    for direction in ["in", "out"] {
        // Both begin without anything in them.
        let _ = metrics::histogram!("barrage_webrtc_jitter_seconds", "direction" => direction);
        let _ = metrics::histogram!("barrage_webrtc_round_trip_seconds", "direction" => direction);
        for name in [
            "barrage_webrtc_packets_total",
            "barrage_webrtc_bytes_total",
            "barrage_webrtc_lost_packets_total",
            "barrage_webrtc_repaired_packets_total",
        ] {
            metrics::counter!(name, "direction" => direction).increment(0);
        }
    }
    for name in [
        "barrage_chat_items_total",
        "barrage_gifts_told_total",
        "barrage_nats_dropped_total",
        "barrage_nats_uncarried_total",
        "barrage_chat_sent_bytes_total",
        "barrage_chat_spared_items_total",
    ] {
        metrics::counter!(name).increment(0);
    }
    for why in Why::ALL.map(Why::as_str) {
        metrics::counter!("barrage_chat_connections_left_total", "why" => why).increment(0);
    }
    for outcome in ["given", "cannot_pay", "refused", "too_fast", "unavailable"] {
        metrics::counter!("barrage_gifts_total", "outcome" => outcome).increment(0);
    }
    for name in [
        "barrage_chat_ok",
        "barrage_ledger_ok",
        "barrage_nats_ok",
        "barrage_redis_ok",
    ] {
        metrics::gauge!(name).set(1.0);
    }
    for protocol in ["flv", "ws-flv", "rtmp"] {
        metrics::counter!("barrage_viewer_sent_bytes_total", "protocol" => protocol).increment(0);
        metrics::counter!("barrage_viewer_skipped_packets_total", "protocol" => protocol)
            .increment(0);
        for why in Why::ALL.map(Why::as_str) {
            metrics::counter!("barrage_viewers_left_total", "protocol" => protocol, "why" => why)
                .increment(0);
        }
    }
    for result in ["right", "wrong"] {
        metrics::counter!("barrage_sign_ins_total", "result" => result).increment(0);
    }
    for result in ["made", "failed"] {
        metrics::counter!("barrage_thumbnails_total", "result" => result).increment(0);
    }
    for result in ["delivered", "failed"] {
        metrics::counter!("barrage_webhook_attempts_total", "result" => result).increment(0);
    }
    metrics::counter!("barrage_webhook_dropped_events_total").increment(0);
    for result in ["taken", "refused"] {
        metrics::counter!("barrage_emote_uploads_total", "result" => result).increment(0);
    }
    for result in ["sent", "failed"] {
        metrics::counter!("barrage_mails_total", "result" => result).increment(0);
    }
}
