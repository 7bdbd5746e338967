//! Who is on stage in each channel: takeover, grace and the end of a broadcast. Pure; the shell
//! performs what the answers say.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kit::stream::Broadcast;
use wire::{ChannelId, Ended, StreamId};

use crate::gate::SecondPublisher;

/// How a publisher that asked to come on stage gets there.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A new broadcast begins; the shell makes it and calls [`Stage::begin`].
    Begin,
    /// The broadcast that waited for its publisher continues.
    Continue {
        /// What continues.
        broadcast: Arc<Broadcast>,
        /// Who was silent, is connected all the same, and has to go.
        silent: Option<StreamId>,
    },
    /// The broadcast continues, and the publisher `evicted` has to go.
    TakeOver {
        /// What continues.
        broadcast: Arc<Broadcast>,
        /// Who goes.
        evicted: StreamId,
    },
    /// Somebody is there and stays.
    Taken,
}

/// How a publisher left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It said that it was done.
    Finished,
    /// It was sent away for what it sent.
    Unusable,
    /// It vanished: connection lost, silent, killed, or broke the rules.
    Vanished,
    /// It was shown out, and another may come.
    ShownOut,
    /// It was sent away because the server ends.
    Drained,
}

#[derive(Debug)]
struct Slot {
    broadcast: Arc<Broadcast>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// `stream` publishes.
    Held { stream: StreamId },
    /// Nobody does, until this moment; what it is over by then, and who is silent and may go on.
    Waiting {
        until: Instant,
        how: Ended,
        silent: Option<StreamId>,
    },
}

/// A broadcast that is over.
#[derive(Clone, Debug)]
pub struct Over {
    /// Which.
    pub broadcast: Arc<Broadcast>,
    /// By what.
    pub how: Ended,
    /// Who was silent in it, is connected all the same, and has to go.
    pub silent: Option<StreamId>,
}

/// Every channel that is on stage or waits.
#[derive(Debug)]
pub struct Stage {
    grace: Duration,
    slots: HashMap<ChannelId, Slot>,
}

impl Stage {
    /// An empty stage on which a vanished publisher has `grace` to return.
    pub fn new(grace: Duration) -> Self {
        Self {
            grace,
            slots: HashMap::new(),
        }
    }

    /// `stream` asks to publish to `channel`.
    pub fn enter(&mut self, channel: ChannelId, stream: StreamId, rule: SecondPublisher) -> Entry {
        let Some(slot) = self.slots.get_mut(&channel) else {
            return Entry::Begin;
        };
        let broadcast = Arc::clone(&slot.broadcast);
        match slot.state {
            State::Waiting { silent, .. } => {
                slot.state = State::Held { stream };
                Entry::Continue { broadcast, silent }
            }
            State::Held { stream: evicted } => match rule {
                SecondPublisher::Refuse => Entry::Taken,
                SecondPublisher::Replace => {
                    slot.state = State::Held { stream };
                    Entry::TakeOver { broadcast, evicted }
                }
            },
        }
    }

    /// Whether somebody is there and would stay.
    pub fn is_taken(&self, channel: ChannelId, rule: SecondPublisher) -> bool {
        let held = self.slots.get(&channel);
        held.is_some_and(|slot| matches!(slot.state, State::Held { .. }))
            && rule == SecondPublisher::Refuse
    }

    /// `stream` begins `broadcast`, after [`Entry::Begin`].
    pub fn begin(&mut self, broadcast: Arc<Broadcast>, stream: StreamId) {
        self.slots.insert(
            broadcast.channel,
            Slot {
                broadcast,
                state: State::Held { stream },
            },
        );
    }

    /// `broadcast` waits for its publisher from `now` on: another server had it before.
    pub fn wait(&mut self, broadcast: Arc<Broadcast>, now: Instant) {
        let until = now + self.grace;
        self.slots.insert(
            broadcast.channel,
            Slot {
                broadcast,
                state: State::Waiting {
                    until,
                    how: Ended::ServerLost,
                    silent: None,
                },
            },
        );
    }

    /// `stream` sends nothing, and is connected all the same: the broadcast waits, for it or for
    /// another. Tells whether it does; without grace, or off stage, nobody is waited for.
    pub fn fall_silent(&mut self, now: Instant, channel: ChannelId, stream: StreamId) -> bool {
        let Some(slot) = self.slots.get_mut(&channel) else {
            return false;
        };
        let held = matches!(slot.state, State::Held { stream: holder } if holder == stream);
        if !held || self.grace.is_zero() {
            return false;
        }
        slot.state = State::Waiting {
            until: now + self.grace,
            how: Ended::Lost,
            silent: Some(stream),
        };
        true
    }

    /// `stream` was silent and goes on. Gives its broadcast, if that has waited for it.
    pub fn resume(&mut self, channel: ChannelId, stream: StreamId) -> Option<Arc<Broadcast>> {
        let slot = self.slots.get_mut(&channel)?;
        if !matches!(slot.state, State::Waiting { silent, .. } if silent == Some(stream)) {
            return None;
        }
        slot.state = State::Held { stream };
        Some(Arc::clone(&slot.broadcast))
    }

