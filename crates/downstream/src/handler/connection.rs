//! One connection: the task that serves it and what is counted of it.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use nuncio_event::{self as event, Instant};
use nuncio_net::Connection;
use nuncio_sdk::listener::AcceptedConnection;
use nuncio_sdk::{ConnectionHandle, ConnectionInfo, DownstreamConnection};

use super::SharedListener;
use super::access_log::LogEntry;
use super::active::{ActiveChain, ActiveListener, Permits};

/// An open connection as its listener counts it. Dropping it, however that comes about (served, closed,
/// panicked, worker stopped), counts it as gone.
pub(super) struct OpenConnection {
    listener: Rc<ActiveListener>,
    chain: Rc<ActiveChain>,
    handle: Rc<ConnectionHandle>,
    number: usize,
    start: Instant,
    _permits: Permits,
    /// Written when the connection has been counted out.
    log: Option<LogEntry>,
}

impl OpenConnection {
    pub(super) fn new(
        listener: &Rc<ActiveListener>,
        chain: &Rc<ActiveChain>,
        permits: Permits,
    ) -> Self {
        let handle = Rc::new(ConnectionHandle::new(Rc::clone(&chain.drain)));
        listener.opened();
        Self {
            listener: Rc::clone(listener),
            chain: Rc::clone(chain),
            number: chain.hold(Rc::clone(&handle)),
            handle,
            start: event::now(),
            _permits: permits,
            log: None,
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.chain.release(self.number);
        self.listener.closed(self.start.elapsed());
    }
}

/// What is known of a connection before it has a chain; it has no number either.
pub(super) fn plain_info(
    shared: &SharedListener,
    connection: &AcceptedConnection,
) -> ConnectionInfo {
    let remote = Rc::new(connection.remote_address.clone());
    ConnectionInfo {
        id: 0,
        remote_address: Rc::clone(&remote),
        direct_remote_address: remote,
        local_address: Rc::clone(&connection.local_address),
        local_address_restored: connection.local_address_restored,
        listener_name: shared.spec.name.clone(),
        filter_chain_name: Arc::default(),
        listener_metadata: shared.spec.metadata.clone(),
        filter_chain_metadata: None,
        tls: false,
        start: event::now(),
    }
}

/// Hands the connection to the filter of its chain.
pub(super) fn serve(
    mut open: OpenConnection,
    accepted: AcceptedConnection,
    shared: &Arc<SharedListener>,
) {
    let plain = plain_info(shared, &accepted);
    let AcceptedConnection {
        stream,
        remote_address,
        local_address,
        read,
        ..
    } = accepted;
    let mut io = Connection::raw(stream, (*local_address).clone(), remote_address);
    let info = Rc::new(ConnectionInfo {
        id: io.id(),
        filter_chain_name: open.chain.chain.name.clone(),
        filter_chain_metadata: open.chain.chain.metadata.clone(),
        tls: io.is_tls(),
        start: open.start,
        ..plain
    });
    open.log = LogEntry::begin(shared, &info, &mut io);
    let Some(filter) = open.chain.filter.clone() else {
        log::debug!(
            "closing connection from {}: no filters",
            info.remote_address
        );
        return;
    };
    let connection = DownstreamConnection {
        io,
        info,
        handle: Rc::clone(&open.handle),
        read,
        buffer_limit: shared.spec.buffer_limit,
    };
    event::spawn(async move {
        // In the task already here: a filter that panics must not take the accept loop along.
        let mut serving = filter.serve(connection);
        // The filter sees the call to close first and may end in its own way; one that has not
        // ended then is dropped, and its connection with it.
        let handle = &open.handle;
        poll_fn(|cx| match serving.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => handle.poll_close(cx),
        })
        .await;
        // In this order: gone from the wire, then from the counts.
        drop(serving);
        drop(open);
    });
}
