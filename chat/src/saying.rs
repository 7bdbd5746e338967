//! From what somebody wants to say to a danmaku, and how a program says one.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fanout::Position;
use tokio::sync::oneshot;
use wire::{ChannelId, Person, UserId};

use crate::committer::{Answer, Entry};
use crate::danmaku::{self, Danmaku, Reply, Unfit};
use crate::item::Event;
use crate::lane::Lane;
use crate::limits::TooFast;
use crate::nodes::Forwarded;
use crate::protocol::Send;
use crate::room::Room;
use crate::service::Shared;

/// How much of what it answers a reply carries, in characters.
const REPLY_MAX: usize = 40;

/// How long a key is remembered.
pub(crate) const KEY_KEPT: Duration = Duration::from_hours(24);

/// Why something is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSaid {
    /// The text cannot be said.
    #[error("{0}")]
    Unfit(#[from] Unfit),
    /// There is nothing to answer.
    #[error("what is answered is not there")]
    NotThere,
    /// It is too much at once; later it can be said.
    #[error("this is too much at once")]
    TooFast(Duration),
    /// The same is being said at this moment, by its key.
    #[error("the same is being said at this moment")]
    Twice,
    /// Something else was said under this key.
    #[error("something else was said under this key")]
    Otherwise,
    /// It cannot be kept now.
    #[error("what is said cannot be kept now")]
    Unavailable,
}

/// What programs are saying under a key at this moment.
#[derive(Debug, Default)]
pub(crate) struct Saying(Mutex<HashSet<Key>>);

type Key = (ChannelId, UserId, String);

/// A key is taken for as long as this is kept.
struct Taken<'a> {
    saying: &'a Saying,
    key: Key,
}

impl Saying {
    fn take(&self, key: Key) -> Option<Taken<'_>> {
        let free = self.lock().insert(key.clone());
        free.then_some(Taken { saying: self, key })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Key>> {
        // It is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.saying.lock().remove(&self.key);
    }
}

impl Shared {
    /// Makes a danmaku of what somebody says who may.
    ///
    /// # Errors
    /// When it cannot be said, or not now.
    pub(crate) fn danmaku(
        &self,
        room: &Room,
        person: &Person,
        send: Send,
    ) -> Result<Danmaku, NotSaid> {
        let emotes = room.emotes();
        let text = danmaku::clean(&send.text, self.config.text_max, &emotes)?;
        let reply = send.reply.map(|p| reply(room, p)).transpose()?;
        self.limits
            .may_say(person.id, room.id)
            .map_err(|TooFast(wait)| NotSaid::TooFast(wait))?;
        let (b, mt) = self.picture(room, send.mt).unzip();
        Ok(Danmaku {
            by: person.clone(),
            mentions: danmaku::mentions(&text),
            emotes: emotes.of(&text),
            text,
            mode: send.mode,
            colour: send.colour,
            size: send.size,
            b,
            mt,
            reply,
        })
    }

    /// Says something in a room for a program, once for each key; tells its place on the chat lane.
    ///
    /// # Errors
    /// When it cannot be said, or not now.
    pub(crate) async fn say(
        &self,
        room: Arc<Room>,
        person: &Person,
        send: Send,
        key: Option<String>,
    ) -> Result<u64, NotSaid> {
        let _taken = self.take(room.id, person.id, key.as_ref())?;
        if let Some(place) = self.said_before(room.id, person.id, key.as_ref()).await? {
            return self.said_the_same(&room, place, &send).await;
        }
        let danmaku = self.danmaku(&room, person, send)?;
        let said = Forwarded {
            room: room.id,
            event: Event::Danmaku(danmaku),
            noted: None,
            author: Some(person.id),
            key,
        };
        self.kept(room, said).await
    }

    /// The place of what was said under a key, if it was this. What is not there any more may have been.
    async fn said_the_same(&self, room: &Room, place: u64, send: &Send) -> Result<u64, NotSaid> {
        let text = danmaku::clean(&send.text, self.config.text_max, &room.emotes())?;
        let from = Position {
            offset: place,
            ..room.place(Lane::Chat)
        };
        let said = self.store.items(room.id, Lane::Chat, from, place + 1, 1);
        let said = said.await.map_err(unanswered)?;
        let is_other = said.iter().any(|item| {
            let Event::Danmaku(said) = &item.event else {
                return false;
            };
            let answered = said.reply.as_ref().map(|reply| reply.p);
            (&said.text, said.mode, said.colour, said.size, answered)
                != (&text, send.mode, send.colour, send.size, send.reply)
        });
        if is_other {
            return Err(NotSaid::Otherwise);
        }
        Ok(place)
    }

    /// Has something kept that another node was told, once for each key; tells its place.
    ///
    /// # Errors
    /// When it is not kept.
    pub(crate) async fn say_for_node(
        &self,
        room: Arc<Room>,
        said: Forwarded,
    ) -> Result<u64, NotSaid> {
        let (Some(by), key @ Some(_)) = (said.author, said.key.as_ref()) else {
            return self.kept(room, said).await;
        };
        let _taken = self.take(room.id, by, key)?;
        match self.said_before(room.id, by, key).await? {
            Some(place) => Ok(place),
            None => self.kept(room, said).await,
        }
    }

    fn take(
        &self,
        room: ChannelId,
        author: UserId,
        key: Option<&String>,
    ) -> Result<Option<Taken<'_>>, NotSaid> {
        let taken = key.map(|key| self.saying.take((room, author, key.clone())));
        taken.map(|taken| taken.ok_or(NotSaid::Twice)).transpose()
    }

    async fn said_before(
        &self,
        room: ChannelId,
        author: UserId,
        key: Option<&String>,
    ) -> Result<Option<u64>, NotSaid> {
        let Some(key) = key else {
            return Ok(None);
        };
        let said = self.store.said_under(room, author, key).await;
        said.map_err(|error| unanswered(error.into()))
    }

    async fn kept(&self, room: Arc<Room>, said: Forwarded) -> Result<u64, NotSaid> {
        let (answer, answered) = oneshot::channel();
        let kept = self.keep(Entry {
            room,
            event: said.event,
            noted: said.noted,
            author: said.author,
            key: said.key,
            answer: Some(Answer::Program(answer)),
        });
        if !kept {
            return Err(NotSaid::Unavailable);
        }
        answered.await.map_err(|_| NotSaid::Unavailable)?
    }
}

fn unanswered(error: anyhow::Error) -> NotSaid {
    tracing::warn!(%error, "failed to look up what was said");
    NotSaid::Unavailable
}

fn reply(room: &Room, p: u64) -> Result<Reply, NotSaid> {
    let said = room.said(p).ok_or(NotSaid::NotThere)?;
    Ok(Reply {
        p,
        handle: said.by.handle,
        text: said.text.chars().take(REPLY_MAX).collect(),
    })
}
