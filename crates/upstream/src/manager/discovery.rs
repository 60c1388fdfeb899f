//! What start-up and clusters need of whoever discovers (xDS), and when it is told what (Envoy's order): static clusters, ADS,
//! static clusters whose endpoints are discovered, CDS.

use std::any::Any;
use std::fmt;

use nuncio_config::ConfigError;
use nuncio_config::api::cluster::Cluster;
use nuncio_config::api::core::{ConfigSource, config_source::ConfigSourceSpecifier};
use nuncio_config::api::endpoint::ClusterLoadAssignment;
use nuncio_sdk::ClusterId;
use std::sync::Arc;

use super::eds::Feed;
use super::{ClusterManager, State};

/// A subscription; dropping it ends it. It may be dropped while the manager is at work, so its end must not call the manager.
pub type Subscription = Box<dyn Any + Send>;

/// Whoever discovers. The manager calls it on the main thread, without a lock held: it may call the manager at once.
pub trait Discovery: fmt::Debug + Send + Sync {
    /// All static clusters are loaded but those whose endpoints are discovered. Here is checked, for example, whether ADS can be
    /// asked ([`ClusterManager::check_primary`]).
    ///
    /// # Errors
    /// Everything that is wrong, with complete paths.
    fn set_up(&self, manager: &ClusterManager) -> Result<(), Vec<ConfigError>> {
        let _ = manager;
        Ok(())
    }

    /// The clusters by which ADS is asked.
    fn ads_clusters(&self) -> Vec<String> {
        Vec::new()
    }

    /// ADS may be asked: one of its clusters is ready, or it has none.
    fn start_ads(&self);

    /// All primary clusters are ready. Start-up goes on with [`ClusterManager::initialize_secondary`], which is to be called when
    /// nothing else must come before (RTDS in Envoy): now, or later.
    fn on_primary_ready(&self, manager: &ClusterManager) {
        manager.initialize_secondary();
    }

    /// Whether endpoints can be discovered from this source.
    ///
    /// # Errors
    /// What is wrong with it, with paths relative to it.
    fn check_source(&self, source: &ConfigSource) -> Result<(), ConfigError>;

    /// Subscribes to the assignment `service_name` for a cluster. Answers go to
    /// [`ClusterManager::add_or_update_assignment`]; that none will come soon, to
    /// [`ClusterManager::assignment_failed`].
    fn subscribe(&self, source: &ConfigSource, cluster: &str, service_name: &str) -> Subscription;

    /// All static clusters are ready: CDS may be asked. Its first answer goes to [`ClusterManager::apply_clusters`]; if none
    /// comes, [`ClusterManager::cds_answered`] says so.
    fn start_cds(&self);
}

/// Whether `source` is left to [`Discovery`].
pub(crate) fn is_discovered(source: &ConfigSource) -> bool {
    matches!(
        source.config_source_specifier,
        Some(
            ConfigSourceSpecifier::Ads(_)
                | ConfigSourceSpecifier::ApiConfigSource(_)
                | ConfigSourceSpecifier::Self_(_)
        )
    )
}

/// Whether a cluster is initialized after the primary ones.
pub(super) fn is_secondary(cluster: &Cluster) -> bool {
    let eds = cluster.eds_cluster_config.as_ref();
    let source = eds.and_then(|eds| eds.eds_config.as_ref());
    source.is_some_and(is_discovered)
}

impl ClusterManager {
    /// Whoever discovers; before [`Self::initialize`]. Without, nothing can be discovered but what stands in files.
    pub fn set_discovery(&self, discovery: Arc<dyn Discovery>) {
        // The first one holds: there is one bootstrap.
        let _ = self.parts.discovery.set(discovery);
    }

    pub(super) fn discovery(&self) -> Option<&Arc<dyn Discovery>> {
        self.parts.discovery.get()
    }

