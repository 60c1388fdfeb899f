//! What follows an answer of the resolver.

use std::time::Duration;

use nuncio_sdk::ClusterId;

use super::ClusterManager;
use super::merge::Update;
use crate::dns::{ResolveError, Resolved};
use crate::stats::ClusterStats as S;

impl ClusterManager {
    /// An answer of the resolver for name number `target` of a version. Returns when to ask again; `None` when the version
    /// is gone.
    pub(crate) fn on_resolved(
        &self,
        id: ClusterId,
        serial: u64,
        target: usize,
        result: Result<Resolved, ResolveError>,
    ) -> Option<Duration> {
        let mut state = self.state();
        let entry = state.clusters.get_mut(&id)?;
        let (version, in_warming) = entry.version_mut(|version| {
            let dns = version.dns.as_ref();
            dns.is_some_and(|dns| dns.serial() == serial)
        })?;
        let mut dns = version.dns.take()?;
        let was_resolved = dns.is_resolved();
        let next = dns.answer(target, result, &version.info);
        let before = version.hosts.clone();
        let mut changed = false;
        if let Some(change) = next
            .rebuild
            .then(|| dns.build(&version.hosts, version.info.removal))
        {
            changed = version.set_hosts(change);
        }
        if next.rebuild && !changed {
            version.info.stats.inc(S::UPDATE_NO_REBUILD);
        }
        let was_ready = was_resolved && version.is_ready();
        version.dns = Some(dns);
        if changed {
            self.follow_hosts(version, &before);
        }
        let is_ready = version.is_ready();
        if changed && !in_warming {
            version.show_membership();
        }
        if in_warming {
            if is_ready {
                self.activate(&mut state, id);
                if let Some(entry) = state.clusters.get_mut(&id) {
                    self.count(entry);
                }
            }
        } else if is_ready && (changed || !was_ready) {
            match was_ready {
                true => self.show_update(&mut state, id, Update::Discovery, None),
                false => self.show(&state, id),
            }
        }
        if is_ready {
            state.init.remove(id);
        }
        self.advance(state);
        Some(next.wait)
    }
}
