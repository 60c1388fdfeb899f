//! Copies of a request for other clusters (Envoy's `ShadowWriter`).
//!
//! A copy is a task of its own: it outlives the stream once the whole request was handed over, and is taken back with a
//! stream that ends before. Nobody waits for it: a copy that falls behind by more than the request may be buffered is given up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use nuncio_buffer::Buffer;
use nuncio_client::{HttpCall, HttpCallOptions};
use nuncio_http::{HeaderMap, Known, Message};
use nuncio_route::{Forward, MirrorPolicy, MirrorTarget};
use nuncio_upstream::WorkerCluster;

use crate::stream::Stream;

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
    end: Cell<bool>,
    /// The task is to end.
    cancelled: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Shared {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Shadow {
    /// Hands over a piece of the body. Returns false when too much of it waits: the copy is to be given up.
    pub(super) fn send_data(&mut self, data: &Buffer, end: bool, limit: usize) -> bool {
        let shared = &self.0;
        let mut body = shared.body.borrow_mut();
        if body.len() + shared.unsent.get() + data.len() > limit {
            return false;
        }
        body.append_slice(data);
        drop(body);
        shared.end.set(end);
        shared.wake();
        true
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
}

impl Copy {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = &self.shared;
        if shared.cancelled.get() {
            return Poll::Ready(());
        }
        shared.waker.set(Some(cx.waker().clone()));
        if !self.complete {
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
        loop {
            let event = self.call.poll(cx, true, &mut self.response);
            shared.unsent.set(self.call.unsent());
            match event {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(event)) if !event.is_end() => self.response.data.clear(),
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
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
        let shared = Rc::new(Shared::default());
        shared.end.set(end);
        let mut copy = Copy {
            call,
            shared: shared.clone(),
            response: Message::new(),
            complete: end,
        };
        nuncio_event::spawn(std::future::poll_fn(move |cx| copy.poll(cx)));
        if !end && let Some(special) = &mut self.router.special {
            special.shadows.push(Shadow(shared));
        }
    }
}
