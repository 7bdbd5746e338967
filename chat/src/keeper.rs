//! Rooms on many nodes. One node holds a room: it alone gives what is said a place, keeps it and
//! carries it to the others. Those follow: they put down what they are carried, read from the
//! database what does not reach them, and take the room over when its holder is gone.
//!
//! Whom the bus calls the holder only saves useless attempts. That nobody else writes is certain by
//! the fencing number, which the database checks with everything that is kept.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Context as _;
use cluster::{Feed, Heard, Owner, Question as Asked};
use fanout::Position;
use futures_util::future::join_all;
use kit::clock;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use wire::ChannelId;

use crate::item::Event;
use crate::lane::{Lane, PerLane, Places};
use crate::nodes::{Aside, Came, Carried, Forwarded, Question, ROOMS, What, pack, subject, unpack};
use crate::room::{Holder, Room};
use crate::service::{Channels, Service, Shared};
use crate::store::Opened;

/// How often it is looked whose a room is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A holder that tells nothing of a room for this long cannot be reached.
const TAILS_WITHIN: Duration = Duration::from_millis(3_500);

/// How long a room is waited for that another node is opening.
const OPENED_WITHIN: Duration = Duration::from_secs(2);

/// And how often it is looked for meanwhile.
const OPENED_EVERY: Duration = Duration::from_millis(100);

/// How long the database may take to give a room to another node: longer than it lets the one before
/// keep it while that says nothing.
const GIVEN_WITHIN: Duration = Duration::from_secs(5);

/// How long reading what is missing may take before it is begun anew.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// What is not handed over this soon after it was asked is not kept: who asked gives up.
const HANDED_WITHIN: Duration = Duration::from_millis(1_500);

/// How long one who has heard more than this node waits for it.
const REACHED_WITHIN: Duration = Duration::from_secs(2);

/// And how often it is looked at meanwhile.
const REACHED_EVERY: Duration = Duration::from_millis(20);

/// Items that are read at once by a node that missed them.
const READ_MAX: u32 = 1_000;

/// What other nodes say of a room.
pub(crate) struct Feeds {
    carried: Feed,
    told: Feed,
}

impl Shared {
    /// Begins to hear what other nodes say of a room.
    pub(crate) fn feeds(&self, channel: ChannelId) -> Feeds {
        let (bus, subject) = (&self.cluster.bus, subject(channel));
        Feeds {
            carried: bus.follow(&subject),
            told: bus.listen(&subject),
        }
    }

    /// Holds a room, or finds who does; tells where its lanes are.
    ///
    /// # Errors
    /// When neither is known.
    pub(crate) async fn hold(
        &self,
        channel: ChannelId,
        proven: bool,
    ) -> anyhow::Result<(PerLane<Position>, Holder)> {
        let (subject, began) = (subject(channel), Instant::now());
        loop {
            let failed = match self.cluster.owners.claim(&subject).await {
                Ok(Owner::Ours) => {
                    let opened = self.begin_to_write(channel, proven).await?;
                    return Ok((opened.places, Holder::Here(opened.fence)));
                }
                Ok(Owner::Other(node)) => match self.store.look_at_room(channel).await? {
                    Some(places) => return Ok((places, Holder::Other(node))),
                    None => anyhow::anyhow!("its holder {node} has not opened it"),
                },
                Err(error) => error,
            };
            if began.elapsed() > OPENED_WITHIN {
                return Err(failed);
            }
            sleep(OPENED_EVERY).await;
        }
    }

    async fn begin_to_write(&self, channel: ChannelId, proven: bool) -> anyhow::Result<Opened> {
        let now_ms = clock::now().as_millis();
        let opened = self.store.open_room(channel, now_ms, proven);
        Ok(timeout(GIVEN_WITHIN, opened).await??)
    }

