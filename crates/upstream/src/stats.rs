//! What is counted per cluster (`cluster.<name>.*`) and by the cluster manager (`cluster_manager.*`).
//!
//! A cluster has one group. What the main thread sets (membership, updates) costs 16 bytes per stat that was ever set; a
//! worker's block of all of them is made when the worker first uses the cluster.
//!
//! Who counts what:
//! * the cluster manager: `membership_*`, `update_*`, `version`, `warming_state`, `max_host_weight`;
//! * the pools: `upstream_cx_*`, `upstream_rq_total`, `_active`, `_pending_*`, `_cancelled`, `_active_overflow`, and
//!   `circuit_breakers.*`;
//! * the router, through [`WorkerCluster`](crate::WorkerCluster)'s helpers: answers by code and their times,
//!   timeouts, flow control.

use nuncio_stats::stats_schema;

stats_schema! {
    /// `cluster.<name>.*`
    pub ClusterStats {
        counters {
            assignment_stale,
            assignment_timeout_received,
            assignment_use_cached,
            bind_errors,
            total_match_count = "default.total_match_count",
            lb_healthy_panic,
            lb_local_cluster_not_ok,
            lb_recalculate_zone_structures,
            lb_subsets_created,
            lb_subsets_fallback,
            lb_subsets_fallback_panic,
            lb_subsets_removed,
            lb_subsets_selected,
            lb_zone_cluster_too_small,
            lb_zone_no_capacity_left,
            lb_zone_routing_all_directly,
            lb_zone_routing_cross_zone,
            lb_zone_routing_sampled,
            membership_change,
            original_dst_host_invalid,
            retry_or_shadow_abandoned,
            update_attempt,
            update_empty,
            update_failure,
            update_no_rebuild,
            update_success,
            upstream_cx_close_notify,
            upstream_cx_connect_attempts_exceeded,
            upstream_cx_connect_fail,
            upstream_cx_connect_timeout,
            upstream_cx_connect_with_0_rtt,
            upstream_cx_destroy,
            upstream_cx_destroy_local,
            upstream_cx_destroy_local_with_active_rq,
            upstream_cx_destroy_remote,
            upstream_cx_destroy_remote_with_active_rq,
            upstream_cx_destroy_with_active_rq,
            upstream_cx_http1_total,
            upstream_cx_http2_total,
            upstream_cx_http3_total,
            upstream_cx_idle_timeout,
            upstream_cx_max_duration_reached,
            upstream_cx_max_requests,
            upstream_cx_none_healthy,
            upstream_cx_overflow,
            upstream_cx_pool_overflow,
            upstream_cx_preconnect_skipped,
            upstream_cx_protocol_error,
            upstream_cx_rx_bytes_total,
            upstream_cx_total,
            upstream_cx_tx_bytes_total,
            upstream_flow_control_backed_up_total,
            upstream_flow_control_drained_total,
            upstream_flow_control_paused_reading_total,
            upstream_flow_control_resumed_reading_total,
            upstream_http3_broken,
            upstream_internal_redirect_failed_total,
            upstream_internal_redirect_succeeded_total,
            upstream_rq_0rtt,
            upstream_rq_active_overflow,
            upstream_rq_cancelled,
            upstream_rq_maintenance_mode,
            upstream_rq_max_duration_reached,
            upstream_rq_pending_failure_eject,
            upstream_rq_pending_overflow,
            upstream_rq_pending_total,
            upstream_rq_per_try_idle_timeout,
            upstream_rq_per_try_timeout,
            upstream_rq_retry,
            upstream_rq_retry_backoff_exponential,
            upstream_rq_retry_backoff_ratelimited,
            upstream_rq_retry_limit_exceeded,
            upstream_rq_retry_overflow,
            upstream_rq_retry_success,
            upstream_rq_rx_reset,
            upstream_rq_rx_reset_no_error,
            upstream_rq_timeout,
            upstream_rq_total,
            upstream_rq_tx_reset,
        }
        gauges {
            default_cx_open = "circuit_breakers.default.cx_open" with upstream_cx_active,
            default_cx_pool_open = "circuit_breakers.default.cx_pool_open" with upstream_cx_active,
            default_rq_open = "circuit_breakers.default.rq_open" with upstream_rq_active,
            default_rq_pending_open = "circuit_breakers.default.rq_pending_open" with upstream_cx_active,
            default_rq_retry_open = "circuit_breakers.default.rq_retry_open" with upstream_rq_retry,
            high_cx_open = "circuit_breakers.high.cx_open",
            high_cx_pool_open = "circuit_breakers.high.cx_pool_open" with upstream_cx_destroy,
            high_rq_open = "circuit_breakers.high.rq_open",
            high_rq_pending_open = "circuit_breakers.high.rq_pending_open",
            high_rq_retry_open = "circuit_breakers.high.rq_retry_open",
            lb_subsets_active,
            max_host_weight (NeverImport),
            membership_degraded (NeverImport) with membership_total,
            membership_excluded (NeverImport) with membership_total,
            membership_healthy (NeverImport),
            membership_total (NeverImport),
            upstream_cx_active,
            upstream_cx_rx_bytes_buffered,
            upstream_cx_tx_bytes_buffered,
            upstream_queue_overloaded,
            upstream_rq_active,
            upstream_rq_pending_active,
            version (NeverImport),
            warming_state (NeverImport) with always,
        }
        histograms {
            upstream_cx_connect_ms (Ms),
            upstream_cx_length_ms (Ms),
            upstream_rq_per_cx (Unspecified),
            upstream_rq_time (Ms, lazy),
        }
        codes {
            upstream_rq with completed,
        }
    }
}

