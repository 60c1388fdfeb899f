//! [`Probe`]: asks one host, and keeps the connection for the next time.

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;

use nuncio_event::clock;
use nuncio_http::HeaderMap;
use nuncio_net::{Address, ConnectError, ConnectOptions, Stream, connect};
use nuncio_route::HeaderMutations;
use nuncio_sdk::metadata::DynamicMetadata;
use nuncio_sdk::{ConnectionInfo, Protocol, StreamInfo, UpstreamHost};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::checkers::Asker;
use super::exchange::{Broken, HttpConnection, HttpCounters};
use super::redis::RedisConnection;
use super::tcp::TcpConversation;
use super::{Check, Failure, Finding, HttpCheck, HttpCodec, Settings};
use crate::host::Host;

/// Whom to ask.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// What values of headers may tell of it.
    pub(crate) host: Arc<Host>,
    pub(crate) address: Address,
    /// What the endpoint says that it is called in requests (`health_check_config.hostname`).
    pub(crate) name: Option<Arc<str>>,
    /// What hosts without a name are called.
    pub(crate) cluster: Arc<str>,
    pub(crate) connect: Arc<ConnectOptions>,
}

impl Target {
    /// Changes the headers of a question; values may have commands that tell of the host.
    pub(super) fn change(
        &self,
        headers: &mut HeaderMap,
        changes: Option<&HeaderMutations>,
        protocol: Protocol,
    ) {
        let Some(changes) = changes else {
            return;
        };
        // As in Envoy, who asks is a client on this machine.
        let here = Rc::new(Address::Ip((Ipv4Addr::LOCALHOST, 0).into()));
        let start = clock::now();
        let connection = Rc::new(ConnectionInfo {
            id: 0,
            remote_address: here.clone(),
            direct_remote_address: here.clone(),
            local_address: here,
            local_address_restored: false,
            listener_name: Arc::from(""),
            filter_chain_name: Arc::from(""),
            listener_metadata: None,
            filter_chain_metadata: None,
            tls: false,
            start,
        });
        let mut info = StreamInfo::new(connection, start);
        info.protocol = Some(protocol);
        info.upstream.host = Some(Rc::new(Asked(self.host.clone())));
        changes.apply_to_request(headers, &info);
    }
    /// What the host is called: the endpoint's word comes before the check's, as in Envoy.
    pub(super) fn authority<'a>(&'a self, configured: &'a str) -> &'a str {
        match &self.name {
            Some(name) => name,
            None if configured.is_empty() => &self.cluster,
            None => configured,
        }
    }
}

/// The host as formats see it.
struct Asked(Arc<Host>);

impl UpstreamHost for Asked {
    fn address(&self) -> &Address {
        self.0.address()
    }

    fn hostname(&self) -> &str {
        self.0.hostname()
    }

    fn metadata(&self) -> Option<Arc<DynamicMetadata>> {
        self.0.metadata()
    }
}

/// What lets so many connections begin in one turn of the loop, and the others wait for the next: ten thousand at once
/// would hold up the main thread for half a second.
pub(crate) fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(32))
}

/// One host as one check asks it.
pub(crate) struct Probe {
    target: Target,
    settings: Settings,
    turns: Arc<Semaphore>,
    counters: Arc<HttpCounters>,
    kept: Option<Kept>,
}

enum Kept {
    Tcp(TcpConversation),
    Redis(RedisConnection),
    Http(HttpConnection),
}

impl Kept {
    /// Whether it can be asked once more.
    fn is_alive(&self) -> bool {
        match self {
            Self::Tcp(conversation) => !conversation.stream.is_peer_closed(),
            Self::Redis(connection) => connection.is_alive(),
            Self::Http(connection) => connection.is_open(),
        }
    }

    /// Waits until there is something to say of it, which for TCP checks may be a finding; otherwise it is of no use any more.
    async fn rest(&mut self, check: &Check) -> Option<Finding> {
        match (self, check) {
            (Self::Tcp(conversation), Check::Tcp(check)) => Some(check.hear(conversation).await),
            (Self::Http(connection), _) => {
                connection.rest().await;
                None
            }
            (Self::Redis(connection), _) => {
                connection.rest().await;
                None
            }
            // The kind of a connection is that of the check.
            (Self::Tcp(_), _) => None,
        }
    }
}

/// What becomes of a connection after a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It serves for the next one, if it shall.
    Keep,
    /// It is closed for what was heard on it.
    Close,
    /// It has ended.
    Gone,
}

impl After {
    /// There was no answer.
    pub(super) fn of(broken: &Broken, connection: &HttpConnection) -> Self {
        match broken {
            Broken::Stream if connection.is_reusable() => Self::Keep,
            Broken::Stream | Broken::Connection(_) => Self::Gone,
        }
    }
}

/// The right to begin a connection in this turn of the loop.
pub(crate) type Turn = OwnedSemaphorePermit;

