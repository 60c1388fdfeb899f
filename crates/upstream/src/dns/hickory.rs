//! `envoy.network.dns_resolver.hickory`: our own resolver, asking and answering as hickory-resolver does for Envoy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nuncio_stats::{CounterSlot, Group};

use super::cares::message::RecordType;
use super::cares::{Asker, CaresOptions, Failure, Outcome, Pending, ServersUse};
use super::{DnsResolver, LookupFamily, Resolution, ResolveError, Resolved};
use crate::stats::HickoryStats as S;

/// No answer is kept for longer; what the hosts file says is good for as long.
const DAY: Duration = Duration::from_secs(86_400);

/// `HickoryDnsResolverConfig`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HickoryOptions {
    /// `resolvers`
    pub servers: Vec<SocketAddr>,
    /// `use_system_config`: the system's servers are asked first; so they are without any others.
    pub use_system: bool,
    /// `cache_size`: how many answers are used again until their TTLs end; 0 is none.
    pub cache_size: usize,
    /// `query_timeout`: how long a try waits.
    pub timeout: Duration,
    /// `query_tries`: how often each server is asked.
    pub tries: u32,
}

impl Default for HickoryOptions {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            use_system: true,
            cache_size: 1024,
            timeout: Duration::from_secs(5),
            tries: 3,
        }
    }
}

/// Asks DNS servers. Holds no socket, and no memory but the answers that may be used again, while nothing is asked.
#[derive(Clone, Debug)]
pub struct HickoryResolver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    asker: Asker,
    /// `dns.hickory.*`
    stats: Arc<Group>,
}

impl HickoryResolver {
    /// A resolver that counts in `stats`.
    pub fn new(options: HickoryOptions, stats: Arc<Group>) -> Self {
        let HickoryOptions {
            servers,
            use_system,
            cache_size,
            timeout,
            tries,
        } = options;
        let asker = Asker::new(CaresOptions {
            servers,
            servers_use: match use_system {
                true => ServersUse::Beside,
                false => ServersUse::Only,
            },
            // Search domains are the system's, too.
            no_search: !use_system,
            timeout,
            backs_off: false,
            tries,
            cache_max_ttl: DAY,
            cache_size,
            ..CaresOptions::default()
        });
        Self(Arc::new(Inner { asker, stats }))
    }
}

impl DnsResolver for HickoryResolver {
    fn resolve(&self, name: &str, family: LookupFamily) -> Resolution {
        let (inner, name) = (self.0.clone(), name.to_owned());
        Box::pin(async move {
            let result = {
                let _pending = Pending::new(&inner.stats, S::PENDING_RESOLUTIONS);
                inner.resolve(&name, family).await
            };
            inner.stats.inc(S::RESOLVE_TOTAL);
            result.map_err(|(text, counter)| {
                inner.stats.inc(counter);
                ResolveError(text)
            })
        })
    }
}

impl Inner {
    /// The addresses; or what went wrong, and the counter of that.
    async fn resolve(
        &self,
        name: &str,
        family: LookupFamily,
    ) -> Result<Resolved, (String, CounterSlot)> {
        let lookup = async |kind, wanted: bool| match wanted {
            true => Some(self.asker.lookup(name, kind, None).await),
            false => None,
        };
        // Whatever is preferred, all addresses are told, IPv4 first.
        let (v4, v6) = tokio::join!(
            lookup(RecordType::A, family != LookupFamily::V6Only),
            lookup(RecordType::Aaaa, family != LookupFamily::V4Only),
        );
        let mut found = Resolved::default();
        let (mut failures, mut counter) = (Vec::new(), S::GET_ADDR_FAILURE);
        for (kind, outcome) in [("A", v4), ("AAAA", v6)] {
            let text = match outcome {
                None => continue,
                Some(Outcome::Found(addresses, ttl)) => {
                    let ttl = ttl.unwrap_or(DAY);
                    found.ttl = Some(found.ttl.map_or(ttl, |least| least.min(ttl)));
                    found.addresses.extend(addresses);
                    continue;
                }
                Some(Outcome::Nothing) => {
                    counter = S::NOT_FOUND;
                    format!(
                        "DNS error: no records found for Query {{ name: Name(\"{}.\"), query_type: {kind}, query_class: IN }}",
                        name.strip_suffix('.').unwrap_or(name)
                    )
                }
                Some(Outcome::Failed(failure)) => {
                    if failure == Failure::Timeout && counter != S::NOT_FOUND {
                        counter = S::TIMEOUTS;
                    }
                    match failure {
                        Failure::Timeout => "request timed out",
                        Failure::Refused => "DNS error: error response: Server Failure",
                        Failure::BadName => "proto error: bad name",
                    }
                    .to_owned()
                }
            };
            failures.push(format!("{kind} lookup failed: {text}"));
        }
        match found.addresses.is_empty() {
            true => Err((failures.join("; "), counter)),
            false => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests;
