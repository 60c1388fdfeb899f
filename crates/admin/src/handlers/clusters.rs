//! `/clusters`: clusters, their hosts and what is counted per host.

use std::fmt::{self, Write};

use nuncio_config::api::admin::{
    ClusterStatus as ProtoStatus, HostHealthStatus, HostStatus as ProtoHost, SimpleMetric,
    simple_metric::Type,
};
use nuncio_config::api::cluster::CircuitBreakers;
use nuncio_config::api::cluster::circuit_breakers::Thresholds as ProtoThresholds;
use nuncio_config::api::core::{HealthStatus, Locality as ProtoLocality, RoutingPriority};
use nuncio_config::api::protobuf::UInt32Value;
use nuncio_config::api::types::Percent;
use nuncio_config::json;
use nuncio_upstream::outlier::RateOf;
use nuncio_upstream::{ClusterStatus, HealthFlags, Host, HostStatus, Locality, Thresholds};

use crate::handlers::{partial, proto_address};
use crate::json::{PRETTY, write_list};
use crate::request::Request;
use crate::response::{JSON, Response, TEXT};
use crate::thread::Admin;

/// `/clusters`: those whose name matches `filter`; as text unless `format=json`.
pub(crate) fn clusters(admin: &Admin, request: &Request) -> Response {
    let filter = match request.params.get_some("filter").map(partial).transpose() {
        Ok(filter) => filter,
        Err(_) => return Response::error(400, "Invalid re2 regex"),
    };
    let mut clusters = admin.context.clusters.statuses();
    if let Some(filter) = filter {
        clusters.retain(|cluster| filter.is_match(cluster.info.name.as_bytes()));
    }
    if request.params.get("format") == Some("json") {
        return Response::stream(JSON, move |out| {
            let items = clusters
                .into_iter()
                .map(|cluster| json::print_message(&status(&cluster), PRETTY));
            write_list(out, "cluster_statuses", items)
        });
    }
    Response::stream(TEXT, move |out| {
        clusters
            .into_iter()
            .try_for_each(|cluster| write_cluster(out, &cluster))
    })
}

fn write_cluster(out: &mut dyn Write, cluster: &ClusterStatus) -> fmt::Result {
    let name = &cluster.info.name;
    writeln!(
        out,
        "{name}::observability_name::{}",
        cluster.info.observability_name
    )?;
    if let Some(detector) = &cluster.info.outlier {
        for (prefix, of) in [
            ("", RateOf::ExternalOrigin),
            ("local_origin_", RateOf::LocalOrigin),
        ] {
            let rates = detector.summary(of);
            for (figure, value) in [
                ("average", rates.average),
                ("ejection_threshold", rates.ejection_threshold),
            ] {
                writeln!(
                    out,
                    "{name}::outlier::{prefix}success_rate_{figure}::{}",
                    General(value)
                )?;
            }
        }
    }
    for (priority, limits) in ["default", "high"].into_iter().zip(cluster.thresholds()) {
        let limits = [
            ("max_connections", limits.max_connections),
            ("max_pending_requests", limits.max_pending_requests),
            ("max_requests", limits.max_requests),
            ("max_retries", limits.max_retries),
        ];
        for (limit, value) in limits {
            writeln!(out, "{name}::{priority}_priority::{limit}::{value}")?;
        }
    }
    writeln!(out, "{name}::added_via_api::{}", cluster.info.added_via_api)?;
    cluster
        .host_statuses()
        .try_for_each(|status| write_host(out, name, &status))
}

fn write_host(out: &mut dyn Write, cluster: &str, status: &HostStatus) -> fmt::Result {
    let host = &status.host;
    let place = format!("{cluster}::{}", host.address());
    for (name, value) in status.counts() {
        writeln!(out, "{place}::{name}::{value}")?;
    }
    let locality = host.locality();
    writeln!(out, "{place}::hostname::{}", host.hostname())?;
    writeln!(out, "{place}::health_flags::{}", status.health_flags)?;
    writeln!(out, "{place}::weight::{}", status.weight)?;
    writeln!(out, "{place}::region::{}", locality.region)?;
    writeln!(out, "{place}::zone::{}", locality.zone)?;
    writeln!(out, "{place}::sub_zone::{}", locality.sub_zone)?;
    writeln!(out, "{place}::canary::{}", host.is_canary())?;
    writeln!(out, "{place}::priority::{}", status.priority)?;
    let rate = |of| General(success_rate(host, of).unwrap_or(-1.0));
    writeln!(
        out,
        "{place}::success_rate::{}",
        rate(RateOf::ExternalOrigin)
    )?;
    writeln!(
        out,
        "{place}::local_origin_success_rate::{}",
        rate(RateOf::LocalOrigin)
    )
}

/// What outlier detection has computed for the last interval, in percent.
fn success_rate(host: &Host, of: RateOf) -> Option<f64> {
    let rate = host.known_outlier_monitor()?.success_rate(of);
    (rate >= 0.0).then_some(rate)
}

/// A number as C's `%g` prints it: six significant digits, without trailing zeros. Percentages need no exponent.
struct General(f64);

