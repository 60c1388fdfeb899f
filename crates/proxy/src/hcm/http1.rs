//! The driver of one downstream HTTP/1 connection.
//!
//! One task per connection does everything: it reads and decodes requests, polls the stream (which drives the
//! borrowed upstream connection), encodes and writes responses. A request that finds an idle upstream connection
//! costs two wake-ups: one for the request, one for the response.

mod ending;
mod incoming;
mod respond;

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_event::{Timer, clock};
use nuncio_http::h1::{ServerDecoder, ServerEncoder};
use nuncio_net::Pipe;
use nuncio_sdk::DownstreamConnection;
use tokio::time::Instant;

use ending::Drain;

use super::accepted::{Accepted, Counted, Ended};
use super::stats::HttpStats;
use super::{HcmOnWorker, WorkerHcm};
use crate::stream::Stream;

/// First read of an idle connection: a head and a small body fit.
const FIRST_READ: usize = 4 * 1024;
/// Rounds of work before other tasks of the worker get their turn.
const ROUNDS: usize = 32;

/// Where the connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Serving requests.
    Open,
    /// What is written is flushed, then the peer gets time to close first.
    Closing,
    /// Over.
    Closed,
}

/// Which ways of the socket have said `Pending`, and would say so again.
#[derive(Clone, Copy, Debug, Default)]
struct Blocked {
    read: bool,
    write: bool,
}

pub(super) struct ServerConnection {
    worker: Rc<HcmOnWorker>,
    hcm: Rc<WorkerHcm>,
    down: DownstreamConnection,
    write: Buffer,
    /// Body that goes out before `write`, from the upstream's socket, without having been here.
    pipe: Option<Pipe>,
    decoder: ServerDecoder,
    encoder: ServerEncoder,
    stream: Option<Box<Stream>>,
    timer: Timer,
    phase: Phase,
    counted: Counted,
    drain: Drain,
    idle_since: Instant,
    max_duration_at: Option<Instant>,
    /// A closing connection need not wait for the peer to close.
    close_at_once: bool,
    /// When a closing connection is closed even if the peer has not.
    close_at: Option<Instant>,
    /// How long written bytes may wait for the peer: as the route of the last response says.
    flush_timeout: Option<Duration>,
    /// Since when written bytes wait for the peer.
    flush_since: Option<Instant>,
    read_size: usize,
    blocked: Blocked,
    requests: u32,
    reading_paused: bool,
    /// The peer broke the protocol: what it sends is not looked at any more.
    failed: bool,
}

impl ServerConnection {
    pub(super) fn new(accepted: Accepted) -> ServerConnection {
        let Accepted {
            worker,
            down,
            counted,
            max_duration_at,
            timer,
        } = accepted;
        let hcm = worker.hcm.clone();
        let config = &hcm.config;
        ServerConnection {
            decoder: ServerDecoder::new(config.h1.clone()),
            encoder: ServerEncoder::new(config.h1.clone()),
            write: Buffer::new(),
            pipe: None,
            stream: None,
            timer,
            phase: Phase::Open,
            counted,
            drain: Drain::No,
            idle_since: clock::now(),
            max_duration_at,
            close_at_once: false,
            close_at: None,
            flush_timeout: config.timeouts.stream_flush,
            flush_since: None,
            read_size: FIRST_READ,
            blocked: Blocked::default(),
            requests: 0,
            reading_paused: false,
            failed: false,
            worker,
            hcm,
            down,
        }
    }

    /// Drives the connection; ready when it is to be dropped.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = clock::now();
        if self.down.handle.poll_close(cx).is_ready() {
            self.close_now(Ended::Locally, "local_connection_close");
            return Poll::Ready(());
        }
        self.blocked = Blocked {
            read: self.blocked.read && self.down.io.still_waits(),
            write: false,
        };
        if let Some(stream) = &mut self.stream {
            stream.router.wake_up();
        }
        for round in 0.. {
            let mut progress = match self.phase {
                Phase::Open => self.serve(cx, now) && !self.is_settled(),
                Phase::Closing => self.linger(cx),
                Phase::Closed => false,
            };
            if self.phase == Phase::Closed {
                return Poll::Ready(());
            }
            if !progress {
                self.timer.set_deadline(self.deadline());
                if self.timer.poll_expired(cx).is_pending() {
                    return Poll::Pending;
                }
                self.on_deadline(clock::now());
                progress = true;
                if self.phase == Phase::Closed {
                    return Poll::Ready(());
                }
            }
            if progress && round >= ROUNDS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Pending
    }

    /// One round of an open connection: request, upstream, response. Returns whether anything moved.
    fn serve(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut progress = self.read(cx, now);
        if let Some(stream) = &mut self.stream {
            let room = self.pipe.is_none()
                && self.write.len() < crate::SEND_AHEAD.min(self.down.buffer_limit as usize);
            stream.out.takes_pipe = stream.out.started
                && self.write.is_empty()
                && self.encoder.is_verbatim()
                && self.down.io.can_splice();
            progress |= stream.poll(cx, room, now);
            progress |= self.take_output(now);
        }
        progress | self.flush(cx, now)
    }

    /// Whether another round would move nothing: a request is with its upstream, or its response with the client, and both
    /// sockets have said `Pending`.
    fn is_settled(&self) -> bool {
        let idle = self.phase == Phase::Open && self.blocked.read && self.is_flushed();
        idle && match &self.stream {
            Some(stream) => stream.waits_for_upstream(),
            None => self.down.read.is_empty(),
        }
    }

    /// The exchange is over: log it, and decide whether the connection lives on.
    fn finish_stream(&mut self, now: Instant) {
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        stream.finish(now);
        let close = stream.out.close || !stream.request_end || self.drain == Drain::Over;
        let at_once = stream.request_end && stream.out.close_is_expected;
        if !stream.request_end && !stream.reset_counted {
            self.hcm.stats.inc(HttpStats::DOWNSTREAM_RQ_RX_RESET);
        }
        self.worker.recycle(stream);
        self.idle_since = now;
        self.read_size = FIRST_READ;
        if close && self.phase == Phase::Open {
            self.start_closing();
            self.close_at_once = at_once;
        }
    }

    /// Whether everything that is for the peer was sent.
    fn is_flushed(&self) -> bool {
        self.write.is_empty() && self.pipe.is_none()
    }

    /// Writes what is encoded. Returns whether bytes went out.
    fn flush(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.is_flushed() || self.blocked.write {
            return false;
        }
        let result = match &mut self.pipe {
            Some(pipe) => self.down.io.poll_splice_out(cx, pipe, false),
            None => self.down.io.poll_write(cx, &mut self.write),
        };
        match result {
            Poll::Ready(Ok(written)) => {
                self.pipe.take_if(|pipe| pipe.is_empty());
                self.hcm
                    .stats
                    .add(HttpStats::DOWNSTREAM_CX_TX_BYTES_TOTAL, written as u64);
                if self.is_flushed() {
                    if self.stream.is_none() {
                        self.write.release();
                    }
                    self.flush_since = None;
                } else {
                    self.flush_since = Some(now);
                }
                if let Some(stream) = &mut self.stream {
                    stream.touch(now);
                }
                true
            }
            Poll::Ready(Err(error)) => {
                log::debug!("[C{}] write error: {error}", self.down.info.id);
                self.close_now(Ended::ByPeer, "downstream_remote_disconnect");
                false
            }
            Poll::Pending => {
                self.blocked.write = true;
                self.flush_since.get_or_insert(now);
                false
            }
        }
    }
}
