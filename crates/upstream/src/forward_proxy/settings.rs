//! `DnsCacheConfig`, checked.

use std::time::Duration;

use nuncio_config::api::core::socket_address::PortSpecifier;
use nuncio_config::api::dns_cache::{DnsCacheCircuitBreakers, DnsCacheConfig};
use nuncio_config::{ConfigError, Within, convert as value};

use crate::convert::{Errors, failure_refresh_rate, lookup_family};
use crate::dns::LookupFamily;

/// How a cache resolves and what it keeps.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(super) name: String,
    pub(super) family: LookupFamily,
    /// `dns_refresh_rate`: the wait after an answer of which nobody knows how long it is good for.
    pub(super) refresh_rate: Duration,
    /// `dns_min_refresh_rate`: the shortest wait after other answers.
    pub(super) min_refresh_rate: Duration,
    /// First and longest wait after a failure; `refresh_rate` unless told.
    pub(super) failure_refresh_rate: Option<(Duration, Duration)>,
    /// `host_ttl`: a host that was not used for so long goes when it would be resolved again.
    pub(super) host_ttl: Duration,
    pub(super) max_hosts: usize,
    /// `disable_dns_refresh_on_failure`: a name without addresses is forgotten at once.
    pub(super) forget_failures: bool,
    /// `dns_cache_circuit_breaker.max_pending_requests`
    pub(super) max_pending: u32,
    /// `dns_query_timeout`
    pub(super) query_timeout: Duration,
    /// `preresolve_hostnames`, with their ports.
    pub(super) preresolve: Vec<(String, u16)>,
}

impl Settings {
    pub(crate) fn new(config: &DnsCacheConfig, errors: &mut Errors) -> Self {
        let DnsCacheConfig {
            name,
            dns_lookup_family,
            dns_refresh_rate,
            dns_min_refresh_rate,
            host_ttl,
            max_hosts,
            disable_dns_refresh_on_failure,
            dns_failure_refresh_rate,
            dns_cache_circuit_breaker,
            preresolve_hostnames,
            dns_query_timeout,
            // Refused by the support table.
            ..
        } = config;
        let mut duration = |message: &Option<_>, field: &str, default: Duration| {
            let read = value::opt_duration(message.as_ref()).within(field);
            errors.take(read).flatten().unwrap_or(default)
        };
        let refresh_rate = duration(
            dns_refresh_rate,
            "dns_refresh_rate",
            Duration::from_secs(60),
        );
        let min_refresh_rate = duration(
            dns_min_refresh_rate,
            "dns_min_refresh_rate",
            Duration::from_secs(5),
        );
        let host_ttl = duration(host_ttl, "host_ttl", Duration::from_secs(5 * 60));
        let query_timeout = duration(
            dns_query_timeout,
            "dns_query_timeout",
            Duration::from_secs(5),
        );
        let failure_refresh_rate = dns_failure_refresh_rate.as_ref().and_then(|rate| {
            errors.nested("dns_failure_refresh_rate", |errors| {
                self::failure_refresh_rate(*rate, errors)
            })
        });
        let max_pending = dns_cache_circuit_breaker.as_ref().and_then(|breaker| {
            let DnsCacheCircuitBreakers {
                max_pending_requests,
            } = breaker;
            max_pending_requests.as_ref()
        });
        let mut preresolve = Vec::new();
        for (index, address) in preresolve_hostnames.iter().enumerate() {
            match address.port_specifier {
                Some(PortSpecifier::PortValue(port)) if port <= u32::from(u16::MAX) => {
                    preresolve.push((address.address.clone(), port as u16));
                }
                _ => errors.push(ConfigError::new(
                    format!("preresolve_hostnames[{index}].port_value"),
                    "a port from 0 to 65535 is needed",
                )),
            }
        }
        let family = lookup_family(*dns_lookup_family, errors);
        Self {
            name: name.clone(),
            family,
            refresh_rate,
            min_refresh_rate,
            failure_refresh_rate,
            host_ttl,
            max_hosts: value::u32_or(max_hosts.as_ref(), 1024) as usize,
            forget_failures: *disable_dns_refresh_on_failure,
            max_pending: value::u32_or(max_pending, 1024),
            query_timeout,
            preresolve,
        }
    }
}
