//! Who may publish: asked of whoever knows the keys.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use wire::{ChannelId, Handle, StreamKeyId};

use rtmp_core::Secret;

/// What happens when somebody publishes to a channel that is being published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondPublisher {
    /// The one who is there stays.
    Refuse,
    /// The one who comes takes over; the broadcast continues.
    Replace,
}

/// Leave to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// By which stream key.
    pub key: StreamKeyId,
    /// To which channel.
    pub channel: ChannelId,
    /// Its handle.
    pub handle: Handle,
    /// The channel's rule for a second publisher.
    pub second_publisher: SecondPublisher,
    /// Whether the channel wants its pictures made anew for viewers who cannot have them as they are.
    pub transcodes: bool,
}

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
    #[error("too many wrong stream keys from this address")]
    TooManyAttempts,
    /// Whoever knows the keys does not answer.
    #[error("stream keys cannot be checked at the moment")]
    Unavailable,
}

/// The answer, in time.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Permit, Refusal>> + Send + 'a>>;

/// Knows the stream keys.
pub trait PublishGate: Send + Sync + 'static {
    /// Whether the bearer of `key`, at `peer`, may publish, and to which channel.
    fn authorize<'a>(&'a self, key: &'a Secret, peer: SocketAddr) -> Answer<'a>;
}
