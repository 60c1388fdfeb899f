//! Load-balancing policies: as fields of a cluster, and as extensions.

use super::{Entry, Support, Support::*, message};

const ROUND_ROBIN: &str = "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin";
const LEAST_REQUEST: &str =
    "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest";
const RANDOM: &str = "envoy.extensions.load_balancing_policies.random.v3.Random";
const RING_HASH: &str = "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash";
const MAGLEV: &str = "envoy.extensions.load_balancing_policies.maglev.v3.Maglev";
const SUBSET: &str = "envoy.extensions.load_balancing_policies.subset.v3.Subset";
const CLUSTER_PROVIDED: &str =
    "envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided";

const OVERRIDE_HOST: &str =
    "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost";

const CLIENT_SIDE: &str = "envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin";
const WRR_LOCALITY: &str = "envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality";
const LOAD_AWARE: &str =
    "envoy.extensions.load_balancing_policies.load_aware_locality.v3.LoadAwareLocality";
const PEAK_EWMA: &str = "envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma";

/// What `TypedExtensionConfig.typed_config` may hold in a list of policies.
pub(super) const POLICIES: [&str; 12] = [
    ROUND_ROBIN,
    LEAST_REQUEST,
    RANDOM,
    RING_HASH,
    MAGLEV,
    SUBSET,
    CLUSTER_PROVIDED,
    OVERRIDE_HOST,
    CLIENT_SIDE,
    WRR_LOCALITY,
    LOAD_AWARE,
    PEAK_EWMA,
];

const SLOW_START: &[(&str, Support)] = &[
    ("slow_start_window", Implemented),
    ("aggression", Implemented),
    ("min_weight_percent", Implemented),
];

const SUBSETS: &[(&str, Support)] = &[
    ("fallback_policy", Implemented),
    ("default_subset", Implemented),
    ("subset_selectors", Implemented),
    ("locality_weight_aware", Implemented),
    ("scale_locality_weight", Implemented),
    ("panic_mode_any", Implemented),
    ("list_as_any", Implemented),
    ("metadata_fallback_policy", Implemented),
];

const SELECTOR: &[(&str, Support)] = &[
    ("keys", Implemented),
    ("single_host_per_subset", Implemented),
    ("fallback_policy", Implemented),
    ("fallback_keys_subset", Implemented),
];

