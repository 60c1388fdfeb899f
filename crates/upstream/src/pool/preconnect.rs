//! Connections that are made before a request waits for them (`preconnect_policy`).

use std::ops::AddAssign;
use std::rc::Rc;

use super::Pool;
use crate::host::Health;
use crate::info::UpstreamProtocol;

/// What the connections of a pool, or of all pools of a cluster, have to do (Envoy's `ClusterConnectivityState`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Requests in line.
    pending: u64,
    /// Requests that have a connection.
    active: u64,
    /// Requests that could have one at once, or once it is made.
    capacity: u64,
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        self.pending += other.pending;
        self.active += other.active;
        self.capacity += other.capacity;
    }
}

impl Load {
    /// Whether another connection is wanted for `ratio` streams per stream that there is; `expected`: those that are about to
    /// begin (Envoy's `shouldConnect`).
    pub(crate) fn wants_connection(self, ratio: f32, expected: u64) -> bool {
        let wanted = (self.pending + self.active + expected) as f32 * ratio;
        wanted > (self.capacity + self.active) as f32
    }
}

impl Pool {
    /// What its connections have to do. Looks at each HTTP/2 connection.
    pub(crate) fn load(&self) -> Load {
        let connecting = self.connecting_capacity.get();
        let (active, unused) = match self.protocol {
            UpstreamProtocol::Http1 | UpstreamProtocol::Tcp => {
                let idle = self.http1.idle.borrow().len() as u64;
                let made = (self.connections.get() as u64).saturating_sub(connecting);
                (made.saturating_sub(idle), idle)
            }
            UpstreamProtocol::Http2 => self.http2.load(),
        };
        Load {
            pending: self.waiters.borrow().len() as u64,
            active,
            capacity: connecting + unused,
        }
    }

    /// A request has begun: connections for those to come are made.
    #[inline]
    pub(super) fn after_begin(self: &Rc<Self>) {
        if self.preconnect.get() > 1.0 {
            self.create_connections();
        }
    }

    /// Whether a connection is wanted that nobody waits for. A host that fails is left alone, as in Envoy.
    pub(super) fn wants_spare_connection(&self) -> bool {
        let ratio = self.preconnect.get();
        ratio > 1.0 && self.may_preconnect() && self.load().wants_connection(ratio, 0)
    }

    fn may_preconnect(&self) -> bool {
        !self.draining.get() && self.host.health() == Health::Healthy
    }

    /// Makes a connection for a request that is expected here, if `ratio` asks for one. Whether it did.
    pub(crate) fn preconnect(self: &Rc<Self>, ratio: f32) -> bool {
        let wanted = self.may_preconnect() && self.load().wants_connection(ratio, 1);
        if !wanted || !self.come_to_life() {
            return false;
        }
        let made = self.create_connection();
        self.retire_if_unused();
        made
    }
}
