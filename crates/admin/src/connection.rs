//! One connection: requests are read, answered and logged, one after the other.

mod receive;
mod send;

use std::io;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use nuncio_buffer::Buffer;
use nuncio_http::h1::{CodecError, ServerDecoder, ServerEncoder};
use nuncio_http::{HeaderMap, Known, Message};
use nuncio_net::{Address, Stream, next_connection_id};
use tokio::time::Instant;

use crate::access_log::{Finished, RequestLog};
use crate::dispatch;
use crate::own_stats::{ClosedBy, HttpSchema};
use crate::request::{Params, Request};
use crate::response::Response;
use crate::seats::Seat;
use crate::thread::Shared;
use send::append_date_and_server;

/// How long a client waits for what it has asked the server to do.
const ACTION_LIMIT: Duration = Duration::from_secs(5);

/// Serves a connection until it ends.
pub(crate) async fn serve(stream: Stream, peer: Address, shared: Rc<Shared>, seat: Rc<Seat>) {
    let opened = Instant::now();
    shared.stats.connection_opened();
    let _leaving = Leaving {
        shared: shared.clone(),
        seat: seat.clone(),
    };
    let mut connection = Connection::new(stream, peer, shared.clone(), seat);
    let by = connection.run().await;
    let active = connection.active.is_some();
    connection.abandon();
    shared.stats.connection_closed(by, active, opened.elapsed());
}

/// Gives the seat back, also when the task is dropped.
struct Leaving {
    shared: Rc<Shared>,
    seat: Rc<Seat>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.shared.seats.give_back(&self.seat);
    }
}

/// The request under way.
struct Active {
    started: (Instant, SystemTime),
    /// Body bytes received and sent.
    received: u64,
    sent: u64,
}

/// Why no further request comes.
enum End {
    /// The client closed, or the socket failed.
    Remote,
    /// Idle for too long, or the seat is wanted by another.
    Idle,
    /// The request is malformed.
    Malformed(CodecError),
    /// The request came too slowly.
    Slow,
    /// A form is longer than any that makes sense.
    TooLarge,
    /// The path cannot be normalised.
    BadPath,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Remote
    }
}

struct Connection {
    stream: Stream,
    input: Buffer,
    output: Buffer,
    decoder: ServerDecoder,
    encoder: ServerEncoder,
    message: Message,
    active: Option<Active>,
    log: Option<RequestLog>,
    shared: Rc<Shared>,
    seat: Rc<Seat>,
}

impl Connection {
    fn new(stream: Stream, peer: Address, shared: Rc<Shared>, seat: Rc<Seat>) -> Self {
        let settings = shared.settings.clone();
        let log = (!shared.loggers.is_empty()).then(|| {
            let local = stream
                .local_address()
                .unwrap_or_else(|_| shared.address.clone());
            let info = &shared.admin.context.server.local_info;
            RequestLog::new(next_connection_id(), peer, local, info)
        });
        Self {
            stream,
            input: Buffer::new(),
            output: Buffer::new(),
            decoder: ServerDecoder::new(settings.clone()),
            encoder: ServerEncoder::new(settings),
            message: Message::new(),
            active: None,
            log,
            shared,
            seat,
        }
    }

    async fn run(&mut self) -> ClosedBy {
        loop {
            self.message.clear();
            let form = match self.read_request().await {
                Ok(form) => form,
                Err(End::Remote) => return ClosedBy::Remote,
                Err(End::Idle) => {
                    self.shared
                        .stats
                        .http
                        .inc(HttpSchema::DOWNSTREAM_CX_IDLE_TIMEOUT);
                    return ClosedBy::Local;
                }
                Err(end) => return self.refuse(&end).await,
            };
            let facts = self.decoder.facts();
            let keep = facts.keep_alive && !facts.is_connect && !facts.is_upgrade;
            let Some(mut response) = self.answer(form) else {
                return self.refuse(&End::BadPath).await;
            };
            if let Some(done) = response.done.take() {
                // A worker that stands still must not keep the answer back, or the connection open, for ever.
                let _ = tokio::time::timeout(ACTION_LIMIT, done).await;
            }
            let afterwards = response.afterwards;
            if self.respond(response, keep).await.is_err() {
                return ClosedBy::Remote;
            }
            if let Some(action) = afterwards {
                // Nobody is left to be told when it is done.
                drop((self.shared.admin.context.actions)(action));
            }
            if !keep {
                return self.linger().await;
            }
        }
    }

