//! Cluster manager, hosts, balancers, circuit breakers and connection pools.
//!
//! * [`ClusterManager`] lives on the main thread: it compiles clusters, finds their hosts, brings them up in order, and tells
//!   the workers what changes;
//! * [`WorkerClusters`] is what a worker sees: [`WorkerCluster::choose_host`], then [`WorkerCluster::acquire`];
//! * [`ClusterInfo`] and [`PrioritySet`] are immutable and shared by all threads;
//! * [`Host`] and [`Breakers`] hold what all threads must agree on, as atomics.
//!
//! What is absent: no per-worker copy of a cluster that a worker does not use, no lock on the path of a request, nothing that
//! knows of routes or listeners.

mod answers;
mod breaker;
mod convert;
pub mod dns;
pub mod forward_proxy;
mod health;
mod host;
mod host_list;
mod host_set;
mod info;
pub mod lb;
mod load_stats;
mod manager;
mod on_demand;
pub mod orca;
pub mod outlier;
mod pool;
mod random;
pub mod stats;
#[cfg(test)]
mod testing;
mod worker;

pub use answers::AltStats;
pub use breaker::{
    BreakerGauges, Breakers, Priority, Resource, RetryBudget, Taken, Thresholds, WorkerGauges,
};
pub use host::{Health, HealthCheckTarget, HealthFlags, Host, HostConfig, HostStats, Locality};
pub use host_list::HostList;
pub use host_set::{Derived, HostSet, LocalityGroup, LocalityHosts, PriorityOptions, PrioritySet};
pub use info::{
    ClusterInfo, ClusterKind, DEFAULT_IDLE_TIMEOUT, DropOverload, HttpOptions, Percent,
    TrackedStats, UpstreamProtocol,
};
pub use load_stats::{ClusterLoad, Load, LoadStats, LocalityLoad};
pub use manager::{
    AppliedClusters, ClusterManager, ClusterResource, ClusterStatus, ClusterUpdate, ConfigDump,
    Discovery, DumpedCluster, HostStatus, InitPhase, InitStage, Origin, Subscription,
};
pub use pool::{
    Acquire, ClientConnection, ClosedBy, ConnectFailure, FailureKind, Lease, PendingConnection,
    PooledConnection, PooledStream, Received, StreamBytes, StreamReset,
};
pub use random::Random;
pub use worker::{
    BackOff, Chosen, CodeContext, HostCluster, WorkerCluster, WorkerClusters, WorkerHost,
};
