//! What the runtime changes of clusters: limits, outlier detection, maintenance mode, intervals of health checks.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use nuncio_sdk::runtime::Snapshot;

use super::ClusterManager;
use crate::breaker;
use crate::info::ClusterInfo;

impl ClusterManager {
    /// Applies every change of the runtime: at once, so that the next request after `/runtime_modify` finds it in force, and
    /// again on the main thread, which may be making a version by the values from before.
    pub(super) fn follow_runtime(&self) {
        let (main, manager) = (self.main.clone(), self.this.clone());
        self.runtime.on_change(move |_| {
            let apply = {
                let manager = manager.clone();
                move || {
                    if let Some(manager) = manager.upgrade() {
                        manager.on_runtime();
                    }
                }
            };
            apply();
            // The main thread is gone when the server ends.
            let _ = main.post(apply);
        });
    }

    fn on_runtime(&self) {
        let snapshot = self.runtime.snapshot();
        let state = self.state();
        for entry in state.clusters.values() {
            let versions = [entry.active.as_ref(), entry.warming.as_deref()];
            for info in versions.into_iter().flatten().map(|version| &version.info) {
                if let Some(detector) = &info.outlier {
                    detector.on_runtime(&snapshot);
                }
                show_maintenance(info, &snapshot);
            }
            if let Some(active) = &entry.active {
                self.limit(&active.info);
            }
        }
    }

    /// Puts a version's limits in force.
    pub(super) fn limit(&self, info: &ClusterInfo) {
        let configured = info.thresholds();
        let limits = breaker::overridden(&configured, &info.name, &self.runtime.snapshot());
        info.breakers.set_thresholds(&limits, &*info.stats);
    }

    /// For a version that is being made.
    pub(super) fn apply_runtime(&self, info: &ClusterInfo) {
        let snapshot = self.runtime.snapshot();
        if !snapshot.is_empty() {
            show_maintenance(info, &snapshot);
        }
    }

    /// The time until the next health check, within the bounds of the runtime.
    pub(super) fn bounded_interval(&self, wait: Duration) -> Duration {
        let snapshot = self.runtime.snapshot();
        let bound = |key| snapshot.integer(key).map(Duration::from_millis);
        let wait = bound("health_check.max_interval").map_or(wait, |most| wait.min(most));
        let wait = bound("health_check.min_interval").map_or(wait, |least| wait.max(least));
        // Never a busy loop.
        wait.max(Duration::from_millis(1))
    }
}

fn show_maintenance(info: &ClusterInfo, snapshot: &Snapshot) {
    let percent = snapshot.integer(&format!("upstream.maintenance_mode.{}", info.name));
    let percent = percent.unwrap_or(0).min(100);
    info.maintenance_percent.store(percent as u8, Relaxed);
}
