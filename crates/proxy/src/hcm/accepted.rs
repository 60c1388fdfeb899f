//! A downstream connection before its protocol is known, and as the stats count it.

use std::rc::Rc;
use std::task::{Context, Poll};

use nuncio_event::{Timer, clock};
use nuncio_sdk::{DownstreamConnection, Protocol};
use nuncio_stats::{CounterSlot, GaugeSlot};
use tokio::time::Instant;

use super::config::CodecType;
use super::stats::HttpStats;
use super::{HcmOnWorker, WorkerHcm};

/// First read of a connection: a head and a small body fit.
const FIRST_READ: usize = 4 * 1024;
/// What tells HTTP/2 from HTTP/1: as much of the client's preface as Envoy looks at.
const PREFACE: &[u8] = b"PRI * HTTP/2";

/// Who ended the connection, for stats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Locally,
    ByPeer,
}

/// A connection in the counts of its connection manager: in when it is made, out when it is dropped.
pub(super) struct Counted {
    hcm: Rc<WorkerHcm>,
    start: Instant,
    /// Absent until the first bytes have come.
    protocol: Option<Protocol>,
    pub(super) ended: Ended,
}

impl Counted {
    fn new(hcm: Rc<WorkerHcm>, start: Instant) -> Counted {
        hcm.stats.inc(HttpStats::DOWNSTREAM_CX_TOTAL);
        hcm.stats.gauge_add(HttpStats::DOWNSTREAM_CX_ACTIVE, 1);
        Counted {
            hcm,
            start,
            protocol: None,
            ended: Ended::Locally,
        }
    }

    fn speaks(&mut self, protocol: Protocol) {
        let (total, active) = of_protocol(protocol);
        self.hcm.stats.inc(total);
        self.hcm.stats.gauge_add(active, 1);
        self.protocol = Some(protocol);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let stats = &self.hcm.stats;
        stats.gauge_sub(HttpStats::DOWNSTREAM_CX_ACTIVE, 1);
        if let Some(protocol) = self.protocol {
            stats.gauge_sub(of_protocol(protocol).1, 1);
        }
        stats.inc(HttpStats::DOWNSTREAM_CX_DESTROY);
        stats.inc(match self.ended {
            Ended::Locally => HttpStats::DOWNSTREAM_CX_DESTROY_LOCAL,
            Ended::ByPeer => HttpStats::DOWNSTREAM_CX_DESTROY_REMOTE,
        });
        let lived = clock::now().saturating_duration_since(self.start);
        stats.record(HttpStats::DOWNSTREAM_CX_LENGTH_MS, lived.as_millis() as u64);
    }
}

/// The counter and the gauge of connections of a protocol.
fn of_protocol(protocol: Protocol) -> (CounterSlot, GaugeSlot) {
    match protocol {
        Protocol::Http10 | Protocol::Http11 => (
            HttpStats::DOWNSTREAM_CX_HTTP1_TOTAL,
            HttpStats::DOWNSTREAM_CX_HTTP1_ACTIVE,
        ),
        Protocol::Http2 => (
            HttpStats::DOWNSTREAM_CX_HTTP2_TOTAL,
            HttpStats::DOWNSTREAM_CX_HTTP2_ACTIVE,
        ),
        Protocol::Http3 => (
            HttpStats::DOWNSTREAM_CX_HTTP3_TOTAL,
            HttpStats::DOWNSTREAM_CX_HTTP3_ACTIVE,
        ),
    }
}

/// A connection that waits for the bytes that tell its protocol.
pub(super) struct Accepted {
    pub(super) worker: Rc<HcmOnWorker>,
    pub(super) down: DownstreamConnection,
    pub(super) counted: Counted,
    /// `max_connection_duration`, jitter included.
    pub(super) max_duration_at: Option<Instant>,
    pub(super) timer: Timer,
}

impl Accepted {
    pub(super) fn new(worker: Rc<HcmOnWorker>, down: DownstreamConnection) -> Accepted {
        let hcm = &worker.hcm;
        let timeouts = &hcm.config.timeouts;
        let now = clock::now();
        let max_duration_at = timeouts.max_connection_duration.map(|limit| {
            let jitter = timeouts.max_connection_duration_jitter / 100.0 * hcm.random_fraction();
            now + limit + limit.mul_f64(jitter)
        });
        let idle_at = timeouts.idle.map(|idle| now + idle);
        let mut timer = Timer::new();
        timer.set_deadline(idle_at.into_iter().chain(max_duration_at).min());
        Accepted {
            counted: Counted::new(hcm.clone(), down.info.start),
            max_duration_at,
            timer,
            worker,
            down,
        }
    }

    /// Ready with the protocol, or with none when the connection is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Protocol>> {
        loop {
            if self.down.handle.poll_close(cx).is_ready() {
                return Poll::Ready(None);
            }
            if let Some(protocol) = self.protocol() {
                self.counted.speaks(protocol);
                return Poll::Ready(Some(protocol));
            }
            let read = self.down.io.poll_read(cx, &mut self.down.read, FIRST_READ);
            match read {
                Poll::Ready(Ok(read @ 1..)) => {
                    let stats = &self.worker.hcm.stats;
                    stats.add(HttpStats::DOWNSTREAM_CX_RX_BYTES_TOTAL, read as u64);
                }
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.counted.ended = Ended::ByPeer;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    std::task::ready!(self.timer.poll_expired(cx));
                    self.on_deadline();
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// A client that says nothing is not asked to drain.
    fn on_deadline(&mut self) {
        let stats = &self.worker.hcm.stats;
        let lived_out = self.max_duration_at.is_some_and(|end| end <= clock::now());
        stats.inc(match lived_out {
            true => HttpStats::DOWNSTREAM_CX_MAX_DURATION_REACHED,
            false => HttpStats::DOWNSTREAM_CX_IDLE_TIMEOUT,
        });
    }

    /// What the configuration or the first bytes say; absent while they do not.
    fn protocol(&self) -> Option<Protocol> {
        let first = self.down.read.as_slice();
        if first.is_empty() {
            return None;
        }
        match self.worker.hcm.config.codec {
            CodecType::Http1 => Some(Protocol::Http11),
            CodecType::Http2 => Some(Protocol::Http2),
            CodecType::Auto if first.starts_with(PREFACE) => Some(Protocol::Http2),
            CodecType::Auto if PREFACE.starts_with(first) => None,
            CodecType::Auto => Some(Protocol::Http11),
        }
    }
}
