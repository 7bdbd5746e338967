//! `barrage-load`: publishers and viewers that measure.

mod chat;
mod errors;
mod flv_file;
mod gifts;
mod http;
mod place;
mod publish;
mod session;
mod stamp;
mod tell;
mod times;
mod usage;
mod watch;
mod websocket;
mod wire;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Puts load on a live-streaming server and tells how it went.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publish an FLV file over RTMP or WHIP, again and again, in real time.
    Publish(publish::Args),
    /// Watch a stream as many viewers at once, over RTMP, FLV, LL-HLS or WHEP, and measure
    /// joins, delays and losses.
    Watch(watch::Args),
    /// Fill a room with viewers, say much in it, and reconcile what each of them heard.
    Chat(chat::Args),
    /// Give gifts in a room, and measure how long each takes until it is known and until it is seen.
    Gifts(gifts::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    // The HTTP client brings no cryptography of its own. It can only be there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match Cli::parse().command {
        Command::Publish(args) => publish::run(args).await,
        Command::Watch(args) => watch::run(args).await,
        Command::Chat(args) => chat::run(args).await,
        Command::Gifts(args) => gifts::run(args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn complain(text: &str) {
    use std::io::Write as _;
    // Nowhere is left to complain to if this fails.
    let _ = writeln!(std::io::stderr(), "barrage-load: {text}");
}

fn say(text: &str) {
    use std::io::Write as _;
    // A reader that went away does not want to hear that.
    let _ = writeln!(std::io::stdout(), "{text}");
}
