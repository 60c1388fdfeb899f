//! DNS options of `STRICT_DNS` clusters.

use std::time::Duration;

use nuncio_config::api::cluster::cluster::{DnsLookupFamily, RefreshRate};
use nuncio_config::api::protobuf;
use nuncio_config::{ConfigError, Within, convert as value};

use super::util::Errors;
use crate::dns::LookupFamily;

/// How often and what is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DnsOptions {
    /// `dns_refresh_rate`, 5 s unless told.
    pub(crate) refresh_rate: Duration,
    /// `dns_failure_refresh_rate`: first and longest wait after a failure; the refresh rate unless told.
    pub(crate) failure_refresh_rate: Option<(Duration, Duration)>,
    /// `dns_jitter`: a random addition to each wait is below this.
    pub(crate) jitter: Duration,
    pub(crate) lookup_family: LookupFamily,
}

/// The fields that these come from.
pub(super) struct Fields {
    pub(super) refresh_rate: Option<protobuf::Duration>,
    pub(super) jitter: Option<protobuf::Duration>,
    pub(super) failure_refresh_rate: Option<RefreshRate>,
    pub(super) respect_ttl: bool,
    pub(super) lookup_family: i32,
}

pub(super) fn options(fields: Fields, errors: &mut Errors) -> DnsOptions {
    let Fields {
        refresh_rate,
        jitter,
        failure_refresh_rate,
        respect_ttl,
        lookup_family,
    } = fields;
    // The system's resolver does not tell how long an answer is good for.
    errors.refuse_if(respect_ttl, "respect_dns_ttl");
    let lookup_family = match DnsLookupFamily::try_from(lookup_family) {
        Ok(DnsLookupFamily::Auto) => LookupFamily::Auto,
        Ok(DnsLookupFamily::V4Only) => LookupFamily::V4Only,
        Ok(DnsLookupFamily::V6Only) => LookupFamily::V6Only,
        Ok(DnsLookupFamily::V4Preferred) => LookupFamily::V4Preferred,
        Ok(DnsLookupFamily::All) => LookupFamily::All,
        Err(_) => {
            errors.push(ConfigError::new(
                "dns_lookup_family",
                format!("unknown enum value {lookup_family}"),
            ));
            LookupFamily::default()
        }
    };
    let refresh_rate = errors
        .take(value::opt_duration(refresh_rate.as_ref()).within("dns_refresh_rate"))
        .flatten()
        .unwrap_or(Duration::from_secs(5));
    if refresh_rate < Duration::from_millis(1) {
        errors.push(ConfigError::new(
            "dns_refresh_rate",
            "value must be greater than 1ms",
        ));
    }
    let jitter = errors
        .take(value::opt_duration(jitter.as_ref()).within("dns_jitter"))
        .flatten()
        .unwrap_or_default();
    let failure_refresh_rate = failure_refresh_rate.and_then(|rate| {
        errors.nested("dns_failure_refresh_rate", |errors| {
            failure_rate(&rate, errors)
        })
    });
    DnsOptions {
        refresh_rate,
        failure_refresh_rate,
        jitter,
        lookup_family,
    }
}

fn failure_rate(message: &RefreshRate, errors: &mut Errors) -> Option<(Duration, Duration)> {
    let RefreshRate {
        base_interval,
        max_interval,
    } = message;
    let base = errors.take(value::opt_duration(base_interval.as_ref()).within("base_interval"))?;
    let max = errors.take(value::opt_duration(max_interval.as_ref()).within("max_interval"))?;
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
