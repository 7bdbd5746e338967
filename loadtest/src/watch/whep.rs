//! One thread with a share of the viewers over WebRTC: real handshakes, sealed packets, and a socket
//! of its own for each of them, as browsers have.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use mio::{Events, Interest, Poll, Token, Waker};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Client;
use sfu_core::caller::{Call, H264, H264_RTX, Wish};
use sfu_core::rtcp::{self, ReportBlock};
use sfu_core::rtp::{self, Header};
use sfu_core::secure::Credentials;
use sfu_core::transport::Received;
use slab::Slab;

use super::pictures::{Picture, Pictures, Piece};
use super::row::{Outcome, Plan};
use super::tally::{Seat, Seen, Tally};
use crate::session::{self, Opened};
use crate::stamp::{Stamp, now_us};
use crate::usage::Turn;

const EVENTS: usize = 1024;
const WAKE: Token = Token(usize::MAX);
const ENDED: &str = "the server ended the stream";

/// How often everybody is looked after, and those who wait for something.
const TICK: Duration = Duration::from_millis(100);
const TICK_WAITING: Duration = Duration::from_millis(5);

/// How often a viewer reports how it fares, and asks whether the server is there.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// What our reports are of.
const OUR_SSRC: u32 = 0x5eed_1001;

/// How viewers over WebRTC differ.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// One in so many opens every packet and reads the stamps; the others look at the headers.
    pub(crate) open_every: usize,
    /// The share of packets that is lost on the way, and how the dice begin.
    pub(crate) loss: f64,
    pub(crate) seed: u64,
    /// How much later what viewers say arrives.
    pub(crate) lag: Duration,
    /// Whether what is lost is asked for.
    pub(crate) repairs: bool,
}

struct Viewer {
    call: Call,
    socket: mio::net::UdpSocket,
    seat: usize,
    asked_at: Instant,
    opens: bool,
    pictures: Pictures,
    video: u32,
    highest: u16,
    heard_packet: bool,
    report_at: Instant,
    dice: SmallRng,
    lag: Duration,
    /// What was said and has not gone out yet.
    said: VecDeque<(Instant, Vec<u8>)>,
}

type Answered = (usize, Instant, anyhow::Result<Opened>);

pub(crate) struct Row {
    plan: Plan,
    manner: Manner,
    poll: Poll,
    waker: Arc<Waker>,
    answers: Receiver<Answered>,
    answered: Sender<Answered>,
    viewers: Slab<Viewer>,
    seats: Vec<Seat>,
    tally: Tally,
    client: Client,
    credentials: Arc<Credentials>,
    runtime: tokio::runtime::Handle,
    asking: usize,
}

impl Row {
    pub(crate) fn new(plan: Plan, manner: Manner, client: Client) -> anyhow::Result<Self> {
        let poll = Poll::new().context("failed to make a poll")?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (answered, answers) = channel();
        Ok(Self {
            waker,
            poll,
            answers,
            answered,
            viewers: Slab::new(),
            seats: Vec::with_capacity(plan.arrivals.len()),
            tally: Tally::default(),
            client,
            credentials: Arc::new(Credentials::generate()?),
            runtime: tokio::runtime::Handle::current(),
            asking: 0,
            plan,
            manner,
        })
    }

    /// Runs until the end of the window.
    pub(crate) fn run(mut self) -> anyhow::Result<Outcome> {
        let mut events = Events::with_capacity(EVENTS);
        let (mut before, mut ticked_at) = (None, Instant::now());
        loop {
            let now = Instant::now();
            let somebody = !self.plan.arrivals.is_empty() || self.asking > 0;
            if now >= self.plan.window.until || !somebody && self.viewers.is_empty() {
                break;
            }
            if before.is_none() && now >= self.plan.window.from {
                before = Turn::of_this_thread();
            }
            self.let_in(now);
            let waiting = self.is_waiting();
            let tick = if waiting { TICK_WAITING } else { TICK };
            if now >= ticked_at + tick {
                ticked_at = now;
                self.tick(now);
            }
            let next = self.plan.arrivals.front().copied().unwrap_or(now + tick);
            let wait = next.min(now + tick).saturating_duration_since(now);
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            self.seat_answered();
            for event in &events {
                let at = event.token().0;
                if self.viewers.contains(at)
                    && let Err(error) = self.receive(at)
                {
                    self.leave(at, &error);
                }
            }
        }
        let turn = before.and_then(|before| Some(Turn::of_this_thread()?.since(before)));
        self.close(Instant::now());
        Ok(Outcome {
            tally: self.tally,
            turn,
        })
    }

    fn is_waiting(&self) -> bool {
        let mut viewers = self.viewers.iter();
        viewers.any(|(_, viewer)| viewer.pictures.is_waiting() || !viewer.said.is_empty())
    }

