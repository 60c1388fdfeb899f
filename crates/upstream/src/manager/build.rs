//! From a compiled specification to a version of a cluster.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use nuncio_config::api::cluster::Cluster;
use nuncio_event::Watch;
use nuncio_sdk::ClusterId;
use prost::Message;

use super::eds::Begun;
use super::merge::MergeWindow;
use super::version::{self, Version};
use super::{ClusterManager, Entry, Origin, Removal};
use crate::breaker::{self, Breakers, Priority, Thresholds};
use crate::convert::{ClusterSpec, DnsSpec};
use crate::dns::DnsHosts;
use crate::forward_proxy::DnsCache;
use crate::host::HealthFlags;
use crate::host_set::PrioritySet;
use crate::info::{ClusterInfo, ClusterKind, Percent, TrackedStats};
use crate::lb::forward_proxy::ForwardProxy;
use crate::orca::ReportedMetrics;
use crate::stats::{ClusterStats as S, RemainingStats};

/// What a version is made of beside its specification.
pub(super) struct Made<'a> {
    pub(super) id: ClusterId,
    pub(super) config: Bytes,
    pub(super) connection_hash: u64,
    pub(super) origin: Origin<'a>,
    pub(super) serial: u64,
    /// Watches the file of an EDS cluster.
    pub(super) watch: Option<Watch>,
    /// The policy of a dynamic forward proxy cluster, and its DNS cache.
    pub(super) forward_proxy: Option<(Arc<ForwardProxy>, Arc<DnsCache>)>,
}

/// A hash of all fields that decide what a connection is like; what only decides where requests go is left out.
pub(super) fn connection_hash(cluster: &Cluster) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut part = |bytes: Vec<u8>| bytes.hash(&mut hasher);
    part(
        cluster
            .upstream_bind_config
            .as_ref()
            .map(Message::encode_to_vec)
            .unwrap_or_default(),
    );
    part(
        cluster
            .upstream_connection_options
            .as_ref()
            .map(Message::encode_to_vec)
            .unwrap_or_default(),
    );
    part(
        cluster
            .transport_socket
            .as_ref()
            .map(Message::encode_to_vec)
            .unwrap_or_default(),
    );
    #[expect(deprecated, reason = "deprecated fields are still read")]
    {
        part(
            cluster
                .common_http_protocol_options
                .as_ref()
                .map(Message::encode_to_vec)
                .unwrap_or_default(),
        );
        part(
            cluster
                .http_protocol_options
                .as_ref()
                .map(Message::encode_to_vec)
                .unwrap_or_default(),
        );
        part(
            cluster
                .http2_protocol_options
                .as_ref()
                .map(Message::encode_to_vec)
                .unwrap_or_default(),
        );
        part(cluster.protocol_selection.to_le_bytes().into());
        part(
            cluster
                .max_requests_per_connection
                .as_ref()
                .map(Message::encode_to_vec)
                .unwrap_or_default(),
        );
    }
    let mut typed: Vec<_> = cluster.typed_extension_protocol_options.iter().collect();
    typed.sort_by_key(|(key, _)| key.as_str());
    for (key, value) in typed {
        part(key.clone().into_bytes());
        part(value.encode_to_vec());
    }
    hasher.finish()
}

