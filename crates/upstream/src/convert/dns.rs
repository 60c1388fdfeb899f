//! DNS options of clusters, by their own fields or by `DnsCluster`.

use std::time::Duration;

use nuncio_config::api::cluster::cluster::{DnsLookupFamily, RefreshRate};
use nuncio_config::api::dns_cluster::{DnsCluster, dns_cluster};
use nuncio_config::api::{dns_common, protobuf};
use nuncio_config::{ConfigError, Within, convert as value};

use super::Errors;
use super::resolver;
use crate::dns::{LookupFamily, ResolverConfig};

/// What a DNS cluster does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsSpec {
    pub(crate) options: DnsOptions,
    /// Whom to ask; the server's resolver unless told.
    pub(crate) resolver: Option<ResolverConfig>,
}

/// How often and what is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DnsOptions {
    /// `dns_refresh_rate`, 5 s unless told.
    pub(crate) refresh_rate: Duration,
    /// `dns_failure_refresh_rate`: first and longest wait after a failure; the refresh rate unless told.
    pub(crate) failure_refresh_rate: Option<(Duration, Duration)>,
    /// `dns_jitter`: a random addition to each wait is below this.
    pub(crate) jitter: Duration,
    /// `respect_dns_ttl`: an answer is asked for again when it is no longer good, if it says when that is.
    pub(crate) respect_ttl: bool,
    /// `dns_min_refresh_rate`: but not before; 1 s unless told.
    pub(crate) min_refresh_rate: Duration,
    pub(crate) lookup_family: LookupFamily,
    /// `LOGICAL_DNS`, `all_addresses_in_single_endpoint`: all addresses of the name are one host's.
    pub(crate) single_host: bool,
}

/// The fields of a cluster that these come from.
pub(super) struct Fields {
    pub(super) refresh_rate: Option<protobuf::Duration>,
    pub(super) jitter: Option<protobuf::Duration>,
    pub(super) failure_refresh_rate: Option<RefreshRate>,
    pub(super) respect_ttl: bool,
    pub(super) lookup_family: i32,
    pub(super) resolver: resolver::Fields,
}

/// Types `STRICT_DNS` and `LOGICAL_DNS`.
pub(super) fn legacy(fields: Fields, single_host: bool, errors: &mut Errors) -> DnsSpec {
    let Fields {
        refresh_rate,
        jitter,
        failure_refresh_rate,
        respect_ttl,
        lookup_family,
        resolver,
    } = fields;
    let rates = Rates {
        refresh: refresh_rate,
        min: None,
        jitter,
        failure: failure_refresh_rate.map(intervals),
    };
    let lookup_family = self::lookup_family(lookup_family, errors);
    DnsSpec {
        options: options(rates, respect_ttl, lookup_family, single_host, errors),
        resolver: resolver::of_cluster(resolver, errors),
    }
}

/// `envoy.extensions.clusters.dns.v3.DnsCluster`
pub(super) fn extension(message: DnsCluster, errors: &mut Errors) -> DnsSpec {
    let DnsCluster {
        dns_refresh_rate,
        dns_failure_refresh_rate,
        respect_dns_ttl,
        dns_jitter,
        typed_dns_resolver_config,
        dns_lookup_family,
        all_addresses_in_single_endpoint,
        dns_min_refresh_rate,
    } = message;
    use dns_common::DnsLookupFamily as Family;
    let lookup_family = match Family::try_from(dns_lookup_family) {
        Ok(Family::Unspecified | Family::Auto) => LookupFamily::Auto,
        Ok(Family::V4Only) => LookupFamily::V4Only,
        Ok(Family::V6Only) => LookupFamily::V6Only,
        Ok(Family::V4Preferred) => LookupFamily::V4Preferred,
        Ok(Family::All) => LookupFamily::All,
        Err(_) => unknown_family(dns_lookup_family, errors),
    };
    let rates = Rates {
        refresh: dns_refresh_rate,
        min: dns_min_refresh_rate,
        jitter: dns_jitter,
        failure: dns_failure_refresh_rate.map(|rate| {
            let dns_cluster::RefreshRate {
                base_interval,
                max_interval,
            } = rate;
            (base_interval, max_interval)
        }),
    };
    let single_host = all_addresses_in_single_endpoint;
    DnsSpec {
        options: options(rates, respect_dns_ttl, lookup_family, single_host, errors),
        resolver: typed_dns_resolver_config.and_then(|typed| resolver::typed(typed, errors)),
    }
}