    /// Whether `name` may be asked by discovery itself: a static cluster whose endpoints are not discovered.
    ///
    /// # Errors
    /// That it may not, in Envoy's words; `kind` is the message that names it.
    pub fn check_primary(&self, name: &str, kind: &str) -> Result<(), ConfigError> {
        let id = self.server.cluster_names.lookup(name);
        let is_primary = id.is_some_and(|id| {
            let state = self.state();
            let entry = state.clusters.get(&id);
            let version = entry.and_then(|entry| entry.active.as_ref());
            version.is_some_and(|version| {
                !version.info.added_via_api
                    && (version.eds.as_ref()).is_none_or(|eds| !eds.is_discovered())
            })
        });
        match is_primary {
            true => Ok(()),
            false => Err(ConfigError::new(
                "",
                format!(
                    "{kind} must have a statically defined non-EDS cluster: '{name}' does not exist, was added via api, or is an EDS cluster"
                ),
            )),
        }
    }

    /// What [`Discovery::on_primary_ready`] waited for is there: clusters whose endpoints are discovered begin to ask
    /// for them, and CDS comes after.
    pub fn initialize_secondary(&self) {
        let mut state = self.state();
        state.init.start_secondary();
        self.advance(state);
    }

    /// There is no assignment for this cluster yet, and who waits for it waits no longer; its endpoints stay as they are.
    pub fn assignment_failed(&self, cluster: &str) {
        if let Ok((id, serial)) = self.discovered(cluster) {
            self.no_assignment(id, serial);
        }
    }

    /// The assignment of an EDS cluster: its newest version takes it over. Hosts that it had stay the same, with their health
    /// and their connections; the first assignment makes a cluster ready.
    ///
    /// # Errors
    /// Everything that is wrong, with paths relative to the message; the cluster stays as it was, but does not wait any longer
    /// once [`Self::assignment_failed`] is called.
    pub fn add_or_update_assignment(
        &self,
        cluster: &str,
        assignment: ClusterLoadAssignment,
    ) -> Result<(), Vec<ConfigError>> {
        let (id, serial) = self.discovered(cluster)?;
        self.take_assignment(id, serial, Some(assignment))
            .map_err(|refused| refused.0)
    }

    /// The newest version of an EDS cluster.
    fn discovered(&self, cluster: &str) -> Result<(ClusterId, u64), Vec<ConfigError>> {
        let id = self.server.cluster_names.lookup(cluster);
        let found = id.and_then(|id| {
            let state = self.state();
            let newest = state.clusters.get(&id)?.newest()?;
            Some((id, newest.eds.as_ref()?.serial()))
        });
        found.ok_or_else(|| {
            let message = format!("there is no EDS cluster '{cluster}'");
            vec![ConfigError::new("cluster_name", message)]
        })
    }

    /// Clusters that have not asked for their endpoints yet ask now.
    pub(super) fn subscribe_all(&self) {
        let waiting: Vec<_> = {
            let state: &State = &self.state();
            let versions = state.clusters.iter().flat_map(|(id, entry)| {
                let newest = entry.active.iter().chain(entry.warming.as_deref());
                newest.map(|version| (*id, version))
            });
            let eds = versions.filter_map(|(id, version)| {
                let eds = version.eds.as_ref().filter(|eds| eds.is_unsubscribed())?;
                Some((id, eds.serial()))
            });
            eds.collect()
        };
        for (id, serial) in waiting {
            self.subscribe(id, serial);
        }
    }

    /// A version asks for its endpoints.
    pub(super) fn subscribe(&self, id: ClusterId, serial: u64) {
        let asked = self.with_eds(id, serial, |info, eds| {
            let source = eds.source()?.clone();
            Some((source, info.name.clone(), eds.service_name().clone()))
        });
        let (Some(Some((source, name, service))), Some(discovery)) = (asked, self.discovery())
        else {
            return;
        };
        let subscription = discovery.subscribe(&source, &name, &service);
        // Ends here if the version is gone meanwhile.
        self.with_eds(id, serial, |_, eds| {
            if let Feed::Discovered {
                subscription: place,
                ..
            } = eds.feed_mut()
            {
                *place = Some(subscription);
            }
        });
    }
}
