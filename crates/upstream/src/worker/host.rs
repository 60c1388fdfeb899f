//! A host as one worker sees it.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use hashbrown::HashMap;
use nuncio_net::Address;
use nuncio_sdk::metadata::DynamicMetadata;
use nuncio_sdk::{ConnectionInfo, UpstreamHost};

use crate::breaker::Priority;
use crate::host::{HealthFlags, Host};
use crate::info::{ClusterInfo, UpstreamProtocol};
use crate::pool::{Load, Pool};

/// One host and this worker's pools to it.
pub struct WorkerHost {
    host: Arc<Host>,
    /// Its failure has been seen.
    failed: Cell<bool>,
    pools: Pools,
    /// `connection_pool_per_downstream_connection`
    own: RefCell<OwnPools>,
}

/// Pools by priority, then by protocol.
#[derive(Default)]
struct Pools([[OnceCell<Rc<Pool>>; UpstreamProtocol::COUNT]; 2]);

impl Pools {
    #[inline]
    fn get(
        &self,
        priority: Priority,
        protocol: UpstreamProtocol,
        make: impl FnOnce() -> Pool,
    ) -> &Rc<Pool> {
        self.0[priority.index()][protocol.index()].get_or_init(|| Rc::new(make()))
    }

    fn iter(&self) -> impl Iterator<Item = &Rc<Pool>> {
        let pools = self.0.as_flattened().iter();
        pools.filter_map(OnceCell::get)
    }
}

/// The pools of downstream connections that have some of their own.
#[derive(Default)]
struct OwnPools(HashMap<u64, (Weak<ConnectionInfo>, Pools)>);

impl OwnPools {
    fn of(&mut self, owner: &Rc<ConnectionInfo>) -> &Pools {
        if !self.0.contains_key(&owner.id) {
            // Those whose owners are gone serve nobody any more. In Envoy they stay until they idle out.
            let gone = self.0.extract_if(|_, (owner, _)| owner.strong_count() == 0);
            for (_, (_, pools)) in gone {
                pools.iter().for_each(Pool::drain);
            }
        }
        let (_, pools) = self
            .0
            .entry(owner.id)
            .or_insert_with(|| (Rc::downgrade(owner), Pools::default()));
        pools
    }
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
            pools: Pools::default(),
            own: RefCell::default(),
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
        self.pools.get(priority, protocol, make)
    }

    /// The pool that serves nobody but `owner`.
    pub(super) fn own_pool(
        &self,
        owner: &Rc<ConnectionInfo>,
        priority: Priority,
        protocol: UpstreamProtocol,
        make: impl FnOnce() -> Pool,
    ) -> Rc<Pool> {
        let mut own = self.own.borrow_mut();
        own.of(owner).get(priority, protocol, make).clone()
    }

    /// What all pools have to do.
    pub(super) fn add_load(&self, load: &mut Load) {
        self.each_pool(|pool| *load += pool.load());
    }

    /// The host fails: tunnels to it end.
    pub(super) fn end_tunnels(&self) {
        self.each_pool(|pool| pool.end_tunnels());
    }

    pub(super) fn set_info(&self, info: &Arc<ClusterInfo>) {
        self.each_pool(|pool| pool.set_info(info));
    }

    pub(crate) fn drain(&self) {
        self.each_pool(Pool::drain);
    }

    fn each_pool(&self, mut call: impl FnMut(&Rc<Pool>)) {
        self.pools.iter().for_each(&mut call);
        for (_, pools) in self.own.borrow().0.values() {
            pools.iter().for_each(&mut call);
        }
    }
}

impl UpstreamHost for WorkerHost {
    fn address(&self) -> &Address {
        self.host.address()
    }

    fn hostname(&self) -> &str {
        self.host.hostname()
    }

    fn metadata(&self) -> Option<Arc<DynamicMetadata>> {
        self.host.metadata()
    }
}

fn has_failed(host: &Host) -> bool {
    let failed = HealthFlags::FAILED_OUTLIER_CHECK.with(HealthFlags::FAILED_ACTIVE_HC);
    host.health_flags().intersects(failed)
}
