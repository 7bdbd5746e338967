//! Peers that cannot send datagrams: a TCP connection each, on the same port (RFC 6544), with every
//! datagram behind its length (RFC 4571).

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use kit::client::network_of;
use mio::Token;
use socket2::SockRef;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// Longest datagram taken: what a path of Ethernet carries, and some more.
const FRAME_MAX: usize = 2_048;

/// Read in one go, and how often in one turn.
const READ_BYTES: usize = 16 * 1024;
const READS_MAX: usize = 8;

/// What may wait to be sent. What is too much is lost, as datagrams are on a path that is full.
const UNSENT_MAX: usize = 256 * 1024;

/// How long a connection may take to say whom it is for.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// Connections that have not said so yet, in all and from one network.
const UNKNOWN_MAX: usize = 1_024;
const UNKNOWN_MAX_PER_ADDRESS: usize = 32;

/// How long to wait after a connection that could not be taken, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection that has said whom it is for.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) first: Vec<u8>,
}

/// Takes connections for ever, and hands on those that begin with a frame.
pub(crate) async fn accept(
    listener: TcpListener,
    hand_on: impl Fn(Arrived) + Send + Sync + 'static,
) {
    let unknown = Arc::new(Unknown::default());
    let hand_on = Arc::new(hand_on);
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let Some(place) = Unknown::take(&unknown, network_of(peer.ip())) else {
            metrics::counter!("barrage_webrtc_refused_total").increment(1);
            continue;
        };
        let hand_on = Arc::clone(&hand_on);
        tokio::spawn(async move {
            let first = timeout(FIRST_WITHIN, first_frame(stream)).await;
            drop(place);
            // Who says nothing, or nothing of use, is somebody else's peer.
            if let Ok(Ok((stream, first))) = first {
                hand_on(Arrived {
                    stream,
                    peer,
                    first,
                });
            }
        });
    }
}

async fn first_frame(mut stream: TcpStream) -> io::Result<(std::net::TcpStream, Vec<u8>)> {
    let length = usize::from(stream.read_u16().await?);
    if length > FRAME_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut first = vec![0; length];
    stream.read_exact(&mut first).await?;
    stream.set_nodelay(true)?;
    // The system would hold megabytes for a slow peer: half a minute of pictures nobody wants any more.
    SockRef::from(&stream).set_send_buffer_size(UNSENT_MAX)?;
    Ok((stream.into_std()?, first))
}

/// Connections that have not said whom they are for, by network.
#[derive(Debug, Default)]
struct Unknown(Mutex<HashMap<IpAddr, usize>>);

#[derive(Debug)]
struct Place(Arc<Unknown>, IpAddr);

impl Unknown {
    fn take(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = all.values().sum();
        let here = all.get(&ip).copied().unwrap_or(0);
        if total >= UNKNOWN_MAX || here >= UNKNOWN_MAX_PER_ADDRESS {
            return None;
        }
        all.insert(ip, here + 1);
        Some(Place(Arc::clone(self), ip))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = all.get_mut(&self.1) {
            *here -= 1;
            if *here == 0 {
                all.remove(&self.1);
            }
        }
    }
}

/// A connection of a session.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: mio::net::TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) token: Token,
    unread: BytesMut,
    unsent: BytesMut,
}

/// What reading a connection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// All there is.
    All,
    /// There may be more.
    More,
    /// It is closed, or what it says are no frames.
    Closed,
}

impl Connection {
    pub(crate) fn new(stream: std::net::TcpStream, peer: SocketAddr, token: Token) -> Self {
        Self {
            stream: mio::net::TcpStream::from_std(stream),
            peer,
            token,
            unread: BytesMut::new(),
            unsent: BytesMut::new(),
        }
    }

