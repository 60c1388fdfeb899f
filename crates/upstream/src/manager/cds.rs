//! Applying what CDS tells (Envoy's `CdsApiHelper`).

use std::collections::HashSet;

use nuncio_config::api::Any;
use nuncio_config::{ConfigError, any, decode_cluster};

use super::{ClusterManager, Origin};

/// One cluster of an answer.
#[derive(Clone, Copy, Debug)]
pub struct ClusterResource<'a> {
    /// An `envoy.config.cluster.v3.Cluster` that has passed the checks of `nuncio-config`.
    pub resource: &'a Any,
    /// Its version: that of the resource (delta), or of the whole answer.
    pub version: &'a str,
}

/// What is told.
#[derive(Clone, Copy, Debug)]
pub enum ClusterUpdate<'a> {
    /// State of the world: all clusters that there are.
    All(&'a [ClusterResource<'a>]),
    /// Delta: what is different.
    Some {
        /// New, or changed.
        changed: &'a [ClusterResource<'a>],
        /// Names of those that are gone.
        removed: &'a [String],
    },
}

/// What came of an update.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppliedClusters {
    /// Added or changed.
    pub changed: usize,
    /// The same as before.
    pub unchanged: usize,
    /// Removed.
    pub removed: usize,
    /// What is wrong with the others, with paths relative to the answer; those stay as they were.
    pub errors: Vec<ConfigError>,
}

impl ClusterManager {
    /// Applies an answer of CDS: good clusters of it, even when others are wrong, as in Envoy. With the first answer,
    /// start-up goes on as soon as what it adds is ready. Clusters of the bootstrap, and those that the dynamic forward
    /// proxy has made, are left alone.
    pub fn apply_clusters(&self, update: ClusterUpdate<'_>, version_info: &str) -> AppliedClusters {
        let mut applied = AppliedClusters::default();
        let resources = match update {
            ClusterUpdate::All(all) => all,
            ClusterUpdate::Some { changed, .. } => changed,
        };
        let mut named = HashSet::new();
        for (index, resource) in resources.iter().enumerate() {
            let result = any::unpack_by(resource.resource, decode_cluster)
                .map_err(|error| vec![error])
                .and_then(|cluster| {
                    if !named.insert(cluster.name.clone()) {
                        let message = format!("duplicate cluster {} found", cluster.name);
                        return Err(vec![ConfigError::new("name", message)]);
                    }
                    let version_info = resource.version;
                    self.add_or_update_cluster(cluster, Origin::Api { version_info })
                });
            match result {
                Ok(true) => applied.changed += 1,
                Ok(false) => applied.unchanged += 1,
                Err(errors) => {
                    let path = format!("resources[{index}]");
                    let errors = errors.into_iter().map(|error| error.within(&path));
                    applied.errors.extend(errors);
                }
            }
        }
        let removed = match update {
            ClusterUpdate::All(_) => self.discovered_but(&named),
            ClusterUpdate::Some { removed, .. } => removed.to_vec(),
        };
        for name in removed {
            applied.removed += usize::from(self.remove_cluster(&name));
        }
        if applied.changed + applied.removed > 0 {
            self.set_version_info(version_info);
        }
        log::info!(
            "cds: added/updated {} cluster(s) (skipped {} unmodified cluster(s)); removed {} cluster(s)",
            applied.changed,
            applied.unchanged,
            applied.removed
        );
        self.cds_answered();
        applied
    }

    /// Names of the clusters that discovery has added, but for some.
    fn discovered_but(&self, named: &HashSet<String>) -> Vec<String> {
        let state = self.state();
        let newest = state.clusters.values().filter_map(|entry| entry.newest());
        newest
            .filter(|version| version.is_discovered())
            .map(|version| version.info.name.to_string())
            .filter(|name| !named.contains(name))
            .collect()
    }
}