pub(super) const MESSAGES: &[Entry] = &[
    message(
        "envoy.config.cluster.v3.Cluster.CommonLbConfig",
        &[
            ("healthy_panic_threshold", Implemented),
            ("zone_aware_lb_config", Implemented),
            ("locality_weighted_lb_config", Implemented),
            ("update_merge_window", Implemented),
            ("ignore_new_hosts_until_first_hc", Implemented),
            ("consistent_hashing_lb_config", Implemented),
            ("override_host_status", Implemented),
            ("close_connections_on_host_set_change", Implemented),
        ],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig",
        &[
            ("routing_enabled", Implemented),
            ("min_cluster_size", Implemented),
            ("fail_traffic_on_panic", Implemented),
        ],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig",
        &[],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig",
        &[
            ("use_hostname_for_hashing", Implemented),
            ("hash_balance_factor", Implemented),
        ],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.SlowStartConfig",
        SLOW_START,
    ),
    message(
        "envoy.config.cluster.v3.Cluster.RoundRobinLbConfig",
        &[("slow_start_config", Implemented)],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig",
        &[
            ("choice_count", Implemented),
            ("active_request_bias", Implemented),
            ("slow_start_config", Implemented),
        ],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.RingHashLbConfig",
        &[
            ("minimum_ring_size", Implemented),
            ("hash_function", Implemented),
            ("maximum_ring_size", Implemented),
        ],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.MaglevLbConfig",
        &[("table_size", Implemented)],
    ),
    message("envoy.config.cluster.v3.Cluster.LbSubsetConfig", SUBSETS),
    message(
        "envoy.config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetSelector",
        SELECTOR,
    ),
    message(
        "envoy.config.cluster.v3.LoadBalancingPolicy",
        &[("policies", Implemented)],
    ),
    message(
        "envoy.config.cluster.v3.LoadBalancingPolicy.Policy",
        &[("typed_extension_config", Implemented)],
    ),
    message(
        ROUND_ROBIN,
        &[
            ("slow_start_config", Implemented),
            ("locality_lb_config", Implemented),
        ],
    ),
    message(
        LEAST_REQUEST,
        &[
            ("choice_count", Implemented),
            ("active_request_bias", Implemented),
            ("slow_start_config", Implemented),
            ("locality_lb_config", Implemented),
            ("enable_full_scan", Implemented),
            ("selection_method", Implemented),
        ],
    ),
    message(RANDOM, &[("locality_lb_config", Implemented)]),
    message(
        RING_HASH,
        &[
            ("hash_function", Implemented),
            ("minimum_ring_size", Implemented),
            ("maximum_ring_size", Implemented),
            ("use_hostname_for_hashing", Implemented),
            ("hash_balance_factor", Implemented),
            ("consistent_hashing_lb_config", Implemented),
            ("locality_weighted_lb_config", Implemented),
        ],
    ),
    message(
        MAGLEV,
        &[
            ("table_size", Implemented),
            ("consistent_hashing_lb_config", Implemented),
            ("locality_weighted_lb_config", Implemented),
        ],
    ),
    message(
        SUBSET,
        &[
            ("fallback_policy", Implemented),
            ("default_subset", Implemented),
            ("subset_selectors", Implemented),
            ("allow_redundant_keys", Implemented),
            ("locality_weight_aware", Implemented),
            ("scale_locality_weight", Implemented),
            ("panic_mode_any", Implemented),
            ("list_as_any", Implemented),
            ("metadata_fallback_policy", Implemented),
            ("subset_lb_policy", Implemented),
        ],
    ),
    message(
        "envoy.extensions.load_balancing_policies.subset.v3.Subset.LbSubsetSelector",
        SELECTOR,
    ),
    message(CLUSTER_PROVIDED, &[]),
    message(
        OVERRIDE_HOST,
        &[
            ("override_host_sources", Implemented),
            ("fallback_policy", Implemented),
        ],
    ),
    message(
        "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost.OverrideHostSource",
        &[("header", Implemented), ("metadata", Implemented)],
    ),
    message(
        CLIENT_SIDE,
        &[
            ("enable_oob_load_report", Implemented),
            ("oob_reporting_period", Implemented),
            ("oob_reporting_config", Implemented),
            ("blackout_period", Implemented),
            ("weight_expiration_period", Implemented),
            ("weight_update_period", Implemented),
            ("error_utilization_penalty", Implemented),
            ("metric_names_for_computing_utilization", Implemented),
            ("slow_start_config", Implemented),
        ],
    ),
    message(
        "envoy.extensions.load_balancing_policies.common.v3.OrcaOobReportingConfig",
        &[("port_value", Implemented), ("authority", Implemented)],
    ),
    message(WRR_LOCALITY, &[("endpoint_picking_policy", Implemented)]),
    message(
        LOAD_AWARE,
        &[
            ("endpoint_picking_policy", Implemented),
            ("weight_update_period", Implemented),
            ("metric_names_for_computing_utilization", Implemented),
            ("utilization_variance_threshold", Implemented),
            ("smoothing_time_constant", Implemented),
            ("remote_probe_fraction", Implemented),
            ("weight_expiration_period", Implemented),
            ("enable_oob_load_report", Implemented),
            ("oob_reporting_period", Implemented),
        ],
    ),
    message(
        PEAK_EWMA,
        &[
            ("decay_time", Implemented),
            ("default_rtt", Implemented),
            ("penalty_value", Implemented),
            (
                "aggregation_interval",
                Harmless("all workers measure together: there is nothing to aggregate"),
            ),
            (
                "max_samples_per_host",
                Harmless("each measurement becomes part of the average at once: none is kept"),
            ),
        ],
    ),
    message(
        "envoy.type.metadata.v3.MetadataKey",
        &[("key", Implemented), ("path", Implemented)],
    ),
    message(
        "envoy.type.metadata.v3.MetadataKey.PathSegment",
        &[("key", Implemented)],
    ),
    message(
        "envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig",
        SLOW_START,
    ),
    message(
        "envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig",
        &[
            ("use_hostname_for_hashing", Implemented),
            ("hash_balance_factor", Implemented),
            ("hash_policy", Implemented),
        ],
    ),
    message(
        "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig",
        &[
            ("zone_aware_lb_config", Implemented),
            ("locality_weighted_lb_config", Implemented),
        ],
    ),
    message(
        "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig",
        &[
            ("routing_enabled", Implemented),
            ("min_cluster_size", Implemented),
            ("fail_traffic_on_panic", Implemented),
            ("force_locality_direct_routing", Implemented),
            ("force_local_zone", Implemented),
            ("locality_basis", Implemented),
        ],
    ),
    message(
        "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig.ForceLocalZone",
        &[("min_size", Implemented)],
    ),
    message(
        "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.LocalityWeightedLbConfig",
        &[],
    ),
    message(
        "envoy.config.core.v3.HealthStatusSet",
        &[("statuses", Implemented)],
    ),
    message(
        "envoy.config.core.v3.RuntimeDouble",
        &[("default_value", Implemented), ("runtime_key", Implemented)],
    ),
    message(
        "envoy.config.route.v3.RouteAction.HashPolicy",
        &[
            ("header", Implemented),
            ("cookie", Implemented),
            ("connection_properties", Implemented),
            ("query_parameter", Implemented),
            ("filter_state", Implemented),
            ("terminal", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.RouteAction.HashPolicy.Header",
        &[("header_name", Implemented), ("regex_rewrite", Implemented)],
    ),
    message(
        "envoy.config.route.v3.RouteAction.HashPolicy.CookieAttribute",
        &[("name", Implemented), ("value", Implemented)],
    ),
    message(
        "envoy.config.route.v3.RouteAction.HashPolicy.Cookie",
        &[
            ("name", Implemented),
            ("ttl", Implemented),
            ("path", Implemented),
            ("attributes", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties",
        &[("source_ip", Implemented)],
    ),
    message(
        "envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter",
        &[("name", Implemented)],
    ),
    message(
        "envoy.config.route.v3.RouteAction.HashPolicy.FilterState",
        &[("key", Implemented)],
    ),
];