    /// Who comes from another node may have heard what is still on its way here: waits for it, for a
    /// moment, so that they hear nothing twice.
    pub(crate) async fn reach(&self, room: &Room, places: &Places) {
        let is_ahead = || {
            durable().any(|lane| {
                let here = room.place(lane);
                let there = places.get(lane).filter(|there| there.epoch == here.epoch);
                there.is_some_and(|there| there.offset > here.offset)
            })
        };
        let began = Instant::now();
        while matches!(room.holder(), Holder::Other(_))
            && is_ahead()
            && began.elapsed() < REACHED_WITHIN
        {
            sleep(REACHED_EVERY).await;
        }
    }

    /// Tells other nodes of a room what may be lost.
    pub(crate) fn tell_nodes(&self, channel: ChannelId, what: What) {
        if self.cluster.is_alone() {
            return;
        }
        let by = self.cluster.node;
        let aside = pack(&Aside { by, what });
        self.cluster.bus.tell(&subject(channel), aside);
    }
}

impl Service {
    /// Does what another node asks.
    pub(crate) async fn answer(self: Arc<Self>, asked: Asked) {
        let began = Instant::now();
        let answer = match unpack(&asked.question) {
            Some(Question::Keep(forwarded)) => pack(&self.keep_all(forwarded, began).await),
            Some(Question::Open(channel)) => {
                // Its keeper tells the others then; they ask again if it is not.
                drop(self.room_of(channel).await);
                pack(&())
            }
            None => return,
        };
        // Who asked may have given up.
        let _ = asked.answer.send(answer);
    }

    async fn keep_all(&self, forwarded: Vec<Forwarded>, began: Instant) -> Vec<Came> {
        let channels: HashSet<ChannelId> = forwarded.iter().map(|one| one.room).collect();
        let opened = channels.into_iter().map(|channel| async move {
            let room = self.room_of(channel).await.ok();
            (
                channel,
                room.filter(|room| matches!(room.holder(), Holder::Here(_))),
            )
        });
        let rooms: HashMap<_, _> = join_all(opened).await.into_iter().collect();
        let in_time = began.elapsed() < HANDED_WITHIN;
        let saying = forwarded.into_iter().map(|one| {
            let room = rooms.get(&one.room).cloned().flatten();
            let shared = Arc::clone(self.shared());
            async move {
                match room.filter(|_| in_time) {
                    Some(room) => shared.say_for_node(room, one).await.into(),
                    None => Came::Not,
                }
            }
        });
        // Each is handed over when it is first asked, so that they stay in order.
        join_all(saying).await
    }
}

/// Keeps one room of this node in step with the others, for as long as it is open.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    channels: Arc<dyn Channels>,
    room: Weak<Room>,
    feeds: Feeds,
    /// When the holder was last heard of.
    heard_at: Instant,
    /// It was behind the holder when it was heard of last.
    behind: bool,
}

/// The room is not open here any more.
struct Over;

impl Keeper {
    pub(crate) fn new(
        shared: Arc<Shared>,
        channels: Arc<dyn Channels>,
        room: &Arc<Room>,
        feeds: Feeds,
    ) -> Self {
        Self {
            shared,
            channels,
            room: Arc::downgrade(room),
            feeds,
            heard_at: Instant::now(),
            behind: false,
        }
    }

