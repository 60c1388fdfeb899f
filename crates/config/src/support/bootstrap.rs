//! Bootstrap, admin, stats configuration.

use super::{Entry, Support::*, message};

pub(super) const MESSAGES: &[Entry] = &[
    message(
        "envoy.config.bootstrap.v3.Bootstrap",
        &[
            ("node", Implemented),
            (
                "node_context_params",
                Harmless("only sent to management servers, and there are none yet"),
            ),
            ("static_resources", Implemented),
            ("cluster_manager", Implemented),
            ("admin", Implemented),
            ("stats_config", Implemented),
            ("application_log_config", Implemented),
            ("stats_flush_interval", Implemented),
            ("stats_server_version_override", Implemented),
            ("layered_runtime", Implemented),
            ("watchdogs", Implemented),
            ("typed_dns_resolver_config", Implemented),
            ("dns_resolution_config", Implemented),
            ("use_tcp_for_dns_lookups", Implemented),
            ("header_prefix", Refused("the prefix is always x-envoy")),
            (
                "dynamic_resources",
                Refused("use static_resources; xDS comes later"),
            ),
            (
                "default_socket_interface",
                Only(&["envoy.extensions.network.socket_interface.default_socket_interface"]),
            ),
            ("enable_dispatcher_stats", Only(&["false"])),
        ],
    ),
    message(
        "envoy.config.bootstrap.v3.Bootstrap.StaticResources",
        &[
            ("listeners", Implemented),
            ("clusters", Implemented),
            ("secrets", Refused("TLS comes later")),
        ],
    ),
    message(
        "envoy.config.bootstrap.v3.Bootstrap.ApplicationLogConfig",
        &[("log_format", Implemented)],
    ),
    message(
        "envoy.config.bootstrap.v3.Bootstrap.ApplicationLogConfig.LogFormat",
        &[("json_format", Implemented), ("text_format", Implemented)],
    ),
    message(
        "envoy.config.bootstrap.v3.ClusterManager",
        &[
            ("local_cluster_name", Implemented),
            ("outlier_detection", Implemented),
            ("upstream_bind_config", Implemented),
            (
                "enable_deferred_cluster_creation",
                Harmless("a worker makes its part of a cluster when it first uses it, in any case"),
            ),
        ],
    ),
    message(
        "envoy.config.bootstrap.v3.ClusterManager.OutlierDetection",
        &[
            ("event_log_path", Implemented),
            ("event_service", Refused("events go to a file")),
        ],
    ),
    message(
        "envoy.config.bootstrap.v3.Admin",
        &[
            ("address", Implemented),
            ("access_log", Implemented),
            ("access_log_path", Implemented),
            (
                "profile_path",
                Harmless(
                    "where a CPU profile would be written; the profiler endpoint does not exist",
                ),
            ),
            ("socket_options", Implemented),
            (
                "ignore_global_conn_limit",
                Harmless("the admin listener is never counted against a global limit"),
            ),
            ("allow_paths", Implemented),
        ],
    ),
    message(
        "envoy.config.bootstrap.v3.LayeredRuntime",
        &[("layers", Implemented)],
    ),
    message(
        "envoy.config.bootstrap.v3.RuntimeLayer",
        &[
            ("name", Implemented),
            ("static_layer", Implemented),
            ("disk_layer", Implemented),
            ("admin_layer", Implemented),
        ],
    ),
    message(
        "envoy.config.bootstrap.v3.RuntimeLayer.DiskLayer",
        &[
            ("symlink_root", Implemented),
            ("subdirectory", Implemented),
            ("append_service_cluster", Implemented),
        ],
    ),
    message("envoy.config.bootstrap.v3.RuntimeLayer.AdminLayer", &[]),
    message(
        "envoy.config.bootstrap.v3.Watchdogs",
        &[
            ("main_thread_watchdog", Implemented),
            ("worker_watchdog", Implemented),
        ],
    ),
    message(
        "envoy.config.bootstrap.v3.Watchdog",
        &[
            ("miss_timeout", Implemented),
            ("megamiss_timeout", Implemented),
        ],
    ),
    message(
        "envoy.config.metrics.v3.StatsConfig",
        &[
            ("stats_tags", Implemented),
            ("use_all_default_tags", Implemented),
            ("stats_matcher", Implemented),
            ("histogram_bucket_settings", Implemented),
        ],
    ),
    message(
        "envoy.config.metrics.v3.TagSpecifier",
        &[
            ("tag_name", Implemented),
            ("regex", Implemented),
            ("fixed_value", Implemented),
        ],
    ),
    message(
        "envoy.config.metrics.v3.StatsMatcher",
        &[
            ("reject_all", Implemented),
            ("exclusion_list", Implemented),
            ("inclusion_list", Implemented),
        ],
    ),
    message(
        "envoy.config.metrics.v3.HistogramBucketSettings",
        &[("match", Implemented), ("buckets", Implemented)],
    ),
];
