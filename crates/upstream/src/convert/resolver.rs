//! Whom to ask about names: `typed_dns_resolver_config` and the older fields that say the same.

use std::net::SocketAddr;
use std::time::Duration;

use nuncio_config::api::bootstrap::Bootstrap;
use nuncio_config::api::cares_resolver::CaresDnsResolverConfig;
use nuncio_config::api::core::{
    Address as AddressMessage, DnsResolutionConfig, DnsResolverOptions, TypedExtensionConfig,
};
use nuncio_config::api::getaddrinfo_resolver::GetAddrInfoDnsResolverConfig;
use nuncio_config::api::hickory_resolver::HickoryDnsResolverConfig;
use nuncio_config::{ConfigError, Within, any, convert as value};
use nuncio_net::Address;

use super::Errors;
use super::address::{self, Target};
use crate::dns::{
    CaresOptions, DEFAULT_PAYLOAD, GetAddrInfoOptions, HickoryOptions, ResolverConfig, ServersUse,
};

/// The port of DNS.
const PORT: u16 = 53;

/// The fields of a cluster.
pub(super) struct Fields {
    pub(super) typed: Option<TypedExtensionConfig>,
    pub(super) resolution: Option<DnsResolutionConfig>,
    pub(super) resolvers: Vec<AddressMessage>,
    pub(super) tcp: bool,
}

/// The resolver of a cluster; `None`: that of the server, as in Envoy also when only options are given, but no servers.
pub(super) fn of_cluster(fields: Fields, errors: &mut Errors) -> Option<ResolverConfig> {
    let Fields {
        typed,
        resolution,
        resolvers,
        tcp,
    } = fields;
    if let Some(typed) = typed {
        return self::typed(typed, errors);
    }
    let resolution = resolution.filter(|resolution| !resolution.resolvers.is_empty());
    if let Some(message) = resolution {
        let options = errors.nested("dns_resolution_config", |errors| {
            resolution_config(message, errors)
        });
        return Some(ResolverConfig::Cares(options));
    }
    (!resolvers.is_empty()).then(|| {
        ResolverConfig::Cares(CaresOptions {
            servers: servers(resolvers, "dns_resolvers", errors),
            tcp,
            edns: default_payload(tcp, false),
            ..CaresOptions::default()
        })
    })
}

/// The server's resolver (`typed_dns_resolver_config`, `dns_resolution_config`, `use_tcp_for_dns_lookups` of the bootstrap);
/// unless told, the system's servers are asked as c-ares does.
///
/// # Errors
/// Everything that is wrong, with paths in the bootstrap.
pub fn bootstrap_resolver(bootstrap: &Bootstrap) -> Result<ResolverConfig, Vec<ConfigError>> {
    let mut errors = Errors::default();
    let typed = bootstrap.typed_dns_resolver_config.clone();
    #[expect(
        deprecated,
        reason = "deprecated fields are still read, as Envoy reads them"
    )]
    let (resolution, tcp) = (
        bootstrap.dns_resolution_config.clone(),
        bootstrap.use_tcp_for_dns_lookups,
    );
    let config = match (typed, resolution) {
        (Some(message), _) => typed_config(message, &mut errors),
        (None, Some(message)) => Some(ResolverConfig::Cares(
            errors.nested("dns_resolution_config", |errors| {
                resolution_config(message, errors)
            }),
        )),
        (None, None) => Some(ResolverConfig::Cares(CaresOptions {
            tcp,
            edns: default_payload(tcp, false),
            ..CaresOptions::default()
        })),
    };
    errors.finish()?;
    Ok(config.unwrap_or_default())
}

/// A `typed_dns_resolver_config`, wherever it stands.
///
/// # Errors
/// Everything that is wrong, with paths relative to the message.
pub fn resolver_config(message: TypedExtensionConfig) -> Result<ResolverConfig, Vec<ConfigError>> {
    let mut errors = Errors::default();
    let config = read(message, &mut errors);
    errors.finish()?;
    Ok(config.unwrap_or_default())
}

/// The same in a message that has it in the field of this name.
pub(super) fn typed(message: TypedExtensionConfig, errors: &mut Errors) -> Option<ResolverConfig> {
    typed_config(message, errors)
}

fn typed_config(message: TypedExtensionConfig, errors: &mut Errors) -> Option<ResolverConfig> {
    errors.nested("typed_dns_resolver_config", |errors| read(message, errors))
}

fn read(message: TypedExtensionConfig, errors: &mut Errors) -> Option<ResolverConfig> {
    // Envoy finds the resolver by the type of its configuration, whatever the name.
    let TypedExtensionConfig { name, typed_config } = message;
    let config = typed_config.unwrap_or_default();
    errors.nested("typed_config", |errors| {
        if any::is::<CaresDnsResolverConfig>(&config) {
            let message = errors.take(any::unpack(&config))?;
            Some(ResolverConfig::Cares(cares(message, errors)))
        } else if any::is::<GetAddrInfoDnsResolverConfig>(&config) {
            let GetAddrInfoDnsResolverConfig {
                num_retries,
                num_resolver_threads,
            } = errors.take(any::unpack(&config))?;
            Some(ResolverConfig::GetAddrInfo(GetAddrInfoOptions {
                retries: num_retries.map(|retries| retries.value),
                threads: num_resolver_threads.map_or(1, |threads| threads.value.max(1)),
            }))
        } else if any::is::<HickoryDnsResolverConfig>(&config) {
            let message = errors.take(any::unpack(&config))?;
            Some(ResolverConfig::Hickory(hickory(message, errors)))
        } else {
            let wrong = format!(
                "Didn't find a registered implementation for '{name}' with type URL: '{}'",
                any::type_of(&config)
            );
            let remedy = "envoy.network.dns_resolver.cares, envoy.network.dns_resolver.getaddrinfo and envoy.network.dns_resolver.hickory are there";
            errors.push(ConfigError::new("", wrong).with_remedy(remedy));
            None
        }
    })
}

