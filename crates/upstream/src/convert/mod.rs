//! From an Envoy `Cluster` message to a [`ClusterSpec`]: everything is checked, every field is used, refused or explained
//! here, and no message is seen behind this module.

mod address;
mod assignment;
mod balancing;
mod bind;
mod connection;
mod discovery;
mod dns;
mod endpoints;
mod errors;
mod forward_proxy;
mod health;
mod http;
mod kind;
mod limits;
mod members;
mod metadata;
mod original_dst;
mod outlier;
mod resolver;
mod spec;

use std::sync::Arc;
use std::time::Duration;

use nuncio_config::api::cluster::{
    Cluster, TrackClusterStats,
    cluster::{ClusterDiscoveryType, ClusterProtocolSelection, LbPolicy as PolicyKind},
};
use nuncio_config::{ConfigError, Within, convert as value};

use crate::forward_proxy::SubClusters;
use crate::info::{ClusterKind, PoolOptions, Tracks};
use crate::lb::LbPolicy;
use crate::lb::forward_proxy::ForwardProxy;
use crate::orca::MetricNames;

pub(crate) use assignment::{Assignment, assignment, encoded_assignment};
pub(crate) use bind::BootstrapBind;
pub(crate) use discovery::{EdsFrom, EdsSource, FileSource};
pub(crate) use dns::{DnsOptions, DnsSpec, failure_refresh_rate, lookup_family};
pub(crate) use endpoints::{EndpointAddress, EndpointSpec, LocalitySpec};
pub(crate) use errors::Errors;
pub use resolver::{bootstrap_resolver, resolver_config};
pub(crate) use spec::{ClusterSpec, SharedParts};

/// Envoy's default of `connect_timeout`.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Envoy's default of `per_connection_buffer_limit_bytes`.
const DEFAULT_BUFFER_LIMIT: u32 = 1024 * 1024;

