//! Making connections.

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use nuncio_event::{Instant, Timer};
use nuncio_net::{Address, ConnectError, ConnectErrorKind, ConnectOptions, Connection};

use super::eyeballs::{NoConnection, connect_first};
use super::{ClientConnection, ClosedBy, Counters, Pool, http2};
use crate::breaker::Resource;
use crate::info::{ClusterInfo, UpstreamProtocol};
use crate::stats::ClusterStats as S;

/// Why a pool gave no connection (Envoy's `PoolFailureReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// A circuit breaker is open.
    Overflow,
    /// The connection could not be tried, or was given up on this side.
    LocalConnectionFailure,
    /// The upstream refused, or cannot be reached.
    RemoteConnectionFailure,
    /// `connect_timeout` is over.
    Timeout,
}

impl FailureKind {
    /// As Envoy's reset reasons read in a response body: `remote connection failure`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::LocalConnectionFailure => "local connection failure",
            Self::RemoteConnectionFailure => "remote connection failure",
            Self::Timeout => "connection timeout",
        }
    }

    /// The same as one word, as in `%RESPONSE_CODE_DETAILS%`: `remote_connection_failure`.
    pub fn as_details(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::LocalConnectionFailure => "local_connection_failure",
            Self::RemoteConnectionFailure => "remote_connection_failure",
            Self::Timeout => "connection_timeout",
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectFailure {
    /// The class of the failure.
    pub kind: FailureKind,
    /// `%UPSTREAM_TRANSPORT_FAILURE_REASON%`; empty when there is none.
    pub reason: Cow<'static, str>,
}

impl ConnectFailure {
    pub(super) fn of_kind(kind: FailureKind) -> Self {
        Self {
            kind,
            reason: Cow::Borrowed(""),
        }
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConnectFailure {}

impl ConnectFailure {
    /// In Envoy's words.
    fn of(error: &ConnectError, to: &Address, options: &ConnectOptions) -> Self {
        let text = system_text(&error.error);
        let errno = error.error.raw_os_error();
        match error.kind {
            ConnectErrorKind::Bind => {
                let (source, _) = options.local_for(to);
                let source = source.map(ToString::to_string).unwrap_or_default();
                Self::new(
                    FailureKind::LocalConnectionFailure,
                    format!("failed to bind to {source}: {text}"),
                )
            }
            ConnectErrorKind::Option => Self::of_kind(FailureKind::LocalConnectionFailure),
            // No descriptor to try with; a lack of ports shows when connecting, and Envoy calls that remote.
            ConnectErrorKind::Exhausted if errno != Some(EADDRNOTAVAIL) => {
                Self::new(FailureKind::LocalConnectionFailure, text)
            }
            // What `connect` itself answers, and not the peer later.
            _ if matches!(to, Address::Pipe { .. })
                || matches!(errno, Some(EADDRNOTAVAIL | ENETUNREACH | EACCES | EPERM)) =>
            {
                Self::new(
                    FailureKind::RemoteConnectionFailure,
                    format!("immediate connect error: {text}|remote address:{to}"),
                )
            }
            _ => Self::new(
                FailureKind::RemoteConnectionFailure,
                format!("delayed connect error: {text}"),
            ),
        }
    }

    fn new(kind: FailureKind, reason: String) -> Self {
        Self {
            kind,
            reason: reason.into(),
        }
    }
}

// Linux numbers; `io::ErrorKind` does not tell these apart reliably.
const EPERM: i32 = 1;
const EACCES: i32 = 13;
const EADDRNOTAVAIL: i32 = 99;
const ENETUNREACH: i32 = 101;

/// The system's text for an error, without Rust's ` (os error 111)`.
fn system_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

impl Pool {
    /// Begins to make connections while more requests wait than the connections that are being made will take (Envoy's
    /// `tryCreateNewConnections`).
    pub(super) fn create_connections(self: &Rc<Self>) {
        // Envoy's limit per occasion.
        for _ in 0..3 {
            let wanted = self.has_unserved_waiters() || self.wants_spare_connection();
            if !wanted || !self.create_connection() {
                return;
            }
        }
    }

    /// The same, but only for those who wait.
    pub(super) fn create_connections_for_waiters(self: &Rc<Self>) {
        if self.has_unserved_waiters() {
            self.create_connections();
        }
    }

    fn has_unserved_waiters(&self) -> bool {
        self.waiters.borrow().len() as u64 > self.connecting_capacity.get()
    }

    /// `per_host_thresholds.max_connections`
    fn most_of_host(&self) -> u32 {
        let info = self.info.borrow();
        let limits = info.thresholds.as_deref();
        limits.map_or(u32::MAX, |limits| {
            limits[self.priority.index()].max_connections_per_host
        })
    }

    /// Whether another one may be tried.
    pub(super) fn create_connection(self: &Rc<Self>) -> bool {
        let Counters {
            stats,
            breakers,
            gauges,
            ..
        } = &*self.counters;
        let active = &self.host.stats().cx_active;
        let most = self.most_of_host();
        let host_allows = active
            .fetch_update(Relaxed, Relaxed, |used| (used < most).then_some(used + 1))
            .is_ok();
        let allowed =
            host_allows && breakers.try_take(self.priority, Resource::Connections, gauges);
        if !allowed {
            stats.inc(S::UPSTREAM_CX_OVERFLOW);
            // Without any connection nobody would ever serve those who wait.
            if self.connections.get() > 0 || self.waiters.borrow().is_empty() {
                if host_allows {
                    active.fetch_sub(1, Relaxed);
                }
                return false;
            }
            if !host_allows {
                active.fetch_add(1, Relaxed);
            }
            breakers.take_beyond(self.priority, Resource::Connections, gauges);
        }
        self.connections.set(self.connections.get() + 1);
        self.host.stats().cx_total.fetch_add(1, Relaxed);
        stats.inc(S::UPSTREAM_CX_TOTAL);
        match self.protocol {
            UpstreamProtocol::Http1 => {
                stats.inc(S::UPSTREAM_CX_HTTP1_TOTAL);
                // Envoy's codec has stats, though it hardly ever counts anything in them.
                self.counters.http1.of(&self.counters.group);
            }
            UpstreamProtocol::Http2 => stats.inc(S::UPSTREAM_CX_HTTP2_TOTAL),
            UpstreamProtocol::Tcp => {}
        }
        stats.gauge_add(S::UPSTREAM_CX_ACTIVE, 1);
        let info = self.info.borrow().clone();
        let capacity = match self.protocol {
            UpstreamProtocol::Http1 | UpstreamProtocol::Tcp => 1,
            UpstreamProtocol::Http2 => u64::from(http2::initial_capacity(&info.http)),
        };
        self.connecting_capacity.update(|sum| sum + capacity);
        nuncio_event::spawn(connect(
            Attempt {
                pool: Some(self.clone()),
                capacity,
            },
            info,
        ));
        allowed
    }

    /// A connection speaks HTTP/1.1, or what the client wants, from now on.
    fn connected(self: &Rc<Self>, connection: ClientConnection) {
        self.put_back(Box::new(connection));
        self.create_connections_for_waiters();
    }

    fn connect_failed(self: &Rc<Self>, failure: &ConnectFailure) {
        let stats = &self.counters.stats;
        let by = match failure.kind {
            FailureKind::RemoteConnectionFailure => ClosedBy::Remote,
            _ => ClosedBy::Local,
        };
        if failure.kind == FailureKind::Timeout {
            stats.inc(S::UPSTREAM_CX_CONNECT_TIMEOUT);
        }
        stats.inc(S::UPSTREAM_CX_CONNECT_FAIL);
        self.host.stats().cx_connect_fail.fetch_add(1, Relaxed);
        self.connection_is_gone(by, false);
        self.fail_waiters(failure);
        // Nothing is made ahead of a request: that would fail, too, again and again.
        self.create_connections_for_waiters();
        self.retire_if_unused();
    }
}

/// An attempt in progress; if its task is dropped (a panic, the end of the worker), it has failed.
struct Attempt {
    pool: Option<Rc<Pool>>,
    /// How many requests the connection will take at once.
    capacity: u64,
}

impl Attempt {
    /// The attempt is over, however it went.
    fn finish(mut self) -> Option<Rc<Pool>> {
        let pool = self.pool.take()?;
        pool.connecting_capacity.update(|sum| sum - self.capacity);
        Some(pool)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            // Nobody is left to make another one: those who wait are answered, the rest is counted.
            pool.connecting_capacity.update(|sum| sum - self.capacity);
            pool.connection_is_gone(ClosedBy::Local, false);
            pool.fail_waiters(&ConnectFailure::of_kind(
                FailureKind::LocalConnectionFailure,
            ));
        }
    }
}

/// Makes a connection. One that speaks HTTP/2 is driven by the same task for the rest of its life.
async fn connect(attempt: Attempt, info: Arc<ClusterInfo>) {
    let Some(pool) = attempt.pool.clone() else {
        return;
    };
    let started = Instant::now();
    let result = connect_in_time(&pool, &info).await;
    let now = Instant::now();
    drop(pool);
    let Some(pool) = attempt.finish() else {
        return;
    };
    let took = now.saturating_duration_since(started);
    let stats = &pool.counters.stats;
    let io = match result {
        Ok(io) => io,
        Err(failure) => {
            // A connection that never was has had a life, too.
            stats.record(S::UPSTREAM_CX_LENGTH_MS, took.as_millis() as u64);
            return pool.connect_failed(&failure);
        }
    };
    stats.record(S::UPSTREAM_CX_CONNECT_MS, took.as_millis() as u64);
    match pool.protocol {
        UpstreamProtocol::Http1 | UpstreamProtocol::Tcp => {
            pool.connected(ClientConnection::new(
                io,
                pool.host.address(),
                &info.http,
                now,
            ));
        }
        UpstreamProtocol::Http2 => http2::serve(pool, io, &info, now).await,
    }
}

async fn connect_in_time(pool: &Pool, info: &ClusterInfo) -> Result<Connection, ConnectFailure> {
    let mut timer = Timer::new();
    timer.set_timeout(Some(info.connect_timeout));
    let addresses = pool.host.addresses();
    let stats = &pool.counters.stats;
    let count_attempt = || {
        stats.inc(S::UPSTREAM_CX_TOTAL);
        pool.host.stats().cx_total.fetch_add(1, Relaxed);
    };
    let connecting = connect_first(addresses, info.families, &info.connect, count_attempt);
    let mut connecting = pin!(connecting);
    let failure = |error: ConnectError, to: &Address| {
        if error.kind == ConnectErrorKind::Bind {
            stats.inc(S::BIND_ERRORS);
        }
        ConnectFailure::of(&error, to, &info.connect)
    };
    poll_fn(|cx| {
        if let Poll::Ready(result) = connecting.as_mut().poll(cx) {
            return Poll::Ready(match result {
                Ok((stream, to)) => match stream.local_address() {
                    Ok(local) => Ok(Connection::raw(stream, local, to)),
                    Err(error) => Err(failure(error.into(), &to)),
                },
                Err(NoConnection { error, to }) => Err(failure(error, &to)),
            });
        }
        timer
            .poll_expired(cx)
            .map(|()| Err(ConnectFailure::of_kind(FailureKind::Timeout)))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_read_as_in_envoy() {
        let options = ConnectOptions {
            source: Some(Address::parse_ip("10.9.9.9", 0).unwrap()),
            ..ConnectOptions::default()
        };
        let to = Address::parse_ip("127.0.0.1", 80).unwrap();
        let pipe = Address::pipe("/no/such", 0).unwrap();
        let failure = |kind, errno, to: &Address| {
            let error = ConnectError {
                kind,
                error: io::Error::from_raw_os_error(errno),
            };
            let failure = ConnectFailure::of(&error, to, &options);
            (failure.kind.as_details(), failure.reason.into_owned())
        };
        assert_eq!(
            failure(ConnectErrorKind::Refused, 111, &to),
            (
                "remote_connection_failure",
                "delayed connect error: Connection refused".into()
            )
        );
        assert_eq!(
            failure(ConnectErrorKind::Refused, 2, &pipe),
            (
                "remote_connection_failure",
                "immediate connect error: No such file or directory|remote address:/no/such".into()
            )
        );
        assert_eq!(
            failure(ConnectErrorKind::Bind, EADDRNOTAVAIL, &to),
            (
                "local_connection_failure",
                "failed to bind to 10.9.9.9:0: Cannot assign requested address".into()
            )
        );
        assert_eq!(
            failure(ConnectErrorKind::Exhausted, 24, &to).0,
            "local_connection_failure"
        );
    }
}
