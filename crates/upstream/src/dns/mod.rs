//! Names that become hosts: `STRICT_DNS` clusters. Runs on the main thread.

mod hosts;
mod system;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

pub(crate) use hosts::DnsHosts;
pub use system::SystemResolver;

/// What a name stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// All addresses, of either family, in the resolver's order. None: the name exists without addresses, or does not exist.
    pub addresses: Vec<IpAddr>,
    /// How long the answer is good for, if the resolver knows.
    pub ttl: Option<Duration>,
}

/// The resolver could not tell: no server answered, or one refused to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveError(pub String);

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ResolveError {}

/// The answer to come.
pub type Resolution = Pin<Box<dyn Future<Output = Result<Resolved, ResolveError>> + Send>>;

/// Resolves names.
pub trait DnsResolver: Send + Sync {
    /// Begins to resolve `name`, which is no literal address.
    fn resolve(&self, name: &str) -> Resolution;
}
