//! [`Probe`]: asks one host, and keeps the connection for the next time.

use std::sync::Arc;

use nuncio_net::{Address, ConnectError, ConnectOptions, Stream, connect};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::exchange::HttpConnection;
use super::{Check, Failure, Finding, HttpCodec, Settings};

/// Whom to ask.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: Address,
    /// What the host is called in requests.
    pub(crate) name: Arc<str>,
    pub(crate) connect: Arc<ConnectOptions>,
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
                let name = match check.host.is_empty() {
                    true => &*self.target.name,
                    false => &check.host,
                };
                let (finding, keep) = check.ask(&mut connection, name).await;
                (finding, keep.then_some(Kept::Http(connection)))
            }
            Check::Grpc(check) => {
                let Some(mut connection) = self.http(kept, turn, HttpCodec::Http2).await else {
                    return failed;
                };
                let (finding, keep) = check
                    .ask(&mut connection, &self.target.name, settings.timeout)
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
