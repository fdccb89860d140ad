//! A web server on this machine whose answers are written by the test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Path and query.
    pub path: String,
    headers: BTreeMap<String, String>,
}

impl Seen {
    /// The value of a header, whose name is in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The same request for another path.
    pub fn at(&self, path: &str) -> Self {
        Self { path: path.to_owned(), headers: self.headers.clone() }
    }

    /// The first byte that is asked for.
    pub fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// How the body of an answer is sent.
#[derive(Debug, Clone)]
pub enum Sending {
    /// At once.
    Whole,
    /// So many bytes, then the connection ends.
    Only(usize),
    /// So many bytes, then nothing more, and the connection stays.
    Hang(usize),
    /// In pieces of so many bytes with a pause after each.
    Slowly(usize, Duration),
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    sending: Sending,
    silent: bool,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), sending: Sending::Whole, silent: false }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn sent(mut self, sending: Sending) -> Self {
        self.sending = sending;
        self
    }

    /// A redirect.
    pub fn to(location: impl Into<String>) -> Self {
        Self::new(302, "").with("Location", location)
    }

    /// The connection is taken, and nothing ever comes.
    pub fn silence() -> Self {
        Self { silent: true, ..Self::new(200, "") }
    }

    /// A file, or the part of it that is asked for.
    pub fn file(seen: &Seen, contents: &[u8]) -> Self {
        match seen.from() {
            None => Self::new(200, contents),
            Some(from) if from >= contents.len() => {
                Self::new(416, "").with("Content-Range", format!("bytes */{}", contents.len()))
            }
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", contents.len() - 1, contents.len());
                Self::new(206, &contents[from..]).with("Content-Range", range)
            }
        }
    }
}

type Script = dyn Fn(&Seen) -> Answer + Send + Sync;

/// A server that runs until it is dropped.
pub struct Server {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    ended: Arc<AtomicBool>,
}

impl Server {
    /// A server that answers as `script` says.
    pub fn start(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap().to_string(),
            seen: Arc::default(),
            ended: Arc::default(),
        };
        let (script, seen, ended): (Arc<Script>, _, _) =
            (Arc::new(script), Arc::clone(&server.seen), Arc::clone(&server.ended));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                // Whoever hangs up early is not served further.
                std::thread::spawn(move || serve(&mut stream.ok()?, &*script, &seen));
            }
        });
        server
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests whose path ends so.
    pub fn seen_for(&self, end: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.path.ends_with(end)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the listener.
        drop(TcpStream::connect(&self.address));
    }
}

fn serve(stream: &mut TcpStream, script: &Script, all: &Mutex<Vec<Seen>>) -> Option<()> {
    let seen = read(stream)?;
    all.lock().unwrap().push(seen.clone());
    let answer = script(&seen);
    if answer.silent {
        return wait_for_the_end(stream);
    }
    let mut head = format!("HTTP/1.1 {} Status\r\nConnection: close\r\n", answer.status);
    let says_length =
        |(name, _): &(String, String)| matches!(name.as_str(), "Transfer-Encoding" | "Content-Length");
    if !answer.headers.iter().any(says_length) {
        head += &format!("Content-Length: {}\r\n", answer.body.len());
    }
    answer.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    match answer.sending {
        Sending::Whole => stream.write_all(&answer.body).ok(),
        Sending::Only(bytes) => stream.write_all(&answer.body[..bytes]).ok(),
        Sending::Hang(bytes) => {
            stream.write_all(&answer.body[..bytes]).ok()?;
            wait_for_the_end(stream)
        }
        Sending::Slowly(bytes, pause) => answer.body.chunks(bytes).try_for_each(|piece| {
            stream.write_all(piece).ok()?;
            std::thread::sleep(pause);
            Some(())
        }),
    }
}

fn read(stream: &TcpStream) -> Option<Seen> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let line = lines.next()?.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Seen { path, headers })
}

/// Waits until the other side hangs up.
fn wait_for_the_end(stream: &mut TcpStream) -> Option<()> {
    stream.read_to_end(&mut Vec::new()).ok().map(|_| ())
}
