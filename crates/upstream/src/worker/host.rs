//! A host as one worker sees it.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use nuncio_net::Address;
use nuncio_sdk::UpstreamHost;

use crate::breaker::Priority;
use crate::host::{HealthFlags, Host};
use crate::info::{ClusterInfo, UpstreamProtocol};
use crate::pool::Pool;

/// One host and this worker's pools to it.
pub struct WorkerHost {
    host: Arc<Host>,
    /// Its failure has been seen.
    failed: Cell<bool>,
    /// By priority, then by protocol.
    pools: [[OnceCell<Rc<Pool>>; UpstreamProtocol::COUNT]; 2],
}

impl fmt::Debug for WorkerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerHost")
            .field("address", self.host.address())
            .finish_non_exhaustive()
    }
}

impl WorkerHost {
    pub(super) fn new(host: Arc<Host>) -> Self {
        Self {
            failed: Cell::new(has_failed(&host)),
            host,
            pools: Default::default(),
        }
    }

    /// Whether the host has failed, or was ejected, since this was asked last.
    pub(super) fn fails_now(&self) -> bool {
        let fails = has_failed(&self.host);
        !self.failed.replace(fails) && fails
    }

    /// The host as all threads share it.
    #[inline]
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    #[inline]
    pub(super) fn pool(
        &self,
        priority: Priority,
        protocol: UpstreamProtocol,
        make: impl FnOnce() -> Pool,
    ) -> &Rc<Pool> {
        self.pools[priority.index()][protocol.index()].get_or_init(|| Rc::new(make()))
    }

    pub(super) fn set_info(&self, info: &Arc<ClusterInfo>) {
        self.each_pool(|pool| pool.set_info(info));
    }

    pub(crate) fn drain(&self) {
        self.each_pool(Pool::drain);
    }

    fn each_pool(&self, call: impl Fn(&Rc<Pool>)) {
        let pools = self.pools.as_flattened().iter();
        pools.filter_map(OnceCell::get).for_each(call);
    }
}

impl UpstreamHost for WorkerHost {
    fn address(&self) -> &Address {
        self.host.address()
    }

    fn hostname(&self) -> &str {
        self.host.hostname()
    }
}

fn has_failed(host: &Host) -> bool {
    let failed = HealthFlags::FAILED_OUTLIER_CHECK.with(HealthFlags::FAILED_ACTIVE_HC);
    host.health_flags().intersects(failed)
}
