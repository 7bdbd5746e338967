//! Progress of what takes long, on standard error: one line that is written over on a terminal, a
//! line now and then elsewhere.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

const ON_TERMINAL: Duration = Duration::from_millis(250);
const ELSEWHERE: Duration = Duration::from_secs(5);

/// How many viewers have come so far.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    pub(crate) joined: AtomicUsize,
    pub(crate) failed: AtomicUsize,
}

impl Arrivals {
    /// How far it is until then; nothing once everybody has failed.
    pub(crate) fn line(&self, asked: u32, until: Instant) -> Option<String> {
        let joined = self.joined.load(Ordering::Relaxed);
        let failed = self.failed.load(Ordering::Relaxed);
        let left = until.saturating_duration_since(Instant::now()).as_secs();
        (failed < asked as usize).then(|| {
            format!("{joined} of {asked} viewers have joined, {failed} failed; {left} s to go")
        })
    }
}

/// Tells how far something is.
#[derive(Debug)]
pub(crate) struct Ticker {
    terminal: bool,
    next: Instant,
}

impl Ticker {
    pub(crate) fn new() -> Self {
        let terminal = stderr().is_terminal();
        Self {
            terminal,
            next: Instant::now() + if terminal { ON_TERMINAL } else { ELSEWHERE },
        }
    }

    /// Waits, and says now and then what `tell` gives; ends early once that gives nothing.
    pub(crate) async fn wait_until(
        &mut self,
        until: Instant,
        mut tell: impl FnMut() -> Option<String>,
    ) {
        loop {
            let now = Instant::now();
            let Some(text) = tell().filter(|_| now < until) else {
                return;
            };
            if now >= self.next {
                self.say(&text);
                self.next = now
                    + if self.terminal {
                        ON_TERMINAL
                    } else {
                        ELSEWHERE
                    };
            }
            let wake = self.next.min(until).min(now + ON_TERMINAL);
            sleep(wake.saturating_duration_since(now)).await;
        }
    }

    fn say(&self, text: &str) {
        // Who does not listen misses nothing that the result does not say.
        let _ = if self.terminal {
            write!(stderr(), "\r\x1b[K{text}")
        } else {
            writeln!(stderr(), "{text}")
        };
    }

    /// Leaves nothing on the line.
    pub(crate) fn finish(&self) {
        if self.terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
