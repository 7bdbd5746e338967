//! Publishing: who asks for it is let in or refused, and ends.

use std::time::Duration;

use media::amf0::Value;

use super::{Closed, Doing, Error, Event, Session};
use crate::StreamKey;
use crate::message::Command;

/// Why somebody may not publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody has that key.
    InvalidKey,
    /// The stream is being published by somebody else.
    InUse,
    /// The key is good, and its owner may not publish.
    NotAllowed,
    /// The server takes no more streams now.
    Busy,
}

impl Refusal {
    /// The code that encoders know. OBS shows its "invalid stream key" for all of them, FFmpeg and
    /// librtmp print the description.
    const fn code(self) -> &'static str {
        match self {
            Self::InvalidKey | Self::InUse => "NetStream.Publish.BadName",
            Self::NotAllowed => "NetStream.Publish.Denied",
            Self::Busy => "NetStream.Publish.Failed",
        }
    }

    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::InvalidKey => {
                "This stream key is not valid. Copy it again from your studio page."
            }
            Self::InUse => "This channel is already live from another encoder.",
            Self::NotAllowed => "This channel may not go live.",
            Self::Busy => "The server takes no more streams at the moment. Try again later.",
        }
    }
}

impl Session {
    /// Lets the peer publish that asked for it, and takes what it has sent since.
    pub fn accept_publish(&mut self, now: Duration) -> Result<(), Error> {
        let Doing::PublishAsked(stream) = self.doing else {
            return Ok(());
        };
        self.doing = Doing::Publishing(stream);
        self.deadline = now + self.config.limits.silent_max;
        self.sender.stream_begin(&mut self.out, stream);
        self.sender.status(
            &mut self.out,
            stream,
            "status",
            "NetStream.Publish.Start",
            "Publishing.",
        );
        let waiting = std::mem::take(&mut self.waiting);
        self.advance(now, &waiting)
    }

    /// Refuses the peer that asked to publish, and closes the session: encoders take that for an
    /// answer even where they do not know the code.
    pub fn refuse_publish(&mut self, refusal: Refusal) {
        let Doing::PublishAsked(stream) = self.doing else {
            return;
        };
        self.refuse_stream(stream, refusal);
    }

    pub(super) fn request_publish(&mut self, stream: u32, app: String, command: &Command) {
        if matches!(self.doing, Doing::Publishing(_) | Doing::Playing(_)) {
            self.sender.status(
                &mut self.out,
                stream,
                "error",
                "NetStream.Publish.BadName",
                "This connection already has a stream.",
            );
            return;
        }
        match command.argument(1).and_then(Value::as_str) {
            Some(name) if !name.is_empty() => {
                self.doing = Doing::PublishAsked(stream);
                self.events.push_back(Event::PublishRequested {
                    app,
                    key: StreamKey::parse(name),
                });
            }
            _ => self.refuse_stream(stream, Refusal::InvalidKey),
        }
    }

    pub(super) fn refuse_stream(&mut self, stream: u32, refusal: Refusal) {
        let (code, description) = (refusal.code(), refusal.description());
        self.sender
            .status(&mut self.out, stream, "error", code, description);
        self.end(Closed::Refused(refusal));
    }

    pub(super) fn unpublish(&mut self, now: Duration) {
        let Doing::Publishing(stream) = self.doing else {
            return;
        };
        self.doing = Doing::Nothing;
        self.deadline = now + self.config.limits.publish_within;
        self.sender.status(
            &mut self.out,
            stream,
            "status",
            "NetStream.Unpublish.Success",
            "Unpublished.",
        );
        self.events.push_back(Event::Unpublished);
    }
}
