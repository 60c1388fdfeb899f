//! Hosts that workers make when a request needs them (`ORIGINAL_DST`), shared by all threads.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hashbrown::HashMap;
use nuncio_net::Address;

use crate::host::{Host, HostConfig};

/// How many hosts a cluster may have. Envoy has no such limit; but where a header says where to go, clients could make
/// the proxy use any amount of memory.
const MAX_HOSTS: usize = 65_536;

/// The hosts of one version of a cluster. A worker that does not know a host looks here (a lock); from then on it has the host
/// itself, and the main thread shows it to all.
pub(crate) struct OnDemandHosts {
    cluster: Box<str>,
    state: Mutex<State>,
    /// Tells the main thread that there are new hosts.
    notify: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct State {
    by_address: HashMap<Address, Arc<Host>>,
    /// Those of which the main thread has not taken notice.
    new: Vec<Arc<Host>>,
}

impl OnDemandHosts {
    pub(crate) fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.into(),
            state: Mutex::default(),
            notify: OnceLock::new(),
        }
    }

    /// What is called when there are new hosts; not again before they were taken.
    pub(crate) fn on_new(&self, notify: impl Fn() + Send + Sync + 'static) {
        // Set once, when the version is made.
        let _ = self.notify.set(Box::new(notify));
    }

    /// The host at this address, made now if need be, and used now. `None` when there are too many.
    pub(crate) fn find_or_make(&self, address: &Address) -> Option<Arc<Host>> {
        let mut state = self.state();
        if let Some(host) = state.by_address.get(address) {
            host.set_used();
            return Some(host.clone());
        }
        if state.by_address.len() >= MAX_HOSTS {
            log::warn!(
                "cluster {} has {MAX_HOSTS} original destinations and takes no more",
                self.cluster
            );
            return None;
        }
        // As Envoy calls it.
        let hostname = format!("{}{address}", self.cluster).into();
        let host = HostConfig::unconfigured(address.clone(), hostname);
        let host = Arc::new(Host::new(host));
        host.set_used();
        state.by_address.insert(address.clone(), host.clone());
        state.new.push(host.clone());
        let is_first = state.new.len() == 1;
        drop(state);
        if is_first && let Some(notify) = self.notify.get() {
            notify();
        }
        Some(host)
    }

    /// What was made since this was called last.
    pub(crate) fn take_new(&self) -> Vec<Arc<Host>> {
        std::mem::take(&mut self.state().new)
    }

    /// Forgets those of `hosts` (all that the main thread knows) that were not used since this was called last and to which no
    /// connection is left; returns the others.
    pub(crate) fn clean_up(&self, hosts: impl Iterator<Item = Arc<Host>>) -> Vec<Arc<Host>> {
        let mut state = self.state();
        let mut kept = Vec::new();
        for host in hosts {
            if host.take_used() || host.is_connected() {
                kept.push(host);
            } else {
                state.by_address.remove(host.address());
            }
        }
        kept
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in between can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for OnDemandHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnDemandHosts")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    fn at(port: u16) -> Address {
        Address::parse_ip("127.0.0.1", port).unwrap()
    }

    #[test]
    fn all_threads_get_the_same_host_and_the_main_thread_is_told_once() {
        let hosts = OnDemandHosts::new("c");
        let told = Arc::new(AtomicUsize::new(0));
        let count = told.clone();
        hosts.on_new(move || _ = count.fetch_add(1, Relaxed));
        let made = hosts.find_or_make(&at(1)).unwrap();
        assert!(Arc::ptr_eq(&made, &hosts.find_or_make(&at(1)).unwrap()));
        hosts.find_or_make(&at(2)).unwrap();
        assert_eq!(made.hostname(), "c127.0.0.1:1");
        assert_eq!(told.load(Relaxed), 1);
        assert_eq!(hosts.take_new().len(), 2);
        hosts.find_or_make(&at(3)).unwrap();
        assert_eq!(told.load(Relaxed), 2);
    }

    #[test]
    fn what_nobody_uses_goes_at_the_second_cleaning() {
        let hosts = OnDemandHosts::new("c");
        let connected = hosts.find_or_make(&at(1)).unwrap();
        connected.stats().cx_active.store(1, Relaxed);
        hosts.find_or_make(&at(2)).unwrap();
        let known = hosts.clean_up(hosts.take_new().into_iter());
        assert_eq!(known.len(), 2);
        let known = hosts.clean_up(known.into_iter());
        assert!(Arc::ptr_eq(&known[0], &connected) && known.len() == 1);
        connected.stats().cx_active.store(0, Relaxed);
        assert!(hosts.clean_up(known.into_iter()).is_empty());
        assert!(!Arc::ptr_eq(
            &connected,
            &hosts.find_or_make(&at(1)).unwrap()
        ));
    }

    #[test]
    fn there_is_a_limit() {
        let hosts = OnDemandHosts::new("c");
        for port in 0..=u16::MAX {
            hosts.find_or_make(&at(port)).unwrap();
        }
        let other = Address::parse_ip("127.0.0.2", 1).unwrap();
        assert!(hosts.find_or_make(&other).is_none());
        assert!(hosts.find_or_make(&at(7)).is_some());
    }
}
