//! [`HttpCall`]: one request of our own, over HTTP/1.1 or HTTP/2, whatever the cluster speaks.

mod error;
mod exchange;
#[cfg(test)]
mod tests;

use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_event::{Instant, Timer};
use nuncio_http::{Event, HeaderMap, Known, Message};
use nuncio_sdk::Protocol;
use nuncio_upstream::lb::LbContext;
use nuncio_upstream::lb::members::PassOn;
use nuncio_upstream::outlier::Outcome;
use nuncio_upstream::{
    Acquire, Chosen, CodeContext, Lease, PendingConnection, Priority, WorkerCluster, WorkerHost,
};

pub use error::CallError;

use exchange::{Exchange, Step};

/// What a call wants beside its headers.
#[derive(Clone, Copy, Debug)]
pub struct HttpCallOptions {
    /// From the moment when the whole request was handed over to the end of the response; `None`: without limit.
    pub timeout: Option<Duration>,
    /// Whose circuit breakers and pools it uses.
    pub priority: Priority,
    /// What a cluster with `use_downstream_protocol_config` is to speak; `None`: HTTP/1.1.
    pub protocol: Option<Protocol>,
}

impl Default for HttpCallOptions {
    fn default() -> Self {
        Self {
            timeout: None,
            priority: Priority::Default,
            protocol: None,
        }
    }
}

/// One request and its response. Dropped before the response is complete, it is taken back: out of the line for a
/// connection, or by a reset.
#[derive(Debug)]
pub struct HttpCall {
    cluster: Rc<WorkerCluster>,
    host: Rc<WorkerHost>,
    /// The cluster of the host, where `cluster` has passed the call on to another one.
    member: Option<Rc<WorkerCluster>>,
    state: State,
    timeout: Option<Duration>,
    timer: Timer,
    /// When the request was complete.
    complete_at: Option<Instant>,
    /// The response's final headers have come.
    started: bool,
    codes: CodeContext,
}

#[derive(Debug)]
enum State {
    /// In line for a connection, with what is to be sent.
    Waiting(Box<Waiting>),
    Active(Exchange),
    Done,
}

#[derive(Debug)]
struct Waiting {
    pending: PendingConnection,
    headers: HeaderMap,
    body: Buffer,
    trailers: Option<HeaderMap>,
    end: bool,
}

impl HttpCall {
    /// Begins a request to `cluster`; `end` when nothing follows its headers, which are complete: nothing is added.
    ///
    /// # Errors
    /// There is no host, a circuit breaker is open, or the headers are no request. All of it is counted.
    pub fn start(
        cluster: Rc<WorkerCluster>,
        headers: HeaderMap,
        end: bool,
        options: HttpCallOptions,
    ) -> Result<HttpCall, CallError> {
        let codes = CodeContext {
            internal: headers.get(Known::XEnvoyInternal) == Some(b"true"),
            canary: false,
        };
        let fail = |error: CallError| {
            cluster.on_response_code(error.status(), codes, None);
            error
        };
        let chosen = cluster.choose_host(&LbContext {
            request_headers: Some(&headers),
            // Never tried again, and has no hash policy.
            pass_on: Some(PassOn {
                priorities: None,
                attempt: 1,
                hash: &|_| None,
            }),
            ..LbContext::default()
        });
        let Chosen { host, member } = chosen.ok_or_else(|| fail(CallError::NoHealthyUpstream))?;
        let owner = member.as_ref().unwrap_or(&cluster);
        let state = match owner.acquire(&host, options.priority, options.protocol) {
            Acquire::Ready(lease) => {
                State::Active(Exchange::begin(lease, &headers, end).map_err(fail)?)
            }
            Acquire::Pending(pending) => State::Waiting(Box::new(Waiting {
                pending,
                headers,
                body: Buffer::new(),
                trailers: None,
                end,
            })),
            Acquire::Overflow | Acquire::PendingOverflow => return Err(fail(CallError::Overflow)),
            Acquire::NoPool => return Err(fail(CallError::NoHealthyUpstream)),
        };
        let mut call = HttpCall {
            cluster,
            host,
            member,
            state,
            timeout: options.timeout,
            timer: Timer::new(),
            complete_at: None,
            started: false,
            codes,
        };
        if end {
            call.request_is_complete();
        }
        Ok(call)
    }

    /// The cluster of the host.
    fn owner(&self) -> &WorkerCluster {
        self.member.as_ref().unwrap_or(&self.cluster)
    }

    /// The host that was chosen.
    pub fn host(&self) -> &Rc<WorkerHost> {
        &self.host
    }

    /// Takes a piece of the request's body; `end` when nothing follows it.
    pub fn send_data(&mut self, data: &mut Buffer, end: bool) {
        match &mut self.state {
            State::Waiting(waiting) => {
                waiting.body.append(data);
                waiting.end |= end;
            }
            State::Active(exchange) => exchange.send_data(data, end),
            State::Done => data.clear(),
        }
        if end {
            self.request_is_complete();
        }
    }

    /// Takes the request's trailers, which end it.
    pub fn send_trailers(&mut self, trailers: HeaderMap) {
        match &mut self.state {
            State::Waiting(waiting) => {
                waiting.trailers = Some(trailers);
                waiting.end = true;
            }
            State::Active(exchange) => exchange.send_trailers(&trailers),
            State::Done => {}
        }
        self.request_is_complete();
    }

