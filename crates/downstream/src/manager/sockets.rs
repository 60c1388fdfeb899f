//! The listening sockets of one address, owned by the main thread.

use std::cell::Cell;
use std::rc::Rc;

use nuncio_net::{Address, BindError, ListenSocket};

use crate::spec::ListenAddress;

/// The sockets of one address: one per worker with `SO_REUSEPORT`, else one for all.
///
/// Workers get duplicates, and successive versions of a listener share one of these: while it lives, no
/// connection that waits in a backlog is lost.
pub(super) struct AddressSockets {
    wanted: ListenAddress,
    sockets: Vec<ListenSocket>,
    listening: Cell<bool>,
}

impl AddressSockets {
    /// Binds the sockets of `wanted` for `workers` workers.
    pub(super) fn bind(wanted: &ListenAddress, workers: usize) -> Result<Rc<Self>, BindError> {
        let first = ListenSocket::bind(&wanted.address, &wanted.options)?;
        // The others need the port that the first was given.
        let address = first.address().clone();
        let mut sockets = vec![first];
        if wanted.options.reuse_port {
            for _ in 1..workers {
                sockets.push(ListenSocket::bind(&address, &wanted.options)?);
            }
        }
        Ok(Rc::new(Self {
            wanted: wanted.clone(),
            sockets,
            listening: Cell::new(false),
        }))
    }

    /// Whether these are the sockets that `wanted` asks for.
    pub(super) fn serves(&self, wanted: &ListenAddress) -> bool {
        self.wanted == *wanted
    }

    /// Where they are bound, with the real port.
    pub(super) fn address(&self) -> &Address {
        self.sockets[0].address()
    }

    /// Opens the backlogs, once.
    pub(super) fn listen(&self) -> Result<(), BindError> {
        if !self.listening.get() {
            self.sockets.iter().try_for_each(ListenSocket::listen)?;
            self.listening.set(true);
        }
        Ok(())
    }

    /// A handle of the socket that `worker` accepts from.
    pub(super) fn for_worker(&self, worker: usize) -> Result<ListenSocket, BindError> {
        let socket = &self.sockets[worker % self.sockets.len()];
        socket.duplicate().map_err(|error| BindError {
            address: self.address().clone(),
            step: "duplicate the socket of".into(),
            error,
        })
    }
}
