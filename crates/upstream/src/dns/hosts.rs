//! The names of one cluster version, and what they stand for now (Envoy's `DnsClusterImpl`).

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use nuncio_net::Address;
use nuncio_sdk::ClusterId;
use nuncio_stats::Group;
use tokio::task::AbortHandle;

use super::{DnsResolver, LookupFamily, ResolveError, Resolved};
use crate::convert::{DnsOptions, EndpointAddress, EndpointSpec, LocalitySpec};
use crate::host_set::{PriorityOptions, PrioritySet};
use crate::info::ClusterInfo;
use crate::manager::{ClusterManager, HostChange, Place, Removal, build_hosts};
use crate::stats::ClusterStats as S;

/// Endpoints of which some have names. Each name is resolved by a task of its own, which ends with this.
#[derive(Debug)]
pub(crate) struct DnsHosts {
    localities: Vec<LocalitySpec>,
    options: DnsOptions,
    priorities: PriorityOptions,
    serial: u64,
    targets: Vec<Target>,
    tasks: Vec<AbortHandle>,
}

/// One endpoint: a name to resolve, or (as in Envoy) a literal address that stands for itself.
#[derive(Debug)]
struct Target {
    locality: usize,
    endpoint: usize,
    what: EndpointAddress,
    /// What it stood for when that was last known.
    addresses: Vec<Address>,
    /// There was an answer, or a failure.
    answered: bool,
    /// Failures in a row.
    failures: u32,
}

/// What follows an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// Hosts may have changed.
    pub(crate) rebuild: bool,
    /// When to ask again.
    pub(crate) wait: Duration,
}

impl DnsHosts {
    pub(crate) fn new(
        localities: Vec<LocalitySpec>,
        options: DnsOptions,
        priorities: PriorityOptions,
        serial: u64,
    ) -> Self {
        let mut targets = Vec::new();
        for (locality, spec) in localities.iter().enumerate() {
            for (endpoint, spec) in spec.endpoints.iter().enumerate() {
                targets.push(Target {
                    locality,
                    endpoint,
                    what: spec.address.clone(),
                    addresses: Vec::new(),
                    answered: false,
                    failures: 0,
                });
            }
        }
        Self {
            localities,
            options,
            priorities,
            serial,
            targets,
            tasks: Vec::new(),
        }
    }

    /// Tells this version from others of the same cluster.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// Every name was answered once, or failed once: Envoy's condition for a warm cluster.
    pub(crate) fn is_resolved(&self) -> bool {
        self.targets.iter().all(|target| target.answered)
    }

    /// Begins to resolve all names, again and again, on the calling thread's runtime.
    pub(crate) fn start(
        &mut self,
        manager: &Weak<ClusterManager>,
        id: ClusterId,
        resolver: &Arc<dyn DnsResolver>,
        stats: &Arc<Group>,
    ) {
        for (index, target) in self.targets.iter().enumerate() {
            let task = keep_resolving(Question {
                manager: manager.clone(),
                resolver: resolver.clone(),
                stats: Arc::downgrade(stats),
                what: target.what.clone(),
                family: self.options.lookup_family,
                id,
                serial: self.serial,
                target: index,
            });
            self.tasks.push(tokio::spawn(task).abort_handle());
        }
    }

    /// Takes over an answer.
    pub(crate) fn answer(
        &mut self,
        target: usize,
        result: Result<Resolved, ResolveError>,
        info: &ClusterInfo,
    ) -> Next {
        let options = self.options;
        let target = &mut self.targets[target];
        target.answered = true;
        let result = match result {
            // The one host stays when the name has no address: Envoy takes that for a failure.
            Ok(resolved)
                if options.single_host && target.is_name() && resolved.addresses.is_empty() =>
            {
                Err(ResolveError("no address".into()))
            }
            result => result,
        };
        match result {
            Ok(resolved) => {
                info.stats.inc(S::UPDATE_SUCCESS);
                target.failures = 0;
                let wait = options.wait_after(&resolved);
                target.addresses = match &target.what {
                    EndpointAddress::Literal(address) => vec![address.clone()],
                    EndpointAddress::Name(_, port) => {
                        let address = |ip| Address::Ip(SocketAddr::new(ip, *port));
                        resolved.addresses.into_iter().map(address).collect()
                    }
                };
                // Envoy chooses a transport socket for each host that it makes, and makes all anew.
                let hosts = match options.single_host {
                    true => 1,
                    false => target.addresses.len() as u64,
                };
                info.stats.add(S::TOTAL_MATCH_COUNT, hosts);
                Next {
                    rebuild: true,
                    wait,
                }
            }
            Err(error) => {
                log::debug!(
                    "cluster {}: cannot resolve {:?}: {error}",
                    info.name,
                    target.what
                );
                info.stats.inc(S::UPDATE_FAILURE);
                target.failures = target.failures.saturating_add(1);
                Next {
                    rebuild: false,
                    wait: options.wait_after_failures(target.failures),
                }
            }
        }
    }

