//! From an assignment that EDS tells to hosts, beside those that are there (Envoy's `updateDynamicHostList`).

use std::sync::Arc;

use hashbrown::HashMap;
use nuncio_net::Address;

use super::removal::{self, Removal};
use super::version::{HostChange, Place};
use crate::convert::{EndpointAddress, LocalitySpec};
use crate::host::{HealthFlags, Host};
use crate::host_set::{HostSet, LocalityGroup, PriorityOptions, PrioritySet};

/// What an assignment comes to.
pub(super) struct Assigned {
    pub(super) change: HostChange,
    /// Hosts that are none any more; `None` when that is not known.
    pub(super) gone: Option<Vec<Arc<Host>>>,
    /// How many endpoints there are, each address once.
    pub(super) endpoints: usize,
}

/// A host that was there.
struct Known<'a> {
    host: &'a Arc<Host>,
    priority: usize,
    /// The assignment names its address.
    named: bool,
    /// It stays the same object.
    kept: bool,
}

/// Makes hosts of an assignment. A host is known by its address: those of `before` that are named again stay the same objects,
/// with what is counted of them and their connections, and take over weight, health, priority and metadata. `checked`: there
/// are active health checks. What becomes of the others `removal` says.
pub(super) fn assign(
    localities: &[LocalitySpec],
    options: PriorityOptions,
    before: &PrioritySet,
    checked: bool,
    removal: Removal,
) -> Assigned {
    let mut known: HashMap<&Address, Known<'_>> = HashMap::with_capacity(before.len());
    for (priority, set) in before.sets().iter().enumerate() {
        for host in set.all.iter() {
            known.insert(
                host.address(),
                Known {
                    host,
                    priority,
                    named: false,
                    kept: false,
                },
            );
        }
    }
    let mut fresh: HashMap<&Address, ()> = HashMap::new();
    let (mut touched, mut moved) = (Touched::default(), Touched::default());
    let mut endpoints = 0;
    let mut groups = Vec::with_capacity(localities.len());
    for spec in localities {
        let priority = spec.priority as usize;
        let mut hosts = Vec::with_capacity(spec.endpoints.len());
        for endpoint in &spec.endpoints {
            let EndpointAddress::Literal(address) = &endpoint.address else {
                continue;
            };
            let old = known.get_mut(address);
            // Of several endpoints with one address the first counts, as in Envoy.
            let again = match &old {
                Some(old) => old.named,
                None => fresh.insert(address, ()).is_some(),
            };
            if again {
                continue;
            }
            endpoints += 1;
            let config = Place::literal(address, endpoint).host(spec, endpoint);
            if let Some(old) = old {
                old.named = true;
                if old.host.can_become(&config, checked) {
                    old.kept = true;
                    old.host
                        .clear_health_flags(HealthFlags::PENDING_DYNAMIC_REMOVAL);
                    if old.host.update_in_place(&config) {
                        touched.add(priority);
                    }
                    if old.priority != priority {
                        moved.add(priority);
                        moved.add(old.priority);
                    }
                    hosts.push(old.host.clone());
                    continue;
                }
            }
            moved.add(priority);
            hosts.push(Arc::new(Host::new(config)));
        }
        groups.push(LocalityGroup {
            locality: spec.locality.clone(),
            // Not told is none, which matters where localities share by weight.
            weight: Some(spec.weight.unwrap_or(0)),
            priority: spec.priority,
            hosts,
        });
    }
    let gone = || known.values().filter(|old| !old.kept);
    // Many an assignment names fewer hosts than before by mistake: who passes health checks stays.
    let stays = |old: &Known<'_>| {
        removal == Removal::WhenFailing
            && !old.named
            && !old.host.is_unchecked()
            && !removal::has_failed(old.host)
    };
    for old in gone().filter(|old| !stays(old)) {
        moved.add(old.priority);
    }
    let listed = (removal == Removal::AtOnce).then(|| gone().map(|old| old.host.clone()).collect());
    let staying = gone().filter(|old| stays(old));
    removal::keep_passing(&mut groups, staying.map(|old| old.host));
    touched.add_all(&moved);
    let hosts = PrioritySet::build(&groups, options);
    for (priority, set) in hosts.sets().iter().enumerate() {
        let old = before.sets().get(priority);
        let other_options = before.options() != options && !set.all.is_empty();
        if other_options || !old.is_none_or(|old| has_same_weights(set, old)) {
            touched.add(priority);
        }
    }
    hosts.continue_from(before);
    Assigned {
        gone: listed,
        endpoints,
        change: HostChange {
            hosts: Arc::new(hosts),
            changed: touched.count() > 0,
            membership: moved.count(),
        },
    }
}

fn has_same_weights(new: &HostSet, old: &HostSet) -> bool {
    let weights = |set: &HostSet| -> Vec<_> {
        let localities = set.localities.iter();
        localities.map(|l| (l.locality.clone(), l.weight)).collect()
    };
    new.localities.len() == old.localities.len() && weights(new) == weights(old)
}

/// Priorities in which something is different.
#[derive(Default)]
struct Touched(Vec<bool>);

impl Touched {
    fn add(&mut self, priority: usize) {
        if self.0.len() <= priority {
            self.0.resize(priority + 1, false);
        }
        self.0[priority] = true;
    }

    fn add_all(&mut self, other: &Self) {
        let theirs = other.0.iter().enumerate();
        theirs
            .filter(|(_, touched)| **touched)
            .for_each(|(priority, _)| self.add(priority));
    }

    fn count(&self) -> u64 {
        self.0.iter().filter(|touched| **touched).count() as u64
    }
}