fn cares(message: CaresDnsResolverConfig, errors: &mut Errors) -> CaresOptions {
    let CaresDnsResolverConfig {
        resolvers,
        use_resolvers_as_fallback,
        filter_unroutable_families,
        dns_resolver_options,
        udp_max_queries,
        query_timeout_seconds,
        query_tries,
        rotate_nameservers,
        edns0_max_payload_size,
        // Harmless: a socket lives only while answers to come by it are awaited, and the system's files are read again
        // whenever they change.
        max_udp_channel_duration: _,
        reinit_channel_on_timeout: _,
        qcache_max_ttl,
    } = message;
    let default = CaresOptions::default();
    let (tcp, no_search) = resolver_options(dns_resolver_options);
    CaresOptions {
        servers: servers(resolvers, "resolvers", errors),
        servers_use: match use_resolvers_as_fallback {
            true => ServersUse::Fallback,
            false => ServersUse::Only,
        },
        filter_unroutable_families,
        tcp,
        no_search,
        udp_max_queries: udp_max_queries.map_or(0, |limit| limit.value),
        timeout: query_timeout_seconds.map_or(default.timeout, |seconds| {
            // More than a day is for ever, and nothing overflows.
            Duration::from_secs(seconds.value.clamp(1, 86_400))
        }),
        tries: query_tries.map_or(default.tries, |tries| tries.value.max(1)),
        rotate: rotate_nameservers,
        edns: edns0_max_payload_size.map_or(default_payload(tcp, no_search), |size| {
            Some(size.value.clamp(512, 4096) as u16)
        }),
        cache_max_ttl: Duration::from_secs(qcache_max_ttl.map_or(0, |ttl| ttl.value.into())),
        ..default
    }
}

/// EDNS unless told: c-ares leaves it out when another of its flags is set.
fn default_payload(tcp: bool, no_search: bool) -> Option<u16> {
    (!tcp && !no_search).then_some(DEFAULT_PAYLOAD)
}

fn hickory(message: HickoryDnsResolverConfig, errors: &mut Errors) -> HickoryOptions {
    let HickoryDnsResolverConfig {
        resolvers,
        dns_over_tls,
        dns_over_https,
        enable_dnssec,
        cache_size,
        // Harmless: nothing here needs a thread.
        num_resolver_threads: _,
        use_system_config,
        query_timeout,
        query_tries,
    } = message;
    errors.refuse_if(dns_over_tls.is_some(), "dns_over_tls");
    errors.refuse_if(dns_over_https.is_some(), "dns_over_https");
    errors.refuse_if(enable_dnssec, "enable_dnssec");
    let default = HickoryOptions::default();
    let timeout = value::opt_duration(query_timeout.as_ref()).within("query_timeout");
    HickoryOptions {
        use_system: use_system_config.is_some_and(|wanted| wanted.value) || resolvers.is_empty(),
        servers: servers(resolvers, "resolvers", errors),
        cache_size: cache_size.map_or(default.cache_size, |size| size.value as usize),
        timeout: errors.take(timeout).flatten().unwrap_or(default.timeout),
        tries: query_tries.map_or(default.tries, |tries| tries.value.max(1)),
    }
}

fn resolution_config(message: DnsResolutionConfig, errors: &mut Errors) -> CaresOptions {
    let DnsResolutionConfig {
        resolvers,
        dns_resolver_options,
    } = message;
    let (tcp, no_search) = resolver_options(dns_resolver_options);
    CaresOptions {
        servers: servers(resolvers, "resolvers", errors),
        tcp,
        no_search,
        edns: default_payload(tcp, no_search),
        ..CaresOptions::default()
    }
}

/// `use_tcp_for_dns_lookups`, `no_default_search_domain`
fn resolver_options(message: Option<DnsResolverOptions>) -> (bool, bool) {
    let DnsResolverOptions {
        use_tcp_for_dns_lookups,
        no_default_search_domain,
    } = message.unwrap_or_default();
    (use_tcp_for_dns_lookups, no_default_search_domain)
}

fn servers(messages: Vec<AddressMessage>, field: &str, errors: &mut Errors) -> Vec<SocketAddr> {
    let read = |(index, message)| {
        let path = format!("{field}[{index}]");
        match errors.take(address::address(Some(message), false).within(&path))? {
            Target::Literal(Address::Ip(ip)) => Some(match ip.port() {
                0 => SocketAddr::new(ip.ip(), PORT),
                _ => ip,
            }),
            Target::Literal(_) | Target::Name(..) => {
                errors.push(ConfigError::new(path, "a DNS server has an IP address"));
                None
            }
        }
    };
    messages.into_iter().enumerate().filter_map(read).collect()
}