    /// Reads what has come; each whole frame goes to `each`.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(&[u8])) -> Heard {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..READS_MAX {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Heard::Closed,
                Ok(length) => {
                    self.unread.extend_from_slice(&buffer[..length]);
                    if !frames(&mut self.unread, &mut each) {
                        return Heard::Closed;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Heard::All,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Heard::Closed,
            }
        }
        Heard::More
    }

    /// Adds a datagram to what is to be sent. Tells whether there was room.
    pub(crate) fn add(&mut self, datagram: &[u8]) -> bool {
        let Ok(length) = u16::try_from(datagram.len()) else {
            return false;
        };
        if self.unsent.len() + datagram.len() > UNSENT_MAX {
            return false;
        }
        self.unsent.extend_from_slice(&length.to_be_bytes());
        self.unsent.extend_from_slice(datagram);
        true
    }

    /// Sends what the system takes. That the connection is broken is learnt by reading.
    pub(crate) fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(length) => self.unsent.advance(length),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.unsent.clear(),
            }
        }
        // What a slow peer once made it hold is not held for ever.
        if self.unsent.capacity() > READ_BYTES {
            self.unsent = BytesMut::new();
        }
    }
}

/// Gives whole frames to `each`, and leaves the rest. Tells whether they can be any.
fn frames(unread: &mut BytesMut, each: &mut impl FnMut(&[u8])) -> bool {
    while let Some((length, rest)) = unread.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length));
        if length > FRAME_MAX {
            return false;
        }
        let Some(frame) = rest.get(..length) else {
            break;
        };
        each(frame);
        unread.advance(2 + length);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_are_the_same_however_they_are_torn(
            all in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..FRAME_MAX), 0..8),
            torn in 1..3_000usize,
        ) {
            let mut stream = Vec::new();
            for frame in &all {
                stream.extend_from_slice(&u16::try_from(frame.len()).unwrap().to_be_bytes());
                stream.extend_from_slice(frame);
            }
            let (mut unread, mut heard) = (BytesMut::new(), Vec::new());
            for piece in stream.chunks(torn) {
                unread.extend_from_slice(piece);
                prop_assert!(frames(&mut unread, &mut |frame| heard.push(frame.to_vec())));
            }
            prop_assert!(unread.is_empty());
            prop_assert_eq!(heard, all);
        }
    }

    #[test]
    fn what_a_peer_does_not_read_is_held_within_a_bound_and_sent_whole_once_it_reads() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let peer = std::net::TcpStream::connect(at).unwrap();
        let (ours, from) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        // Were it to wait for its peer after all, it would not wait for ever.
        ours.set_write_timeout(Some(FIRST_WITHIN)).unwrap();
        let began = std::time::Instant::now();
        let mut connection = Connection::new(ours, from, Token(2));
        let (datagram, mut taken) = ([7; 1_200], 0);
        // The system holds some megabytes, and then no more.
        for _ in 0..50_000 {
            taken += usize::from(connection.add(&datagram));
            connection.flush();
            assert!(connection.unsent.len() <= UNSENT_MAX + 2);
            assert!(began.elapsed() < FIRST_WITHIN, "it waits for its peer");
        }
        assert!(taken < 20_000, "{taken}");
        let (mut peer, mut whole) = (std::io::BufReader::new(peer), 0);
        let mut frame = [0; 2 + 1_200];
        while whole < taken {
            connection.flush();
            peer.read_exact(&mut frame).unwrap();
            assert_eq!((&frame[..2], &frame[2..]), (&[4, 176][..], &datagram[..]));
            whole += 1;
        }
        connection.flush();
        assert!(connection.unsent.is_empty() && connection.add(&datagram));
    }

    #[test]
    fn a_frame_longer_than_any_is_none() {
        let mut unread = BytesMut::from(&[0xff, 0xff, 1][..]);
        assert!(!frames(&mut unread, &mut |_| panic!("no frame")));
    }

    #[test]
    fn those_who_say_nothing_have_so_many_places() {
        let unknown = Arc::new(Unknown::default());
        let ip = |last| IpAddr::from([192, 0, 2, last]);
        let here: Vec<_> = (0..50).filter_map(|_| unknown.take(ip(1))).collect();
        assert_eq!(here.len(), UNKNOWN_MAX_PER_ADDRESS);
        assert!(unknown.take(ip(2)).is_some());
        drop(here);
        assert!(unknown.take(ip(1)).is_some());
    }
}
