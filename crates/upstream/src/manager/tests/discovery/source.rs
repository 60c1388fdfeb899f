//! A source that writes down what it is told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use nuncio_config::ConfigError;
use nuncio_config::api::core::{ConfigSource, config_source::ConfigSourceSpecifier};

use super::*;

/// What a source was told, in order, and to what it is subscribed.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) log: Mutex<Vec<String>>,
    pub(super) live: Arc<Mutex<BTreeSet<String>>>,
    pub(super) carriers: Vec<String>,
    /// Something must come before secondary clusters.
    pub(super) holds: AtomicBool,
}

/// Leaves the list when it is dropped.
struct Live(Arc<Mutex<BTreeSet<String>>>, String);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.lock().unwrap().remove(&self.1);
    }
}

impl Source {
    fn note(&self, what: impl Into<String>) {
        self.log.lock().unwrap().push(what.into());
    }

    pub(super) fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    pub(super) fn live(&self) -> Vec<String> {
        self.live.lock().unwrap().iter().cloned().collect()
    }
}

impl Discovery for Source {
    fn set_up(&self, manager: &ClusterManager) -> Result<(), Vec<ConfigError>> {
        self.note("set up");
        let kind = "envoy.config.core.v3.ApiConfigSource";
        for name in &self.carriers {
            let check = manager.check_primary(name, kind);
            check.map_err(|error| vec![error.within("dynamic_resources.ads_config")])?;
        }
        Ok(())
    }

    fn ads_clusters(&self) -> Vec<String> {
        self.carriers.clone()
    }

    fn start_ads(&self) {
        self.note("ads");
    }

    fn on_primary_ready(&self, manager: &ClusterManager) {
        self.note("primary");
        if !self.holds.load(SeqCst) {
            manager.initialize_secondary();
        }
    }

    fn check_source(&self, source: &ConfigSource) -> Result<(), ConfigError> {
        match source.config_source_specifier {
            Some(ConfigSourceSpecifier::Ads(_)) => Ok(()),
            _ => Err(ConfigError::new("api_config_source", "no such service")),
        }
    }

    fn subscribe(&self, _: &ConfigSource, cluster: &str, service: &str) -> Subscription {
        self.note(format!("eds {cluster}={service}"));
        self.live.lock().unwrap().insert(service.to_owned());
        Box::new(Live(self.live.clone(), service.to_owned()))
    }

    fn start_cds(&self) {
        self.note("cds");
    }
}
