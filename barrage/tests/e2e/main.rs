//! The real binary, with real publishers and real viewers.
//!
//! Each test starts a server of its own on free ports and a fresh directory. Nothing waits for a
//! time to pass that could wait for something to happen.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails there, and shows what the server wrote"
)]

mod accounts;
mod apart;
mod attending;
mod bad_input;
mod bodies;
mod bots;
mod bridges;
mod busy_rooms;
mod channels;
mod configuration;
mod degrading;
mod emotes;
mod ending;
mod events;
mod first_start;
mod follows;
mod gifts;
mod ledger;
mod narrow;
mod nodes;
mod operation;
mod pages;
mod payments;
mod peers;
mod playing;
mod playlists;
mod publishing;
mod reconnecting;
mod refusing;
mod requests;
mod roles;
mod rooms;
mod safekeeping;
mod soak;
mod sockets;
mod support;
mod timestamps;
mod tls;
mod unheeding;
mod webhooks;
mod webrtc;
