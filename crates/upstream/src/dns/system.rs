//! The system's resolver (`getaddrinfo`): follows `/etc/hosts` and `/etc/nsswitch.conf`, tells no TTL.

use std::io;

use super::{DnsResolver, LookupFamily, Resolution, ResolveError, Resolved};

/// Asks the system, on a helper thread of the runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl DnsResolver for SystemResolver {
    fn resolve(&self, name: &str, family: LookupFamily) -> Resolution {
        let name = name.to_owned();
        Box::pin(async move {
            match tokio::net::lookup_host((name.as_str(), 0)).await {
                Ok(found) => {
                    let mut addresses = Vec::new();
                    for address in found.map(|address| address.ip()) {
                        // Once per socket type.
                        if !addresses.contains(&address) {
                            addresses.push(address);
                        }
                    }
                    Ok(Resolved {
                        addresses: family.choose(addresses),
                        ttl: None,
                    })
                }
                Err(error) if says_no_such_name(&error) => Ok(Resolved::default()),
                Err(error) => Err(ResolveError(error.to_string())),
            }
        })
    }
}

/// `EAI_NONAME` and `EAI_NODATA` have no kind of their own in Rust's errors, only glibc's or musl's text.
fn says_no_such_name(error: &io::Error) -> bool {
    let text = error.to_string();
    [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
    ]
    .iter()
    .any(|known| text.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_needs_no_network() {
        let found = SystemResolver
            .resolve("localhost", LookupFamily::All)
            .await
            .unwrap();
        assert!(
            found.addresses.iter().all(|address| address.is_loopback()),
            "{found:?}"
        );
        assert!(!found.addresses.is_empty());
    }
}
