//! Names that become hosts: `STRICT_DNS` and `LOGICAL_DNS` clusters, and the resolvers that know them. Runs on the main thread.
//!
//! Who needs names resolved finds [`Resolvers`] among the server's services.

mod cares;
mod family;
mod getaddrinfo;
mod hickory;
mod hosts;
mod resolvers;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

pub use cares::{CaresOptions, CaresResolver, DEFAULT_PAYLOAD, ServersUse, message};
pub use family::LookupFamily;
pub use getaddrinfo::{GetAddrInfo, GetAddrInfoOptions};
pub use hickory::{HickoryOptions, HickoryResolver};
pub(crate) use hosts::DnsHosts;
pub use resolvers::{ResolverConfig, Resolvers};

pub use crate::convert::{bootstrap_resolver, resolver_config};

/// What a name stands for (Envoy's `ResolutionStatus::Completed`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Addresses of the family that was asked for, each once, in the resolver's order. None: the name exists without
    /// addresses, or does not exist.
    pub addresses: Vec<IpAddr>,
    /// How long the answer is good for: the least TTL of its records. `None`: the resolver does not know, or there is no record.
    pub ttl: Option<Duration>,
}

/// The resolver could not tell (Envoy's `ResolutionStatus::Failure`): no server answered in time, or one refused to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveError(pub String);

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ResolveError {}

/// The answer to come; dropping it cancels the question. It must be polled on the runtime that asked.
pub type Resolution = Pin<Box<dyn Future<Output = Result<Resolved, ResolveError>> + Send>>;

/// Resolves names; shared by all who have the same `typed_dns_resolver_config`.
pub trait DnsResolver: Send + Sync {
    /// Begins to resolve `name`, which is no literal address, to addresses of `family`. The resolver bounds the time that this
    /// takes.
    fn resolve(&self, name: &str, family: LookupFamily) -> Resolution;
}
