//! Who is signed in in a room: whom something can be said to alone, and whom a room is told of.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use cluster::Crowd;
use fanout::shard::Mailbox;
use wire::{Handle, Person};

use crate::item::{Event, Item, Name};
use crate::protocol::{Encoding, Told};

/// Of those who come within a moment, so many are named.
const NAMED_MAX: usize = 5;

/// Of those who are here, other nodes are told so many.
const TOLD_MAX: usize = 30;

/// Who returns within this has not come anew.
const ABSENT_MIN: Duration = Duration::from_secs(60);

/// Those who went lately that are remembered.
const GONE_MAX: usize = 10_000;

/// The people of a room.
#[derive(Debug, Default)]
pub(crate) struct People(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    here: HashMap<Handle, Somebody>,
    gone: HashMap<Handle, Instant>,
    newcomers: Gathered,
    followers: Gathered,
    /// How many follow the channel, as it was told last.
    followers_now: u64,
    sharers: Gathered,
    next: u64,
}

#[derive(Debug)]
struct Somebody {
    name: Name,
    seats: Vec<Seat>,
}

/// One of somebody's connections.
#[derive(Debug)]
struct Seat {
    number: u64,
    mailbox: Weak<Mailbox>,
    encoding: Encoding,
}

/// People of whom the room is told together.
#[derive(Debug, Default)]
struct Gathered {
    count: u64,
    named: Vec<Name>,
}

/// Somebody's connection is here for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Here {
    people: Arc<People>,
    handle: Handle,
    number: u64,
}

impl Here {
    /// Whose it is.
    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.people.leave(&self.handle, self.number);
    }
}

impl People {
    /// Somebody says who they are, on a connection.
    pub(crate) fn come(
        self: &Arc<Self>,
        person: &Person,
        mailbox: &Arc<Mailbox>,
        encoding: Encoding,
    ) -> Here {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        let seat = Seat {
            number,
            mailbox: Arc::downgrade(mailbox),
            encoding,
        };
        let handle = person.handle.clone();
        let name = Name::from(person);
        let was_absent = state
            .gone
            .remove(&handle)
            .is_none_or(|gone| gone.elapsed() > ABSENT_MIN);
        let somebody = state.here.entry(handle.clone()).or_insert(Somebody {
            name: name.clone(),
            seats: Vec::new(),
        });
        let is_new = somebody.seats.is_empty() && was_absent;
        somebody.seats.push(seat);
        if is_new {
            state.newcomers.add(Some(name));
        }
        Here {
            people: Arc::clone(self),
            handle,
            number,
        }
    }

    fn leave(&self, handle: &Handle, number: u64) {
        let mut state = self.state();
        let Some(somebody) = state.here.get_mut(handle) else {
            return;
        };
        somebody.seats.retain(|seat| seat.number != number);
        if somebody.seats.is_empty() {
            state.here.remove(handle);
            if state.gone.len() >= GONE_MAX {
                state.gone.retain(|_, gone| gone.elapsed() < ABSENT_MIN);
            }
            if state.gone.len() < GONE_MAX {
                state.gone.insert(handle.clone(), Instant::now());
            }
        }
    }

    /// Gives an item to all connections of these people, and to nobody else.
    pub(crate) fn give(&self, item: &Item, to: &HashSet<&Handle>) {
        let state = self.state();
        for seat in to
            .iter()
            .filter_map(|handle| state.here.get(*handle))
            .flat_map(|somebody| &somebody.seats)
        {
            if let Some(mailbox) = seat.mailbox.upgrade() {
                mailbox.post(seat.encoding.message(&Told::Yours { item }));
            }
        }
    }

    /// What other nodes are told of them.
    pub(crate) fn crowd(&self) -> Crowd {
        let (count, some) = self.some(TOLD_MAX);
        let some = some.into_iter().map(|name| (name.handle, name.name));
        Crowd {
            count: count as u64,
            some: some.collect(),
        }
    }

