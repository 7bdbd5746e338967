//! A way out that is narrower than what is sent: the system's buffer is full. In a network of the test's own.

use std::process::Command;

use crate::support::peer::Peer;
use crate::support::server::CHANNEL;
use crate::support::{Screen, Server, Source, until};

/// What does not leave for want of room.
const UNSENT: &str = "barrage_webrtc_unsent_packets_total";

/// Pictures that somebody sees at least while the way is narrow, and afterwards.
const SEEN: usize = 60;

/// Set where a test runs in a network that it has for itself.
const ALONE: &str = "BARRAGE_TEST_ALONE";

/// Whether the caller, a test of this name, has a network for itself. Runs it again in one if not.
fn is_alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        assert!(shape("ip link set lo up"));
        return true;
    }
    let mut unshare = Command::new("unshare");
    let apart = unshare.args(["--net", "--map-root-user", "sh", "-c", "tc qdisc show"]);
    if !apart.output().is_ok_and(|done| done.status.success()) {
        println!("skipped: it needs unshare, ip and tc, and leave to make a network");
        return false;
    }
    let mut again = Command::new("unshare");
    again.args(["--net", "--map-root-user"]);
    again.arg(std::env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture"]);
    // Nothing else is within reach there.
    for engine in ["POSTGRES", "NATS", "REDIS"] {
        again.env_remove(format!("BARRAGE_TEST_{engine}"));
    }
    again.env(ALONE, "1");
    assert!(again.status().unwrap().success(), "see above");
    false
}

fn shape(command: &str) -> bool {
    let mut words = command.split(' ');
    let mut tool = Command::new(words.next().expect("a tool"));
    let done = tool.args(words).output();
    done.is_ok_and(|done| done.status.success())
}

/// Datagrams from a port get through at a twentieth of what the pictures need, and wait.
fn narrow(port: u16) {
    for command in [
        "tc qdisc add dev lo root handle 1: htb default 1",
        "tc class add dev lo parent 1: classid 1:1 htb rate 10gbit quantum 60000",
        "tc class add dev lo parent 1: classid 1:2 htb rate 100kbit burst 10k quantum 60000",
        "tc qdisc add dev lo parent 1:2 pfifo limit 100000",
        &format!(
            "tc filter add dev lo parent 1: protocol ip u32 match ip protocol 17 0xff \
             match ip sport {port} 0xffff flowid 1:2"
        ),
    ] {
        assert!(shape(command), "{command}");
    }
}

fn widen() {
    assert!(shape("tc qdisc del dev lo root"));
}

#[tokio::test]
async fn a_socket_that_takes_no_more_disturbs_nobody_and_its_viewers_see_again_afterwards() {
    if !is_alone(
        "narrow::a_socket_that_takes_no_more_disturbs_nobody_and_its_viewers_see_again_afterwards",
    ) {
        return;
    }
    let server = Server::start().await;
    let _encoder = Source::new().bitrate("2M").publish(&server);
    server.live().await;
    let mut viewer = Peer::watch(&server, CHANNEL).await;
    let mut beside = Peer::watch_over_tcp(&server, CHANNEL).await;
    let (mut seen, mut seen_beside) = (Screen::new(), Screen::new());
    seen.watch(&mut viewer, SEEN).await;
    assert!(server.metric(UNSENT).await < 1.0);

    narrow(viewer.call.server.port());
    let full = until("the socket is full", async || {
        let unsent = server.metric(UNSENT).await;
        (unsent > 0.0).then_some(unsent)
    });
    let (unsent, ()) = tokio::join!(full, seen_beside.watch(&mut beside, SEEN));
    println!("{unsent} packets found no room");
    assert_eq!(seen_beside.lost, 0, "who came another way misses nothing");

    widen();
    let before = seen.units.len();
    seen.watch(&mut viewer, before + SEEN).await;
}
