//! Names that are resolved: clusters of type DNS, and resolvers.

use super::cluster::{AGGREGATE, COMPOSITE, DYNAMIC_FORWARD_PROXY};
use super::{Entry, Support::*, message};

const DNS_CLUSTER: &str = "envoy.extensions.clusters.dns.v3.DnsCluster";
const CARES: &str = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";
const GETADDRINFO: &str =
    "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig";
const HICKORY: &str = "envoy.extensions.network.dns_resolver.hickory.v3.HickoryDnsResolverConfig";

/// What `typed_dns_resolver_config` may hold.
pub(super) const RESOLVERS: [&str; 3] = [CARES, GETADDRINFO, HICKORY];

pub(super) const MESSAGES: &[Entry] = &[
    message(
        "envoy.config.cluster.v3.Cluster.CustomClusterType",
        &[
            ("name", Implemented),
            (
                "typed_config",
                Extension(&[DNS_CLUSTER, DYNAMIC_FORWARD_PROXY, AGGREGATE, COMPOSITE]),
            ),
        ],
    ),
    message(
        DNS_CLUSTER,
        &[
            ("dns_refresh_rate", Implemented),
            ("dns_failure_refresh_rate", Implemented),
            ("respect_dns_ttl", Implemented),
            ("dns_jitter", Implemented),
            ("typed_dns_resolver_config", Implemented),
            ("dns_lookup_family", Implemented),
            ("all_addresses_in_single_endpoint", Implemented),
            ("dns_min_refresh_rate", Implemented),
        ],
    ),
    message(
        "envoy.extensions.clusters.dns.v3.DnsCluster.RefreshRate",
        &[
            ("base_interval", Implemented),
            ("max_interval", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.DnsResolutionConfig",
        &[
            ("resolvers", Implemented),
            ("dns_resolver_options", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.DnsResolverOptions",
        &[
            ("use_tcp_for_dns_lookups", Implemented),
            ("no_default_search_domain", Implemented),
        ],
    ),
    message(
        CARES,
        &[
            ("resolvers", Implemented),
            ("use_resolvers_as_fallback", Implemented),
            ("filter_unroutable_families", Implemented),
            ("dns_resolver_options", Implemented),
            ("udp_max_queries", Implemented),
            ("query_timeout_seconds", Implemented),
            ("query_tries", Implemented),
            ("rotate_nameservers", Implemented),
            ("edns0_max_payload_size", Implemented),
            (
                "max_udp_channel_duration",
                Harmless("a socket lives only while answers to come by it are awaited"),
            ),
            (
                "reinit_channel_on_timeout",
                Harmless(
                    "the system's files are read again whenever they have changed, and no socket outlives a timeout",
                ),
            ),
            ("qcache_max_ttl", Implemented),
        ],
    ),
    message(
        HICKORY,
        &[
            ("resolvers", Implemented),
            ("cache_size", Implemented),
            (
                "num_resolver_threads",
                Harmless("names are resolved without threads"),
            ),
            ("use_system_config", Implemented),
            ("query_timeout", Implemented),
            ("query_tries", Implemented),
        ],
    ),
    message(
        GETADDRINFO,
        &[
            ("num_retries", Implemented),
            ("num_resolver_threads", Implemented),
        ],
    ),
];
