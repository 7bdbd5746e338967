//! `echo [plain]`: says back whatever it is told, and is what scripts/autobahn asks. It reads and
//! writes by the same code as rooms do; with `plain` it agrees on no compression, as they do unless
//! they are configured to.

#![expect(clippy::print_stdout, reason = "where it listens is its one answer")]

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use bytes::{BufMut as _, Bytes};
use websocket::{Conversation, Deflate, Message, accept_key, deflate, frame};

/// The longest message of the test suite has 16 MiB.
const MESSAGE_MAX: usize = 32 << 20;

/// As much as a shard reads at once.
const READ_BYTES: usize = 16 * 1024;

/// How long a peer may take to hear the end.
const LINGER: Duration = Duration::from_secs(1);

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

fn main() -> io::Result<()> {
    let compresses = std::env::args().nth(1).is_none_or(|how| how != "plain");
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        // Who breaks the rules is told so; what becomes of its socket matters to nobody.
        std::thread::spawn(move || serve(stream, compresses));
    }
    Ok(())
}

fn serve(mut stream: TcpStream, compresses: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (agreed, answer) = shake_hands(&mut stream, compresses)?;
    stream.write_all(answer.as_bytes())?;
    let mut conversation = Conversation::new(MESSAGE_MAX).inflating(agreed.is_some());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        conversation.push(&buffer[..length]);
        loop {
            match conversation.hear() {
                Ok(Some(message)) => {
                    // A pong goes out before what is said back.
                    stream.write_all(&conversation.said())?;
                    stream.write_all(&said_back(&message, agreed))?;
                }
                Ok(None) => break,
                Err(_) => return end(stream, &conversation.said()),
            }
        }
    }
}

fn said_back(message: &Message, agreed: Option<Deflate>) -> Bytes {
    let (first, payload) = match message {
        Message::Text(text) => (TEXT, text.as_bytes()),
        Message::Binary(bytes) => (BINARY, &bytes[..]),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {
            return Bytes::new();
        }
    };
    let mut plain = frame(first, payload.len());
    plain.put_slice(payload);
    let plain = plain.freeze();
    match agreed {
        Some(agreed) if plain.len() <= agreed.longest() => deflate::compress(&plain),
        Some(_) | None => plain,
    }
}

/// Says the last words, and waits until the peer has heard them.
fn end(mut stream: TcpStream, words: &[u8]) -> io::Result<()> {
    stream.write_all(words)?;
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(LINGER))?;
    let mut rest = [0; 4096];
    while stream.read(&mut rest)? > 0 {}
    Ok(())
}

/// Reads the handshake: what is agreed on, and the answer.
fn shake_hands(stream: &mut TcpStream, compresses: bool) -> io::Result<(Option<Deflate>, String)> {
    let mut request = Vec::new();
    // A client says nothing more until it is answered.
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut headers);
    let bad = || io::Error::from(ErrorKind::InvalidData);
    parsed.parse(&request).map_err(|_| bad())?;
    let header = |name: &str| {
        let mut headers = parsed.headers.iter();
        let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let key = header("sec-websocket-key").ok_or_else(bad)?;
    let offers = header("sec-websocket-extensions").filter(|_| compresses);
    let agreed = offers.and_then(Deflate::choose);
    let extensions = agreed.map(|agreed| {
        let answer = agreed.answer();
        format!("sec-websocket-extensions: {answer}\r\n")
    });
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {}\r\n{}\r\n",
        accept_key(key),
        extensions.unwrap_or_default()
    );
    Ok((agreed, answer))
}