impl ClusterManager {
    /// A version that goes on with what belongs to the name: budgets, hosts, stats.
    pub(super) fn make_version(&self, entry: &Entry, spec: ClusterSpec, made: Made<'_>) -> Version {
        let Made {
            id,
            config,
            connection_hash,
            origin,
            serial,
            watch,
            forward_proxy,
        } = made;
        let name = self
            .server
            .cluster_names
            .name(id)
            .unwrap_or_else(|| spec.name.as_str().into());
        let observability_name: Arc<str> = spec
            .alt_stat_name
            .as_deref()
            .map_or_else(|| name.clone(), Arc::from);
        let stats = self
            .server
            .stats
            .group(format!("cluster.{observability_name}"), S::SCHEMA);
        // Budgets, and hosts with their counts, go on in the new version.
        let before = entry.active.as_ref();
        let breakers = before
            .filter(|old| Arc::ptr_eq(&old.info.stats, &stats))
            .map(|old| &old.info.breakers)
            .filter(|breakers| breakers.can_take_over(&spec.thresholds))
            .cloned()
            .unwrap_or_else(|| {
                let prefix = stats.prefix().clone();
                let snapshot = self.runtime.snapshot();
                Arc::new(Breakers::new(
                    &breaker::overridden(&spec.thresholds, &name, &snapshot),
                    &*stats,
                    |priority: Priority| {
                        let prefix = format!("{prefix}.circuit_breakers.{}", priority.as_str());
                        self.server.stats.group(prefix, RemainingStats::SCHEMA)
                    },
                ))
            });
        let reported_metrics = ReportedMetrics::new(spec.reported_metrics);
        let learner = spec.lb.learner();
        let mut wanted = learner.map(|learner| learner.wants()).unwrap_or_default();
        wanted.reports |= reported_metrics.is_some();
        let is_default = spec.thresholds == <[Thresholds; 2]>::default();
        let outlier = spec
            .outlier
            .map(|settings| self.make_detector(id, &observability_name, settings));
        let info = Arc::new(ClusterInfo {
            id,
            name,
            observability_name,
            kind: spec.kind,
            connect_timeout: spec.connect_timeout,
            per_connection_buffer_limit: spec.per_connection_buffer_limit,
            http: spec.http,
            connect: spec.connect,
            families: spec.families,
            pools: spec.pools,
            lb: spec.lb,
            wanted,
            reported_metrics: reported_metrics.map(Arc::from),
            override_statuses: spec.override_statuses,
            drop_overload: spec.drop_overload.map(Arc::new),
            maintenance_percent: Percent::default(),
            priorities: spec.priorities,
            thresholds: (!is_default).then(|| Box::new(spec.thresholds)),
            immediate_failures: (!spec.health_checks.is_empty())
                .then(|| self.immediate_failures(id)),
            outlier,
            breakers,
            tracked: TrackedStats::new(spec.tracks, &stats),
            stats,
            metadata: spec.metadata,
            added_via_api: origin != Origin::Static,
            // The one host of a LOGICAL_DNS cluster is replaced.
            removal: Removal::rule(
                !spec.health_checks.is_empty() && spec.kind != ClusterKind::LogicalDns,
                spec.ignore_health_on_removal,
            ),
            connection_hash,
        });
        self.apply_runtime(&info);
        let nothing = PrioritySet::empty();
        let before = before.map_or(&nothing, |old| &*old.hosts);
        for (gone, flags) in [
            (info.outlier.is_none(), HealthFlags::OUTLIER),
            (spec.health_checks.is_empty(), HealthFlags::ACTIVE_HC),
        ] {
            if gone {
                // Nobody would ever let them back.
                before
                    .hosts()
                    .for_each(|host| host.clear_health_flags(flags));
            }
        }
        // The first assignment goes on with the hosts that are there.
        let before = match spec.kind {
            ClusterKind::Eds => &nothing,
            _ => before,
        };
        let (change, dns) = match (spec.kind, spec.dns) {
            (
                ClusterKind::StrictDns | ClusterKind::LogicalDns,
                Some(DnsSpec { options, resolver }),
            ) => {
                let mut dns = DnsHosts::new(spec.localities, options, info.priorities, serial);
                if let Some(resolvers) = &self.resolvers {
                    let resolver = resolvers.get(resolver.as_ref());
                    dns.start(&self.this, id, &resolver, &info.stats);
                }
                // As in Envoy, a new version does not keep what only the old one was told.
                (dns.build(before, Removal::AtOnce), Some(Box::new(dns)))
            }
            _ => {
                let hosts = version::build_hosts(
                    &spec.localities,
                    info.priorities,
                    before,
                    version::literal,
                    false,
                    Removal::AtOnce,
                );
                let count = hosts.count() as u64;
                if count > 0 {
                    info.stats.add(S::TOTAL_MATCH_COUNT, count);
                }
                (hosts, None)
            }
        };
        if change.membership > 0 {
            info.stats.add(S::MEMBERSHIP_CHANGE, change.membership);
        }
        if info.lb.derives_at_once()
            && let Some(derived) = info.lb.derive(&change.hosts, None, &info.stats)
        {
            change.hosts.derived_or(|| derived);
        }
        let on_demand = match (spec.original_dst, forward_proxy) {
            (Some(policy), _) => Some(self.start_on_demand(id, serial, policy)),
            (None, Some((policy, cache))) => {
                Some(self.start_forward_proxy(id, serial, &policy, cache))
            }
            (None, None) => (info.lb.clone().sub_clusters())
                .map(|policy| self.start_sub_clusters(serial, policy, config.clone())),
        };
        let eds = spec.eds.filter(|_| self.resolvers.is_some()).map(|source| {
            let begun = Begun {
                source,
                watch,
                serial,
            };
            self.make_eds(&info, begun)
        });
        let mut version = Version {
            on_demand,
            eds,
            checkers: self.make_checkers(&info, spec.health_checks, serial),
            ignore_new_hosts: spec.ignore_new_hosts,
            sweeps: self.start_sweeps(&info, serial),
            lessons: self.start_lessons(&info, serial),
            reports: self.make_sessions(&info),
            health_is_stale: false,
            merge_window: MergeWindow::new(spec.merge_window),
            flipped: Some(Vec::new()),
            info,
            hosts: change.hosts,
            config,
            version_info: match origin {
                Origin::Static | Origin::SubCluster => self.no_version.clone(),
                Origin::Api { version_info } => version_info.into(),
            },
            is_sub_cluster: origin == Origin::SubCluster,
            last_updated: SystemTime::now(),
            dns: if self.resolvers.is_some() { dns } else { None },
            wait_for_warm: spec.wait_for_warm,
        };
        self.follow_hosts(&mut version, before);
        version
    }
}
