//! What the viewers of one thread heard together.

use std::time::Instant;

use super::member::Reconciled;
use crate::errors::Errors;
use crate::times::Times;

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// From the moment a viewer was to come to its welcome.
    pub(crate) joins: Times,
    pub(crate) last_join: Option<Instant>,
    /// From a cut to having all that was missed.
    pub(crate) returns: Times,
    /// From saying a message to having it, within the window.
    pub(crate) latencies: Times,
    pub(crate) joined: usize,
    pub(crate) failed: usize,
    pub(crate) lost: usize,
    /// Lanes that began anew under a viewer.
    pub(crate) epochs: u64,
    pub(crate) items: Reconciled,
    /// Within the window.
    pub(crate) window_items: u64,
    pub(crate) window_bytes: u64,
    pub(crate) window_reads: u64,
    pub(crate) errors: Errors,
}

impl Tally {
    pub(crate) fn merge(&mut self, other: Self) {
        self.joins.merge(&other.joins);
        self.last_join = self.last_join.max(other.last_join);
        self.returns.merge(&other.returns);
        self.latencies.merge(&other.latencies);
        self.joined += other.joined;
        self.failed += other.failed;
        self.lost += other.lost;
        self.epochs += other.epochs;
        self.items.add(other.items);
        self.window_items += other.window_items;
        self.window_bytes += other.window_bytes;
        self.window_reads += other.window_reads;
        self.errors.merge(other.errors);
    }
}

impl Reconciled {
    pub(crate) const fn add(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.declared += other.declared;
        self.lost += other.lost;
        self.repeated += other.repeated;
    }
}
