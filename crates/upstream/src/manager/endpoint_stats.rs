//! `track_cluster_stats.per_endpoint_stats`: what is counted of each host, shown with the stats (Envoy's `PerHostMetric`). It is
//! counted in any case; only those who read pay for it.

use nuncio_stats::{Kind, Outside, sanitize};

use super::ClusterManager;
use super::admin::{ClusterStatus, HostStatus};
use crate::host::Health;

impl ClusterManager {
    /// Counts and gauges of all endpoints of clusters that want them shown.
    pub fn endpoint_stats(&self) -> Vec<Outside> {
        let mut shown = Vec::new();
        let statuses = self.statuses().into_iter();
        for cluster in statuses.filter(|cluster| {
            let tracked = cluster.info.tracked.as_ref();
            tracked.is_some_and(|tracked| tracked.endpoints)
        }) {
            for host in cluster.host_statuses() {
                show(&cluster, &host, &mut shown);
            }
        }
        shown
    }
}

fn show(cluster: &ClusterStatus, host: &HostStatus, shown: &mut Vec<Outside>) {
    let address = host.host.address().to_string();
    let prefix = format!(
        "{}.endpoint.{}",
        cluster.info.stats.prefix(),
        sanitize(&address)
    );
    let mut tags = vec![
        (
            "envoy.cluster_name",
            cluster.info.observability_name.to_string(),
        ),
        ("envoy.endpoint_address", address),
    ];
    if !host.host.hostname().is_empty() {
        let hostname = host.host.hostname().to_owned();
        tags.push(("envoy.endpoint_hostname", hostname));
    }
    let mut add = |kind, name: &str, value| {
        shown.push(Outside {
            kind,
            name: format!("{prefix}.{name}"),
            extracted_name: format!("cluster.endpoint.{name}"),
            tags: tags.clone(),
            value,
        });
    };
    for (name, value) in [
        ("cx_connect_fail", host.cx_connect_fail),
        ("cx_total", host.cx_total),
        ("rq_error", host.rq_error),
        ("rq_success", host.rq_success),
        ("rq_timeout", host.rq_timeout),
        ("rq_total", host.rq_total),
    ] {
        add(Kind::Counter, name, value);
    }
    for (name, value) in [
        ("cx_active", host.cx_active),
        ("rq_active", host.rq_active),
        ("rq_pending_active", host.rq_pending_active),
        ("healthy", u64::from(host.host.health() == Health::Healthy)),
    ] {
        add(Kind::Gauge, name, value);
    }
}
