//! Recording origins: scripted TCP servers that remember every byte they receive.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::case::{Frame, Origin, OriginStep};
use crate::conn::{Conn, wait_until};
use crate::wire::{self, Side};
use crate::{h2, template};

/// No origin script outlives this; scenarios are shorter.
const SCRIPT_LIMIT: Duration = Duration::from_secs(15);

/// What an origin without a script does: answers every request with 200 and a body of two bytes.
fn default_script() -> Origin {
    Origin::Script(vec![OriginStep::Answer(
        "HTTP/1.1 200 OK\ncontent-length: 2\n\nok".to_owned(),
    )])
}

/// One listening origin; it lives as long as its case and gets a new script for every scenario.
pub(crate) struct OriginServer {
    pub(crate) name: &'static str,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Set when the case is over.
    stopped: AtomicBool,
}

struct State {
    script: Origin,
    /// Connections of the current scenario, in the order of their acceptance.
    connections: Vec<Arc<Conn>>,
    gates: BTreeSet<String>,
    /// Counts scenarios; a script of an older one stops.
    generation: u64,
}

impl OriginServer {
    /// Starts to accept.
    pub(crate) fn start(name: &'static str, listener: TcpListener) -> Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                script: default_script(),
                connections: Vec::new(),
                gates: BTreeSet::new(),
                generation: 0,
            }),
            stopped: AtomicBool::new(false),
        });
        listener.set_nonblocking(true)?;
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { name, shared })
    }

    /// Closes the connections of the last scenario and takes the script of the next.
    pub(crate) fn begin(&self, script: Option<&Origin>) {
        self.close_all();
        let mut state = self.shared.state();
        state.script = script.cloned().unwrap_or_else(default_script);
        state.connections.clear();
        state.gates.clear();
        state.generation += 1;
    }

    /// Lets scripts pass the gate `name`.
    pub(crate) fn release(&self, name: &str) {
        self.shared.state().gates.insert(name.to_owned());
    }

    /// Closes every connection of the current scenario.
    pub(crate) fn close_all(&self) {
        for connection in &self.shared.state().connections {
            connection.close();
        }
    }

    /// The bytes received on each connection of the current scenario.
    pub(crate) fn received(&self) -> Vec<Vec<u8>> {
        let connections = self.shared.state().connections.clone();
        connections
            .iter()
            .map(|connection| connection.received().bytes.clone())
            .collect()
    }

    /// What `count` finds, summed over the HTTP/2 connections of the current scenario.
    pub(crate) fn sum_of_streams(&self, count: impl Fn(&h2::Session) -> usize) -> usize {
        let received = self.received();
        let sessions = received.iter().filter(|bytes| h2::is_session(bytes));
        sessions.map(|bytes| count(&h2::read(bytes))).sum()
    }
}

impl Drop for OriginServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.close_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stopped.load(Ordering::Acquire) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        if let Err(error) = serve(stream, shared) {
            eprintln!("origin: {error:#}");
        }
    }
}

fn serve(stream: TcpStream, shared: &Arc<Shared>) -> Result<()> {
    stream.set_nonblocking(false)?;
    let connection = Arc::new(Conn::new(stream)?);
    let mut state = shared.state();
    let script = match &state.script {
        Origin::Script(steps) => steps.clone(),
        Origin::PerConnection { connections } => {
            let nth = state
                .connections
                .len()
                .min(connections.len().saturating_sub(1));
            connections.get(nth).cloned().unwrap_or_default()
        }
    };
    state.connections.push(Arc::clone(&connection));
    let run = Run {
        connection,
        shared: Arc::clone(shared),
        generation: state.generation,
        read_to: 0,
        begun: false,
        stream: 0,
        answered: BTreeSet::new(),
    };
    std::thread::spawn(move || run.script(&script));
    Ok(())
}

/// A script at work on one connection.
struct Run {
    connection: Arc<Conn>,
    shared: Arc<Shared>,
    generation: u64,
    /// Bytes consumed by the script's reads.
    read_to: usize,
    /// The HTTP/2 connection has begun.
    begun: bool,
    /// The stream that was read last.
    stream: u32,
    /// Streams that were read.
    answered: BTreeSet<u32>,
}

