//! What a factory may use while it builds an extension from its configuration.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, RwLock};

use nuncio_stats::Store;

use crate::cluster::ClusterNames;
use crate::registry::Extensions;
use crate::runtime::Runtime;

/// Who this proxy is (`Node` of the bootstrap, completed by the command line).
#[derive(Clone, Debug, Default)]
pub struct LocalInfo {
    /// `--service-node` / `node.id`.
    pub node_id: String,
    /// `--service-cluster` / `node.cluster`.
    pub cluster: String,
    /// `node.locality.region`.
    pub region: String,
    /// `--service-zone` / `node.locality.zone`.
    pub zone: String,
    /// `node.locality.sub_zone`.
    pub sub_zone: String,
    /// The first non-loopback address of this machine, or loopback when there is none, as Envoy uses it for a
    /// loopback peer in `x-forwarded-for`.
    pub address: Option<std::net::IpAddr>,
}

/// Process-wide services that live in crates above this one (cluster manager, access-log manager …), found by type.
#[derive(Default)]
pub struct Services(RwLock<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Services {
    /// Offers a service. A second one of the same type replaces the first.
    pub fn insert<T: Any + Send + Sync>(&self, service: Arc<T>) {
        let mut map = self
            .0
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        map.insert(TypeId::of::<T>(), service);
    }

    /// The service of this type.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let map = self
            .0
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        map.get(&TypeId::of::<T>())?.clone().downcast::<T>().ok()
    }
}

/// Whether this proxy is to fail its health checks (`/healthcheck/fail` of the admin interface): a service. While it
/// does, responses close their connections, so that clients go elsewhere.
#[derive(Debug, Default)]
pub struct HealthState(AtomicBool);

impl HealthState {
    /// Whether health checks are to fail.
    pub fn is_failing(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Lets health checks fail, or succeed again.
    pub fn set_failing(&self, failing: bool) {
        self.0.store(failing, Relaxed);
    }
}

/// What belongs to the whole server.
pub struct ServerContext {
    /// All stats.
    pub stats: Arc<Store>,
    /// All extensions.
    pub extensions: Extensions,
    /// Who this proxy is.
    pub local_info: LocalInfo,
    /// Names of clusters.
    pub cluster_names: ClusterNames,
    /// Number of workers.
    pub concurrency: usize,
    /// Services of higher crates.
    pub services: Services,
}

impl ServerContext {
    /// The runtime: a service, which the server installs first of all; without one no key has a value.
    pub fn runtime(&self) -> Arc<Runtime> {
        self.services.get().unwrap_or_default()
    }

    /// The service of this type, which the server installs before it builds what needs it.
    ///
    /// # Panics
    /// When start-up order is broken: a factory ran before the service existed.
    pub fn service<T: Any + Send + Sync>(&self) -> Arc<T> {
        self.services.get::<T>().unwrap_or_else(|| {
            panic!(
                "start-up order: {} is not installed yet",
                std::any::type_name::<T>()
            )
        })
    }
}

/// What a factory gets beside its configuration.
#[derive(Clone, Copy)]
pub struct FactoryContext<'a> {
    /// The server.
    pub server: &'a Arc<ServerContext>,
    /// Stat prefix of the enclosing object, with its final dot (`http.ingress.`); empty at the top.
    pub stat_prefix: &'a str,
    /// Name given to this extension in the configuration (`HttpFilter.name`).
    pub name: &'a str,
}

impl<'a> FactoryContext<'a> {
    /// The same context for an extension with another name.
    pub fn named(self, name: &'a str) -> FactoryContext<'a> {
        FactoryContext { name, ..self }
    }
}