fn unknown_family(number: i32, errors: &mut Errors) -> LookupFamily {
    errors.push(ConfigError::new(
        "dns_lookup_family",
        format!("unknown enum value {number}"),
    ));
    LookupFamily::default()
}

type Time = Option<protobuf::Duration>;

struct Rates {
    refresh: Time,
    min: Time,
    jitter: Time,
    /// Base and longest interval.
    failure: Option<(Time, Time)>,
}

fn options(
    rates: Rates,
    respect_ttl: bool,
    lookup_family: LookupFamily,
    single_host: bool,
    errors: &mut Errors,
) -> DnsOptions {
    let mut time = |message: Time, field, default| {
        let time = errors.take(value::opt_duration(message.as_ref()).within(field));
        time.flatten().unwrap_or(default)
    };
    let refresh_rate = time(rates.refresh, "dns_refresh_rate", Duration::from_secs(5));
    let jitter = time(rates.jitter, "dns_jitter", Duration::ZERO);
    let min_refresh_rate = time(rates.min, "dns_min_refresh_rate", Duration::from_secs(1));
    for (rate, least, field) in [
        (refresh_rate, "1ms", "dns_refresh_rate"),
        (min_refresh_rate, "1s", "dns_min_refresh_rate"),
    ] {
        let bound = if least == "1s" { 1000 } else { 1 };
        if rate < Duration::from_millis(bound) {
            let wrong = format!("value must be greater than or equal to {least}");
            errors.push(ConfigError::new(field, wrong));
        }
    }
    let failure_refresh_rate = rates.failure.and_then(|(base, max)| {
        errors.nested("dns_failure_refresh_rate", |errors| {
            failure_rate(base, max, errors)
        })
    });
    DnsOptions {
        refresh_rate,
        failure_refresh_rate,
        jitter,
        respect_ttl,
        min_refresh_rate,
        lookup_family,
        single_host,
    }
}

/// `dns_lookup_family`
pub(crate) fn lookup_family(number: i32, errors: &mut Errors) -> LookupFamily {
    match DnsLookupFamily::try_from(number) {
        Ok(DnsLookupFamily::Auto) => LookupFamily::Auto,
        Ok(DnsLookupFamily::V4Only) => LookupFamily::V4Only,
        Ok(DnsLookupFamily::V6Only) => LookupFamily::V6Only,
        Ok(DnsLookupFamily::V4Preferred) => LookupFamily::V4Preferred,
        Ok(DnsLookupFamily::All) => LookupFamily::All,
        Err(_) => unknown_family(number, errors),
    }
}

fn intervals(rate: RefreshRate) -> (Time, Time) {
    let RefreshRate {
        base_interval,
        max_interval,
    } = rate;
    (base_interval, max_interval)
}

/// `dns_failure_refresh_rate` of a cluster or a DNS cache: first and longest wait.
pub(crate) fn failure_refresh_rate(
    rate: RefreshRate,
    errors: &mut Errors,
) -> Option<(Duration, Duration)> {
    let (base, max) = intervals(rate);
    failure_rate(base, max, errors)
}

fn failure_rate(base: Time, max: Time, errors: &mut Errors) -> Option<(Duration, Duration)> {
    let base = errors.take(value::opt_duration(base.as_ref()).within("base_interval"))?;
    let max = errors.take(value::opt_duration(max.as_ref()).within("max_interval"))?;
    let Some(base) = base else {
        errors.push(ConfigError::new("base_interval", "value is required"));
        return None;
    };
    let max = max.unwrap_or(base.saturating_mul(10));
    if max < base {
        errors.push(ConfigError::new(
            "max_interval",
            "cluster.dns_failure_refresh_rate: max_interval must be greater than or equal to the base_interval",
        ));
    }
    Some((base, max))
}