    /// The hosts as they are known now; those of `before` that still exist stay the same objects.
    pub(crate) fn build(&self, before: &PrioritySet, removal: Removal) -> HostChange {
        let places = |locality: usize, endpoint: usize, spec: &EndpointSpec| {
            let place = |target: &Target| (target.locality, target.endpoint);
            let Ok(at) = self
                .targets
                .binary_search_by_key(&(locality, endpoint), place)
            else {
                return Vec::new();
            };
            let Target {
                what, addresses, ..
            } = &self.targets[at];
            // Envoy names a host after `hostname`, else after what was resolved.
            let hostname: Arc<str> = match what {
                _ if !spec.hostname.is_empty() => spec.hostname.clone(),
                EndpointAddress::Name(name, _) => name.clone(),
                EndpointAddress::Literal(Address::Ip(ip)) => ip.ip().to_string().into(),
                EndpointAddress::Literal(_) => spec.hostname.clone(),
            };
            let place = |address: &Address, additional: &[Address]| Place {
                address: address.clone(),
                additional: (!additional.is_empty()).then(|| additional.into()),
                hostname: hostname.clone(),
            };
            match addresses.split_first() {
                Some((first, others)) if self.options.single_host => vec![place(first, others)],
                // As in Envoy, a name's hosts have none of the endpoint's additional addresses.
                _ => addresses
                    .iter()
                    .map(|address| place(address, &[]))
                    .collect(),
            }
        };
        build_hosts(
            &self.localities,
            self.priorities,
            before,
            places,
            true,
            removal,
        )
    }
}

impl Drop for DnsHosts {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Target {
    fn is_name(&self) -> bool {
        matches!(self.what, EndpointAddress::Name(..))
    }
}

impl DnsOptions {
    /// How long an answer is used: as long as it is good for, if that counts, and the answer says so; and up to `jitter` longer.
    fn wait_after(&self, resolved: &Resolved) -> Duration {
        let ttl = resolved
            .ttl
            .filter(|ttl| self.respect_ttl && !ttl.is_zero());
        let rate = ttl.map_or(self.refresh_rate, |ttl| ttl.max(self.min_refresh_rate));
        rate + jitter(self.jitter)
    }

    /// Without a failure rate of its own the usual rate; otherwise random up to a bound that doubles with each failure
    /// (Envoy's `JitteredExponentialBackOffStrategy`).
    fn wait_after_failures(&self, failures: u32) -> Duration {
        let Some((base, max)) = self.failure_refresh_rate else {
            return self.refresh_rate;
        };
        let bound = base
            .saturating_mul(1 << failures.saturating_sub(1).min(30))
            .min(max);
        jitter(bound).max(Duration::from_millis(1))
    }
}

/// A random time below `bound`.
fn jitter(bound: Duration) -> Duration {
    bound.mul_f64(rand::random::<f64>())
}

/// What a task knows.
struct Question {
    manager: Weak<ClusterManager>,
    resolver: Arc<dyn DnsResolver>,
    stats: Weak<Group>,
    what: EndpointAddress,
    family: LookupFamily,
    id: ClusterId,
    serial: u64,
    target: usize,
}

async fn keep_resolving(question: Question) {
    loop {
        let Some(stats) = question.stats.upgrade() else {
            return;
        };
        stats.inc(S::UPDATE_ATTEMPT);
        drop(stats);
        let result = match &question.what {
            EndpointAddress::Name(name, _) => {
                question.resolver.resolve(name, question.family).await
            }
            EndpointAddress::Literal(_) => Ok(Resolved::default()),
        };
        let Some(manager) = question.manager.upgrade() else {
            return;
        };
        let wait = manager.on_resolved(question.id, question.serial, question.target, result);
        drop(manager);
        let Some(wait) = wait else { return };
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests;
