//! [`Resolvers`]: one resolver for each configuration.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use nuncio_stats::Store;

use super::{
    CaresOptions, CaresResolver, DnsResolver, GetAddrInfo, GetAddrInfoOptions, HickoryOptions,
    HickoryResolver,
};
use crate::stats::{CaresStats, HickoryStats};

/// `typed_dns_resolver_config`, or what older fields say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ResolverConfig {
    /// `envoy.network.dns_resolver.cares`
    Cares(CaresOptions),
    /// `envoy.network.dns_resolver.getaddrinfo`
    GetAddrInfo(GetAddrInfoOptions),
    /// `envoy.network.dns_resolver.hickory`
    Hickory(HickoryOptions),
}

impl Default for ResolverConfig {
    /// As in Envoy: asks the system's servers.
    fn default() -> Self {
        Self::Cares(CaresOptions::default())
    }
}

type MakeDefault = Box<dyn FnOnce() -> Arc<dyn DnsResolver> + Send>;

/// All resolvers of the process: the server's own, and those of clusters and caches that want another one.
pub struct Resolvers {
    /// The server's own, made when it is first asked for: as in Envoy, there are no stats of a resolver that nobody needs.
    default: LazyLock<Arc<dyn DnsResolver>, MakeDefault>,
    /// Where they count: all of a kind together.
    stats: Option<Store>,
    made: Mutex<HashMap<ResolverConfig, Weak<dyn DnsResolver>>>,
}

impl Resolvers {
    /// The server's resolver is made by `config` (see [`bootstrap_resolver`](super::bootstrap_resolver)).
    pub fn new(store: &Store, config: &ResolverConfig) -> Self {
        let (config, made_in) = (config.clone(), store.clone());
        Self {
            default: LazyLock::new(Box::new(move || make(&config, &made_in))),
            stats: Some(store.clone()),
            made: Mutex::default(),
        }
    }

    /// Everybody has this resolver.
    #[cfg(test)]
    pub(crate) fn only(resolver: Arc<dyn DnsResolver>) -> Self {
        Self {
            default: LazyLock::new(Box::new(move || resolver)),
            stats: None,
            made: Mutex::default(),
        }
    }

    /// The resolver for this configuration; `None` is the server's. Equal configurations share one as long as it is in use.
    pub fn get(&self, config: Option<&ResolverConfig>) -> Arc<dyn DnsResolver> {
        let (Some(config), Some(stats)) = (config, &self.stats) else {
            return self.default.clone();
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(config).and_then(Weak::upgrade) {
            return known;
        }
        made.retain(|_, resolver| resolver.strong_count() > 0);
        let new = make(config, stats);
        made.insert(config.clone(), Arc::downgrade(&new));
        new
    }
}

fn make(config: &ResolverConfig, stats: &Store) -> Arc<dyn DnsResolver> {
    match config {
        ResolverConfig::Cares(options) => {
            let stats = stats.group("dns.cares", CaresStats::SCHEMA);
            Arc::new(CaresResolver::new(options.clone(), stats))
        }
        ResolverConfig::GetAddrInfo(options) => Arc::new(GetAddrInfo::new(*options)),
        ResolverConfig::Hickory(options) => {
            let stats = stats.group("dns.hickory", HickoryStats::SCHEMA);
            Arc::new(HickoryResolver::new(options.clone(), stats))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_configurations_share_a_resolver() {
        let store = Store::new(1);
        let resolvers = Resolvers::new(&store, &ResolverConfig::default());
        let config = ResolverConfig::GetAddrInfo(GetAddrInfoOptions::default());
        let default = resolvers.get(None);
        let first = resolvers.get(Some(&config));
        assert!(!Arc::ptr_eq(&first, &default));
        assert!(Arc::ptr_eq(&first, &resolvers.get(Some(&config))));
        drop(first);
        resolvers.get(Some(&ResolverConfig::default()));
        assert_eq!(resolvers.made.lock().unwrap().len(), 1);
    }
}
