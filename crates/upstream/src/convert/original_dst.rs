//! `ORIGINAL_DST` clusters.

use std::time::Duration;

use nuncio_config::api::cluster::cluster::{LbConfig, LbPolicy as PolicyKind, OriginalDstLbConfig};
use nuncio_config::api::metadata::{MetadataKey, metadata_key::path_segment::Segment};
use nuncio_config::api::protobuf::Duration as DurationMessage;
use nuncio_config::{ConfigError, Within, convert as value};

use super::Errors;
use crate::lb::original_dst::{MetadataKey as Place, Options, OriginalDst};

/// Envoy's default of `cleanup_interval`.
const DEFAULT_CLEANUP_INTERVAL: Duration = Duration::from_secs(5);
/// The header that is read with `use_http_header`, unless `http_header_name` says otherwise.
const DEFAULT_HEADER: &str = "x-envoy-original-dst-host";

/// The cluster's fields that concern its type.
pub(super) struct Fields<'a> {
    pub(super) name: &'a str,
    pub(super) lb_policy: Option<PolicyKind>,
    pub(super) lb_config: Option<&'a LbConfig>,
    pub(super) cleanup_interval: Option<&'a DurationMessage>,
    pub(super) has_assignment: bool,
}

pub(super) fn policy(fields: Fields<'_>, errors: &mut Errors) -> OriginalDst {
    if let Some(policy) = fields.lb_policy
        && policy != PolicyKind::ClusterProvided
    {
        errors.push(ConfigError::new(
            "lb_policy",
            format!(
                "cluster: LB policy {} is not valid for Cluster type ORIGINAL_DST. Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'",
                policy.as_str_name()
            ),
        ));
    }
    if fields.has_assignment {
        errors.push(ConfigError::new(
            "load_assignment",
            "ORIGINAL_DST clusters must have no load assignment configured",
        ));
    }
    let mut options = Options {
        header: None,
        metadata: None,
        port: None,
        cleanup_interval: errors
            .take(value::opt_duration(fields.cleanup_interval).within("cleanup_interval"))
            .flatten()
            .unwrap_or(DEFAULT_CLEANUP_INTERVAL),
    };
    if let Some(LbConfig::OriginalDstLbConfig(config)) = fields.lb_config {
        errors.nested("original_dst_lb_config", |errors| {
            read(config, &mut options, errors);
        });
    }
    OriginalDst::new(options, fields.name)
}

fn read(config: &OriginalDstLbConfig, options: &mut Options, errors: &mut Errors) {
    let OriginalDstLbConfig {
        use_http_header,
        http_header_name,
        upstream_port_override,
        metadata_key,
    } = config;
    options.header = match (use_http_header, http_header_name.as_str()) {
        (true, "") => Some(DEFAULT_HEADER.into()),
        (true, name) => Some(name.to_ascii_lowercase().into()),
        (false, "") => None,
        (false, name) => {
            errors.push(ConfigError::new(
                "http_header_name",
                format!(
                    "ORIGINAL_DST cluster: invalid config http_header_name={name} and use_http_header is false. Set use_http_header to true if http_header_name is desired."
                ),
            ));
            None
        }
    };
    // Larger ones break a rule of the message itself.
    options.port = upstream_port_override.and_then(|port| u16::try_from(port.value).ok());
    options.metadata = metadata_key.as_ref().map(|MetadataKey { key, path }| {
        let keys = path.iter().filter_map(|segment| match &segment.segment {
            Some(Segment::Key(key)) => Some(key.as_str().into()),
            // Refused by the support table.
            _ => None,
        });
        Place {
            namespace: key.as_str().into(),
            path: keys.collect(),
        }
    });
}
