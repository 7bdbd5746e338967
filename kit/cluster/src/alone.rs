//! A node without others.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use wire::NodeId;

use crate::{
    Bus, Cell, Elsewhere, Feed, Here, Later, Limits, NoAnswer, Owner, Owners, Presence, Question,
};

/// Everything is ours, and nobody else tells anything.
#[derive(Debug)]
pub struct Alone {
    up: watch::Sender<bool>,
}

impl Default for Alone {
    fn default() -> Self {
        Self {
            up: watch::Sender::new(true),
        }
    }
}

impl Bus for Alone {
    fn tell(&self, _subject: &str, _message: Bytes) {}

    fn carry(&self, _subject: &str, _message: Bytes) {}

    fn listen(&self, _subject: &str) -> Feed {
        mpsc::channel(1).1
    }

    fn follow(&self, _subject: &str) -> Feed {
        mpsc::channel(1).1
    }

    fn ask(
        &self,
        _node: NodeId,
        _about: &str,
        _question: Bytes,
    ) -> Later<'_, Result<Bytes, NoAnswer>> {
        Box::pin(async { Err(NoAnswer) })
    }

    fn questions(&self, _about: &str) -> mpsc::Receiver<Question> {
        mpsc::channel(1).1
    }

    fn up(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }
}

impl Owners for Alone {
    fn claim<'a>(&'a self, _what: &'a str) -> Later<'a, anyhow::Result<Owner>> {
        Box::pin(async { Ok(Owner::Ours) })
    }

    fn release<'a>(&'a self, _what: &'a str) -> Later<'a, ()> {
        Box::pin(async {})
    }
}

impl Presence for Alone {
    fn meet(&self, _rooms: Vec<Here>) -> Later<'_, anyhow::Result<Vec<Elsewhere>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn forget_likes<'a>(&'a self, _room: &'a str) -> Later<'a, ()> {
        Box::pin(async {})
    }
}

impl Limits for Alone {
    fn take<'a>(&'a self, cells: &'a [Cell]) -> Later<'a, Vec<Duration>> {
        Box::pin(async { vec![Duration::ZERO; cells.len()] })
    }
}
