//! Active health checks: each host is asked again and again whether it is well. See `LIFECYCLE.md`.
//!
//! All of it runs on the main thread: a task per host and check ([`checkers`]) asks ([`probe`]), the host's [`session`]
//! counts what it answers, and the cluster manager shows changes to the workers.

mod checkers;
mod events;
mod exchange;
mod grpc;
mod http;
mod payload;
mod probe;
mod redis;
mod session;
mod settings;
#[cfg(test)]
mod simulation;
mod tcp;
mod udp;

use std::fmt;
use std::sync::Arc;

use crate::host::Host;

pub(crate) use checkers::{CheckStats, Checkers, ask_again};
pub(crate) use events::EventLog;
pub(crate) use exchange::{Broken, Heard, HttpConnection, HttpCounters};
pub(crate) use grpc::{GrpcCheck, read_grpc_answer};
pub(crate) use http::{HttpCheck, HttpCodec, ServiceName, StatusRanges};
pub(crate) use payload::hex;
pub(crate) use probe::{Probe, Target, connect_in_turn, turns};
pub(crate) use redis::RedisCheck;
pub(crate) use session::random_below;
pub(crate) use settings::{Check, Settings};
pub(crate) use tcp::{ProxyProtocol, TcpCheck};
pub(crate) use udp::UdpCheck;

/// Tells the main thread of hosts that say `x-envoy-immediate-health-check-fail` in the answer to a request.
#[derive(Clone)]
pub(crate) struct ImmediateFailures(Arc<dyn Fn(Arc<Host>) + Send + Sync>);

impl fmt::Debug for ImmediateFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImmediateFailures").finish_non_exhaustive()
    }
}

impl ImmediateFailures {
    pub(crate) fn new(tell: impl Fn(Arc<Host>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Of each such answer, since each counts as a failure.
    pub(crate) fn tell(&self, host: &Arc<Host>) {
        (self.0)(host.clone());
    }
}

/// What one check of a host has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// All is well; `degraded`: it says `x-envoy-degraded`.
    Healthy { degraded: bool },
    /// It is not.
    Unhealthy(Failure),
}

/// Why a check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The host says so, or answers what is not expected.
    Active {
        /// One such answer is not enough.
        retriable: bool,
        /// It says `x-envoy-immediate-health-check-fail`: it does not count as a host until it is well again.
        excluded: bool,
        /// The HTTP status of the answer; 0 when it has none.
        status: u16,
    },
    /// It says so in the answer to a request (`x-envoy-immediate-health-check-fail`).
    Passive,
    /// No connection, or it ended before the answer.
    Network,
    /// No answer within `timeout`.
    Timeout,
}

impl Failure {
    /// An answer that is not the expected one.
    const UNEXPECTED: Self = Self::Active {
        retriable: false,
        excluded: false,
        status: 0,
    };
}
