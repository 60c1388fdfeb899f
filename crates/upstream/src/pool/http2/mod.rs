//! Connections that speak HTTP/2: many requests at a time.
//!
//! - this file: which connection of a pool takes the next stream;
//! - [`client`]: one connection as its pool and its streams see it;
//! - [`driver`]: the task that owns the connection's socket;
//! - [`inbox`]: what has come for one stream;
//! - [`stream`]: one stream as the router sees it.

mod client;
mod driver;
mod inbox;
mod stream;

use std::cell::RefCell;
use std::rc::Rc;

use super::{Acquire, ClosedBy, Lease, Pool};
use crate::info::HttpOptions;

pub(super) use client::Reservation;
pub(super) use driver::serve;
pub use stream::{PooledStream, Received, StreamBytes, StreamReset};

use client::{Attached, Client, State};

/// The HTTP/2 connections of a pool.
#[derive(Debug, Default)]
pub(super) struct Http2Connections {
    /// They take streams. The last one became ready last, and is used first: connections are filled one after the other.
    ready: RefCell<Vec<Rc<Client>>>,
    /// They are full, or take no more streams.
    others: RefCell<Vec<Rc<Client>>>,
}

impl Http2Connections {
    fn list(&self, state: State) -> Option<&RefCell<Vec<Rc<Client>>>> {
        match state {
            State::New | State::Closed => None,
            State::Ready => Some(&self.ready),
            State::Busy | State::Draining => Some(&self.others),
        }
    }

    /// Streams in use or promised, and how many more there may be.
    pub(super) fn load(&self) -> (u64, u64) {
        let (mut active, mut unused) = (0, 0);
        for client in self.ready.borrow().iter() {
            active += u64::from(client.in_use());
            unused += u64::from(client.unused());
        }
        for client in self.others.borrow().iter() {
            active += u64::from(client.in_use());
        }
        (active, unused)
    }

    /// Moves a connection from where it was to where it belongs now.
    fn transfer(&self, client: &Rc<Client>, from: State, to: State) {
        let (from, to) = (self.list(from), self.list(to));
        if let (Some(from), Some(to)) = (from, to)
            && std::ptr::eq(from, to)
        {
            return;
        }
        if let Some(list) = from {
            list.borrow_mut().retain(|known| !Rc::ptr_eq(known, client));
        }
        if let Some(list) = to {
            list.borrow_mut().push(client.clone());
        }
    }
}

/// How many streams a new connection will take at once, as far as is known before it is made.
pub(super) fn initial_capacity(options: &HttpOptions) -> u32 {
    let streams = options.h2.max_concurrent_streams;
    streams.min(options.max_requests_per_connection.unwrap_or(u32::MAX))
}

impl Pool {
    #[inline]
    pub(super) fn acquire_http2(self: &Rc<Self>) -> Acquire {
        loop {
            let Some(client) = self.http2.ready.borrow().last().cloned() else {
                return self.queue();
            };
            match client.attach() {
                Attached::Stream(stream) => {
                    self.after_begin();
                    return Acquire::Ready(Lease::Http2(stream));
                }
                Attached::Overflow => return Acquire::Overflow,
                // It is not among the ready ones any more.
                Attached::Unusable => {}
            }
        }
    }

    /// Gives places on connections to those who wait longest.
    fn serve_waiters(self: &Rc<Self>) {
        loop {
            let Some(client) = self.http2.ready.borrow().last().cloned() else {
                break;
            };
            let Some(waiter) = self.waiters.borrow_mut().pop_front() else {
                return;
            };
            waiter.reserve(client.reserve());
        }
        if !self.waiters.borrow().is_empty() {
            self.create_connections();
        }
    }

    /// Closes the connections without streams now, the others when their last stream ends.
    pub(super) fn drain_http2(&self) {
        let clients: Vec<_> = [&self.http2.ready, &self.http2.others]
            .iter()
            .flat_map(|list| list.borrow().clone())
            .collect();
        for client in clients {
            client.drain();
        }
    }
}