    /// Those who are to come ask for a session.
    fn let_in(&mut self, now: Instant) {
        while let Some(due) = self.plan.arrivals.pop_front_if(|due| *due <= now) {
            self.seats.push(Seat::new(due));
            self.asking += 1;
            let seat = self.seats.len() - 1;
            let wish = Wish {
                sends: None,
                repairs: self.manner.repairs,
                numbered: false,
            };
            let (client, url) = (self.client.clone(), self.plan.target.place.url.clone());
            let credentials = Arc::clone(&self.credentials);
            let (answered, waker) = (self.answered.clone(), Arc::clone(&self.waker));
            self.runtime.spawn(async move {
                let asked_at = Instant::now();
                let opened = session::open(&client, url, None, wish, credentials).await;
                // The row may be over by now.
                let _ = answered.send((seat, asked_at, opened));
                let _ = waker.wake();
            });
        }
    }

    fn seat_answered(&mut self) {
        loop {
            match self.answers.try_recv() {
                Ok((seat, asked_at, opened)) => {
                    self.asking -= 1;
                    let seated = opened.and_then(|opened| self.seat(seat, asked_at, opened));
                    if let Err(error) = seated {
                        self.fail(seat, &error);
                    }
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    fn seat(&mut self, seat: usize, asked_at: Instant, opened: Opened) -> anyhow::Result<()> {
        let entry = self.viewers.vacant_entry();
        let mut socket = mio::net::UdpSocket::from_std(opened.socket);
        let token = Token(entry.key());
        let registry = self.poll.registry();
        registry.register(&mut socket, token, Interest::READABLE)?;
        let viewer = entry.insert(Viewer {
            call: opened.call,
            socket,
            seat,
            asked_at,
            opens: seat.is_multiple_of(self.manner.open_every),
            pictures: Pictures::new(self.manner.repairs),
            video: 0,
            highest: 0,
            heard_packet: false,
            report_at: Instant::now() + REPORT_EVERY,
            dice: SmallRng::seed_from_u64(self.manner.seed.wrapping_add(seat as u64)),
            lag: self.manner.lag,
            said: VecDeque::new(),
        });
        viewer.flush();
        Ok(())
    }

    fn receive(&mut self, at: usize) -> anyhow::Result<()> {
        let viewer = &mut self.viewers[at];
        let seat = &mut self.seats[viewer.seat];
        let mut datagram = [0; 2_048];
        loop {
            let length = match viewer.socket.recv(&mut datagram) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("the socket broke"),
            };
            let now = Instant::now();
            let had_joined = seat.has_joined();
            let mut seen = Seen {
                seat,
                tally: &mut self.tally,
                window: self.plan.window,
                now,
                now_us: now_us(),
            };
            if seen.window.has(now) {
                seen.tally.window_bytes += length as u64;
                seen.tally.window_reads += 1;
            }
            viewer.on_datagram(now, &datagram[..length], &self.manner, &mut seen)?;
            if !had_joined && seat.has_joined() {
                self.plan.progress.joined.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        let mut gone = Vec::new();
        for (at, viewer) in &mut self.viewers {
            let seat = &mut self.seats[viewer.seat];
            let mut seen = Seen {
                seat,
                tally: &mut self.tally,
                window: self.plan.window,
                now,
                now_us: now_us(),
            };
            if let Err(error) = viewer.tick(now, &mut seen) {
                gone.push((at, error));
            }
        }
        for (at, error) in gone {
            self.leave(at, &error);
        }
    }

    /// A viewer's session ends before the time is over.
    fn leave(&mut self, at: usize, error: &anyhow::Error) {
        let viewer = self.viewers.remove(at);
        viewer.count(&mut self.tally);
        if self.seats[viewer.seat].has_joined() {
            self.seats[viewer.seat].gone = true;
            self.tally.lost += 1;
            self.tally.errors.add(error);
        } else {
            self.fail(viewer.seat, error);
        }
    }

    fn fail(&mut self, seat: usize, error: &anyhow::Error) {
        self.seats[seat].gone = true;
        self.tally.failed += 1;
        self.plan.progress.failed.fetch_add(1, Ordering::Relaxed);
        self.tally.errors.add(error);
    }

    /// The time is over.
    fn close(&mut self, now: Instant) {
        for (_, viewer) in &mut self.viewers {
            viewer.count(&mut self.tally);
            viewer.call.transport.close(now);
            viewer.flush();
        }
        for seat in self.seats.iter().filter(|seat| !seat.gone) {
            if !seat.has_joined() {
                self.tally.failed += 1;
                self.tally.errors.add(&anyhow!("no picture came in time"));
            } else if seat.is_starved(now) {
                self.tally.starved += 1;
            }
        }
        self.tally.failed += self.plan.arrivals.len();
    }
}

impl Viewer {
    fn on_datagram(
        &mut self,
        now: Instant,
        datagram: &[u8],
        manner: &Manner,
        seen: &mut Seen<'_>,
    ) -> anyhow::Result<()> {
        let is_media = datagram.first().is_some_and(|first| *first >= 128);
        if is_media && !rtp::is_rtcp(datagram) {
            if manner.loss > 0.0 && self.dice.random_bool(manner.loss) {
                return Ok(());
            }
            return self.on_packet(now, datagram, seen);
        }
        let path = self.call.path();
        if let Received::Closed = self.call.transport.handle(now, path, datagram)? {
            bail!(ENDED);
        }
        self.flush();
        Ok(())
    }

    fn on_packet(
        &mut self,
        now: Instant,
        datagram: &[u8],
        seen: &mut Seen<'_>,
    ) -> anyhow::Result<()> {
        let header = Header::parse(datagram).context("a packet that is none")?;
        if !std::mem::replace(&mut self.heard_packet, true) {
            let took = now.saturating_duration_since(self.asked_at);
            seen.tally.first_packets.add_duration(took);
        }
        let again = header.payload_type == H264_RTX;
        let mut opened = None;
        if self.opens || again {
            let path = self.call.path();
            match self.call.transport.handle(now, path, datagram)? {
                Received::Rtp(packet) => opened = Some(packet),
                // It has come before.
                Received::Nothing | Received::Ready | Received::Rtcp(_) | Received::Closed => {
                    return Ok(());
                }
            }
        }
        let mut payload = opened.as_deref().and_then(|packet| header.payload(packet));
        let mut sequence = header.sequence;
        if again {
            let Some((original, rest)) = payload.and_then(|payload| payload.split_first_chunk())
            else {
                return Ok(());
            };
            (sequence, payload) = (u16::from_be_bytes(*original), Some(rest));
        } else if header.payload_type == H264 {
            (self.video, self.highest) = (header.ssrc, header.sequence);
        } else {
            seen.heard();
            return Ok(());
        }
        let piece = Piece {
            timestamp: header.timestamp,
            marker: header.marker,
            stamp: payload.and_then(Stamp::of_frame),
        };
        self.pictures
            .push(now, sequence, piece, &mut |picture| show(picture, seen));
        self.ask_again(now);
        Ok(())
    }

    /// Asks for what is missing.
    fn ask_again(&mut self, now: Instant) {
        if !self.pictures.is_waiting() {
            return;
        }
        let wanted = self.pictures.nacks(now, self.lag);
        if !wanted.is_empty() {
            let mut out = Vec::new();
            rtcp::write_receiver_report(&mut out, OUR_SSRC, &[]);
            rtcp::write_nack(&mut out, OUR_SSRC, self.video, &wanted);
            self.said.push_back((now, out));
            self.speak(now);
        }
    }

    /// Says what it is time for.
    fn speak(&mut self, now: Instant) {
        let lag = self.lag;
        while let Some((_, said)) = self.said.pop_front_if(|(at, _)| *at + lag <= now) {
            self.call.transport.send_rtcp(&said);
        }
        self.flush();
    }

    fn tick(&mut self, now: Instant, seen: &mut Seen<'_>) -> anyhow::Result<()> {
        self.pictures
            .give_up(now, &mut |picture| show(picture, seen));
        self.ask_again(now);
        let transport = &mut self.call.transport;
        if transport.poll_timeout().is_some_and(|due| due <= now) {
            transport.handle_timeout(now)?;
        }
        if now >= self.report_at {
            self.report_at = now + REPORT_EVERY;
            let check = self.call.check(self.dice.random())?;
            self.call.transport.ask_again(check);
            if self.video != 0 {
                let mut out = Vec::new();
                rtcp::write_receiver_report(&mut out, OUR_SSRC, &[self.report()]);
                self.said.push_back((now, out));
            }
        }
        self.speak(now);
        Ok(())
    }

    fn report(&self) -> ReportBlock {
        ReportBlock {
            ssrc: self.video,
            highest: u32::from(self.highest),
            lost: i32::try_from(self.pictures.counts.missed).unwrap_or(i32::MAX),
            ..ReportBlock::default()
        }
    }

    fn count(&self, tally: &mut Tally) {
        let counts = self.pictures.counts;
        tally.packets_missed += counts.missed;
        tally.packets_repaired += counts.repaired;
    }

    fn flush(&mut self) {
        for transmit in self.call.transport.take_transmits() {
            // What does not arrive is said again.
            let _ = self.socket.send(&transmit.bytes);
        }
    }
}

fn show(picture: Picture, seen: &mut Seen<'_>) {
    if !picture.whole {
        seen.tally.frames_torn += 1;
        return;
    }
    seen.join(picture.stamp);
    seen.picture(picture.stamp);
}
