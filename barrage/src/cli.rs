//! What the command line takes.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use api::store::users::Role;
use clap::{Args, Parser, Subcommand};
use gifts::export::Format;
use kit::config::Layer;
use wire::{Handle, hex};

use crate::app::Signals;
use crate::config::Config;
use crate::{App, admin, demo, ledger};

/// Exit code for a configuration that was not accepted (`EX_CONFIG` of sysexits.h).
const EXIT_CONFIG: u8 = 78;

/// Barrage: live streams from OBS to the browser, from one program.
///
/// Start with `barrage serve`. It prints the page's address, what to type into OBS, and at its
/// first start the administrator's password.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until it is told to stop (Ctrl-C or SIGTERM).
    Serve(ConfigArgs),
    /// Run the server and publish a moving picture with sound to it, to see it work.
    ///
    /// Needs ffmpeg.
    Demo(ConfigArgs),
    /// Read the configuration as `serve` would, and tell what is in force or what is wrong.
    CheckConfig(ConfigArgs),
    /// Write the whole database, the ledger and the server's key to one file; the server may run meanwhile.
    ///
    /// The file opens everything: keep it as safe as the data directory.
    Backup {
        /// The file to write; it must not be there yet.
        file: PathBuf,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Read what `backup` wrote into a new data directory or an empty database.
    Restore {
        /// The file to read.
        file: PathBuf,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Look into the ledger of coins and money, on the server's machine; the server may run meanwhile.
    #[command(subcommand)]
    Ledger(Ledger),
    /// Look after a server's accounts, on its machine.
    #[command(subcommand)]
    Admin(Admin),
}

#[derive(Debug, Subcommand)]
enum Ledger {
    /// Count everything again and compare it with what is kept; exit code 1 when something is not right.
    ///
    /// Each finding is a line that begins with the invariant it is against; docs/operating.md tells of them.
    Verify {
        /// The key that must have sealed the ledger [default: that of this server]
        #[arg(long, value_name = "HEX", value_parser = seal_key)]
        key: Option<[u8; 32]>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Write all of it for other programs.
    Export {
        /// `beancount`: a journal that ends with what each account must come to. `csv`: a line for each
        /// transfer.
        #[arg(long, value_parser = ["beancount", "csv"])]
        format: String,
        /// Write to this new file instead of standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

#[derive(Debug, Subcommand)]
enum Admin {
    /// Give an account another password, read from standard input.
    SetPassword {
        /// Whose, such as `admin`.
        handle: Handle,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Say what an account may do.
    SetRole {
        /// Whose, such as `mei`.
        handle: Handle,
        /// `viewer`, `streamer` or `operator`.
        role: Role,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Make accounts, channels, stream keys and API tokens in bulk, for load tests.
    Seed {
        /// How many accounts.
        #[arg(long, default_value_t = 100)]
        users: u32,
        /// How many of them get a channel and a stream key.
        #[arg(long, default_value_t = 1)]
        channels: u32,
        /// Their handles are PREFIX_1, PREFIX_2 and so on.
        #[arg(long, default_value = "load")]
        prefix: String,
        /// Write handle, password, token and stream key of each to this new file, a line of JSON each.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Say what happens when somebody publishes to a channel that is being published to.
    SecondPublisher {
        /// Which channel, such as `stage`.
        handle: Handle,
        /// `refuse`: who is there stays. `replace`: who comes takes over.
        #[arg(value_parser = ["refuse", "replace"])]
        rule: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Where settings come from; later ones win: defaults, file, environment, flags.
#[derive(Debug, Args)]
struct ConfigArgs {
    /// Read settings from this file; barrage.example.toml describes them all.
    #[arg(long, value_name = "FILE", env = "BARRAGE_CONFIG")]
    config: Option<PathBuf>,
    /// Keep the database, keys and runtime.json here [default: ./barrage-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Listen here for pages, API, HLS, FLV and rooms; port 0 takes a free one [default: 0.0.0.0:8080]
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<String>,
    /// Listen here for the same over TLS; port 0 takes a free one, "" none [default: 0.0.0.0:8443]
    #[arg(long, value_name = "ADDRESS")]
    https_listen: Option<String>,
    /// Listen here for RTMP publishers and players; port 0 takes a free one [default: 0.0.0.0:1935]
    #[arg(long, value_name = "ADDRESS")]
    rtmp_listen: Option<String>,
    /// Listen here for WebRTC's media; port 0 takes a free one, "" none [default: [::]:8189]
    #[arg(long, value_name = "ADDRESS")]
    webrtc_listen: Option<String>,
    /// Any other setting by its name, such as --set log.level=debug
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("expected KEY=VALUE, such as log.level=debug")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

fn seal_key(text: &str) -> Result<[u8; 32], String> {
    hex::decode(text)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| {
            "expected 64 hexadecimal digits, as `barrage ledger verify` shows them".into()
        })
}

impl ConfigArgs {
    fn load(self) -> Result<Config, kit::config::ConfigError> {
        let mut layers = Vec::new();
        if let Some(path) = &self.config {
            layers.push(Layer::file(path)?);
        }
        layers.push(Layer::environment(std::env::vars_os().filter_map(
            |(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)),
        )));
        let named = [
            ("data_dir", self.data_dir),
            ("http.listen", self.http_listen),
            ("https.listen", self.https_listen),
            ("rtmp.listen", self.rtmp_listen),
            ("webrtc.listen", self.webrtc_listen),
        ];
        let named = named
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)));
        layers.push(Layer::flags(self.set.into_iter().chain(named)));
        let config: Config = kit::config::load(layers)?;
        config.validate()?;
        Ok(config)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => with_config(args, |config| block_on(serve(config))),
        Command::Demo(args) => with_config(args, |config| block_on(demo::run(config))),
        Command::CheckConfig(args) => with_config(args, |config| check(&config)),
        Command::Backup { file, config } => {
            with_config(config, |config| block_on(back_up(config, file)))
        }
        Command::Restore { file, config } => {
            with_config(config, |config| block_on(restore(config, file)))
        }
        Command::Ledger(Ledger::Verify { key, config }) => with_config(config, |config| {
            block_on(async move { ledger::verify(&config, key, &mut std::io::stdout()).await })
        }),
        Command::Ledger(Ledger::Export {
            format,
            out,
            config,
        }) => with_config(config, |config| {
            let format = match format.as_str() {
                "csv" => Format::Csv,
                _ => Format::Beancount,
            };
            block_on(async move { ledger::write_out(&config, format, out.as_deref()).await })
        }),
        Command::Admin(Admin::SetRole {
            handle,
            role,
            config,
        }) => with_config(config, |config| block_on(set_role(config, handle, role))),
        Command::Admin(Admin::Seed {
            users,
            channels,
            prefix,
            out,
            config,
        }) => with_config(config, |config| {
            block_on(seed(config, prefix, users, channels, out))
        }),
        Command::Admin(Admin::SetPassword { handle, config }) => {
            with_config(config, |config| block_on(set_password(config, handle)))
        }
        Command::Admin(Admin::SecondPublisher {
            handle,
            rule,
            config,
        }) => with_config(config, |config| {
            block_on(second_publisher(config, handle, rule))
        }),
    }
}

fn with_config(args: ConfigArgs, run: impl FnOnce(Config) -> anyhow::Result<()>) -> ExitCode {
    let config = match args.load() {
        Ok(config) => config,
        Err(error) => {
            complain(&format!(
                "{error}\nbarrage.example.toml describes every setting."
            ));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn complain(text: &str) {
    // Nowhere is left to complain to if this fails.
    let _ = writeln!(std::io::stderr(), "barrage: {text}");
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("failed to write to standard output")
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?
        .block_on(work)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    config.log.init()?;
    let signals = Signals::listen()?;
    let app = App::load(config).await?;
    say(&app.banner())?;
    app.run_until_signal(signals).await
}

fn check(config: &Config) -> anyhow::Result<()> {
    say(toml::to_string(&config.redacted())
        .context("failed to write the configuration")?
        .trim_end())?;
    say("\n# The configuration is good.")
}

async fn set_password(config: Config, handle: Handle) -> anyhow::Result<()> {
    let mut password = String::new();
    std::io::stdin()
        .read_line(&mut password)
        .context("failed to read the password")?;
    let password = password.trim_end_matches(['\r', '\n']);
    admin::set_password(&config, &handle, password).await?;
    say(&format!("The password of {handle} is changed."))
}

async fn second_publisher(config: Config, handle: Handle, rule: String) -> anyhow::Result<()> {
    admin::set_second_publisher(&config, &handle, rule == "replace").await?;
    say(&format!("A second publisher on @{handle}: {rule}."))
}

async fn set_role(config: Config, handle: Handle, role: Role) -> anyhow::Result<()> {
    admin::set_role(&config, &handle, role).await?;
    say(&format!("{handle} is {role} now."))
}

async fn seed(
    config: Config,
    prefix: String,
    users: u32,
    channels: u32,
    out: PathBuf,
) -> anyhow::Result<()> {
    admin::seed(&config, &prefix, users, channels, &out).await?;
    say(&format!(
        "Made {users} accounts, {channels} of them with a channel; {} tells how to use them.",
        out.display()
    ))
}

async fn back_up(config: Config, file: PathBuf) -> anyhow::Result<()> {
    let rows = admin::back_up(&config, &file).await?;
    say(&format!("Wrote {rows} rows to {}.", file.display()))
}

async fn restore(config: Config, file: PathBuf) -> anyhow::Result<()> {
    let rows = admin::restore(&config, &file).await?;
    say(&format!(
        "Restored {rows} rows into {}. Start the server on it.",
        config.data_dir().display()
    ))
}
