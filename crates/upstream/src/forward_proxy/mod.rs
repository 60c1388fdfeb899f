//! The dynamic forward proxy: clusters whose hosts requests name, and the DNS caches in which their names are resolved.
//!
//! A [`DnsCache`] belongs to all who name it: HTTP filters, which let a request wait until its host is known, and clusters,
//! which get a host for each name that has an address. It lives as long as one of them does.

mod authority;
mod cache;
mod entry;
mod settings;
mod sub_clusters;
mod view;

pub(crate) use authority::host_key;
pub use authority::split_port;
pub use cache::{DnsCache, Load, PendingPermit, Waiting};
pub use entry::Known;
pub(crate) use settings::Settings;
pub use sub_clusters::SubClusters;
pub(crate) use sub_clusters::{New, SubCluster, SubClusterSettings, cluster_name};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nuncio_config::ConfigError;
use nuncio_config::api::dns_cache::DnsCacheConfig;
use nuncio_event::Dispatchers;
use nuncio_stats::Store;

use crate::convert::Errors;
use crate::dns::DnsResolver;

/// All DNS caches, by name.
#[derive(Default)]
pub(crate) struct DnsCaches(Mutex<HashMap<String, (DnsCacheConfig, Weak<DnsCache>)>>);

impl DnsCaches {
    /// The cache of this configuration, made now if nobody has it.
    ///
    /// # Errors
    /// What is wrong with the configuration, or that the cache of this name has another one.
    pub(crate) fn get(
        &self,
        config: &DnsCacheConfig,
        stats: &Store,
        workers: &Dispatchers,
        resolver: Option<&Arc<dyn DnsResolver>>,
    ) -> Result<Arc<DnsCache>, Vec<ConfigError>> {
        let mut caches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, cache)) = caches.get(&config.name)
            && let Some(cache) = cache.upgrade()
        {
            if known == config {
                return Ok(cache);
            }
            let text = format!(
                "config specified DNS cache '{}' with different settings",
                config.name
            );
            return Err(vec![ConfigError::new("name", text)]);
        }
        let mut errors = Errors::default();
        let settings = Settings::new(config, &mut errors);
        errors.finish()?;
        let cache = DnsCache::new(settings, stats, workers, resolver.cloned());
        caches.insert(
            config.name.clone(),
            (config.clone(), Arc::downgrade(&cache)),
        );
        Ok(cache)
    }
}