stats_schema! {
    /// `cluster.<name>.*` of clusters whose endpoints are discovered; `version` and the other `update_*` are with the cluster's
    /// own, and `version_text` is a text.
    pub SubscriptionStats {
        counters {
            init_fetch_timeout,
            update_rejected,
        }
        gauges {
            update_time (NeverImport),
        }
        histograms {
            update_duration (Ms),
        }
    }
}

stats_schema! {
    /// `cluster.<name>.external.*`, `.internal.*` and `.canary.*`: each there once it was needed.
    pub AnswerStats {
        histograms { upstream_rq_time (Ms, lazy) }
        codes { upstream_rq }
    }
}

stats_schema! {
    /// `cluster.<name>.*` with `track_cluster_stats.timeout_budgets`.
    pub TimeoutBudgetStats {
        histograms {
            upstream_rq_timeout_budget_per_try_percent_used (Unspecified),
            upstream_rq_timeout_budget_percent_used (Unspecified),
        }
    }
}

stats_schema! {
    /// `cluster.<name>.*` with `track_cluster_stats.request_response_sizes`.
    pub SizeStats {
        histograms {
            upstream_rq_body_size (Bytes),
            upstream_rq_headers_count (Unspecified),
            upstream_rq_headers_size (Bytes),
            upstream_rs_body_size (Bytes),
            upstream_rs_headers_count (Unspecified),
            upstream_rs_headers_size (Bytes),
        }
    }
}

stats_schema! {
    /// `cluster.<name>.http1.*`: there once a connection was made.
    pub Http1Stats {
        counters {
            dropped_headers_with_underscores,
            metadata_not_supported_error,
            requests_rejected_with_underscores_in_headers,
            response_flood,
        }
    }
}

stats_schema! {
    /// `cluster.<name>.circuit_breakers.<priority>.remaining_*`: only with `track_remaining`.
    pub RemainingStats {
        gauges {
            remaining_cx,
            remaining_cx_pools,
            remaining_pending,
            remaining_retries,
            remaining_rq,
        }
    }
}

stats_schema! {
    /// `dns_cache.<name>.*`
    pub DnsCacheStats {
        counters {
            cache_load,
            dns_address_filter_out,
            dns_query_attempt,
            dns_query_failure,
            dns_query_success,
            dns_query_timeout,
            dns_rq_pending_overflow,
            host_added,
            host_address_changed,
            host_overflow,
            host_removed,
        }
        gauges { num_hosts (NeverImport) }
    }
}

stats_schema! {
    /// `dns_cache.<name>.circuit_breakers.*`
    pub DnsCacheBreakerStats {
        gauges { rq_pending_open, rq_pending_remaining }
    }
}

stats_schema! {
    /// `cluster.<name>.*` of clusters with subsets.
    pub SubsetStats {
        gauges { lb_subsets_single_host_per_subset_duplicate }
    }
}

stats_schema! {
    /// `cluster.<name>.ring_hash_lb.*`: there once a ring was made.
    pub RingHashStats {
        gauges {
            max_hashes_per_host,
            min_hashes_per_host,
            size,
        }
    }
}