    pub(crate) async fn run(mut self) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut up = self.shared.cluster.bus.up();
        loop {
            let done = tokio::select! {
                Some(heard) = self.feeds.carried.recv() => self.on_carried(heard).await,
                Some(heard) = self.feeds.told.recv() => self.on_told(heard).await,
                _ = looks.tick() => self.look().await,
                Ok(()) = up.changed() => {
                    let is_up = *up.borrow_and_update();
                    if is_up { Ok(()) } else { self.room().map(|room| cut(&room)) }
                }
            };
            if done.is_err() {
                return;
            }
        }
    }

    fn room(&self) -> Result<Arc<Room>, Over> {
        let room = self.room.upgrade().ok_or(Over)?;
        if room.is_closed() {
            Err(Over)
        } else {
            Ok(room)
        }
    }

    /// A room that this node follows.
    fn followed(&self) -> Result<Option<Arc<Room>>, Over> {
        let room = self.room()?;
        Ok(matches!(room.holder(), Holder::Other(_)).then_some(room))
    }

    async fn on_carried(&mut self, heard: Heard) -> Result<(), Over> {
        let Some(room) = self.followed()? else {
            return Ok(());
        };
        let Heard::Message(message) = heard else {
            return self.catch_up(&room).await;
        };
        let Some(Carried { epoch, items }) = unpack(&message) else {
            return Ok(());
        };
        self.check_epoch(&room, epoch).await?;
        if epoch < epoch_of(&room) {
            return Ok(());
        }
        let emotes = items.iter().any(|(item, _)| item.event == Event::Emotes);
        if room.follow(items).is_err() {
            self.catch_up(&room).await?;
        }
        room.set_cut(false, clock::now().as_millis());
        if emotes {
            self.renew_emotes(&room).await;
        }
        Ok(())
    }

    async fn on_told(&mut self, heard: Heard) -> Result<(), Over> {
        let Heard::Message(message) = heard else {
            return Ok(());
        };
        let Some(Aside { by, what }) = unpack(&message) else {
            return Ok(());
        };
        let (room, now_ms) = (self.room()?, clock::now().as_millis());
        if by == self.shared.cluster.node {
            return Ok(());
        }
        match what {
            What::News(event) => room.tell(*event, now_ms),
            What::Clock(b, zero_ms) => room.tell_clock(b, zero_ms, now_ms),
            What::Tails(epoch, tails, down_since) => {
                if room.holder() != Holder::Other(by) {
                    return Ok(());
                }
                self.check_epoch(&room, epoch).await?;
                self.heard_at = Instant::now();
                let was_behind = std::mem::replace(&mut self.behind, is_behind(&room, &tails));
                if self.behind && was_behind {
                    self.catch_up(&room).await?;
                } else if !self.behind {
                    room.set_cut(down_since.is_some(), down_since.unwrap_or(now_ms));
                }
            }
        }
        Ok(())
    }

    /// Its lanes have begun anew elsewhere: who is here hears the rest of the old ones, comes back and
    /// finds the new.
    async fn check_epoch(&self, room: &Arc<Room>, epoch: u64) -> Result<(), Over> {
        if epoch <= epoch_of(room) {
            return Ok(());
        }
        let read = async {
            let tails = self.shared.store.tails_of(room.id, epoch_of(room)).await?;
            self.read_up_to(room, &tails).await
        };
        let read: anyhow::Result<()> = read.await;
        if let Err(error) = read {
            tracing::warn!(%error, room.id = %room.id, "the end of an epoch is missing");
        }
        self.shared.lose(room);
        Err(Over)
    }

    async fn look(&mut self) -> Result<(), Over> {
        let room = self.room()?;
        let owner = self.shared.cluster.owners.claim(&subject(room.id)).await;
        match (room.holder(), owner) {
            (Holder::Here(_), Ok(Owner::Ours) | Err(_)) => {
                let tails = durable().map(|lane| (lane.number(), room.place(lane).offset));
                let down_since = self.shared.committer.down_since_ms();
                let what = What::Tails(epoch_of(&room), tails.collect(), down_since);
                self.shared.tell_nodes(room.id, what);
            }
            (Holder::Here(_), Ok(Owner::Other(node))) => {
                tracing::warn!(room.id = %room.id, node.id = %node, "another node holds a room");
                self.shared.lose(&room);
                return Err(Over);
            }
            (Holder::Other(before), Ok(Owner::Ours)) => {
                if let Err(error) = self.take_over(&room).await {
                    tracing::warn!(%error, room.id = %room.id, "failed to take a room over");
                    cut(&room);
                    return self.room().map(drop);
                }
                tracing::info!(room.id = %room.id, node.id = %before, "took a room over");
            }
            (Holder::Other(before), Ok(Owner::Other(now))) => {
                room.set_holder(Holder::Other(now));
                if before != now || self.heard_at.elapsed() < TAILS_WITHIN {
                    return Ok(());
                }
                cut(&room);
                // It may live and not have the room open.
                let open = pack(&Question::Open(room.id));
                let bus = Arc::clone(&self.shared.cluster.bus);
                tokio::spawn(async move { bus.ask(now, ROOMS, open).await });
            }
            (Holder::Other(_), Err(_)) => cut(&room),
        }
        Ok(())
    }

    /// Nobody else writes from the moment when the database knows of us; all that they have kept is
    /// there then.
    async fn take_over(&mut self, room: &Arc<Room>) -> anyhow::Result<()> {
        let opened = self.shared.begin_to_write(room.id, true).await?;
        self.read_missing(room).await?;
        if opened.places.get(Lane::Chat).epoch != epoch_of(room) {
            self.shared.lose(room);
            anyhow::bail!("its lanes have begun anew");
        }
        room.set_holder(Holder::Here(opened.fence));
        room.set_cut(false, clock::now().as_millis());
        Ok(())
    }

    /// Reads what did not get here. When it cannot, the next sign of the holder shows it.
    async fn catch_up(&mut self, room: &Arc<Room>) -> Result<(), Over> {
        match self.read_missing(room).await {
            Ok(()) => self.behind = false,
            Err(error) => {
                tracing::warn!(%error, room.id = %room.id, "a room is behind");
                self.behind = true;
            }
        }
        self.room().map(drop)
    }

    async fn read_missing(&self, room: &Arc<Room>) -> anyhow::Result<()> {
        let read = async {
            let tails = self.shared.store.look_at_room(room.id).await?;
            let tails = tails.context("the room is gone")?;
            let epoch = tails.get(Lane::Chat).epoch;
            if self.check_epoch(room, epoch).await.is_err() {
                return Ok(());
            }
            self.read_up_to(room, &tails).await
        };
        timeout(READ_WITHIN, read).await?
    }

    async fn read_up_to(&self, room: &Arc<Room>, tails: &PerLane<Position>) -> anyhow::Result<()> {
        let store = &self.shared.store;
        let mut emotes = false;
        for lane in durable() {
            let tail = tails.get(lane).offset;
            loop {
                let from = room.place(lane);
                if from.offset >= tail {
                    break;
                }
                let to = tail.min(from.offset + u64::from(READ_MAX));
                let items = store.items(room.id, lane, from, to, READ_MAX).await?;
                emotes |= items.iter().any(|item| item.event == Event::Emotes);
                room.catch_up(lane, to, items);
            }
        }
        if emotes {
            self.renew_emotes(room).await;
        }
        Ok(())
    }

    async fn renew_emotes(&self, room: &Arc<Room>) {
        match self.channels.emotes(room.id).await {
            Ok(emotes) => drop(room.set_emotes(emotes)),
            Err(error) => tracing::warn!(%error, room.id = %room.id, "a room keeps its emotes"),
        }
    }
}

fn cut(room: &Room) {
    if matches!(room.holder(), Holder::Other(_)) {
        room.set_cut(true, clock::now().as_millis());
    }
}

fn epoch_of(room: &Room) -> u64 {
    room.place(Lane::Chat).epoch
}

fn durable() -> impl Iterator<Item = Lane> {
    Lane::ALL.into_iter().filter(|lane| lane.is_durable())
}

fn is_behind(room: &Room, tails: &[(u8, u64)]) -> bool {
    tails.iter().any(|(lane, tail)| {
        let lane = Lane::of_number(i64::from(*lane));
        lane.is_some_and(|lane| room.place(lane).offset < *tail)
    })
}