    /// What the endpoint says; `None` if the path cannot be normalised.
    fn answer(&self, form: Vec<u8>) -> Option<Response> {
        let headers = &self.message.headers;
        let method = headers.method().unwrap_or_default();
        let target = headers.path().unwrap_or_default();
        let mut request = Request::new(method, target)?;
        if request.params.is_empty() {
            request.params = Params::of_form(&form);
        }
        Some(dispatch::answer(&self.shared.admin, target, &request))
    }

    /// Answers a request that cannot be served, as Envoy's codec and connection manager do, and closes.
    async fn refuse(&mut self, end: &End) -> ClosedBy {
        if self.active.is_none() {
            // As in Envoy, a malformed head counts as a request.
            self.active = Some(Active {
                started: (Instant::now(), SystemTime::now()),
                received: 0,
                sent: 0,
            });
            self.shared.stats.request_begun();
        }
        let http = &self.shared.stats.http;
        let (status, body, details, counter) = match end {
            End::Malformed(error) => (
                error.status,
                error.body(),
                error.details,
                HttpSchema::DOWNSTREAM_CX_PROTOCOL_ERROR,
            ),
            End::TooLarge => (
                413,
                "Payload Too Large",
                "request_payload_too_large",
                HttpSchema::DOWNSTREAM_RQ_TOO_LARGE,
            ),
            End::BadPath => (
                400,
                "",
                "path_normalization_failed",
                HttpSchema::DOWNSTREAM_RQ_FAILED_PATH_NORMALIZATION,
            ),
            End::Slow | End::Remote | End::Idle => (
                408,
                "request timeout",
                "request_overall_timeout",
                HttpSchema::DOWNSTREAM_RQ_TIMEOUT,
            ),
        };
        http.inc(counter);
        let mut headers = HeaderMap::new();
        headers.set_status(status);
        if !body.is_empty() {
            let length = body.len().to_string();
            headers.append(Known::ContentLength, length.as_bytes());
            headers.append(Known::ContentType, b"text/plain");
        }
        append_date_and_server(&mut headers);
        headers.append(Known::Connection, b"close");
        let facts = self.decoder.facts();
        self.shared.stats.response_begun(status);
        self.encoder
            .encode_headers(&facts, &headers, body.is_empty(), &mut self.output);
        self.encode(body);
        let sent = self.flush().await;
        self.finish(&headers, details);
        match sent {
            Ok(()) => self.linger().await,
            Err(_) => ClosedBy::Remote,
        }
    }

    /// Counts and logs the end of the request under way.
    fn finish(&mut self, response: &HeaderMap, details: &'static str) {
        let Some(active) = self.active.take() else {
            return;
        };
        let took = active.started.0.elapsed();
        self.shared.stats.request_ended(took);
        if let Some(log) = &self.log {
            let finished = Finished {
                request: &self.message.headers,
                response,
                started: active.started,
                received: active.received,
                sent: active.sent,
                details,
            };
            log.write(&self.shared.loggers, &finished);
        }
    }

    /// The connection ended in the middle of a request.
    fn abandon(&mut self) {
        if self.active.is_some() {
            self.shared
                .stats
                .http
                .inc(HttpSchema::DOWNSTREAM_RQ_RX_RESET);
            self.finish(&HeaderMap::new(), "downstream_remote_disconnect");
        }
    }
}