    /// Somebody follows the channel, which so many do now.
    pub(crate) fn follow(&self, name: Name, followers: u64) {
        let mut state = self.state();
        state.followers.add(Some(name));
        state.followers_now = followers;
    }

    /// Somebody passes the channel on.
    pub(crate) fn share(&self, name: Option<Name>) {
        self.state().sharers.add(name);
    }

    /// Who came, follows and passed the channel on since this was asked last.
    pub(crate) fn news(&self) -> Vec<Event> {
        let mut state = self.state();
        let followers = state.followers_now;
        let Gathered { count, named } = std::mem::take(&mut state.newcomers);
        let joined = (count > 0).then_some(Event::Joined { count, named });
        let Gathered { count, named } = std::mem::take(&mut state.followers);
        let followed = (count > 0).then_some(Event::Followed {
            count,
            named,
            followers,
        });
        let Gathered { count, named } = std::mem::take(&mut state.sharers);
        let shared = (count > 0).then_some(Event::Shared { count, named });
        [joined, followed, shared].into_iter().flatten().collect()
    }

    /// How many people are here, and at most `limit` of them, whom chance chooses when they are more.
    pub(crate) fn some(&self, limit: usize) -> (usize, Vec<Name>) {
        let state = self.state();
        // A map has its people in no order that anybody could count on.
        let some = state.here.values().take(limit);
        let mut some: Vec<Name> = some.map(|somebody| somebody.name.clone()).collect();
        some.sort_by(|a, b| a.handle.cmp(&b.handle));
        (state.here.len(), some)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    fn add(&mut self, name: Option<Name>) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.extend(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::UserId;

    use super::*;

    fn person(handle: &str) -> Person {
        Person {
            id: UserId::new(),
            handle: handle.parse().unwrap(),
            name: String::new(),
            badges: Vec::new(),
        }
    }

    fn named(news: Vec<Event>) -> (u64, Vec<String>) {
        let Some(Event::Joined { count, named }) = news.into_iter().next() else {
            return (0, Vec::new());
        };
        let named = named.iter().map(|name| name.handle.to_string());
        (count, named.collect())
    }

    #[test]
    fn those_who_come_are_told_together_and_once() {
        let people = Arc::new(People::default());
        let mailbox = Arc::new(Mailbox::default());
        let come = |handle: &str| people.come(&person(handle), &mailbox, Encoding::Json);
        let ann = come("ann");
        let again = come("ann");
        let others: Vec<Here> = (0..7).map(|n| come(&format!("guest{n}"))).collect();
        let (count, names) = named(people.news());
        assert_eq!(count, 8);
        assert_eq!(names, ["ann", "guest0", "guest1", "guest2", "guest3"]);
        assert_eq!(named(people.news()), (0, Vec::new()));
        assert_eq!(people.some(3).0, 8);
        assert_eq!(people.some(3).1.len(), 3);

        drop((ann, others));
        let (count, here) = people.some(10);
        assert_eq!((count, here.len()), (1, 1), "on another connection");
        drop(again);
        assert_eq!(people.some(10).0, 0);
        // A connection that breaks and returns is nobody new.
        let _ann = come("ann");
        assert_eq!(named(people.news()), (0, Vec::new()));
    }

    #[test]
    fn who_follows_and_passes_on_is_told_together() {
        let people = People::default();
        let name = |handle: &str| Name {
            handle: handle.parse().unwrap(),
            name: String::new(),
        };
        people.follow(name("ann"), 7);
        people.follow(name("bob"), 8);
        people.share(None);
        let followed = Event::Followed {
            count: 2,
            named: vec![name("ann"), name("bob")],
            followers: 8,
        };
        let shared = Event::Shared {
            count: 1,
            named: Vec::new(),
        };
        assert_eq!(people.news(), [followed, shared]);
        assert_eq!(people.news(), []);
    }
}