impl fmt::Display for General {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.abs().log10().floor().max(0.0) as usize + 1;
        let text = format!("{:.*}", 6_usize.saturating_sub(whole), self.0);
        let text = match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.'),
            false => &text,
        };
        f.write_str(text)
    }
}

fn status(cluster: &ClusterStatus) -> ProtoStatus {
    let ejection_threshold = |of| {
        let detector = cluster.info.outlier.as_ref()?;
        percent(Some(detector.summary(of).ejection_threshold).filter(|value| *value >= 0.0))
    };
    let [default, high] = cluster.thresholds();
    let thresholds = vec![
        thresholds(RoutingPriority::Default, default),
        thresholds(RoutingPriority::High, high),
    ];
    ProtoStatus {
        name: cluster.info.name.to_string(),
        added_via_api: cluster.info.added_via_api,
        host_statuses: cluster
            .host_statuses()
            .map(|status| host(&status))
            .collect(),
        circuit_breakers: Some(CircuitBreakers {
            thresholds,
            ..Default::default()
        }),
        observability_name: cluster.info.observability_name.to_string(),
        success_rate_ejection_threshold: ejection_threshold(RateOf::ExternalOrigin),
        local_origin_success_rate_ejection_threshold: ejection_threshold(RateOf::LocalOrigin),
        ..Default::default()
    }
}

fn thresholds(priority: RoutingPriority, limits: Thresholds) -> ProtoThresholds {
    let number = |value| Some(UInt32Value { value });
    ProtoThresholds {
        priority: priority.into(),
        max_connections: number(limits.max_connections),
        max_pending_requests: number(limits.max_pending_requests),
        max_requests: number(limits.max_requests),
        max_retries: number(limits.max_retries),
        ..Default::default()
    }
}

fn host(status: &HostStatus) -> ProtoHost {
    let metric = |kind: Type, name: &str, value: u64| SimpleMetric {
        r#type: kind.into(),
        value,
        name: name.to_owned(),
    };
    let stats = vec![
        metric(Type::Counter, "cx_connect_fail", status.cx_connect_fail),
        metric(Type::Counter, "cx_total", status.cx_total),
        metric(Type::Counter, "rq_error", status.rq_error),
        metric(Type::Counter, "rq_success", status.rq_success),
        metric(Type::Counter, "rq_timeout", status.rq_timeout),
        metric(Type::Counter, "rq_total", status.rq_total),
        metric(Type::Gauge, "cx_active", status.cx_active),
        metric(Type::Gauge, "rq_active", status.rq_active),
        metric(Type::Gauge, "rq_pending_active", status.rq_pending_active),
    ];
    ProtoHost {
        address: Some(proto_address(status.host.address())),
        stats,
        health_status: Some(health(status.health_flags)),
        weight: status.weight,
        hostname: status.host.hostname().to_owned(),
        priority: status.priority,
        locality: Some(locality(status.host.locality())),
        success_rate: percent(success_rate(&status.host, RateOf::ExternalOrigin)),
        local_origin_success_rate: percent(success_rate(&status.host, RateOf::LocalOrigin)),
    }
}

fn percent(value: Option<f64>) -> Option<Percent> {
    value.map(|value| Percent { value })
}

fn health(flags: HealthFlags) -> HostHealthStatus {
    let has = |flag| flags.intersects(flag);
    HostHealthStatus {
        failed_active_health_check: has(HealthFlags::FAILED_ACTIVE_HC),
        failed_outlier_check: has(HealthFlags::FAILED_OUTLIER_CHECK),
        failed_active_degraded_check: has(HealthFlags::DEGRADED_ACTIVE_HC),
        pending_dynamic_removal: has(HealthFlags::PENDING_DYNAMIC_REMOVAL),
        pending_active_hc: has(HealthFlags::PENDING_ACTIVE_HC),
        excluded_via_immediate_hc_fail: has(HealthFlags::EXCLUDED_VIA_IMMEDIATE_HC_FAIL),
        active_hc_timeout: has(HealthFlags::ACTIVE_HC_TIMEOUT),
        failed_degraded_outlier_detection: has(HealthFlags::DEGRADED_OUTLIER_DETECTION),
        eds_health_status: configured_health(flags).into(),
    }
}

/// `eds_health_status`: what the endpoint's configuration says, which the flags retain.
fn configured_health(flags: HealthFlags) -> HealthStatus {
    if flags.intersects(HealthFlags::EDS_STATUS_DRAINING) {
        HealthStatus::Draining
    } else if flags.intersects(HealthFlags::FAILED_EDS_HEALTH) {
        HealthStatus::Unhealthy
    } else if flags.intersects(HealthFlags::DEGRADED_EDS_HEALTH) {
        HealthStatus::Degraded
    } else {
        HealthStatus::Healthy
    }
}

/// A locality as a message.
pub(super) fn locality(locality: &Locality) -> ProtoLocality {
    ProtoLocality {
        region: locality.region.to_string(),
        zone: locality.zone.to_string(),
        sub_zone: locality.sub_zone.to_string(),
    }
}
