//! The sub clusters of a dynamic forward proxy as one worker knows them: by the host that a request names.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use nuncio_sdk::ClusterId;

use super::cluster::WorkerCluster;
use super::table::Table;
use crate::forward_proxy::{SubCluster, SubClusters, cluster_name, host_key};
use crate::lb::LbContext;
use crate::lb::forward_proxy::named_by;

/// The sub clusters of one cluster.
pub(super) struct ByAuthority {
    policy: Arc<SubClusters>,
    /// By name and port of the host.
    seen: RefCell<HashMap<Box<str>, Arc<SubCluster>>>,
}

/// What there is for a host that a request names.
pub enum HostCluster {
    /// Its cluster is there.
    Ready,
    /// It will be, when this is over.
    Coming(Pin<Box<dyn Future<Output = ()>>>),
    /// There are too many.
    Overflow,
}

impl ByAuthority {
    pub(super) fn new(policy: Arc<SubClusters>) -> Self {
        Self {
            policy,
            seen: RefCell::default(),
        }
    }

    /// Has a cluster made for the host, if there is none.
    pub(super) fn prepare(&self, authority: &str, port: u16, table: &Rc<Table>) -> HostCluster {
        if authority.is_empty() {
            // That there is none is told when a host is chosen.
            return HostCluster::Ready;
        }
        let key = host_key(authority, port);
        let seen = self.seen.borrow().get(&*key).cloned();
        let known = match seen.filter(|known| known.touch()) {
            Some(known) => known,
            None => {
                let Some(known) = self.policy.ask(&key, table.names()) else {
                    return HostCluster::Overflow;
                };
                let mut seen = self.seen.borrow_mut();
                seen.retain(|_, known| !known.is_gone());
                seen.insert(key.as_ref().into(), known.clone());
                known
            }
        };
        match table.get(known.id) {
            Some(_) => HostCluster::Ready,
            None => HostCluster::Coming(Box::pin(table.appearance(known.id))),
        }
    }

    /// The cluster of the host that the request names, if it is there.
    pub(super) fn find(&self, cx: &LbContext<'_>, table: &Rc<Table>) -> Option<Rc<WorkerCluster>> {
        let key = named_by(cx)?.key();
        // The number of one that is gone may be another's by now.
        let seen = self.seen.borrow();
        let seen = seen.get(&*key).filter(|known| !known.is_gone());
        let seen = seen.map(|known| known.id);
        table.get(seen.or_else(|| unseen(&key, table))?)
    }
}

/// A route may have given the request another host than the one that was prepared.
#[cold]
fn unseen(key: &str, table: &Rc<Table>) -> Option<ClusterId> {
    table.names().lookup(&cluster_name(key))
}
