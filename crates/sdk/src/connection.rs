//! A downstream connection: what is known of it, and how it is told to end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nuncio_net::Address;
use tokio::time::Instant;

use crate::metadata::DynamicMetadata;

/// Facts about a downstream connection that do not change.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Process-wide number.
    pub id: u64,
    /// The peer (after PROXY protocol and the like).
    pub remote_address: Rc<Address>,
    /// The peer on the wire.
    pub direct_remote_address: Rc<Address>,
    /// Our end.
    pub local_address: Rc<Address>,
    /// `local_address` is where the peer meant to connect before it was redirected here.
    pub local_address_restored: bool,
    /// Name of the listener.
    pub listener_name: Arc<str>,
    /// Name of the filter chain; empty when unnamed.
    pub filter_chain_name: Arc<str>,
    /// `Listener.metadata`
    pub listener_metadata: Option<Arc<DynamicMetadata>>,
    /// `FilterChain.metadata`
    pub filter_chain_metadata: Option<Arc<DynamicMetadata>>,
    /// The peer speaks TLS to us.
    pub tls: bool,
    /// When the connection was accepted.
    pub start: Instant,
}

/// `--drain-strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainStrategy {
    /// The share of connections told to close grows from 0 to all over the drain time.
    Gradual,
    /// Every connection is told to close from the start.
    Immediate,
}

#[derive(Clone, Copy)]
struct Drain {
    since: Instant,
    time: Duration,
    strategy: DrainStrategy,
}

/// Whether connections of one listener (or filter chain) on one worker should be closed soon.
/// Shared by its connections; set by the connection handler.
#[derive(Default)]
pub struct DrainDecision {
    drain: Cell<Option<Drain>>,
}

impl DrainDecision {
    /// Begins to drain. A drain that is already running goes on unchanged.
    pub fn start(&self, now: Instant, time: Duration, strategy: DrainStrategy) {
        if self.drain.get().is_none() {
            self.drain.set(Some(Drain {
                since: now,
                time,
                strategy,
            }));
        }
    }

    /// Whether a drain is running.
    pub fn is_draining(&self) -> bool {
        self.drain.get().is_some()
    }

    /// Whether a connection that has just finished a request should be closed.
    /// `dice` is a uniform random number, asked for only while a gradual drain runs.
    pub fn drain_close(&self, now: Instant, dice: impl FnOnce() -> u64) -> bool {
        let Some(drain) = self.drain.get() else {
            return false;
        };
        let elapsed = now.saturating_duration_since(drain.since);
        if drain.strategy == DrainStrategy::Immediate || elapsed >= drain.time {
            return true;
        }
        let total = drain.time.as_millis().max(1) as u64;
        dice() % total < elapsed.as_millis() as u64
    }
}

/// The connection handler's hold on one connection: lets it end the connection from outside.
pub struct ConnectionHandle {
    /// Drain state of the listener or filter chain that the connection belongs to.
    pub drain: Rc<DrainDecision>,
    close: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl ConnectionHandle {
    /// A handle of an open connection.
    pub fn new(drain: Rc<DrainDecision>) -> ConnectionHandle {
        ConnectionHandle {
            drain,
            close: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    /// Ends the connection now: its task is woken and closes.
    pub fn close(&self) {
        self.close.set(true);
        self.wake();
    }

    /// Wakes the connection's task, so that it looks at the drain state.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Ready when [`ConnectionHandle::close`] was called; otherwise the task is woken when it is, or on
    /// [`ConnectionHandle::wake`].
    pub fn poll_close(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.close.get() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradual_drain_grows_with_time() {
        let drain = DrainDecision::default();
        let start = Instant::now();
        assert!(!drain.drain_close(start, || 0));
        drain.start(start, Duration::from_secs(10), DrainStrategy::Gradual);
        assert!(!drain.drain_close(start, || 0));
        let half = start + Duration::from_secs(5);
        assert!(drain.drain_close(half, || 4_999));
        assert!(!drain.drain_close(half, || 5_000));
        assert!(drain.drain_close(start + Duration::from_secs(10), || 9_999));
    }

    #[test]
    fn immediate_drain_closes_at_once() {
        let drain = DrainDecision::default();
        let start = Instant::now();
        drain.start(start, Duration::from_secs(10), DrainStrategy::Immediate);
        assert!(drain.is_draining());
        assert!(drain.drain_close(start, || unreachable!("no dice needed")));
    }
}
