//! `envoy.network.dns_resolver.getaddrinfo`: the system's resolver, which follows `/etc/nsswitch.conf` and tells no TTL.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{DnsResolver, LookupFamily, Resolution, ResolveError, Resolved};

/// `GetAddrInfoDnsResolverConfig`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GetAddrInfoOptions {
    /// `num_retries`: how often the system is asked again that wants to be (`EAI_AGAIN`); without limit unless told.
    pub retries: Option<u32>,
    /// `num_resolver_threads`: how many names are looked up at once.
    pub threads: u32,
}

impl Default for GetAddrInfoOptions {
    fn default() -> Self {
        Self {
            retries: None,
            threads: 1,
        }
    }
}

/// Asks the system, on helper threads of the runtime.
#[derive(Clone, Debug)]
pub struct GetAddrInfo {
    retries: Option<u32>,
    threads: Arc<Semaphore>,
}

impl GetAddrInfo {
    /// A resolver.
    pub fn new(options: GetAddrInfoOptions) -> Self {
        let threads = (options.threads as usize).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            retries: options.retries,
            threads: Arc::new(Semaphore::new(threads)),
        }
    }
}

impl DnsResolver for GetAddrInfo {
    fn resolve(&self, name: &str, family: LookupFamily) -> Resolution {
        let (name, this) = (name.to_owned(), self.clone());
        Box::pin(async move {
            let mut left = this.retries;
            loop {
                // Never closed.
                let thread = this.threads.acquire().await;
                let found = tokio::net::lookup_host((name.as_str(), 0)).await;
                drop(thread);
                let error = match found {
                    Ok(found) => {
                        let mut addresses = Vec::new();
                        for address in found.map(|address| address.ip()) {
                            // Once per socket type.
                            if !addresses.contains(&address) {
                                addresses.push(address);
                            }
                        }
                        return Ok(Resolved {
                            addresses: family.choose(addresses),
                            ttl: None,
                        });
                    }
                    Err(error) => error,
                };
                if says(&error, &NO_SUCH_NAME) {
                    return Ok(Resolved::default());
                }
                if !says(&error, &AGAIN) || left == Some(0) {
                    return Err(ResolveError(error.to_string()));
                }
                left = left.map(|left| left - 1);
                tokio::time::sleep(PAUSE).await;
            }
        })
    }
}

/// `EAI_NONAME` and `EAI_NODATA`, which have no kind of their own in Rust's errors, only glibc's or musl's text.
const NO_SUCH_NAME: [&str; 3] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
];
/// `EAI_AGAIN`
const AGAIN: [&str; 2] = ["Temporary failure in name resolution", "Try again"];

/// Before the system is asked again.
const PAUSE: Duration = Duration::from_millis(50);

fn says(error: &io::Error, texts: &[&str]) -> bool {
    let error = error.to_string();
    texts.iter().any(|text| error.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_needs_no_network() {
        let resolver = GetAddrInfo::new(GetAddrInfoOptions::default());
        let found = resolver.resolve("localhost", LookupFamily::All).await;
        let found = found.unwrap();
        assert!(
            found.addresses.iter().all(|address| address.is_loopback()),
            "{found:?}"
        );
        assert!(!found.addresses.is_empty());
    }
}
