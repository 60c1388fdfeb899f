//! Copies of a request for other clusters (Envoy's `ShadowWriter`).
//!
//! A copy is a task of its own: it outlives the stream once the whole request was handed over, and is taken back with a
//! stream that ends before. Nobody waits for its answer. A client that is faster than a copy's cluster pauses, as it does for
//! the request's own (Envoy: `onSidestreamHighWatermark`); but a copy that takes nothing at all is given up, where Envoy
//! would let the client wait for it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_client::{HttpCall, HttpCallOptions};
use nuncio_event::Timer;
use nuncio_http::{HeaderMap, Known, Message};
use nuncio_route::{Forward, MirrorPolicy, MirrorTarget};
use nuncio_upstream::WorkerCluster;

use crate::stream::Stream;

/// How long a client waits for a copy of which its cluster takes nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// A copy that does not have the whole request yet.
pub(super) struct Shadow(Rc<Shared>);

/// What the stream and the copy's task share.
#[derive(Default)]
struct Shared {
    /// What the task has not taken yet.
    body: RefCell<Buffer>,
    trailers: RefCell<Option<HeaderMap>>,
    /// Bytes that the task has taken, and the cluster's connection has not.
    unsent: Cell<usize>,
    /// When more than this waits, the client pauses.
    limit: usize,
    end: Cell<bool>,
    /// The task is to end.
    cancelled: Cell<bool>,
    /// The task has ended.
    over: Cell<bool>,
    /// … since the cluster took nothing.
    given_up: Cell<bool>,
    waker: Cell<Option<Waker>>,
    /// The client has paused.
    paused: Cell<bool>,
    /// Of the stream.
    stream: Cell<Option<Waker>>,
}

impl Shared {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn waiting(&self) -> usize {
        self.body.borrow().len() + self.unsent.get()
    }

    /// The client may go on.
    fn resume(&self) {
        if self.paused.replace(false)
            && let Some(stream) = self.stream.take()
        {
            stream.wake();
        }
    }

    fn is_backed_up(&self) -> bool {
        !self.over.get() && self.waiting() > self.limit
    }
}

impl Shadow {
    /// Hands over a piece of the body. Returns false when the copy was given up.
    pub(super) fn send_data(&mut self, data: &Buffer, end: bool) -> bool {
        let shared = &self.0;
        if !shared.over.get() {
            shared.body.borrow_mut().append_slice(data);
            shared.end.set(end);
            shared.wake();
        }
        !shared.given_up.get()
    }

    /// Whether the client should pause. The stream will hear of the end of it.
    pub(super) fn is_backed_up(&self) -> bool {
        let pauses = self.0.is_backed_up();
        self.0.paused.set(pauses);
        pauses
    }

    pub(super) fn send_trailers(&self, trailers: &HeaderMap) {
        *self.0.trailers.borrow_mut() = Some(trailers.clone());
        self.0.end.set(true);
        self.0.wake();
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        if !self.0.end.get() {
            self.0.cancelled.set(true);
            self.0.wake();
        }
    }
}

/// The copy's task: sends what there is and reads the answer, which nobody wants.
struct Copy {
    call: HttpCall,
    shared: Rc<Shared>,
    response: Message,
    /// The call has the whole request.
    complete: bool,
    /// Until when the cluster must take something, if the client waits for it.
    patience: Timer,
}

impl Copy {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.shared.cancelled.get() {
            return Poll::Ready(());
        }
        self.shared.waker.set(Some(cx.waker().clone()));
        let before = self.shared.unsent.get();
        self.hand_over();
        loop {
            let event = self.call.poll(cx, true, &mut self.response);
            self.shared.unsent.set(self.call.unsent());
            match event {
                Poll::Pending => break,
                Poll::Ready(Ok(event)) if !event.is_end() => self.response.data.clear(),
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
        self.watch(before, cx)
    }

    /// What the stream has for the call.
    fn hand_over(&mut self) {
        let shared = &self.shared;
        if self.complete {
            return;
        }
        let mut body = std::mem::take(&mut *shared.body.borrow_mut());
        self.complete = shared.end.get();
        let trailers = shared.trailers.take();
        if !body.is_empty() || self.complete && trailers.is_none() {
            self.call
                .send_data(&mut body, self.complete && trailers.is_none());
        }
        if let Some(trailers) = trailers {
            self.call.send_trailers(trailers);
        }
    }

    /// Lets the client go on, or gives up. `before`: what waited when the task was woken.
    fn watch(&mut self, before: usize, cx: &mut Context<'_>) -> Poll<()> {
        let shared = &self.shared;
        if shared.end.get() || !shared.is_backed_up() {
            self.patience.set_deadline(None);
            shared.resume();
            return Poll::Pending;
        }
        if shared.unsent.get() < before || self.patience.deadline().is_none() {
            self.patience.set_timeout(Some(PATIENCE));
        }
        let is_over = self.patience.poll_expired(cx);
        shared.given_up.set(is_over.is_ready());
        is_over
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.shared.over.set(true);
        self.shared.resume();
    }
}

impl Stream {
    /// Sends copies of a request whose headers are complete, as the route says.
    pub(super) fn mirror(&mut self, forward: &Forward) {
        let end = self.router.end;
        let Some(special) = &forward.special else {
            return;
        };
        // What goes through a tunnel is no request.
        if self.is_connect {
            return;
        }
        for policy in &*special.mirrors {
            if policy.applies(self.info.stream_id)
                && let Some(cluster) = self.shadow_cluster(policy)
            {
                self.start_shadow(policy, cluster, end);
            }
        }
    }

    fn shadow_cluster(&self, policy: &MirrorPolicy) -> Option<Rc<WorkerCluster>> {
        let id = match policy.target(&self.request.headers)? {
            MirrorTarget::Id(id) => id,
            MirrorTarget::Name(name) => self.hcm.server.cluster_names.lookup(name)?,
        };
        self.hcm.clusters.get(id)
    }

    fn start_shadow(&mut self, policy: &MirrorPolicy, cluster: Rc<WorkerCluster>, end: bool) {
        let hcm = self.hcm.clone();
        let mut headers = self.request.headers.clone();
        policy.finalize(&mut headers, &self.info);
        headers.set(Known::XEnvoyInternal, b"true");
        if let Some(address) = hcm.server.local_info.address {
            headers.append_to_value(Known::XForwardedFor, b", ", address.to_string().as_bytes());
        }
        hcm.count_own_request();
        let options = HttpCallOptions {
            timeout: self.router.timeout,
            ..HttpCallOptions::default()
        };
        // Who cannot be reached is counted.
        let Ok(call) = HttpCall::start(cluster, headers, end, options) else {
            return;
        };
        let shared = Rc::new(Shared {
            limit: crate::SEND_AHEAD.min(self.buffer_limit as usize),
            ..Shared::default()
        });
        shared.end.set(end);
        let mut copy = Copy {
            call,
            shared: shared.clone(),
            response: Message::new(),
            complete: end,
            patience: Timer::new(),
        };
        nuncio_event::spawn(std::future::poll_fn(move |cx| copy.poll(cx)));
        if !end && let Some(special) = &mut self.router.special {
            special.shadows.push(Shadow(shared));
        }
    }

    /// If the client pauses for a copy, `cx` will hear of the end of it.
    pub(super) fn watch_shadows(&self, cx: &Context<'_>) {
        let Some(special) = &self.router.special else {
            return;
        };
        for Shadow(shared) in &special.shadows {
            shared.stream.set(Some(cx.waker().clone()));
        }
    }
}
