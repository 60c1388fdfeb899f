//! One host of a DNS cache.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use nuncio_net::Address;
use tokio::sync::watch;

use super::authority::Authority;

/// What is known of a host whose name was resolved once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its address; once it has one, failures do not take it away.
    pub address: Option<Address>,
    /// Why it has none, or what the last answer was: for `%RESPONSE_CODE_DETAILS%`.
    pub details: Arc<str>,
}

/// A host, from the request that asked for it first until nobody uses it any more.
pub(super) struct Entry {
    /// The name to resolve.
    pub(super) name: Box<str>,
    pub(super) port: u16,
    /// A request has asked for it since this was looked at last.
    used: AtomicBool,
    /// Failures in a row.
    pub(super) failures: AtomicU32,
    known: watch::Sender<Option<Known>>,
}

impl Entry {
    pub(super) fn new(authority: Authority<'_>, default_port: u16) -> Self {
        Self {
            name: authority.host.into(),
            port: authority.port.unwrap_or(default_port),
            used: AtomicBool::new(true),
            failures: AtomicU32::new(0),
            known: watch::Sender::new(None),
        }
    }

    /// The name, if it is an address.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.name.parse().ok()
    }

    pub(super) fn known(&self) -> Option<Known> {
        self.known.borrow().clone()
    }

    /// Tells all who wait.
    pub(super) fn set(&self, known: Known) {
        self.known.send_replace(Some(known));
    }

    pub(super) fn watch(&self) -> watch::Receiver<Option<Known>> {
        self.known.subscribe()
    }

    pub(super) fn touch(&self) {
        if !self.used.load(Relaxed) {
            self.used.store(true, Relaxed);
        }
    }

    pub(super) fn take_used(&self) -> bool {
        self.used.swap(false, Relaxed)
    }
}
