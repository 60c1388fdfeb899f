//! One connection: requests are read, answered and logged, one after the other.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::SystemTime;

use nuncio_buffer::Buffer;
use nuncio_http::date::with_http_date;
use nuncio_http::h1::{CodecError, ServerDecoder, ServerEncoder};
use nuncio_http::{Event, HeaderMap, Known, Message};
use nuncio_net::{Address, Stream, next_connection_id};
use tokio::time::{Instant, timeout, timeout_at};

use crate::access_log::{Finished, RequestLog};
use crate::chunks::Chunks;
use crate::dispatch;
use crate::own_stats::{ClosedBy, HttpSchema};
use crate::request::{Params, Request};
use crate::response::{Body, Response};
use crate::seats::Seat;
use crate::thread::Shared;

/// Bytes of one read.
const READ: usize = 16 * 1024;
/// Longest form in a request body; other bodies are not kept.
const MAX_FORM: usize = 64 * 1024;

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
            let response = self.answer(form);
            let afterwards = response.afterwards;
            if self.respond(response, keep).await.is_err() {
                return ClosedBy::Remote;
            }
            if let Some(action) = afterwards {
                (self.shared.admin.context.actions)(action);
            }
            if !keep {
                return self.linger().await;
            }
        }
    }

    /// Reads a request with its body. Its head is then in `self.message`, the answer is the body if it is a form.
    async fn read_request(&mut self) -> Result<Vec<u8>, End> {
        self.seat.idle_since.set(Some(Instant::now()));
        let mut deadline = None;
        let mut form = Vec::new();
        loop {
            match self.decoder.decode(&mut self.input, &mut self.message) {
                Err(error) => return Err(End::Malformed(error)),
                Ok(Some(event)) => {
                    if matches!(event, Event::Headers { .. }) {
                        self.begin(event.is_end()).await?;
                    }
                    self.take_body(&mut form)?;
                    if event.is_end() {
                        return Ok(form);
                    }
                }
                Ok(None) => {
                    if self.active.is_none() && self.decoder.is_idle() && self.input.is_empty() {
                        self.wait_for_request().await?;
                    } else {
                        let until = *deadline
                            .get_or_insert_with(|| Instant::now() + self.shared.limits.request);
                        match timeout_at(until, self.read()).await {
                            Ok(read) => read?,
                            Err(_) => return Err(End::Slow),
                        }
                    }
                    self.seat.idle_since.set(None);
                }
            }
        }
    }

    /// The head is complete.
    async fn begin(&mut self, complete: bool) -> io::Result<()> {
        self.active = Some(Active {
            started: (Instant::now(), SystemTime::now()),
            received: 0,
            sent: 0,
        });
        self.shared.stats.request_begun();
        if self.decoder.facts().expect_continue && !complete {
            let mut headers = HeaderMap::new();
            headers.set_status(100);
            self.encoder
                .encode_informational(&self.decoder.facts(), &headers, &mut self.output);
            self.flush().await?;
        }
        Ok(())
    }

    /// Takes what came of the body: a form is kept, anything else is not wanted.
    fn take_body(&mut self, form: &mut Vec<u8>) -> Result<(), End> {
        let data = &mut self.message.data;
        if let Some(active) = &mut self.active {
            active.received += data.len() as u64;
        }
        let content_type = self.message.headers.get(Known::ContentType);
        if content_type == Some(b"application/x-www-form-urlencoded") {
            if form.len() + data.len() > MAX_FORM {
                return Err(End::TooLarge);
            }
            form.extend_from_slice(data);
        }
        data.clear();
        Ok(())
    }

    async fn wait_for_request(&mut self) -> Result<(), End> {
        let (seat, limit) = (self.seat.clone(), self.shared.limits.idle);
        tokio::select! {
            read = timeout(limit, self.read()) => match read {
                Ok(read) => Ok(read?),
                Err(_) => Err(End::Idle),
            },
            () = seat.evicted.notified() => Err(End::Idle),
        }
    }

    /// Reads something.
    async fn read(&mut self) -> io::Result<()> {
        let (stream, input) = (&mut self.stream, &mut self.input);
        let read = poll_fn(|cx| stream.poll_read(cx, input, READ)).await?;
        let counter = HttpSchema::DOWNSTREAM_CX_RX_BYTES_TOTAL;
        self.shared.stats.http.add(counter, read as u64);
        match read {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn answer(&mut self, form: Vec<u8>) -> Response {
        let headers = &self.message.headers;
        let method = headers.method().unwrap_or_default();
        let target = headers.path().unwrap_or_default();
        let Some(mut request) = Request::new(method, target) else {
            let counter = HttpSchema::DOWNSTREAM_RQ_FAILED_PATH_NORMALIZATION;
            self.shared.stats.http.inc(counter);
            return Response::error(400, "");
        };
        if request.params.is_empty() {
            request.params = Params::of_form(&form);
        }
        dispatch::answer(&self.shared.admin, target, &request)
    }

    /// Sends a response; `keep` leaves the connection open.
    async fn respond(&mut self, response: Response, keep: bool) -> io::Result<()> {
        let mut headers = HeaderMap::new();
        headers.set_status(response.status);
        headers.append(Known::ContentType, response.content_type.as_bytes());
        headers.append(Known::CacheControl, b"no-cache, max-age=0");
        headers.append("x-content-type-options", b"nosniff");
        append_date_and_server(&mut headers);
        if !keep {
            headers.append(Known::Connection, b"close");
        }
        let facts = self.decoder.facts();
        self.encoder
            .encode_headers(&facts, &headers, false, &mut self.output);
        let mut sent = Ok(());
        match response.body {
            // Not even made: it may be long.
            Body::Stream(_) if facts.is_head => {}
            Body::Text(text) => self.encode(&text),
            Body::Stream(write) => sent = self.send_chunks(Chunks::start(write)).await,
        }
        if sent.is_ok() {
            let nothing = &mut Buffer::new();
            self.encoder.encode_data(nothing, true, &mut self.output);
            sent = self.flush().await;
        }
        self.finish(&headers, "admin_filter_response");
        sent
    }

    async fn send_chunks(&mut self, mut chunks: Chunks) -> io::Result<()> {
        while let Some(piece) = chunks.next().await? {
            self.encode(&piece);
            self.flush().await?;
        }
        Ok(())
    }

    fn encode(&mut self, text: &str) {
        let mut data = Buffer::new();
        data.append_slice(text.as_bytes());
        if let Some(active) = &mut self.active {
            active.sent += text.len() as u64;
        }
        self.encoder.encode_data(&mut data, false, &mut self.output);
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
            End::Malformed(error) => {
                let counter = HttpSchema::DOWNSTREAM_CX_PROTOCOL_ERROR;
                (error.status, error.body(), error.details, counter)
            }
            End::TooLarge => {
                let counter = HttpSchema::DOWNSTREAM_RQ_TOO_LARGE;
                (
                    413,
                    "Payload Too Large",
                    "request_payload_too_large",
                    counter,
                )
            }
            _ => {
                let counter = HttpSchema::DOWNSTREAM_RQ_TIMEOUT;
                (408, "request timeout", "request_overall_timeout", counter)
            }
        };
        http.inc(counter);
        let mut headers = HeaderMap::new();
        headers.set_status(status);
        let length = body.len().to_string();
        headers.append(Known::ContentLength, length.as_bytes());
        headers.append(Known::ContentType, b"text/plain");
        append_date_and_server(&mut headers);
        headers.append(Known::Connection, b"close");
        self.encoder
            .encode_headers(&self.decoder.facts(), &headers, false, &mut self.output);
        self.encode(body);
        let sent = self.flush().await;
        self.finish(&headers, details);
        match sent {
            Ok(()) => self.linger().await,
            Err(_) => ClosedBy::Remote,
        }
    }

    /// Sends what is encoded.
    async fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            let (stream, output) = (&mut self.stream, &mut self.output);
            let write = poll_fn(|cx| stream.poll_write(cx, output));
            let written = timeout(self.shared.limits.stalled, write)
                .await
                .map_err(io::Error::from)??;
            let counter = HttpSchema::DOWNSTREAM_CX_TX_BYTES_TOTAL;
            self.shared.stats.http.add(counter, written as u64);
        }
        self.output.release();
        Ok(())
    }

    /// Ends our side and waits for the client to end its own, so that a reset does not overtake the response.
    async fn linger(&mut self) -> ClosedBy {
        let (stream, limit) = (&mut self.stream, self.shared.limits.linger);
        if poll_fn(|cx| stream.poll_shutdown_write(cx)).await.is_err() {
            return ClosedBy::Remote;
        }
        let rest = async {
            loop {
                self.input.clear();
                if self.read().await.is_err() {
                    return;
                }
            }
        };
        match timeout(limit, rest).await {
            Ok(()) => ClosedBy::Remote,
            Err(_) => {
                let counter = HttpSchema::DOWNSTREAM_CX_DELAYED_CLOSE_TIMEOUT;
                self.shared.stats.http.inc(counter);
                ClosedBy::Local
            }
        }
    }

    /// Counts and logs the end of the request under way.
    fn finish(&mut self, response: &HeaderMap, details: &'static str) {
        let Some(active) = self.active.take() else {
            return;
        };
        let status = response.status().unwrap_or(0);
        let took = active.started.0.elapsed();
        self.shared.stats.request_ended(status, took);
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

fn append_date_and_server(headers: &mut HeaderMap) {
    with_http_date(SystemTime::now(), |date| headers.append(Known::Date, date));
    headers.append(Known::Server, b"envoy");
}