    /// `stream` left. Gives the broadcast that ended by it, if one did; one that waits is told as
    /// `Ok(None)`, and `Err` says that the stream was not on stage (any more).
    #[expect(
        clippy::result_unit_err,
        reason = "there is one way not to be on stage"
    )]
    pub fn leave(
        &mut self,
        now: Instant,
        channel: ChannelId,
        stream: StreamId,
        how: Leaving,
    ) -> Result<Option<(Arc<Broadcast>, Ended)>, ()> {
        let slot = self.slots.get_mut(&channel).ok_or(())?;
        match &mut slot.state {
            State::Held { stream: holder } if *holder == stream => {}
            State::Waiting { silent, .. } if *silent == Some(stream) => {
                *silent = None;
                if how == Leaving::Vanished {
                    // It is waited for already.
                    return Err(());
                }
            }
            State::Held { .. } | State::Waiting { .. } => return Err(()),
        }
        let (how, waits) = match how {
            Leaving::Finished => (Ended::Finished, false),
            Leaving::Unusable => (Ended::Unusable, false),
            Leaving::Drained => (Ended::ServerEnded, false),
            Leaving::Vanished => (Ended::Lost, true),
            Leaving::ShownOut => (Ended::ShownOut, true),
        };
        if waits && !self.grace.is_zero() {
            slot.state = State::Waiting {
                until: now + self.grace,
                how,
                silent: None,
            };
            return Ok(None);
        }
        Ok(self
            .slots
            .remove(&channel)
            .map(|slot| (slot.broadcast, how)))
    }

    /// Takes out the broadcasts whose grace is over.
    pub fn expire(&mut self, now: Instant) -> Vec<Over> {
        let mut over = Vec::new();
        self.slots.retain(|_, slot| match slot.state {
            State::Waiting { until, how, silent } if until <= now => {
                let broadcast = Arc::clone(&slot.broadcast);
                over.push(Over {
                    broadcast,
                    how,
                    silent,
                });
                false
            }
            State::Waiting { .. } | State::Held { .. } => true,
        });
        over
    }

    /// Takes out the broadcast of a channel, and tells who publishes it or is silent.
    pub fn end(&mut self, channel: ChannelId) -> Option<(Arc<Broadcast>, Option<StreamId>)> {
        let slot = self.slots.remove(&channel)?;
        let stream = match slot.state {
            State::Held { stream } => Some(stream),
            State::Waiting { silent, .. } => silent,
        };
        Some((slot.broadcast, stream))
    }

    /// Takes out every broadcast: the server ends.
    pub fn clear(&mut self) -> Vec<Arc<Broadcast>> {
        self.slots.drain().map(|(_, slot)| slot.broadcast).collect()
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.slots
            .values()
            .filter_map(|slot| match slot.state {
                State::Waiting { until, .. } => Some(until),
                State::Held { .. } => None,
            })
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::WallTime;
    use wire::BroadcastId;

    const GRACE: Duration = Duration::from_secs(30);

    fn on_stage(stage: &mut Stage) -> (Arc<Broadcast>, StreamId) {
        let stream = StreamId::new();
        let broadcast = Arc::new(Broadcast::new(
            BroadcastId::new(),
            ChannelId::new(),
            "stage".parse().unwrap(),
            WallTime::default(),
        ));
        assert!(matches!(
            stage.enter(broadcast.channel, stream, SecondPublisher::Refuse),
            Entry::Begin
        ));
        stage.begin(Arc::clone(&broadcast), stream);
        (broadcast, stream)
    }

    #[test]
    fn a_second_publisher_is_refused_or_takes_over_as_the_channel_says() {
        let mut stage = Stage::new(GRACE);
        let (broadcast, first) = on_stage(&mut stage);
        let second = StreamId::new();
        assert!(matches!(
            stage.enter(broadcast.channel, second, SecondPublisher::Refuse),
            Entry::Taken
        ));
        let Entry::TakeOver {
            broadcast: continued,
            evicted,
        } = stage.enter(broadcast.channel, second, SecondPublisher::Replace)
        else {
            panic!("the second one takes over");
        };
        assert_eq!((continued.id, evicted), (broadcast.id, first));
        // The evicted one's farewell changes nothing.
        let now = Instant::now();
        assert!(
            stage
                .leave(now, broadcast.channel, first, Leaving::Finished)
                .is_err()
        );
        assert!(
            stage
                .leave(now, broadcast.channel, second, Leaving::Finished)
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn a_vanished_publisher_may_return_within_its_grace() {
        let mut stage = Stage::new(GRACE);
        let (broadcast, first) = on_stage(&mut stage);
        let now = Instant::now();
        assert!(
            stage
                .leave(now, broadcast.channel, first, Leaving::Vanished)
                .unwrap()
                .is_none()
        );
        assert_eq!(stage.next_expiry(), Some(now + GRACE));
        assert!(
            stage
                .expire(now + GRACE - Duration::from_millis(1))
                .is_empty()
        );
        let Entry::Continue {
            broadcast: continued,
            silent: None,
        } = stage.enter(broadcast.channel, StreamId::new(), SecondPublisher::Refuse)
        else {
            panic!("the broadcast continues");
        };
        assert_eq!(continued.id, broadcast.id);
        assert!(stage.expire(now + GRACE * 2).is_empty(), "it is held again");
    }

    #[test]
    fn who_is_silent_goes_on_unless_somebody_else_came() {
        let mut stage = Stage::new(GRACE);
        let (broadcast, first) = on_stage(&mut stage);
        let (now, channel) = (Instant::now(), broadcast.channel);
        assert!(stage.resume(channel, first).is_none(), "it publishes");
        assert!(stage.fall_silent(now, channel, first));
        assert!(!stage.is_taken(channel, SecondPublisher::Refuse));
        assert!(stage.resume(channel, StreamId::new()).is_none());
        assert_eq!(stage.resume(channel, first).unwrap().id, broadcast.id);
        assert!(stage.expire(now + GRACE).is_empty(), "it publishes again");

        assert!(stage.fall_silent(now, channel, first));
        let second = StreamId::new();
        let entry = stage.enter(channel, second, SecondPublisher::Refuse);
        assert!(matches!(entry, Entry::Continue { silent, .. } if silent == Some(first)));
        assert!(stage.resume(channel, first).is_none());
        assert!(stage.leave(now, channel, first, Leaving::Finished).is_err());

        assert!(stage.fall_silent(now, channel, second));
        assert_eq!(stage.expire(now + GRACE)[0].silent, Some(second));
        assert!(stage.resume(channel, second).is_none(), "it is over");
    }

    #[test]
    fn who_vanishes_while_silent_is_waited_for_no_longer_and_who_finishes_not_at_all() {
        let mut stage = Stage::new(GRACE);
        let (broadcast, first) = on_stage(&mut stage);
        let (now, channel) = (Instant::now(), broadcast.channel);
        assert!(stage.fall_silent(now, channel, first));
        let later = now + GRACE / 2;
        assert!(
            stage
                .leave(later, channel, first, Leaving::Vanished)
                .is_err()
        );
        assert_eq!(stage.next_expiry(), Some(now + GRACE));
        assert!(stage.resume(channel, first).is_none());

        let (other, second) = on_stage(&mut stage);
        assert!(stage.fall_silent(now, other.channel, second));
        let left = stage.leave(later, other.channel, second, Leaving::Finished);
        assert_eq!(left.unwrap().unwrap().1, Ended::Finished);
    }

    #[test]
    fn a_broadcast_ends_when_its_publisher_finishes_or_its_grace_is_over() {
        let mut stage = Stage::new(GRACE);
        let (broadcast, first) = on_stage(&mut stage);
        let now = Instant::now();
        stage
            .leave(now, broadcast.channel, first, Leaving::Vanished)
            .unwrap();
        let over = stage.expire(now + GRACE);
        let over = over.iter().map(|one| (one.broadcast.id, one.how));
        assert_eq!(over.collect::<Vec<_>>(), [(broadcast.id, Ended::Lost)]);
        assert!(matches!(
            stage.enter(broadcast.channel, first, SecondPublisher::Refuse),
            Entry::Begin
        ));
        let (other, stream) = on_stage(&mut stage);
        let ended = stage
            .leave(now, other.channel, stream, Leaving::Finished)
            .unwrap();
        assert_eq!(
            ended.map(|(b, how)| (b.id, how)),
            Some((other.id, Ended::Finished))
        );
    }

    #[test]
    fn a_broadcast_of_another_server_waits_for_its_publisher() {
        let mut stage = Stage::new(GRACE);
        let (left, _) = on_stage(&mut Stage::new(GRACE));
        let now = Instant::now();
        stage.wait(Arc::clone(&left), now);
        assert_eq!(stage.next_expiry(), Some(now + GRACE));
        let Entry::Continue {
            broadcast: continued,
            ..
        } = stage.enter(left.channel, StreamId::new(), SecondPublisher::Refuse)
        else {
            panic!("the broadcast continues");
        };
        assert_eq!(continued.id, left.id);
    }

    #[test]
    fn without_grace_a_vanished_publisher_ends_its_broadcast() {
        let mut stage = Stage::new(Duration::ZERO);
        let (broadcast, first) = on_stage(&mut stage);
        let ended = stage
            .leave(Instant::now(), broadcast.channel, first, Leaving::Vanished)
            .unwrap();
        assert_eq!(
            ended.map(|(b, how)| (b.id, how)),
            Some((broadcast.id, Ended::Lost))
        );
        let (broadcast, second) = on_stage(&mut stage);
        assert!(!stage.fall_silent(Instant::now(), broadcast.channel, second));
    }
}
