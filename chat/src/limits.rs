//! How much anybody may say, and how many may be here.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use kit::client::network_of;
use wire::{ChannelId, UserId};

use crate::config::Config;

/// Likes that count from one address, over a long time and at once.
const LIKES_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).unwrap();
const LIKES_BURST: NonZeroU32 = NonZeroU32::new(50).unwrap();

/// How often rooms hear that somebody at an address passes a channel on.
const SHARES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// What everybody shares.
#[derive(Debug)]
pub struct Limits {
    users: DefaultKeyedRateLimiter<UserId>,
    rooms: DefaultKeyedRateLimiter<ChannelId>,
    likes: DefaultKeyedRateLimiter<IpAddr>,
    shares: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    addresses: Addresses,
}

/// Come again after this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFast(pub Duration);

impl Limits {
    /// As the settings say.
    pub fn new(config: &Config) -> Self {
        let per_minute = Quota::per_minute(at_least_one(config.user_per_minute));
        let users = per_minute.allow_burst(at_least_one(config.user_burst));
        let rooms = Quota::per_second(at_least_one(config.room_per_second));
        Self {
            users: RateLimiter::keyed(users),
            rooms: RateLimiter::keyed(rooms),
            likes: RateLimiter::keyed(Quota::per_second(LIKES_PER_SECOND).allow_burst(LIKES_BURST)),
            shares: RateLimiter::keyed(Quota::per_minute(SHARES_PER_MINUTE)),
            clock: DefaultClock::default(),
            addresses: Addresses {
                most: config.connections_per_address,
                counts: Arc::default(),
            },
        }
    }

    /// Whether somebody may say something more in a room.
    ///
    /// # Errors
    /// When they or everybody there have said too much.
    pub fn may_say(&self, user: UserId, room: ChannelId) -> Result<(), TooFast> {
        let now = self.clock.now();
        // Who says too much does not use up the room's share.
        let checked = self.users.check_key(&user);
        checked.map_err(|until| TooFast(until.wait_time_from(now)))?;
        let checked = self.rooms.check_key(&room);
        checked.map_err(|until| TooFast(until.wait_time_from(now)))
    }

    /// Whether a like from an address counts; households and schools share one.
    pub fn may_like(&self, address: SocketAddr) -> bool {
        let network = network_of(address.ip());
        self.likes.check_key(&network).is_ok()
    }

    /// Whether a room hears that somebody at an address passes its channel on.
    pub fn may_share(&self, address: SocketAddr) -> bool {
        let network = network_of(address.ip());
        self.shares.check_key(&network).is_ok()
    }

    /// Counts a connection from an address for as long as what is returned is kept; `None` if
    /// there are too many.
    pub fn enter(&self, address: SocketAddr) -> Option<Seat> {
        self.addresses.enter(network_of(address.ip()))
    }

    /// Forgets who has said nothing for a while.
    pub fn forget_idle(&self) {
        self.users.retain_recent();
        self.rooms.retain_recent();
        self.likes.retain_recent();
        self.shares.retain_recent();
    }
}

/// What one connection may say.
pub(crate) fn of_connection(config: &Config) -> DefaultDirectRateLimiter {
    let quota = Quota::per_second(at_least_one(config.connection_per_second));
    RateLimiter::direct(quota.allow_burst(at_least_one(config.connection_burst)))
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

#[derive(Debug)]
struct Addresses {
    most: u32,
    counts: Counts,
}

type Counts = Arc<Mutex<HashMap<IpAddr, u32>>>;

/// A connection's place among those from its address.
#[derive(Debug)]
pub struct Seat {
    address: IpAddr,
    counts: Counts,
}

impl Addresses {
    fn enter(&self, address: IpAddr) -> Option<Seat> {
        let mut counts = lock(&self.counts);
        let count = counts.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat {
            address,
            counts: Arc::clone(&self.counts),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

fn lock(counts: &Counts) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
    // It is whole between any two statements.
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_so_many_connections_and_gets_them_back() {
        let limits = Limits::new(&Config {
            connections_per_address: 2,
            ..Config::default()
        });
        let from = |text: &str| limits.enter(text.parse().unwrap());
        let first = from("[2001:db8::1]:1");
        let second = from("[2001:db8::2]:1");
        assert!(first.is_some() && second.is_some());
        assert!(from("[2001:db8::3]:1").is_none());
        assert!(from("192.0.2.1:1").is_some());
        drop(first);
        assert!(from("[2001:db8::3]:1").is_some());
    }

    #[test]
    fn gestures_from_one_address_count_so_often_over_however_many_connections() {
        let limits = Limits::new(&Config::default());
        let of = |count: usize, may: &dyn Fn() -> bool| (0..count).filter(|_| may()).count();
        let address: SocketAddr = "192.0.2.1:1".parse().unwrap();
        assert!((50..60).contains(&of(200, &|| limits.may_like(address))));
        assert_eq!(of(20, &|| limits.may_share(address)), 5);
        assert!(limits.may_share("192.0.2.2:1".parse().unwrap()));
    }

    #[test]
    fn who_says_too_much_is_told_when_to_come_again() {
        let limits = Limits::new(&Config {
            user_burst: 2,
            user_per_minute: 60,
            ..Config::default()
        });
        let (ann, bob, room) = (UserId::new(), UserId::new(), ChannelId::new());
        assert_eq!(limits.may_say(ann, room), Ok(()));
        assert_eq!(limits.may_say(ann, room), Ok(()));
        let TooFast(wait) = limits.may_say(ann, room).unwrap_err();
        assert!(
            wait > Duration::ZERO && wait <= Duration::from_secs(1),
            "{wait:?}"
        );
        assert_eq!(limits.may_say(bob, room), Ok(()));
    }
}
