//! Dynamic forward proxy clusters: a request goes to the host that its `:authority` names, once the cluster's DNS cache has an
//! address for it.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use hashbrown::HashMap;
use nuncio_net::Address;
use nuncio_sdk::FilterState;
use nuncio_sdk::filter_state::{DYNAMIC_HOST, TextObject};
use nuncio_stats::Group;

use super::{LbContext, LbEnv, LbPolicy, LoadBalancer, NoHost};
use crate::forward_proxy::{DnsCache, Known, Load, host_key};
use crate::host::{Host, HostConfig};
use crate::host_set::{Derived, PrioritySet};
use crate::random::Random;

/// The port of a host that is named without one. There is no TLS yet, for which it would be 443.
pub(crate) const DEFAULT_PORT: u16 = 80;

/// A host as a request names it.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    /// With or without a port.
    pub(crate) authority: &'a str,
    /// The port if it is without.
    pub(crate) port: u16,
}

impl<'a> Named<'a> {
    /// By what the host is known.
    pub(crate) fn key(self) -> Cow<'a, str> {
        host_key(self.authority, self.port)
    }
}

/// The host that a request names, or a filter for it. Of a request without any it is left behind why it gets no host.
pub(crate) fn named_by<'a>(cx: &LbContext<'a>) -> Option<Named<'a>> {
    let of_filters = cx.filter_state;
    let host = of_filters.and_then(|state| state.get_as::<TextObject>(DYNAMIC_HOST));
    let authority = match host {
        Some(TextObject(host)) => host,
        None => std::str::from_utf8(cx.request_headers?.authority().unwrap_or_default()).ok()?,
    };
    if authority.is_empty() {
        cx.leave(|| NoHost::Because("empty_host_header".into()));
        return None;
    }
    let port = of_filters.and_then(FilterState::dynamic_port);
    Some(Named {
        authority,
        port: port.unwrap_or(DEFAULT_PORT),
    })
}

/// Hosts by name and port.
type ByName = HashMap<Arc<str>, Arc<Host>>;

/// The balancer of one version of a cluster, with its hosts as the DNS cache has told them.
pub struct ForwardProxy {
    /// Written by the main thread.
    hosts: Mutex<ByName>,
    /// Tells the cluster manager that they have changed.
    notify: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Where names are resolved.
    cache: OnceLock<Weak<DnsCache>>,
}

impl ForwardProxy {
    /// A cluster without hosts.
    pub(crate) fn new() -> Self {
        Self {
            hosts: Mutex::default(),
            notify: OnceLock::new(),
            cache: OnceLock::new(),
        }
    }

    /// The cache that tells the hosts.
    pub(crate) fn set_cache(&self, cache: &Arc<DnsCache>) {
        // Set once, when the version is made.
        let _ = self.cache.set(Arc::downgrade(cache));
    }

    /// Asks the cache for a host that it has not told; what comes of it.
    fn ask(&self, named: Named<'_>) -> NoHost {
        let because = |text: &str| NoHost::Because(text.into());
        let Some(cache) = self.cache.get().and_then(Weak::upgrade) else {
            return because("");
        };
        let Some(permit) = cache.take_pending() else {
            return because("dns_cache_pending_requests_overflow");
        };
        match cache.load(named.authority, named.port) {
            Load::Known(known) => NoHost::Because(failure(&known)),
            Load::Overflow => because("dns_cache_overflow"),
            Load::Loading(waiting) => NoHost::Later(Box::pin(async move {
                let known = waiting.known().await;
                drop(permit);
                known.map_or_else(Arc::default, |known| failure(&known))
            })),
        }
    }

    /// What is called when hosts have changed.
    pub(crate) fn on_change(&self, notify: impl Fn() + Send + Sync + 'static) {
        // Set once, when the version is made.
        let _ = self.notify.set(Box::new(notify));
    }

    /// All hosts.
    pub(crate) fn all(&self) -> Vec<Arc<Host>> {
        self.hosts().values().cloned().collect()
    }

    /// The host of this name is at this address from now on.
    pub(crate) fn set(&self, key: &str, address: &Address) {
        let host = HostConfig::unconfigured(address.clone(), key.into());
        let host = Arc::new(Host::new(host));
        self.hosts().insert(key.into(), host);
        self.changed();
    }

    pub(crate) fn remove(&self, key: &str) {
        self.hosts().remove(key);
        self.changed();
    }

    /// Whether a request has gone to this host since this was asked last.
    pub(crate) fn take_used(&self, key: &str) -> bool {
        self.find(key).is_some_and(|host| host.take_used())
    }

    fn find(&self, key: &str) -> Option<Arc<Host>> {
        self.hosts().get(key).cloned()
    }

    fn changed(&self) {
        if let Some(notify) = self.notify.get() {
            notify();
        }
    }

    fn hosts(&self) -> MutexGuard<'_, ByName> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a host that is known has no address.
fn failure(known: &Known) -> Arc<str> {
    format!("dns_resolution_failure{{{}}}", known.details).into()
}

impl fmt::Debug for ForwardProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardProxy").finish_non_exhaustive()
    }
}

impl LbPolicy for ForwardProxy {
    fn name(&self) -> &'static str {
        "envoy.load_balancing_policies.cluster_provided"
    }

    fn build(self: Arc<Self>, _: &Random) -> Box<dyn LoadBalancer> {
        Box::new(Balancer {
            policy: self,
            early: Vec::new(),
        })
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        // Each version has hosts of its own.
        let other = (other as &dyn Any).downcast_ref::<Self>();
        other.is_some_and(|other| std::ptr::eq(self, other))
    }

    fn derive(&self, hosts: &PrioritySet, _: Option<&Derived>, _: &Arc<Group>) -> Option<Derived> {
        Some(Arc::new(by_name(hosts)))
    }
}

fn by_name(hosts: &PrioritySet) -> ByName {
    let named = |host: &Arc<Host>| (Arc::from(host.hostname()), host.clone());
    hosts.hosts().map(named).collect()
}

struct Balancer {
    policy: Arc<ForwardProxy>,
    /// Hosts that a request needed before this worker was told of them.
    early: Vec<Arc<Host>>,
}

impl LoadBalancer for Balancer {
    fn choose<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        cx: &LbContext<'_>,
        _: &LbEnv,
    ) -> Option<Cow<'a, Arc<Host>>> {
        let named = named_by(cx)?;
        let key = named.key();
        let derived = hosts.derived_or(|| Arc::new(by_name(hosts)));
        if let Some(host) = derived.downcast_ref::<ByName>()?.get(&*key) {
            host.set_used();
            return Some(Cow::Borrowed(host));
        }
        let known = self.early.iter().find(|host| host.hostname() == key);
        let host = match known {
            Some(host) => host.clone(),
            None => {
                let Some(host) = self.policy.find(&key) else {
                    cx.leave(|| self.policy.ask(named));
                    return None;
                };
                self.early.push(host.clone());
                host
            }
        };
        host.set_used();
        Some(Cow::Owned(host))
    }

    fn on_hosts(&mut self, hosts: &Arc<PrioritySet>) {
        if !self.early.is_empty() {
            let shown = by_name(hosts);
            let policy = &self.policy;
            self.early.retain(|host| {
                !shown.contains_key(host.hostname()) && policy.find(host.hostname()).is_some()
            });
        }
    }

    fn keeps(&self, host: &Arc<Host>) -> bool {
        self.early.iter().any(|early| Arc::ptr_eq(early, host))
    }
}

#[cfg(test)]
mod tests;
