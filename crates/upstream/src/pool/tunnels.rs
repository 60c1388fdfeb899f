//! Tunnels that end when their host fails (`close_connections_on_host_health_failure`).

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{Shutdown, shutdown};

use super::{ClientConnection, Pool};
use crate::info::UpstreamProtocol;

/// A second handle of the socket of each tunnel of a pool, by connection; none of those that were ended.
#[derive(Debug, Default)]
pub(super) struct Tunnels(RefCell<Vec<(u64, Option<OwnedFd>)>>);

impl Pool {
    /// A request begins on `connection`: if it is a tunnel that may have to end, it is remembered.
    #[inline]
    pub(super) fn remember_tunnel(&self, connection: &ClientConnection) {
        if self.protocol == UpstreamProtocol::Tcp
            && self.info.borrow().pools.close_on_health_failure
            // Without a descriptor left the tunnel goes on.
            && let Ok(socket) = connection.io.stream().as_fd().try_clone_to_owned()
        {
            self.tunnels
                .0
                .borrow_mut()
                .push((connection.id, Some(socket)));
        }
    }

    /// The tunnel is over.
    #[inline]
    pub(super) fn forget_tunnel(&self, id: u64) {
        if self.protocol == UpstreamProtocol::Tcp {
            self.tunnels
                .0
                .borrow_mut()
                .retain(|(known, _)| *known != id);
        }
    }

    /// Ends all tunnels: their users find the connection ended.
    pub(crate) fn end_tunnels(&self) {
        for (_, socket) in &mut *self.tunnels.0.borrow_mut() {
            if let Some(socket) = socket.take() {
                // The peer may have been faster.
                let _ = shutdown(&socket, Shutdown::Both);
            }
        }
    }

    /// Whether [`Self::end_tunnels`] has ended this connection.
    pub(super) fn has_ended_tunnel(&self, id: u64) -> bool {
        let tunnels = self.tunnels.0.borrow();
        let mut tunnels = tunnels.iter();
        tunnels.any(|(known, socket)| *known == id && socket.is_none())
    }
}
