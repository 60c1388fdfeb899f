//! [`Hosts`]: a cluster's hosts on one worker.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::host::WorkerHost;
use crate::host::Host;
use crate::host_set::PrioritySet;
use crate::info::{ClusterInfo, PoolOptions};
use crate::lb::{LbEnv, LoadBalancer};
use crate::manager::Change;
use crate::pool::{Load, Sweeper};

/// What outlives a change of configuration.
pub(super) struct Hosts {
    pub(super) env: LbEnv,
    pub(super) sweeper: Rc<Sweeper>,
    pub(super) state: RefCell<State>,
}

pub(super) struct State {
    pub(super) hosts: Arc<PrioritySet>,
    pub(super) balancer: Box<dyn LoadBalancer>,
    /// Hosts that were chosen, by the address of the shared [`Host`], which the value keeps alive.
    pub(super) chosen: HashMap<*const Host, Rc<WorkerHost>>,
}

/// The host as this worker sees it from now on.
#[inline]
pub(super) fn as_seen_here(
    chosen: &mut HashMap<*const Host, Rc<WorkerHost>>,
    host: Cow<'_, Arc<Host>>,
) -> Rc<WorkerHost> {
    let key = Arc::as_ptr(&host);
    if let Some(known) = chosen.get(&key) {
        return known.clone();
    }
    let new = Rc::new(WorkerHost::new(host.into_owned()));
    chosen.insert(key, new.clone());
    new
}

impl Hosts {
    /// The host whose turn comes after `ahead` others, if that is known.
    pub(super) fn peek(&self, ahead: usize) -> Option<Rc<WorkerHost>> {
        let mut state = self.state.borrow_mut();
        let State {
            hosts,
            balancer,
            chosen,
        } = &mut *state;
        let host = balancer.peek(hosts, ahead, &self.env)?;
        Some(as_seen_here(chosen, Cow::Borrowed(host)))
    }

    /// What all connections have to do.
    pub(super) fn load(&self) -> Load {
        let mut load = Load::default();
        for host in self.state.borrow().chosen.values() {
            host.add_load(&mut load);
        }
        load
    }

    /// Connections to hosts that are gone are drained, and to those that fail now, as in Envoy: other connections may fare
    /// better. The others, and the balancer's cursors, stay.
    pub(super) fn set_hosts(
        &self,
        hosts: &Arc<PrioritySet>,
        options: PoolOptions,
        change: Option<&Change>,
    ) {
        let mut gone = Vec::new();
        let mut state = self.state.borrow_mut();
        if Arc::ptr_eq(&state.hosts, hosts) {
            return;
        }
        let known = change.filter(|change| change.is_since(&state.hosts));
        state.hosts = hosts.clone();
        state.balancer.on_hosts(hosts);
        let State {
            balancer, chosen, ..
        } = &mut *state;
        if let Some(Change {
            gone: left,
            flipped,
            ..
        }) = known
            && !options.drain_on_host_change
        {
            // Of ten thousand hosts one has changed: the others are not looked at.
            let left = left.iter().filter(|host| !balancer.keeps(host));
            gone.extend(left.filter_map(|host| chosen.remove_entry(&Arc::as_ptr(host))));
            for at in flipped.iter().map(Arc::as_ptr) {
                if let Some(host) = chosen.get(&at)
                    && host.fails_now()
                {
                    if options.close_on_health_failure {
                        host.end_tunnels();
                    }
                    gone.extend(chosen.remove_entry(&at));
                }
            }
        } else if !chosen.is_empty() {
            let present: HashSet<*const Host> = hosts.hosts().map(Arc::as_ptr).collect();
            gone.extend(chosen.extract_if(|at, host| {
                let is_gone = !present.contains(at) && !balancer.keeps(host.host());
                let fails = host.fails_now();
                if fails && options.close_on_health_failure {
                    host.end_tunnels();
                }
                is_gone || fails || options.drain_on_host_change
            }));
        }
        drop(state);
        for (_, host) in gone {
            host.drain();
        }
    }

    pub(super) fn set_info(&self, old: &ClusterInfo, new: &Arc<ClusterInfo>) {
        let mut state = self.state.borrow_mut();
        if !old.lb.same_as(&*new.lb) {
            state.balancer = new.lb.clone().build(&self.env.random);
        }
        for host in state.chosen.values() {
            host.set_info(new);
        }
    }

    /// Every host starts with new pools; the old ones are drained.
    pub(super) fn renew_pools(&self) {
        let old = std::mem::take(&mut self.state.borrow_mut().chosen);
        for host in old.values() {
            host.drain();
        }
    }
}