    /// Bytes of the request's body that wait to be sent. Who streams stops when they are many, and goes on when a poll has
    /// made them fewer.
    pub fn unsent(&self) -> usize {
        match &self.state {
            State::Waiting(waiting) => waiting.body.len(),
            State::Active(exchange) => exchange.unsent(),
            State::Done => 0,
        }
    }

    /// Sends what waits, and takes the next part of the response if `may_read`. Interim responses (1xx) are passed over.
    /// After the end of the response, or an error, nothing more comes.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        may_read: bool,
        response: &mut Message,
    ) -> Poll<Result<Event, CallError>> {
        loop {
            if self.timer.poll_expired(cx).is_ready() {
                return Poll::Ready(Err(self.on_timeout()));
            }
            let step = match &mut self.state {
                State::Done => return Poll::Pending,
                State::Waiting(waiting) => match waiting.pending.poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(lease)) => {
                        if let Err(error) = self.attach(lease) {
                            return Poll::Ready(Err(error));
                        }
                        continue;
                    }
                    Poll::Ready(Err(failure)) => {
                        let error = CallError::Connect(failure);
                        return Poll::Ready(Err(self.fail(error)));
                    }
                },
                State::Active(exchange) => exchange.step(cx, may_read, response),
            };
            match step {
                Step::Wait => return Poll::Pending,
                Step::Moved => {}
                Step::Event(Event::Informational) => response.headers.clear(),
                Step::Event(event) => {
                    self.note(event, response);
                    return Poll::Ready(Ok(event));
                }
                Step::Failed(reset, by) => {
                    if let State::Active(exchange) = mem::replace(&mut self.state, State::Done) {
                        exchange.abandon(by);
                    }
                    return Poll::Ready(Err(self.fail(CallError::Reset(reset))));
                }
            }
        }
    }

    fn request_is_complete(&mut self) {
        let now = Instant::now();
        self.complete_at = Some(now);
        self.timer
            .set_deadline(self.timeout.and_then(|timeout| now.checked_add(timeout)));
    }

    /// A connection is there: what waits is sent.
    fn attach(&mut self, lease: Lease) -> Result<(), CallError> {
        let State::Waiting(waiting) = mem::replace(&mut self.state, State::Done) else {
            return Ok(());
        };
        let Waiting {
            headers,
            mut body,
            trailers,
            end,
            pending: _,
        } = *waiting;
        let nothing_follows = end && body.is_empty() && trailers.is_none();
        let begun = Exchange::begin(lease, &headers, nothing_follows);
        let mut exchange = begun.map_err(|error| self.fail(error))?;
        if !nothing_follows {
            exchange.send_data(&mut body, end && trailers.is_none());
            if let Some(trailers) = trailers {
                exchange.send_trailers(&trailers);
            }
        }
        self.state = State::Active(exchange);
        Ok(())
    }

    /// Counts what a part of the response means.
    fn note(&mut self, event: Event, response: &Message) {
        if let Event::Headers { .. } = event {
            self.started = true;
            let status = response.headers.status().unwrap_or(0);
            let host = Some(&*self.host);
            self.cluster.on_response_code(status, self.codes, host);
            self.cluster.on_host_response(&self.host, status);
            self.owner().put_outlier_code(&self.host, status);
        }
        if event.is_end() {
            let now = Instant::now();
            self.timer.set_deadline(None);
            if let State::Active(exchange) = mem::replace(&mut self.state, State::Done) {
                exchange.finish(now);
            }
            if let Some(complete) = self.complete_at {
                let took = now.saturating_duration_since(complete);
                let host = Some(&*self.host);
                self.cluster.on_response_time(took, self.codes, host);
            }
        }
    }

    #[cold]
    fn on_timeout(&mut self) -> CallError {
        self.cluster.on_timeout(Some(&self.host));
        if let State::Active(exchange) = mem::replace(&mut self.state, State::Done) {
            exchange.abandon(nuncio_upstream::ClosedBy::Local);
        }
        if !self.started {
            let status = CallError::Timeout.status();
            let host = Some(&*self.host);
            self.cluster.on_response_code(status, self.codes, host);
            self.cluster.on_host_error(&self.host);
            self.owner()
                .put_outlier_outcome(&self.host, Outcome::Timeout, None);
        }
        self.timer.set_deadline(None);
        CallError::Timeout
    }

    /// Counts a failure on the upstream's side.
    #[cold]
    fn fail(&mut self, error: CallError) -> CallError {
        self.state = State::Done;
        self.timer.set_deadline(None);
        if !self.started {
            let host = Some(&*self.host);
            self.cluster
                .on_response_code(error.status(), self.codes, host);
        }
        if matches!(error, CallError::Connect(_) | CallError::Reset(_)) {
            if !self.started {
                self.cluster.on_host_error(&self.host);
            }
            self.owner()
                .put_outlier_outcome(&self.host, Outcome::ConnectFailed, None);
        }
        error
    }

    /// Whether the response's final headers have come.
    pub fn has_started(&self) -> bool {
        self.started
    }
}
