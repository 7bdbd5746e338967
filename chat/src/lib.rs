//! Rooms: what is said in a channel's room, kept in order and carried to everybody who is there.
//!
//! - [`lane`], [`danmaku`], [`item`], [`protocol`]: the core, a package of its own without I/O.
//! - [`room`](mod@room): a room's lanes, and the derived logs that shards write to connections.
//! - [`store`]: the durable lanes in the database.
//! - `committer`: puts what is said into the store, many in one transaction, before anybody hears it.
//! - `nodes`, `keeper`: rooms on many nodes; one holds a room and writes to it, the others follow.
//! - `connection`: one viewer's side of the conversation.
//! - `reader`: the same for somebody who only reads.
//! - [`limits`]: how much anybody may say.
//! - [`service`], `admission`: the rooms of this server, and the way into them.
//! - [`gifting`]: gifts, on their way to the ledger and back.
//! - `upkeep`: what goes on in them beside what is said.
//! - `mods`: what those are told who keep order.

mod admission;
mod committer;
pub mod config;
mod connection;
pub mod gifting;
mod keeper;
pub mod limits;
mod mods;
mod nodes;
mod people;
mod reader;
pub mod room;
mod sampler;
pub mod saying;
pub mod service;
pub mod store;
mod upkeep;

pub use chat_core::{danmaku, emotes, item, lane, protocol};

pub use admission::Admission;
pub use committer::Audience;
pub use config::Config;
pub use emotes::Emotes;
pub use gifting::Gifts;
pub use item::{Event, Item};
pub use lane::{Lane, Places};
pub use protocol::Encoding;
pub use reader::Events;
pub use service::{Channels, Entrance, NoEntry, Request, Service};
pub use store::Store;
