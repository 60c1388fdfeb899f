//! Who the client is, and whether it is one of ours.

use std::net::{Ipv4Addr, Ipv6Addr};

use nuncio_config::api::hcm::HttpConnectionManager;
use nuncio_config::{ConfigError, Within, convert};
use nuncio_net::IpRange;

use crate::hcm::original_ip::{Detector, range};

/// `original_ip_detection_extensions`
pub(super) fn original_ip(config: &HttpConnectionManager) -> Result<Vec<Detector>, ConfigError> {
    let extensions = &config.original_ip_detection_extensions;
    let rival = if convert::bool_or(config.use_remote_address.as_ref(), false) {
        "use_remote_address"
    } else if config.xff_num_trusted_hops > 0 {
        "xff_num_trusted_hops"
    } else {
        return Detector::all_from_config(extensions);
    };
    if extensions.is_empty() {
        return Ok(Vec::new());
    }
    let message = format!("Original IP detection extensions and {rival} may not be mixed");
    Err(ConfigError::new(
        "original_ip_detection_extensions",
        message,
    ))
}

/// What an `internal_address_config` without ranges means: private addresses (RFC 1918, RFC 4193) and loopback.
fn usual_internal_addresses() -> Vec<IpRange> {
    let v4 = |a, b, length| IpRange::new(Ipv4Addr::new(a, b, 0, 0).into(), length);
    vec![
        v4(10, 0, 8),
        v4(172, 16, 12),
        v4(192, 168, 16),
        IpRange::new(Ipv4Addr::LOCALHOST.into(), 32),
        IpRange::new(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0).into(), 8),
        IpRange::new(Ipv6Addr::LOCALHOST.into(), 128),
    ]
}

/// `internal_address_config`
pub(super) fn internal_addresses(
    config: &HttpConnectionManager,
) -> Result<Vec<IpRange>, ConfigError> {
    let Some(internal) = &config.internal_address_config else {
        return Ok(Vec::new());
    };
    if internal.cidr_ranges.is_empty() {
        return Ok(usual_internal_addresses());
    }
    let ranges = internal.cidr_ranges.iter().enumerate();
    let ranges = ranges.map(|(index, cidr)| {
        range(cidr).within_index("internal_address_config.cidr_ranges", index)
    });
    ranges.collect()
}