impl Probe {
    /// `turns`: see [`turns`].
    pub(crate) fn new(
        target: Target,
        settings: Settings,
        turns: Arc<Semaphore>,
        counters: Arc<HttpCounters>,
    ) -> Self {
        Self {
            target,
            settings,
            turns,
            counters,
            kept: None,
        }
    }

    /// Connects if there is no connection yet; whether there is one now.
    async fn connect(&mut self, turn: Option<Turn>) -> bool {
        if self.kept.is_some() {
            return true;
        }
        let target = &self.target;
        let Ok(stream) = connect_in_turn(&target.address, &target.connect, turn).await else {
            return false;
        };
        let counters = self.counters.clone();
        self.kept = Some(match &self.settings.check {
            Check::Http(HttpCheck {
                codec: HttpCodec::Http1,
                ..
            }) => Kept::Http(HttpConnection::http1(stream, counters)),
            Check::Http(_) | Check::Grpc(_) => Kept::Http(HttpConnection::http2(stream, counters)),
            Check::Tcp(_) | Check::Redis(_) | Check::Udp(_) => {
                Kept::Tcp(TcpConversation::new(stream))
            }
        });
        true
    }

    /// Asks on the connection that there is.
    async fn ask_in_time(&mut self, turn: Option<Turn>) -> (Finding, After) {
        if let Check::Udp(check) = &self.settings.check {
            drop(turn);
            let source = self.target.connect.source.as_ref();
            return (check.ask(&self.target.address, source).await, After::Gone);
        }
        let failed = (Finding::Unhealthy(Failure::Network), After::Gone);
        if let Check::Redis(check) = &self.settings.check {
            let target = &self.target;
            let connect = connect_in_turn(&target.address, &target.connect, turn);
            let (cluster, host) = (self.counters.cluster(), &target.host);
            let new = || Kept::Redis(RedisConnection::new(cluster.clone(), host.clone()));
            return match self.kept.get_or_insert_with(new) {
                Kept::Redis(connection) => check.ask(connection, connect).await,
                // The kind of a connection is that of the check.
                Kept::Tcp(_) | Kept::Http(_) => failed,
            };
        }
        if !self.connect(turn).await {
            return failed;
        }
        let (target, timeout) = (&self.target, self.settings.timeout);
        match (&self.settings.check, &mut self.kept) {
            (Check::Tcp(check), Some(Kept::Tcp(conversation))) => check.ask(conversation).await,
            (Check::Http(check), Some(Kept::Http(connection))) => {
                check.ask(connection, target).await
            }
            (Check::Grpc(check), Some(Kept::Http(connection))) => {
                check.ask(connection, target, timeout).await
            }
            // The kind of a connection is that of the check.
            _ => failed,
        }
    }

    /// Nobody answered in time. A late answer must not count for the next question.
    fn on_timeout(&mut self) {
        let kept = self.kept.take();
        if let (Check::Grpc(_), Some(Kept::Http(mut connection))) = (&self.settings.check, kept)
            && self.settings.reuse_connection
            && connection.is_reusable()
        {
            connection.abandon();
            self.kept = Some(Kept::Http(connection));
        }
    }
}

impl Asker for Probe {
    /// For as long as `settings.timeout` allows.
    async fn ask(&mut self, begins: impl Fn()) -> Finding {
        self.kept.take_if(|kept| !kept.is_alive());
        let turn = match self.kept {
            Some(_) => None,
            // Waiting for it is not the host's fault.
            None => self.turns.clone().acquire_owned().await.ok(),
        };
        begins();
        let timeout = self.settings.timeout;
        let asked = tokio::time::timeout(timeout, self.ask_in_time(turn)).await;
        let Ok((finding, after)) = asked else {
            self.on_timeout();
            return Finding::Unhealthy(Failure::Timeout);
        };
        if after == After::Keep && self.settings.reuse_connection {
            return finding;
        }
        if let Some(Kept::Http(connection)) = self.kept.take()
            && after != After::Gone
        {
            connection.close_on_frame();
        }
        finding
    }

    async fn rest(&mut self) -> Finding {
        while let Some(kept) = &mut self.kept {
            match kept.rest(&self.settings.check).await {
                Some(finding) => {
                    if !matches!(finding, Finding::Healthy { .. }) {
                        self.kept = None;
                    }
                    return finding;
                }
                None => self.kept = None,
            }
        }
        std::future::pending().await
    }
}

/// Connects, and lets the next one begin in the next turn of the loop.
pub(crate) async fn connect_in_turn(
    address: &Address,
    options: &ConnectOptions,
    turn: Option<Turn>,
) -> Result<Stream, ConnectError> {
    let pass_on = async {
        tokio::task::yield_now().await;
        drop(turn);
    };
    tokio::join!(connect(address, options), pass_on).0
}
