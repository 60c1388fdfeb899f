//! Adding, replacing and removing clusters: what the bootstrap does once, and CDS again and again.

use bytes::Bytes;
use nuncio_config::api::cluster::Cluster;
use nuncio_config::{ConfigError, decode_cluster, encode_cluster};
use nuncio_sdk::ClusterId;

use super::build::{Made, connection_hash};
use super::version::Version;
use super::{ClusterManager, Entry, InitPhase, InitStage, Origin, State};
use crate::convert;
use crate::stats::{ManagerStats, ThreadManagerStats};

impl ClusterManager {
    /// Adds a cluster, or replaces the one of this name; the old version serves until the new one is ready. Returns whether
    /// anything was to be done: an unchanged cluster is left alone, and so is a static one by discovery, as in Envoy.
    ///
    /// # Errors
    /// Everything that is wrong, with paths relative to the cluster.
    pub fn add_or_update_cluster(
        &self,
        cluster: Cluster,
        origin: Origin<'_>,
    ) -> Result<bool, Vec<ConfigError>> {
        if self.is_unchanged(&cluster, origin) {
            return Ok(false);
        }
        let config = encode_cluster(&cluster).into();
        self.add_cluster(cluster, config, origin)?;
        Ok(true)
    }

    /// The same for a cluster that is new or different; `config` is its encoding.
    pub(super) fn add_cluster(
        &self,
        cluster: Cluster,
        config: Bytes,
        origin: Origin<'_>,
    ) -> Result<(), Vec<ConfigError>> {
        let connection_hash = connection_hash(&cluster);
        let mut spec = convert::compile(cluster, &self.parts)?;
        let forward_proxy = match spec.forward_proxy.take() {
            None => None,
            Some((policy, config)) => {
                let path = "cluster_type.typed_config.dns_cache_config";
                let cache = self.dns_cache(&config).map_err(|errors| {
                    let within = errors.into_iter().map(|error| error.within(path));
                    within.collect::<Vec<_>>()
                })?;
                Some((policy, cache))
            }
        };
        let names = &self.server.cluster_names;
        // The name of a sub cluster stays one that will be given back.
        let id = names.lookup(&spec.name);
        let id = id.unwrap_or_else(|| names.intern(&spec.name));
        let serial = {
            let mut state = self.state();
            state.serial += 1;
            state.serial
        };
        if spec.eds.is_some() {
            self.check_node().map_err(|error| vec![error])?;
        }
        // Validation reads no file.
        let watched = spec.eds.as_ref().filter(|_| self.resolvers.is_some());
        let watch = watched
            .and_then(|source| source.file())
            .map(|file| self.watch_eds(file, id, serial))
            .transpose()
            .map_err(|error| vec![error])?;
        let mut state = self.state();
        let entry = state.clusters.entry(id).or_default();
        let version = self.make_version(
            entry,
            spec,
            Made {
                id,
                config,
                connection_hash,
                origin,
                serial,
                watch,
                forward_proxy,
            },
        );
        let reads_file = version.eds.as_ref().is_some_and(|eds| !eds.is_discovered());
        let phase = match &version.eds {
            Some(eds) if eds.is_discovered() => InitPhase::Secondary,
            _ => InitPhase::Primary,
        };
        let (is_ready, wait) = (version.is_ready(), version.wait_for_warm);
        let is_new = entry.active.is_none();
        if is_new && state.init.stage() != InitStage::Done {
            // Part of start-up: counts as active, and is shown to workers when it is ready.
            let entry = state.clusters.entry(id).or_default();
            version.show_membership();
            entry.active = Some(version);
            self.stats.inc(ManagerStats::CLUSTER_ADDED);
            if is_ready || !wait {
                self.show(&state, id);
            } else {
                state.init.add(id, phase);
            }
        } else {
            self.stats.inc(if is_new {
                ManagerStats::CLUSTER_ADDED
            } else {
                ManagerStats::CLUSTER_MODIFIED
            });
            let entry = state.clusters.entry(id).or_default();
            entry.warming = Some(Box::new(version));
            if is_ready {
                self.activate(&mut state, id);
            }
        }
        if let Some(entry) = state.clusters.get_mut(&id) {
            self.count(entry);
        }
        let may_ask = phase == InitPhase::Secondary && state.init.secondary_has_started();
        self.advance(state);
        if reads_file {
            self.read_assignment(id, serial);
        } else if may_ask {
            self.subscribe(id, serial);
        }
        Ok(())
    }

    /// Removes a cluster that discovery has added. Returns whether there was one.
    pub fn remove_cluster(&self, name: &str) -> bool {
        self.remove_if(name, Version::is_discovered)
    }

    /// Removes a cluster if its newest version is of a kind.
    pub(super) fn remove_if(&self, name: &str, is_it: impl FnOnce(&Version) -> bool) -> bool {
        let Some(id) = self.server.cluster_names.lookup(name) else {
            return false;
        };
        let mut state = self.state();
        let newest = state.clusters.get(&id).and_then(|entry| entry.newest());
        if !newest.is_some_and(is_it) {
            return false;
        }
        let Some(mut removed) = state.clusters.remove(&id) else {
            return false;
        };
        let versions = (removed.active.take(), removed.warming.take());
        self.count(&mut removed);
        state.init.remove(id);
        self.stats.inc(ManagerStats::CLUSTER_REMOVED);
        self.tell(id, None, None);
        self.advance(state);
        // Dropped without the lock: hosts, stats and resolutions end here.
        drop(versions);
        true
    }

    /// Whether the newest version was made of the same configuration, or may not be changed.
    pub(super) fn is_unchanged(&self, cluster: &Cluster, origin: Origin<'_>) -> bool {
        let Some(id) = self.server.cluster_names.lookup(&cluster.name) else {
            return false;
        };
        let config = {
            let state = self.state();
            let Some(newest) = state.clusters.get(&id).and_then(|entry| entry.newest()) else {
                return false;
            };
            if origin != Origin::Static && !newest.info.added_via_api {
                log::debug!(
                    "static cluster {} is not changed by discovery",
                    cluster.name
                );
                return true;
            }
            newest.config.clone()
        };
        // Compared as messages: maps have no fixed order on the wire.
        decode_cluster(&config).is_ok_and(|old| old == *cluster)
    }

    /// The warming version takes the place of the active one.
    pub(super) fn activate(&self, state: &mut State, id: ClusterId) {
        let Some(entry) = state.clusters.get_mut(&id) else {
            return;
        };
        let Some(version) = entry.warming.take() else {
            return;
        };
        self.limit(&version.info);
        version.show_membership();
        entry.active = Some(*version);
        // The version that start-up waited for may never have been ready.
        state.init.remove(id);
        self.show(state, id);
    }

    /// Counts a cluster in `active_clusters` and `warming_clusters` as it is now.
    pub(super) fn count(&self, entry: &mut Entry) {
        let now = (entry.active.is_some(), entry.warming.is_some());
        let before = std::mem::replace(&mut entry.counted, now);
        let (all, main) = (&self.stats, &self.main_stats);
        for (stats, gauge, was, is) in [
            (all, ManagerStats::ACTIVE_CLUSTERS, before.0, now.0),
            (all, ManagerStats::WARMING_CLUSTERS, before.1, now.1),
            (main, ThreadManagerStats::CLUSTERS_INFLATED, before.0, now.0),
        ] {
            match (was, is) {
                (false, true) => stats.gauge_add(gauge, 1),
                (true, false) => stats.gauge_sub(gauge, 1),
                _ => {}
            }
        }
    }
}
