//! Playing: who asks for it is let in or refused, pauses, and is told the end.

use std::time::Duration;

use media::amf0::Value;

use super::{Closed, Doing, Error, Event, Reason, Session, shortened};
use crate::message::Command;
use crate::play;

/// Why nothing is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayRefusal {
    /// Nobody publishes under that name.
    NotFound,
    /// The server has no room for another viewer.
    Busy,
}

impl PlayRefusal {
    const fn code(self) -> &'static str {
        match self {
            Self::NotFound => "NetStream.Play.StreamNotFound",
            Self::Busy => "NetStream.Play.Failed",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::NotFound => "Nobody is live under this name.",
            Self::Busy => "The server takes no more viewers at the moment. Try again later.",
        }
    }
}

impl Session {
    /// Lets the peer play what it asked for: media may be written from here on, in the chunks that
    /// [`play`] makes. Takes what the peer has sent since.
    pub fn accept_play(&mut self, now: Duration) -> Result<(), Error> {
        let Doing::PlayAsked(stream) = self.doing else {
            return Ok(());
        };
        self.doing = Doing::Playing(stream);
        self.sender.set_chunk_size(&mut self.out, play::CHUNK_SIZE);
        self.sender.stream_begin(&mut self.out, stream);
        for (code, description) in [
            ("NetStream.Play.Reset", "Playing from the beginning."),
            ("NetStream.Play.Start", "Playing."),
        ] {
            self.sender
                .status(&mut self.out, stream, "status", code, description);
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.advance(now, &waiting)
    }

    /// Tells the peer that nothing will be played, and closes the session.
    pub fn refuse_play(&mut self, refusal: PlayRefusal) {
        let Doing::PlayAsked(stream) = self.doing else {
            return;
        };
        let (code, description) = (refusal.code(), refusal.description());
        self.sender
            .status(&mut self.out, stream, "error", code, description);
        self.end(Closed::PlayRefused);
    }

    /// Tells the player that the stream is over, in words of the caller's, and closes the session.
    pub fn end_play(&mut self, reason: Reason, description: &str) {
        if let Doing::Playing(stream) = self.doing {
            self.sender.stream_eof(&mut self.out, stream);
            for code in ["NetStream.Play.UnpublishNotify", "NetStream.Play.Stop"] {
                self.sender
                    .status(&mut self.out, stream, "status", code, description);
            }
            self.end(Closed::Ended(reason));
        }
    }

    pub(super) fn request_play(&mut self, stream: u32, app: String, command: &Command) {
        let name = command.argument(1).and_then(Value::as_str);
        let refusal = if matches!(self.doing, Doing::Publishing(_) | Doing::Playing(_)) {
            Some("This connection already has a stream.")
        } else if stream != play::STREAM {
            // Media are made once for all players, with this number in them.
            Some("Play on the first stream that was created.")
        } else {
            None
        };
        if let Some(description) = refusal {
            self.sender.status(
                &mut self.out,
                stream,
                "error",
                "NetStream.Play.Failed",
                description,
            );
            return;
        }
        self.doing = Doing::PlayAsked(stream);
        match name {
            Some(name) if !name.is_empty() => {
                let name = shortened(name);
                self.events.push_back(Event::PlayRequested { app, name });
            }
            _ => self.refuse_play(PlayRefusal::NotFound),
        }
    }

    /// What players ask of a recording. A live stream can be paused; it has one place to be at.
    pub(super) fn control_play(&mut self, stream: u32, command: &Command) {
        let playing = matches!(self.doing, Doing::Playing(playing) if playing == stream);
        let paused = command.argument(1).and_then(Value::as_bool);
        let (level, code, description) = match (&*command.name, paused) {
            ("pause", Some(true)) if playing => ("status", "NetStream.Pause.Notify", "Paused."),
            ("pause", Some(false)) if playing => (
                "status",
                "NetStream.Unpause.Notify",
                "Playing what is live now.",
            ),
            ("pause", _) => ("error", "NetStream.Pause.Failed", "Nothing is playing."),
            ("seek", _) => (
                "error",
                "NetStream.Seek.Failed",
                "This is live and cannot be sought in.",
            ),
            _ => (
                "error",
                "NetStream.Play.Failed",
                "This connection cannot change its stream.",
            ),
        };
        self.sender
            .status(&mut self.out, stream, level, code, description);
        if level == "status"
            && let Some(paused) = paused
        {
            self.events.push_back(Event::Paused(paused));
        }
    }

    pub(super) fn stop_playing(&mut self) {
        if matches!(self.doing, Doing::Playing(_)) {
            self.doing = Doing::Nothing;
            self.events.push_back(Event::PlayStopped);
        }
    }
}
