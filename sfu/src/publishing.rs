//! What publishers need of the rest of the server: leave to publish, and a place on stage.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use kit::stream::Broadcast;
use media::MediaTime;
use sfu_core::assemble::Unit;
use wire::Handle;

/// Something that is known later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why somebody may not publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing knows the key.
    #[error("the stream key is not known")]
    UnknownKey,
    /// The key is known and may not be used.
    #[error("the channel may not publish")]
    NotAllowed,
    /// Too many wrong keys came from this address.
    #[error("too many wrong stream keys from this address; try again in a minute")]
    TooManyAttempts,
    /// Whoever knows the keys does not answer.
    #[error("stream keys cannot be checked at the moment; try again")]
    Unavailable,
}

/// Somebody is there and stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("somebody else publishes to the channel")]
pub struct Taken;

/// How a publisher left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It said that it was done.
    Finished,
    /// It was sent away for what it sent.
    Unusable,
    /// It vanished.
    Vanished,
    /// It was told to go.
    ToldToGo,
    /// The server ends.
    Drained,
}

/// Called, once, with the reason when a publisher has to go.
pub type OnExit = Box<dyn FnOnce(String) + Send>;

/// The stage on which publishers come.
pub trait Stage: Send + Sync {
    /// Whether the bearer of `key`, at `peer`, may publish.
    fn admit<'a>(
        &'a self,
        key: &'a str,
        peer: SocketAddr,
    ) -> Later<'a, Result<Box<dyn Permit>, Refusal>>;
}

/// Leave to publish to a channel.
pub trait Permit: Send {
    /// The channel's handle.
    fn handle(&self) -> &Handle;
    /// Whether somebody is there and would stay.
    fn is_taken(&self) -> bool;
    /// Comes on stage. Called from any thread within a runtime.
    ///
    /// # Errors
    /// When somebody is there and stays.
    fn enter(&self, on_exit: OnExit) -> Result<Box<dyn Publishing>, Taken>;
}

/// A publisher on stage.
pub trait Publishing: Send {
    /// What it publishes to.
    fn broadcast(&self) -> &Arc<Broadcast>;
    /// Adds an access unit or a frame of sound, which stands at `micros` of the publisher's clock.
    /// Tells where it stands on the broadcast's timeline.
    ///
    /// # Errors
    /// With the reason when the publisher has to go.
    fn add(&mut self, micros: i64, unit: Unit) -> Result<MediaTime, String>;
    /// Notes frames that were lost on the way.
    fn lost(&mut self);
    /// Nothing comes of it, and it is connected all the same: its broadcast waits, for it or for
    /// another. Tells whether it does.
    fn fall_silent(&mut self) -> bool;
    /// Something comes again.
    ///
    /// # Errors
    /// When the broadcast has not waited for it.
    fn resume(&mut self) -> Result<(), Taken>;
    /// Leaves the stage.
    fn leave(&mut self, how: Leaving);
}
