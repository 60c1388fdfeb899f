//! One question to one server, by UDP or TCP.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::message::{self, Answer};

/// How many questions one socket is used for at most: many enough that thousands of names need few sockets, few enough
/// that ports change.
const QUESTIONS_PER_SOCKET: usize = 100;
/// The largest answer by UDP; `edns0_max_payload_size` is no more.
const MAX_DATAGRAM: usize = 4096;

/// The sockets in use. One lives while an answer to come by it is awaited.
#[derive(Debug)]
pub(super) struct Sockets {
    per_socket: usize,
    /// The newest one to each server.
    newest: Mutex<HashMap<SocketAddr, Weak<Channel>>>,
}

impl Sockets {
    /// `udp_max_queries`: how many questions one socket is used for; 0 leaves it to this.
    pub(super) fn new(udp_max_queries: u32) -> Self {
        Self {
            per_socket: match udp_max_queries {
                0 => QUESTIONS_PER_SOCKET,
                limit => limit as usize,
            },
            newest: Mutex::default(),
        }
    }

    /// Asks by UDP. The question's id is chosen here. An error means that there will be no answer.
    pub(super) async fn ask(&self, server: SocketAddr, question: Vec<u8>) -> io::Result<Answer> {
        let channel = self.channel(server).await?;
        let (id, answer) = channel.expect(question);
        let _forget = Forget {
            channel: &channel,
            id: id.0,
        };
        channel.socket.send(&id.1).await?;
        answer
            .await
            .map_err(|_| io::ErrorKind::ConnectionReset.into())
    }

    async fn channel(&self, server: SocketAddr) -> io::Result<Arc<Channel>> {
        let known = lock(&self.newest).get(&server).and_then(Weak::upgrade);
        if let Some(known) = known
            && known.questions.fetch_add(1, Relaxed) < self.per_socket
        {
            return Ok(known);
        }
        let new = Arc::new(Channel::open(server).await?);
        let mut newest = lock(&self.newest);
        newest.retain(|_, channel| channel.strong_count() > 0);
        newest.insert(server, Arc::downgrade(&new));
        Ok(new)
    }
}

type Waiting = Mutex<HashMap<u16, (Vec<u8>, oneshot::Sender<Answer>)>>;

/// A socket to one server, whose answers go to those who wait for them.
#[derive(Debug)]
struct Channel {
    socket: Arc<UdpSocket>,
    waiting: Arc<Waiting>,
    questions: AtomicUsize,
    reader: AbortHandle,
}

impl Channel {
    async fn open(server: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = Arc::new(UdpSocket::bind(any).await?);
        // Only this server is heard.
        socket.connect(server).await?;
        let waiting = Arc::<Waiting>::default();
        let reader = tokio::spawn(read(socket.clone(), waiting.clone())).abort_handle();
        Ok(Self {
            socket,
            waiting,
            questions: AtomicUsize::new(1),
            reader,
        })
    }

    /// Gives the question an id that no other has, and awaits its answer.
    fn expect(&self, mut question: Vec<u8>) -> ((u16, Vec<u8>), oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        let mut id = rand::random::<u16>();
        while waiting.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        question[..2].copy_from_slice(&id.to_be_bytes());
        waiting.insert(id, (question.clone(), sender));
        ((id, question), receiver)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Nobody waits for this answer any more.
struct Forget<'a> {
    channel: &'a Channel,
    id: u16,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.channel.waiting).remove(&self.id);
    }
}

async fn read(socket: Arc<UdpSocket>, waiting: Arc<Waiting>) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let length = match socket.recv(&mut buffer).await {
            Ok(length) => length,
            Err(error) => {
                log::debug!("dns: {error}");
                // Nothing listens there: nobody needs to wait for it.
                lock(&waiting).clear();
                continue;
            }
        };
        let message = &buffer[..length];
        let Some(id) = message.first_chunk().map(|id| u16::from_be_bytes(*id)) else {
            continue;
        };
        let mut waiting = lock(&waiting);
        let Some((question, _)) = waiting.get(&id) else {
            continue;
        };
        let answer = message::answer(question, message);
        if answer != Answer::Foreign
            && let Some((_, sender)) = waiting.remove(&id)
        {
            // Whoever asked may have gone in between.
            let _ = sender.send(answer);
        }
    }
}

/// Asks by TCP, on a connection of its own.
pub(super) async fn ask_by_tcp(server: SocketAddr, mut question: Vec<u8>) -> io::Result<Answer> {
    question[..2].copy_from_slice(&rand::random::<[u8; 2]>());
    let mut stream = TcpStream::connect(server).await?;
    let mut framed = Vec::with_capacity(question.len() + 2);
    framed.extend((question.len() as u16).to_be_bytes());
    framed.extend(&question);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(message::answer(&question, &message))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half changed by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
