//! What a running server tells of itself: `runtime.json` for programs, a few lines for people.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::Context as _;
use api::first_run::FirstRun;
use serde::{Deserialize, Serialize};

/// The file in the data directory, there while the server runs.
pub const FILE: &str = "runtime.json";

/// What stands in [`FILE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// The server's process.
    pub pid: u32,
    /// The server's version.
    pub version: String,
    /// The listener for pages, API, media and rooms.
    pub http: Listener,
    /// The same over TLS, if it is on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub https: Option<Listener>,
    /// The listener for RTMP publishers and players.
    pub rtmp: Listener,
    /// The port for WebRTC, if it is on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub webrtc: Option<Listener>,
}

/// An open listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The address as bound, with the port that was chosen.
    pub listen: SocketAddr,
    /// The same port alone.
    pub port: u16,
}

impl From<SocketAddr> for Listener {
    fn from(listen: SocketAddr) -> Self {
        Self {
            listen,
            port: listen.port(),
        }
    }
}

impl Runtime {
    /// Of this process.
    pub fn new(
        http: SocketAddr,
        https: Option<SocketAddr>,
        rtmp: SocketAddr,
        webrtc: Option<SocketAddr>,
    ) -> Self {
        Self {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            http: http.into(),
            https: https.map(Listener::from),
            rtmp: rtmp.into(),
            webrtc: webrtc.map(Listener::from),
        }
    }

    /// Writes the file whole or not at all.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        let (path, draft) = (data_dir.join(FILE), data_dir.join(".runtime.json.new"));
        let json = serde_json::to_vec_pretty(self)?;
        std::fs::write(&draft, json)
            .and_then(|()| std::fs::rename(&draft, &path))
            .with_context(|| format!("failed to write {}", path.display()))
    }

    /// Removes the file: the server no longer runs.
    pub fn remove(data_dir: &Path) {
        // A leftover file names a process that is gone, which its reader can see.
        let _ = std::fs::remove_file(data_dir.join(FILE));
    }

    /// What a person who has just started the server wants to know.
    pub fn banner(&self, first_run: Option<&FirstRun>, public: Option<&str>) -> String {
        let host = host_of(self.http.listen.ip());
        let page = public.map_or_else(
            || format!("http://{host}:{}", self.http.port),
            ToOwned::to_owned,
        );
        let host = public
            .and_then(public_host)
            .unwrap_or_else(|| host_of(self.rtmp.listen.ip()));
        let obs = match self.rtmp.port {
            1935 => format!("rtmp://{host}/live"),
            port => format!("rtmp://{host}:{port}/live"),
        };
        let mut lines = vec![
            String::new(),
            format!("  Barrage {} is running.", self.version),
            String::new(),
        ];
        match first_run {
            Some(first) => {
                lines.push(format!(
                    "  Page             {page}/@{}",
                    first.channel.handle
                ));
                lines.push(format!("  OBS server       {obs}"));
                lines.push(format!("  OBS stream key   {}", first.channel.stream_key));
                lines.push(format!(
                    "  Administrator    {}, password {}",
                    first.admin.handle, first.admin.password
                ));
                lines.push(format!("  Studio           {page}/studio"));
                if let Some(webrtc) = &self.webrtc {
                    lines.push(format!(
                        "  WebRTC           port {}, UDP and TCP; go live at {page}/studio/camera",
                        webrtc.port
                    ));
                }
                lines.push(String::new());
                lines.push(
                    "  In OBS: Settings > Stream > Service: Custom, then the two lines above,"
                        .into(),
                );
                lines.push("  and Output > Keyframe interval: 2 s. Ctrl-C ends the server.".into());
            }
            None => {
                lines.push(format!("  Page             {page}/"));
                lines.push(format!("  OBS server       {obs}"));
                lines.push(format!("  Studio           {page}/studio"));
            }
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// The host of an origin such as `https://live.example:8443`; a port follows the last colon, unless
/// that is within the brackets of an IPv6 address.
pub(crate) fn public_host(origin: &str) -> Option<String> {
    let authority = origin.split("://").nth(1)?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        Some(_) | None => authority,
    };
    Some(host.to_owned())
}

/// The name to open a listener by, on this machine.
fn host_of(ip: IpAddr) -> String {
    match ip {
        ip if ip.is_unspecified() || ip.is_loopback() => "localhost".into(),
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}
