//! Viewers over RTMP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use fanout::Form;
use fanout::shard::{Account, Falling, Guest, Heard, Talk, Then, Why};
use kit::stream::Broadcast;
use rtmp_core::session::{Event, Output, Reason, Session};
use tokio::net::TcpStream;

use super::opening::opening;
use super::{Encoding, Held, Play, Start, tell_over};

/// A connection whose player has been told that it plays.
pub struct Player {
    /// Its socket.
    pub socket: TcpStream,
    /// Its session, with what it has to say not yet written.
    pub session: Session,
    /// When the session began.
    pub began: Instant,
    /// Who it is.
    pub client: SocketAddr,
    /// Its place among those that are allowed at once.
    pub slot: Box<dyn Send>,
}

impl Play {
    /// Hands a player to a shard.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn serve_rtmp(
        &self,
        player: Player,
        broadcast: &Arc<Broadcast>,
        start: Start,
    ) -> io::Result<()> {
        let Player {
            socket,
            session,
            began,
            client,
            slot,
        } = player;
        let (log, ticket) = self.outlets.tune_in(broadcast, Encoding::Rtmp);
        let opening = opening(broadcast, Encoding::Rtmp, start, &log).await;
        let mut talk = Playing {
            session,
            began,
            held: Held {
                client,
                _ticket: ticket,
                _slot: slot,
            },
        };
        let mut head = BytesMut::from(&talk.said().0[..]);
        for encoded in &opening.words {
            head.extend_from_slice(encoded.as_slice(false));
        }
        self.shards.seat(Guest {
            socket: socket.into_std()?,
            log,
            entry: opening.entry,
            form: Form::Plain,
            falling: Falling::ToKey,
            head: head.freeze(),
            setup: opening.setup,
            talk: Box::new(talk),
            mailbox: None,
        });
        Ok(())
    }
}

/// A player's protocol.
struct Playing {
    session: Session,
    began: Instant,
    held: Held,
}

impl Playing {
    /// What the session has to say, and what follows from what it heard.
    fn said(&mut self) -> (Bytes, Then) {
        let (mut words, mut then) = (BytesMut::new(), Then::GoOn);
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit(bytes) => words.extend_from_slice(&bytes),
                Output::Event(Event::Paused(true)) => then = Then::Pause,
                Output::Event(Event::Paused(false)) => then = Then::Resume,
                Output::Event(Event::PlayStopped | Event::Closed(_)) => then = Then::Leave,
                Output::Event(
                    Event::Connected { .. }
                    | Event::PublishRequested { .. }
                    | Event::PlayRequested { .. }
                    | Event::Metadata(_)
                    | Event::UnreadableMetadata(_)
                    | Event::Video { .. }
                    | Event::Audio { .. }
                    | Event::Unpublished,
                ) => {}
            }
        }
        (words.freeze(), then)
    }
}

impl Talk for Playing {
    fn hear(&mut self, bytes: &[u8]) -> Heard {
        let broken = self
            .session
            .handle_input(self.began.elapsed(), bytes)
            .is_err();
        let (answer, then) = self.said();
        Heard {
            answer,
            then: if broken { Then::Leave } else { then },
        }
    }

    fn farewell(&mut self, why: Why) -> Bytes {
        match why {
            Why::Ended => self.session.end_play(Reason::Ended, "The stream is over."),
            Why::Drained => self.session.end_play(
                Reason::ShuttingDown,
                "The server is going down. Reconnect in a moment.",
            ),
            Why::Gone | Why::Told | Why::Stopped | Why::Flooded | Why::Behind | Why::Broken => {}
        }
        self.said().0
    }

    fn over(&mut self, account: Account) {
        tell_over("rtmp", self.held.client, account);
    }
}