stats_schema! {
    /// `cluster.<name>.maglev_lb.*`: there once a table was made.
    pub MaglevStats {
        gauges {
            max_entries_per_host,
            min_entries_per_host,
        }
    }
}

stats_schema! {
    /// `cluster.<name>.load_aware_locality.*`
    pub LoadAwareStats {
        counters {
            all_overloaded_total,
            local_preferred_total,
            probe_active_total,
            recompute_total,
            spill_active_total,
            stale_locality_total,
        }
    }
}

stats_schema! {
    /// `cluster_manager.*`
    pub ManagerStats {
        counters {
            cluster_added,
            cluster_modified,
            cluster_removed,
            cluster_updated,
            cluster_updated_via_merge,
            update_merge_cancelled,
            update_out_of_merge_window,
        }
        gauges {
            active_clusters (NeverImport),
            warming_clusters (NeverImport) with always,
        }
    }
}

stats_schema! {
    /// `thread_local_cluster_manager.<thread>.*`
    pub ThreadManagerStats {
        gauges { clusters_inflated (NeverImport) }
    }
}

stats_schema! {
    /// `cluster.<name>.outlier_detection.*`: only with outlier detection. The first three counters are Envoy's older names.
    pub OutlierStats {
        counters {
            ejections_consecutive_5xx,
            ejections_success_rate,
            ejections_total,
            ejections_detected_consecutive_5xx,
            ejections_detected_consecutive_gateway_failure,
            ejections_detected_consecutive_local_origin_failure,
            ejections_detected_degradation,
            ejections_detected_failure_percentage,
            ejections_detected_local_origin_failure_percentage,
            ejections_detected_local_origin_success_rate,
            ejections_detected_success_rate,
            ejections_enforced_consecutive_5xx,
            ejections_enforced_consecutive_gateway_failure,
            ejections_enforced_consecutive_local_origin_failure,
            ejections_enforced_failure_percentage,
            ejections_enforced_local_origin_failure_percentage,
            ejections_enforced_local_origin_success_rate,
            ejections_enforced_success_rate,
            ejections_enforced_total,
            ejections_overflow,
        }
        gauges {
            ejections_active,
        }
    }
}

stats_schema! {
    /// `cluster.<name>.health_check.*`: only with active health checks.
    pub HealthCheckStats {
        counters {
            attempt,
            failure,
            network_failure,
            passive_failure,
            success,
            verify_cluster,
        }
        gauges {
            degraded,
            healthy,
        }
    }
}

stats_schema! {
    /// `cluster.<name>.health_check.*`, of all checks together: only with several of them, which have
    /// `cluster.<name>.health_check.name.<name>.*` each.
    pub HealthCheckTotalStats {
        gauges {
            degraded,
            healthy,
        }
    }
}

stats_schema! {
    /// `cluster.<name>.health_check.redis.*`
    pub RedisHealthCheckStats {
        counters { exists_failure }
    }
}

stats_schema! {
    /// `cluster.<name>.take_over.*`: idle connections that another worker was asked for, and those that it gave. Nuncio's own;
    /// there once one was asked for.
    pub TakeOverStats {
        counters {
            asked,
            taken,
        }
    }
}

stats_schema! {
    /// `cluster.<name>.lb_orca_oob.*`: only where a policy asks for load reports out of band.
    pub OutOfBandStats {
        counters {
            report_errors,
            reports_received,
            stream_failures,
            stream_terminated,
        }
        gauges {
            active_sessions,
        }
    }
}

stats_schema! {
    /// `cluster.<name>.retry.*`: answers in whose place the request was tried again; there once there was one.
    pub RetryStats {
        codes { upstream_rq }
    }
}

stats_schema! {
    /// `dns.cares.*`: of all resolvers that ask DNS servers.
    pub CaresStats {
        counters {
            get_addr_failure,
            not_found,
            reinits,
            resolve_total,
            timeouts,
        }
        gauges {
            pending_resolutions,
        }
    }
}

stats_schema! {
    /// `dns.hickory.*`: of all resolvers that ask as hickory-resolver does.
    pub HickoryStats {
        counters {
            get_addr_failure,
            not_found,
            resolve_total,
            timeouts,
        }
        gauges {
            pending_resolutions,
        }
    }
}
