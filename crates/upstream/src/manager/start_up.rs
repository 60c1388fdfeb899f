//! Bringing up the bootstrap's clusters, in the order that [`Init`](super::init::Init) keeps.

use std::sync::MutexGuard;

use nuncio_config::api::cluster::Cluster;
use nuncio_config::api::core::BindConfig;
use nuncio_config::{ConfigError, StaticCluster};

use super::discovery::is_secondary;
use super::init::{Plan, Step};
use super::{ClusterManager, InitStage, Origin, State};
use crate::convert::BootstrapBind;

impl ClusterManager {
    /// Names the cluster to which this proxy belongs itself (`cluster_manager.local_cluster_name`); before
    /// [`Self::initialize`], which finds it missing if it is.
    pub fn set_local_cluster(&self, name: &str) {
        self.shared.set_local_cluster(name);
    }

    /// `cluster_manager.upstream_bind_config`, for clusters without one of their own; before [`Self::initialize`].
    ///
    /// # Errors
    /// Everything that is wrong, with complete paths.
    pub fn set_bind_config(&self, message: BindConfig) -> Result<(), Vec<ConfigError>> {
        let bind = BootstrapBind::new(message).map_err(|errors| {
            let path = "cluster_manager.upstream_bind_config";
            let errors = errors.into_iter().map(|error| error.within(path));
            errors.collect::<Vec<_>>()
        })?;
        // The first one holds: there is one bootstrap.
        let _ = self.parts.bind.set(bind);
        Ok(())
    }

    /// Adds the bootstrap's clusters and begins to bring them up: first those that discovery may need itself, then the
    /// others. They are taken one at a time, for decoded ones are large. `cds`: there is a CDS whose first answer
    /// start-up waits for.
    ///
    /// # Errors
    /// Everything that is wrong, with complete paths. Nothing of a wrong cluster is added.
    pub fn initialize(
        &self,
        clusters: impl IntoIterator<Item: Into<StaticCluster>> + Clone,
        cds: bool,
    ) -> Result<(), Vec<ConfigError>> {
        let mut errors = Vec::new();
        let discovery = self.discovery();
        match discovery {
            None => self.load(clusters, |_| true, &mut errors),
            Some(discovery) => {
                let mut others = false;
                let is_primary = |cluster: &Cluster| {
                    let waits = is_secondary(cluster);
                    others |= waits;
                    !waits
                };
                self.load(clusters.clone(), is_primary, &mut errors);
                errors.extend(discovery.set_up(self).err().unwrap_or_default());
                // Mostly there are none, and all would be decoded again.
                if others {
                    self.load(clusters, is_secondary, &mut errors);
                }
            }
        }
        if let Some(id) = self.shared.local_cluster()
            && errors.is_empty()
            && !self.state().clusters.contains_key(&id)
        {
            let name = self.server.cluster_names.name(id).unwrap_or_default();
            errors.push(ConfigError::new(
                "cluster_manager.local_cluster_name",
                format!("local cluster '{name}' must be defined"),
            ));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let names = &self.server.cluster_names;
        let plan = Plan {
            cds,
            asks_before_secondary: discovery.is_some(),
            ads: discovery.map(|discovery| {
                let carriers = discovery.ads_clusters().into_iter();
                carriers.filter_map(|name| names.lookup(&name)).collect()
            }),
        };
        let mut state = self.state();
        state.init.static_clusters_loaded(plan);
        self.advance(state);
        Ok(())
    }

    fn load(
        &self,
        clusters: impl IntoIterator<Item: Into<StaticCluster>>,
        mut which: impl FnMut(&Cluster) -> bool,
        errors: &mut Vec<ConfigError>,
    ) {
        let clusters = clusters.into_iter().map(Into::into);
        for StaticCluster {
            index,
            cluster,
            wire,
        } in clusters.filter(|it: &StaticCluster| which(&it.cluster))
        {
            let path = format!("static_resources.clusters[{index}]");
            let duplicate = self.has_cluster(&cluster.name);
            let name = cluster.name.clone();
            let result = if duplicate {
                Err(vec![ConfigError::new(
                    "name",
                    format!("cluster manager: duplicate cluster '{}'", cluster.name),
                )])
            } else {
                self.add_cluster(cluster, wire, Origin::Static)
            };
            if let Err(found) = result {
                errors.extend(found.into_iter().map(|error| error.within(&path)));
                if !duplicate {
                    // So that its name is known: who refers to it has made no mistake.
                    let stand_in = Cluster {
                        name,
                        ..Cluster::default()
                    };
                    let _ = self.add_or_update_cluster(stand_in, Origin::Static);
                }
            }
        }
    }

    /// The first answer of CDS was applied, or waiting for it is over.
    pub fn cds_answered(&self) {
        let mut state = self.state();
        state.init.cds_answered();
        self.advance(state);
    }

    /// Calls `call` when all clusters that start-up waits for are up; at once if they are.
    pub fn on_initialized(&self, call: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        if state.init.stage() == InitStage::Done {
            drop(state);
            call();
        } else {
            state.waiting.push(Box::new(call));
        }
    }

    /// Waits for the same.
    pub async fn initialized(&self) {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // The receiver is gone when nobody waits any more.
        self.on_initialized(move || _ = sender.send(()));
        // An error is the manager's end.
        let _ = receiver.await;
    }

    /// How far initialization has come.
    pub fn init_stage(&self) -> InitStage {
        self.state().init.stage()
    }

    /// Goes on with initialization. What is to be done on the way is done without the lock.
    pub(super) fn advance<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        while let Some(step) = state.init.advance() {
            drop(state);
            self.take(step);
            state = self.state();
        }
    }

    fn take(&self, step: Step) {
        match (step, self.discovery()) {
            (Step::StartAds, Some(discovery)) => discovery.start_ads(),
            (Step::TellPrimaryReady, Some(discovery)) => discovery.on_primary_ready(self),
            (Step::StartSecondary, Some(_)) => {
                log::info!("cm init: initializing secondary clusters");
                self.subscribe_all();
            }
            (Step::StartCds, Some(discovery)) => {
                log::info!("cm init: initializing cds");
                discovery.start_cds();
            }
            (Step::Finish, _) => {
                let waiting = std::mem::take(&mut self.state().waiting);
                log::info!("cm init: all clusters initialized");
                for call in waiting {
                    call();
                }
            }
            // Nothing is discovered.
            _ => {}
        }
    }
}