/// Checks and compiles a cluster.
///
/// # Errors
/// Everything that is wrong, with paths relative to the message.
#[expect(
    deprecated,
    reason = "deprecated fields are still read, as Envoy reads them"
)]
#[expect(
    clippy::too_many_lines,
    reason = "one line per field of a message with 60 fields"
)]
pub(crate) fn compile(
    cluster: Cluster,
    parts: &SharedParts,
) -> Result<ClusterSpec, Vec<ConfigError>> {
    let mut errors = Errors::default();
    let Cluster {
        transport_socket_matches,
        transport_socket_matcher,
        name,
        alt_stat_name,
        stats_matcher,
        eds_cluster_config,
        connect_timeout,
        per_connection_buffer_limit_bytes,
        per_connection_buffer_high_watermark_timeout,
        lb_policy,
        load_assignment,
        health_checks,
        max_requests_per_connection,
        circuit_breakers,
        upstream_http_protocol_options,
        common_http_protocol_options,
        http_protocol_options,
        http2_protocol_options,
        typed_extension_protocol_options,
        dns_refresh_rate,
        dns_jitter,
        dns_failure_refresh_rate,
        respect_dns_ttl,
        dns_lookup_family,
        dns_resolvers,
        use_tcp_for_dns_lookups,
        dns_resolution_config,
        typed_dns_resolver_config,
        wait_for_warm_on_init,
        outlier_detection,
        cleanup_interval,
        upstream_bind_config,
        lb_subset_config,
        common_lb_config,
        transport_socket,
        metadata,
        protocol_selection,
        upstream_connection_options,
        close_connections_on_host_health_failure,
        ignore_health_on_host_removal,
        filters,
        load_balancing_policy,
        lrs_server,
        lrs_report_endpoint_metrics,
        track_timeout_budgets,
        upstream_config,
        track_cluster_stats,
        preconnect_policy,
        connection_pool_per_downstream_connection,
        queuing_policies,
        cluster_discovery_type,
        lb_config,
    } = cluster;

    for (set, field) in [
        (
            !transport_socket_matches.is_empty(),
            "transport_socket_matches",
        ),
        (
            transport_socket_matcher.is_some(),
            "transport_socket_matcher",
        ),
        (stats_matcher.is_some(), "stats_matcher"),
        (
            per_connection_buffer_high_watermark_timeout.is_some(),
            "per_connection_buffer_high_watermark_timeout",
        ),
        (
            upstream_http_protocol_options.is_some(),
            "upstream_http_protocol_options",
        ),
        (!filters.is_empty(), "filters"),
        (lrs_server.is_some(), "lrs_server"),
        (upstream_config.is_some(), "upstream_config"),
        (queuing_policies.is_some(), "queuing_policies"),
    ] {
        errors.refuse_if(set, field);
    }

    if name.is_empty() {
        errors.push(ConfigError::new(
            "name",
            "value length must be at least 1 characters",
        ));
    }
    let (kind, dns_cluster) = kind::kind(cluster_discovery_type.as_ref(), &mut errors);
    let connect_timeout = errors
        .take(value::opt_duration(connect_timeout.as_ref()).within("connect_timeout"))
        .flatten()
        .unwrap_or(DEFAULT_CONNECT_TIMEOUT);
    if connect_timeout.is_zero() {
        errors.push(ConfigError::new(
            "connect_timeout",
            "value must be greater than 0s",
        ));
    }
    let per_connection_buffer_limit = value::u32_or(
        per_connection_buffer_limit_bytes.as_ref(),
        DEFAULT_BUFFER_LIMIT,
    );
    // As in Envoy, zero is no limit.
    let per_connection_buffer_limit = match per_connection_buffer_limit {
        0 => u32::MAX,
        limit => limit,
    };

    let ignore_new_hosts = common_lb_config
        .as_ref()
        .is_some_and(|common| common.ignore_new_hosts_until_first_hc);
    let merge_window = common_lb_config
        .as_ref()
        .and_then(|common| common.update_merge_window.as_ref());
    let merge_window = value::opt_duration(merge_window).within("update_merge_window");
    let merge_window = errors.take(merge_window.within("common_lb_config"));
    let mut pools = PoolOptions {
        per_downstream: connection_pool_per_downstream_connection,
        close_on_health_failure: close_connections_on_host_health_failure,
        drain_on_host_change: common_lb_config
            .as_ref()
            .is_some_and(|common| common.close_connections_on_host_set_change),
        ..PoolOptions::default()
    };
    if let Some(policy) = preconnect_policy {
        errors.nested("preconnect_policy", |errors| {
            connection::preconnect(policy, &mut pools, errors);
        });
    }
    let policy_kind = PolicyKind::try_from(lb_policy).ok();
    // `load_balancing_policy` wins.
    let own_policy = policy_kind.filter(|_| load_balancing_policy.is_none());
    let original_dst = (kind == Some(ClusterKind::OriginalDst)).then(|| {
        let fields = original_dst::Fields {
            name: &name,
            lb_policy: policy_kind,
            lb_config: lb_config.as_ref(),
            cleanup_interval: cleanup_interval.as_ref(),
            has_assignment: load_assignment.is_some(),
        };
        Arc::new(original_dst::policy(fields, &mut errors))
    });
    let forward_proxy = match &cluster_discovery_type {
        Some(ClusterDiscoveryType::ClusterType(custom))
            if kind == Some(ClusterKind::ForwardProxy) =>
        {
            let fields = forward_proxy::Fields {
                custom,
                lb_policy: own_policy,
                has_http_options: !typed_extension_protocol_options.is_empty(),
            };
            forward_proxy::source(fields, &mut errors)
        }
        _ => None,
    };
    let (forward_proxy, sub_clusters) = match forward_proxy {
        Some(forward_proxy::Source::Cache(cache)) => {
            (Some((Arc::new(ForwardProxy::new()), cache)), None)
        }
        Some(forward_proxy::Source::SubClusters(settings)) => {
            (None, Some(Arc::new(SubClusters::new(settings))))
        }
        None => (None, None),
    };
    let passed_on = match &cluster_discovery_type {
        Some(ClusterDiscoveryType::ClusterType(custom))
            if kind.is_some_and(ClusterKind::passes_on) =>
        {
            members::members(custom, own_policy, &mut errors).map(Arc::new)
        }
        _ => None,
    };
    let balancing::Balancing {
        policy: lb,
        priorities,
        override_statuses,
    } = balancing::balancing(
        balancing::Fields {
            lb_policy: policy_kind,
            lb_config,
            load_balancing_policy,
            common: common_lb_config,
            subset: lb_subset_config,
            kind,
            provided: match (&original_dst, &forward_proxy, &passed_on) {
                (Some(policy), _, _) => Some(policy.clone() as Arc<dyn LbPolicy>),
                (None, Some((policy, _)), _) => Some(policy.clone() as Arc<dyn LbPolicy>),
                (None, None, Some(policy)) => Some(policy.clone() as Arc<dyn LbPolicy>),
                (None, None, None) => sub_clusters.map(|policy| policy as Arc<dyn LbPolicy>),
            },
        },
        parts,
        &mut errors,
    );
    let thresholds = limits::thresholds(circuit_breakers, &mut errors);
    let outlier = outlier_detection.and_then(|message| {
        errors.nested("outlier_detection", |errors| {
            outlier::settings(message, errors)
        })
    });
    let connection::Connecting { connect, families } = connection::options(
        &name,
        upstream_bind_config,
        upstream_connection_options,
        parts,
        &mut errors,
    );
    connection::transport_socket(transport_socket, &mut errors);
    let http = http::options(
        http::Fields {
            typed: typed_extension_protocol_options,
            common: common_http_protocol_options,
            http1: http_protocol_options,
            http2: http2_protocol_options,
            use_downstream_protocol: protocol_selection
                == ClusterProtocolSelection::UseDownstreamProtocol as i32,
            max_requests_per_connection,
            runtime: &parts.runtime,
        },
        &mut errors,
    );
    let http2 = http.as_ref().is_some_and(|http| http.has_http2);
    let health_checks = health::settings(health_checks, http2, parts, &mut errors);
    let dns = match kind {
        _ if dns_cluster.is_some() => dns_cluster,
        Some(kind @ (ClusterKind::StrictDns | ClusterKind::LogicalDns)) => Some(dns::legacy(
            dns::Fields {
                refresh_rate: dns_refresh_rate,
                jitter: dns_jitter,
                failure_refresh_rate: dns_failure_refresh_rate,
                respect_ttl: respect_dns_ttl,
                lookup_family: dns_lookup_family,
                resolver: resolver::Fields {
                    typed: typed_dns_resolver_config,
                    resolution: dns_resolution_config,
                    resolvers: dns_resolvers,
                    tcp: use_tcp_for_dns_lookups,
                },
            },
            kind == ClusterKind::LogicalDns,
            &mut errors,
        )),
        // Harmless: Envoy uses these fields of clusters with one of the two types only. It judges them, though.
        _ => {
            for (field, time) in [
                ("dns_refresh_rate", &dns_refresh_rate),
                ("dns_jitter", &dns_jitter),
            ] {
                errors.take(value::opt_duration(time.as_ref()).within(field));
            }
            None
        }
    };
    let eds = discovery::eds(
        eds_cluster_config,
        &name,
        kind,
        parts.discovery.get(),
        &mut errors,
    );
    if kind == Some(ClusterKind::Eds) && load_assignment.is_some() {
        errors.refuse_if(true, "load_assignment");
    }
    let mut assignment_options = endpoints::AssignmentOptions {
        priorities,
        drop_overload: None,
        stale_after: None,
    };
    let localities = match load_assignment {
        Some(assignment) => errors.nested("load_assignment", |errors| {
            endpoints::localities(assignment, kind, &mut assignment_options, errors)
        }),
        None => Vec::new(),
    };
    let localities = match kind.is_some_and(ClusterKind::passes_on) {
        // As in Envoy, where only `drop_overloads` of these clusters' assignments means something.
        true => Vec::new(),
        false => localities,
    };
    if kind == Some(ClusterKind::LogicalDns) {
        endpoints::check_single(&localities, &mut errors);
    }
    let endpoints::AssignmentOptions {
        mut priorities,
        drop_overload,
        // Harmless: a static assignment does not go stale.
        stale_after: _,
    } = assignment_options;
    let panic = u64::from(priorities.panic_threshold);
    let panic = (parts.runtime).pinned_integer("upstream.healthy_panic_threshold", panic);
    priorities.panic_threshold = panic.min(100) as u32;
    let drop_overload = drop_overload.and_then(|drop| drop.limited(&parts.runtime));
    let TrackClusterStats {
        timeout_budgets,
        request_response_sizes,
        per_endpoint_stats,
    } = track_cluster_stats.unwrap_or_default();
    let tracks = Tracks {
        budgets: timeout_budgets || track_timeout_budgets,
        sizes: request_response_sizes,
        endpoints: per_endpoint_stats,
    };
    let metadata = errors.nested("metadata", |errors| metadata::metadata(metadata, errors));
    pools.take_over = connection::take_over(metadata.as_deref(), &mut errors);
    let wait_for_warm = value::bool_or(wait_for_warm_on_init.as_ref(), true);

    errors.finish()?;
    Ok(ClusterSpec {
        name,
        alt_stat_name: Some(alt_stat_name).filter(|name| !name.is_empty()),
        kind: kind.unwrap_or(ClusterKind::Static),
        localities,
        dns,
        original_dst,
        eds,
        forward_proxy,
        wait_for_warm,
        connect_timeout,
        per_connection_buffer_limit,
        http: http.unwrap_or_else(|| parts.http.clone()),
        connect,
        families,
        pools,
        lb,
        override_statuses,
        drop_overload,
        priorities,
        thresholds,
        outlier,
        tracks,
        health_checks,
        ignore_new_hosts,
        merge_window: merge_window.flatten(),
        ignore_health_on_removal: ignore_health_on_host_removal,
        metadata,
        reported_metrics: MetricNames::new(lrs_report_endpoint_metrics),
    })
}

#[cfg(test)]
mod tests;
