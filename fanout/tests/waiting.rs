//! Readers that wait, writers that are replaced, logs that end; on virtual time.

use std::time::Duration;

use fanout::{AppendError, Bounds, Lag, Limits, Log, Meta, Position, Read, Start};
use tokio::time::{sleep, timeout};

const LIMITS: Limits = Limits {
    items: 10,
    bytes: 10_000,
    span_micros: 10_000_000,
};

/// Numbers at one a second, each tenth a place to start.
fn log() -> Log<i64> {
    Log::new(0, LIMITS, |number| Meta {
        size_bytes: 8,
        at_micros: number * 1_000_000,
        key: number % 10 == 0,
    })
}

fn item(number: i64) -> Option<Read<i64>> {
    Some(Read::Item(at(number), number))
}

fn at(number: i64) -> Position {
    Position {
        epoch: 0,
        offset: number.cast_unsigned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_waits_for_what_is_not_there_yet() {
    let log = log();
    let mut reader = log.reader(Start::Oldest, Lag::Record);
    let waited = timeout(Duration::from_secs(60), reader.read()).await;
    assert!(waited.is_err(), "nothing was appended");
    let writer = log.writer();
    tokio::spawn(async move {
        for number in 0..3 {
            sleep(Duration::from_secs(1)).await;
            writer.append(number).unwrap();
        }
    });
    let began = tokio::time::Instant::now();
    for number in 0..3 {
        assert_eq!(reader.read().await, item(number));
        assert_eq!(
            began.elapsed(),
            Duration::from_secs(number.unsigned_abs() + 1)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_who_waits_wakes_at_one_append() {
    let log = log();
    let readers: Vec<_> = (0..500)
        .map(|_| {
            let mut reader = log.reader(Start::Live, Lag::Record);
            tokio::spawn(async move { reader.read().await })
        })
        .collect();
    tokio::task::yield_now().await;
    log.writer().append(0).unwrap();
    for reader in readers {
        assert_eq!(
            timeout(Duration::from_secs(1), reader)
                .await
                .unwrap()
                .unwrap(),
            item(0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_ends_is_read_to_its_end_and_then_gives_nothing() {
    let log = log();
    let writer = log.writer();
    writer.append(0).unwrap();
    let mut reader = log.reader(Start::Oldest, Lag::Record);
    let mut waiting = log.reader(Start::Live, Lag::Record);
    let waiting = tokio::spawn(async move { waiting.read().await });
    tokio::task::yield_now().await;
    log.end();
    assert_eq!(writer.append(1), Err(AppendError::Ended));
    assert_eq!(reader.read().await, item(0));
    assert_eq!(reader.read().await, None);
    assert_eq!(waiting.await.unwrap(), None);
}

#[tokio::test]
async fn a_new_writer_fences_the_old_one_off() {
    let log = log();
    let (old, new) = (log.writer(), log.writer());
    assert_eq!(old.append(0), Err(AppendError::Fenced));
    assert_eq!(new.append(0), Ok(at(0)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_viewer_goes_on_at_the_latest_key_and_is_told() {
    let log = log();
    let writer = log.writer();
    let bounds = Bounds {
        items: 5,
        span_micros: i64::MAX,
    };
    let mut viewer = log.reader(Start::LatestKey, Lag::SkipToKey(bounds));
    for number in 0..13 {
        writer.append(number).unwrap();
    }
    assert_eq!(
        viewer.read().await,
        Some(Read::Gap {
            from: at(0),
            to: at(10)
        })
    );
    assert_eq!(viewer.read().await, item(10));
}

#[tokio::test(start_paused = true)]
async fn a_recorder_misses_only_what_has_left_the_window() {
    let log = log();
    let writer = log.writer();
    let mut recorder = log.reader(Start::Oldest, Lag::Record);
    for number in 0..25 {
        writer.append(number).unwrap();
    }
    assert_eq!(
        recorder.read().await,
        Some(Read::Gap {
            from: at(0),
            to: at(15)
        })
    );
    for number in 15..25 {
        assert_eq!(recorder.read().await, item(number));
    }
}

#[tokio::test(start_paused = true)]
async fn who_must_not_miss_anything_is_ended_instead() {
    let log = log();
    let writer = log.writer();
    let bounds = Bounds {
        items: u64::MAX,
        span_micros: 3_000_000,
    };
    let mut reader = log.reader(Start::Live, Lag::End(bounds));
    for number in 0..6 {
        writer.append(number).unwrap();
    }
    assert_eq!(reader.read().await, Some(Read::TooSlow(at(0))));
    assert_eq!(reader.read().await, None);
}
