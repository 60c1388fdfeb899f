//! `server.*`: what the server as a whole counts.

use std::sync::Arc;

use nuncio_sdk::ServerContext;
use nuncio_stats::{Group, stats_schema};

use crate::memory::MemoryUsage;
use crate::state::{Lifecycle, ServerState};

stats_schema! {
    /// `server.`
    pub ServerSchema {
        counters {
            debug_assertion_failures,
            dropped_stat_flushes,
            dynamic_unknown_fields,
            envoy_bug_failures,
            envoy_notifications,
            main_thread_watchdog_mega_miss = "main_thread.watchdog_mega_miss",
            main_thread_watchdog_miss = "main_thread.watchdog_miss",
            static_unknown_fields,
            wip_protos,
        }
        gauges {
            fips_mode = "compilation_settings.fips_mode" with always,
            concurrency,
            days_until_first_cert_expiring,
            hot_restart_epoch,
            live,
            memory_allocated,
            memory_heap_size,
            memory_physical_size,
            parent_connections,
            seconds_until_first_ocsp_response_expiring,
            state,
            stats_recent_lookups with always,
            total_connections,
            uptime,
            version,
        }
        histograms { initialization_time_ms (Ms) }
    }
}

stats_schema! {
    /// `server.worker_<n>.`, `workers.` (all of them) and `main_thread.`
    pub WorkerWatchdogSchema {
        counters { watchdog_mega_miss, watchdog_miss }
    }
}

stats_schema! {
    /// `overload.`: of Envoy's overload manager, which is there whether it is configured or not.
    OverloadSchema {
        histograms { refresh_interval_delay (Ms) }
    }
}

stats_schema! {
    /// `envoy.overload_actions.`
    OverloadActionsSchema {
        counters { reset_high_memory_stream = "reset_high_memory_stream.count" }
    }
}

/// `days_until_first_cert_expiring` without certificates: the largest number that Envoy's 32 bits hold.
const NO_CERTIFICATE: u64 = u32::MAX as u64;

/// The stats under `server.`.
pub struct ServerStats {
    group: Arc<Group>,
    workers: Vec<Arc<Group>>,
    all_workers: Arc<Group>,
    main_thread: Arc<Group>,
    /// Groups live as long as somebody holds them.
    _overload: [Arc<Group>; 2],
    state: Arc<ServerState>,
    connections: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl ServerStats {
    /// Registers the stats. `restart_epoch` is that of the command line, `revision` the number that `server.version`
    /// shows (Envoy: the first 24 bits of its commit), `connections` counts the open downstream connections.
    pub fn new(
        server: &ServerContext,
        state: Arc<ServerState>,
        restart_epoch: u32,
        revision: u32,
        connections: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let group = server.stats.group("server", ServerSchema::SCHEMA);
        let workers = (0..server.concurrency)
            .map(|worker| {
                let prefix = format!("server.worker_{worker}");
                server.stats.group(prefix, WorkerWatchdogSchema::SCHEMA)
            })
            .collect();
        let set = |gauge, value| group.gauge_set(gauge, value);
        set(ServerSchema::CONCURRENCY, server.concurrency as u64);
        // As in Envoy, the first process does not count as one that was restarted.
        if restart_epoch > 0 {
            set(ServerSchema::HOT_RESTART_EPOCH, restart_epoch.into());
        }
        for counter in [
            ServerSchema::DYNAMIC_UNKNOWN_FIELDS,
            ServerSchema::WIP_PROTOS,
        ] {
            group.add(counter, 0);
        }
        set(ServerSchema::VERSION, revision.into());
        set(ServerSchema::DAYS_UNTIL_FIRST_CERT_EXPIRING, NO_CERTIFICATE);
        let stats = Self {
            group,
            workers,
            all_workers: server.stats.group("workers", WorkerWatchdogSchema::SCHEMA),
            main_thread: server
                .stats
                .group("main_thread", WorkerWatchdogSchema::SCHEMA),
            _overload: [
                server.stats.group("overload", OverloadSchema::SCHEMA),
                server
                    .stats
                    .group("envoy.overload_actions", OverloadActionsSchema::SCHEMA),
            ],
            state,
            connections: Box::new(connections),
        };
        stats.update();
        stats
    }

    /// Brings the gauges up to date: call it at each stats flush. A few file reads.
    pub fn update(&self) {
        let lifecycle = self.state.lifecycle();
        let memory = MemoryUsage::now();
        let set = |gauge, value| self.group.gauge_set(gauge, value);
        set(ServerSchema::STATE, lifecycle as u64);
        set(ServerSchema::LIVE, u64::from(lifecycle == Lifecycle::Live));
        set(ServerSchema::UPTIME, self.state.uptime().as_secs());
        set(ServerSchema::TOTAL_CONNECTIONS, (self.connections)());
        set(ServerSchema::MEMORY_ALLOCATED, memory.allocated);
        set(ServerSchema::MEMORY_HEAP_SIZE, memory.heap_size);
        set(ServerSchema::MEMORY_PHYSICAL_SIZE, memory.physical);
    }

    /// The server went live: records how long that took.
    pub fn initialized(&self) {
        let took = self.state.uptime().as_millis();
        let took = u64::try_from(took).unwrap_or(u64::MAX);
        self.group
            .record(ServerSchema::INITIALIZATION_TIME_MS, took);
    }

    /// A thread has not turned for so long that its watchdog noticed: `None` is the main thread, `mega` the second limit.
    pub fn watchdog_missed(&self, worker: Option<usize>, mega: bool) {
        let counter = match mega {
            true => WorkerWatchdogSchema::WATCHDOG_MEGA_MISS,
            false => WorkerWatchdogSchema::WATCHDOG_MISS,
        };
        let Some(worker) = worker else {
            self.main_thread.inc(counter);
            return self.group.inc(match mega {
                true => ServerSchema::MAIN_THREAD_WATCHDOG_MEGA_MISS,
                false => ServerSchema::MAIN_THREAD_WATCHDOG_MISS,
            });
        };
        self.all_workers.inc(counter);
        if let Some(group) = self.workers.get(worker) {
            group.inc(counter);
        }
    }
}
