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

use super::exchange::HttpConnection;
use super::{Check, Failure, Finding, HttpCodec, Settings};
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

/// What lets so many connections begin in one turn of the loop, and the others wait for the next: ten thousand at once would hold up
/// the main thread for half a second.
pub(crate) fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(32))
}

/// One host as one check asks it.
pub(crate) struct Probe {
    target: Target,
    turns: Arc<Semaphore>,
    kept: Option<Kept>,
}

enum Kept {
    Raw(Stream),
    Http(HttpConnection),
}

impl Kept {
    /// Whether it can be asked once more.
    fn is_alive(&self) -> bool {
        match self {
            Self::Raw(stream) => !stream.is_readable(),
            Self::Http(connection) => connection.is_open(),
        }
    }
}

/// The right to begin a connection in this turn of the loop.
pub(crate) type Turn = OwnedSemaphorePermit;

impl Probe {
    /// `turns`: see [`turns`].
    pub(crate) fn new(target: Target, turns: Arc<Semaphore>) -> Self {
        Self {
            target,
            turns,
            kept: None,
        }
    }

    /// Asks once, for as long as `settings.timeout` allows.
    pub(crate) async fn ask(&mut self, settings: &Settings) -> Finding {
        let kept = self.kept.take().filter(Kept::is_alive);
        let turn = match kept {
            Some(_) => None,
            // Waiting for it is not the host's fault.
            None => self.turns.clone().acquire_owned().await.ok(),
        };
        let asked = self.ask_on(kept, turn, settings);
        let asked = tokio::time::timeout(settings.timeout, asked).await;
        match asked {
            Ok((finding, kept)) => {
                self.kept = kept.filter(|_| settings.reuse_connection);
                finding
            }
            // The connection went with the future: a late answer must not count for the next question.
            Err(_) => Finding::Unhealthy(Failure::Timeout),
        }
    }

    async fn ask_on(
        &self,
        kept: Option<Kept>,
        turn: Option<Turn>,
        settings: &Settings,
    ) -> (Finding, Option<Kept>) {
        let failed = (Finding::Unhealthy(Failure::Network), None);
        match &settings.check {
            Check::Tcp(check) => {
                let kept = match kept {
                    Some(Kept::Raw(stream)) => Some(stream),
                    _ => self.connect(turn).await,
                };
                let Some(mut stream) = kept else {
                    return failed;
                };
                let finding = check.ask(&mut stream).await;
                let good = matches!(finding, Finding::Healthy { .. }) && check.keeps_connection();
                (finding, good.then_some(Kept::Raw(stream)))
            }
            Check::Redis(check) => {
                let kept = match kept {
                    Some(Kept::Raw(stream)) => Some(stream),
                    _ => self.connect(turn).await,
                };
                let Some(mut stream) = kept else {
                    return failed;
                };
                let (finding, keep) = check.ask(&mut stream).await;
                (finding, keep.then_some(Kept::Raw(stream)))
            }
            Check::Udp(check) => {
                drop(turn);
                let source = self.target.connect.source.as_ref();
                (check.ask(&self.target.address, source).await, None)
            }
            Check::Http(check) => {
                let Some(mut connection) = self.http(kept, turn, check.codec).await else {
                    return failed;
                };
                let (finding, keep) = check.ask(&mut connection, &self.target).await;
                (finding, keep.then_some(Kept::Http(connection)))
            }
            Check::Grpc(check) => {
                let Some(mut connection) = self.http(kept, turn, HttpCodec::Http2).await else {
                    return failed;
                };
                let (finding, keep) = check
                    .ask(&mut connection, &self.target, settings.timeout)
                    .await;
                (finding, keep.then_some(Kept::Http(connection)))
            }
        }
    }

    async fn http(
        &self,
        kept: Option<Kept>,
        turn: Option<Turn>,
        codec: HttpCodec,
    ) -> Option<HttpConnection> {
        if let Some(Kept::Http(connection)) = kept {
            return Some(connection);
        }
        let stream = self.connect(turn).await?;
        Some(match codec {
            HttpCodec::Http1 => HttpConnection::http1(stream),
            HttpCodec::Http2 => HttpConnection::http2(stream),
        })
    }

    async fn connect(&self, turn: Option<Turn>) -> Option<Stream> {
        connect_in_turn(&self.target.address, &self.target.connect, turn)
            .await
            .ok()
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