impl Run {
    fn script(mut self, steps: &[OriginStep]) {
        // A script that reads nothing would spin, so it runs once.
        let reads = steps.iter().any(|step| {
            matches!(
                step,
                OriginStep::Read
                    | OriginStep::ReadHead
                    | OriginStep::ReadText(_)
                    | OriginStep::Answer(_)
                    | OriginStep::H2ReadHead
                    | OriginStep::H2Read
                    | OriginStep::H2Answer(_)
            )
        });
        loop {
            for step in steps {
                if !self.step(step) {
                    return;
                }
            }
            if !reads {
                return;
            }
        }
    }

    /// False when the script is over.
    fn step(&mut self, step: &OriginStep) -> bool {
        match step {
            OriginStep::Read => self.read(whole_request),
            OriginStep::ReadHead => {
                self.read(|bytes| wire::find(bytes, b"\r\n\r\n").map(|at| at + 4))
            }
            OriginStep::ReadText(text) => {
                let text = template::bytes(text);
                self.read(|bytes| wire::find(bytes, &text).map(|at| at + text.len()))
            }
            OriginStep::Write(text) => self.write(text),
            OriginStep::Lines(text) => self.write(&template::crlf(text)),
            OriginStep::Answer(text) => {
                self.read(whole_request) && self.write(&template::crlf(text))
            }
            OriginStep::H2Settings(pairs) => self.begin(&h2::settings(pairs)),
            OriginStep::H2(frames) => self.begin(&h2::settings(&[])) && self.send(frames),
            OriginStep::H2ReadHead => self.next_stream(|stream| !stream.heads.is_empty()),
            OriginStep::H2Read => self.next_stream(h2::Stream::is_over),
            OriginStep::H2Answer(frames) => {
                self.next_stream(h2::Stream::is_over) && self.send(frames)
            }
            OriginStep::Await(gate) => self.wait(|run| run.shared.state().gates.contains(gate)),
            OriginStep::Close => {
                self.connection.close();
                false
            }
            OriginStep::Reset => {
                self.connection.reset();
                false
            }
            OriginStep::Hold => false,
        }
    }

    /// Waits for the preface and answers it, once.
    fn begin(&mut self, settings: &[u8]) -> bool {
        if self.begun {
            return true;
        }
        self.begun = true;
        if !self.wait(|run| h2::is_session(&run.connection.received().bytes)) {
            return false;
        }
        h2::as_server(&self.connection, settings);
        true
    }

    fn send(&self, frames: &[Frame]) -> bool {
        let expand = |text: &str| template::expand(text, &|_| None);
        match h2::bytes(frames, self.stream, &expand) {
            Ok(bytes) => self.connection.send(&bytes),
            Err(error) => eprintln!("origin: {error:#}"),
        }
        true
    }

    /// Waits for the first stream not read yet that is as `far` as wanted.
    fn next_stream(&mut self, far: impl Fn(&h2::Stream) -> bool) -> bool {
        if !self.begin(&h2::settings(&[])) {
            return false;
        }
        let mut found = None;
        let met = self.wait(|run| {
            let session = h2::read(&run.connection.received().bytes);
            let mut streams = session.streams.iter();
            found = streams
                .find(|(id, stream)| !run.answered.contains(id) && far(stream))
                .map(|(id, _)| *id);
            found.is_some()
        });
        if let Some(id) = found {
            self.stream = id;
            self.answered.insert(id);
        }
        met
    }

    fn write(&self, text: &str) -> bool {
        match template::expand(text, &|_| None) {
            Ok(text) => self.connection.send(&template::bytes(&text)),
            Err(error) => eprintln!("origin: {error:#}"),
        }
        true
    }

    /// Waits until `measure` finds the end of what is read.
    fn read(&mut self, measure: impl Fn(&[u8]) -> Option<usize>) -> bool {
        let mut used = 0;
        let from = self.read_to;
        let found = self.wait(|run| {
            let received = run.connection.received();
            match measure(&received.bytes[from..]) {
                Some(count) => {
                    used = count;
                    true
                }
                None => false,
            }
        });
        self.read_to += used;
        found
    }

    fn wait(&self, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let mut holds = false;
        wait_until(SCRIPT_LIMIT, || {
            holds = condition(self);
            holds || self.over()
        });
        holds
    }

    fn over(&self) -> bool {
        self.shared.stopped.load(Ordering::Acquire)
            || self.shared.state().generation != self.generation
            || self.connection.received().ended.is_some()
    }
}

/// The length of the first request when it is all there.
fn whole_request(bytes: &[u8]) -> Option<usize> {
    let (message, length) = wire::first(bytes, Side::Requests, false)?;
    message.complete.then_some(length)
}
