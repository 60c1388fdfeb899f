//! [`Probe`]: asks one host, and keeps the connection for the next time.

use std::sync::Arc;

use nuncio_net::{Address, ConnectOptions, Stream, connect};

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

/// One host as one check asks it.
pub(crate) struct Probe {
    target: Target,
    kept: Option<Kept>,
}

enum Kept {
    Raw(Stream),
    Http(HttpConnection),
}

impl Probe {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, kept: None }
    }

    /// Asks once, for as long as `settings.timeout` allows.
    pub(crate) async fn ask(&mut self, settings: &Settings) -> Finding {
        let kept = self.kept.take();
        let asked = tokio::time::timeout(settings.timeout, self.ask_on(kept, settings)).await;
        match asked {
            Ok((finding, kept)) => {
                self.kept = kept.filter(|_| settings.reuse_connection);
                finding
            }
            // The connection went with the future: a late answer must not count for the next question.
            Err(_) => Finding::Unhealthy(Failure::Timeout),
        }
    }

    async fn ask_on(&self, kept: Option<Kept>, settings: &Settings) -> (Finding, Option<Kept>) {
        let failed = (Finding::Unhealthy(Failure::Network), None);
        match &settings.check {
            Check::Tcp(check) => {
                let kept = match kept {
                    Some(Kept::Raw(stream)) if !stream.is_readable() => Some(stream),
                    _ => self.connect().await,
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
                    Some(Kept::Raw(stream)) if !stream.is_readable() => Some(stream),
                    _ => self.connect().await,
                };
                let Some(mut stream) = kept else {
                    return failed;
                };
                let (finding, keep) = check.ask(&mut stream).await;
                (finding, keep.then_some(Kept::Raw(stream)))
            }
            Check::Udp(check) => {
                let source = self.target.connect.source.as_ref();
                (check.ask(&self.target.address, source).await, None)
            }
            Check::Http(check) => {
                let Some(mut connection) = self.http(kept, check.codec).await else {
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
                let Some(mut connection) = self.http(kept, HttpCodec::Http2).await else {
                    return failed;
                };
                let (finding, keep) = check
                    .ask(&mut connection, &self.target.name, settings.timeout)
                    .await;
                (finding, keep.then_some(Kept::Http(connection)))
            }
        }
    }

    async fn http(&self, kept: Option<Kept>, codec: HttpCodec) -> Option<HttpConnection> {
        if let Some(Kept::Http(connection)) = kept
            && connection.is_open()
        {
            return Some(connection);
        }
        let stream = self.connect().await?;
        Some(match codec {
            HttpCodec::Http1 => HttpConnection::http1(stream),
            HttpCodec::Http2 => HttpConnection::http2(stream),
        })
    }

    async fn connect(&self) -> Option<Stream> {
        connect(&self.target.address, &self.target.connect)
            .await
            .ok()
    }
}
