//! Outlier detection of all clusters: what workers report, and the sweeps.

use std::sync::Arc;
use std::time::Duration;

use nuncio_event::clock;
use nuncio_sdk::ClusterId;
use tokio::task::AbortHandle;

use super::{ClusterManager, Version};
use crate::host::Host;
use crate::info::ClusterInfo;
use crate::outlier::{Detector, Ejection, OutlierEventLog, Settings};
use crate::stats::OutlierStats;

/// A task that looks at one version's hosts again and again, and ends with this.
#[derive(Debug)]
pub(super) struct Sweeps {
    /// The version's.
    pub(super) serial: u64,
    task: AbortHandle,
}

impl Drop for Sweeps {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ClusterManager {
    /// Where ejections are logged (`cluster_manager.outlier_detection.event_log_path`); before clusters are added, and once.
    pub fn set_outlier_event_log(&self, log: Arc<dyn OutlierEventLog>) {
        // A second one has no effect: clusters already log to the first.
        let _ = self.outlier_log.set(log);
    }

    pub(super) fn make_detector(
        &self,
        id: ClusterId,
        name: &Arc<str>,
        settings: Settings,
    ) -> Arc<Detector> {
        let stats = self.server.stats.group(
            format!("cluster.{name}.outlier_detection"),
            OutlierStats::SCHEMA,
        );
        let (main, manager) = (self.main.clone(), self.this.clone());
        let report = move |host: Arc<Host>, ejection| {
            let manager = manager.clone();
            // The main thread is gone when the server ends: nothing is ejected then.
            let _ = main.post(move || {
                if let Some(manager) = manager.upgrade() {
                    manager.on_outlier(id, &host, ejection);
                }
            });
        };
        let detector = Detector::new(
            settings,
            name.clone(),
            stats,
            Box::new(report),
            self.outlier_log.get().cloned(),
        );
        detector.on_runtime(&self.runtime.snapshot());
        Arc::new(detector)
    }

    /// Begins to sweep; nothing without outlier detection, or without a runtime (validation).
    pub(super) fn start_sweeps(&self, info: &ClusterInfo, serial: u64) -> Option<Sweeps> {
        let detector = info.outlier.clone()?;
        let id = info.id;
        self.repeat(
            move || detector.interval(),
            serial,
            move |manager| manager.sweep_outliers(id, serial),
        )
    }

    /// Makes `call` after each `interval`, which may change; not without a runtime.
    pub(super) fn repeat(
        &self,
        interval: impl Fn() -> Duration + Send + 'static,
        serial: u64,
        call: impl Fn(&Self) + Send + 'static,
    ) -> Option<Sweeps> {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let manager = self.this.clone();
        let task = runtime.spawn(async move {
            loop {
                tokio::time::sleep(interval()).await;
                let Some(manager) = manager.upgrade() else {
                    return;
                };
                call(&manager);
            }
        });
        Some(Sweeps {
            serial,
            task: task.abort_handle(),
        })
    }

    /// A worker has detected an outlier.
    fn on_outlier(&self, id: ClusterId, host: &Arc<Host>, ejection: Ejection) {
        let mut state = self.state();
        let entry = state.clusters.get_mut(&id);
        let Some(version) = entry.and_then(|entry| entry.active.as_mut()) else {
            return;
        };
        // The host may have gone meanwhile.
        let is_here = version.hosts.hosts().any(|other| Arc::ptr_eq(other, host));
        if let Some(detector) = version.info.outlier.clone()
            && is_here
            && detector.on_report(host, ejection, &version.hosts, clock::now())
        {
            self.show_health_soon(id, version, Some(host));
        }
    }

    fn sweep_outliers(&self, id: ClusterId, serial: u64) {
        let mut state = self.state();
        let entry = state.clusters.get_mut(&id);
        let Some(version) = entry.and_then(|entry| entry.active.as_mut()) else {
            return;
        };
        // A version that still warms has no traffic.
        let is_it = |sweeps: &Sweeps| sweeps.serial == serial;
        if version.sweeps.as_ref().is_some_and(is_it)
            && let Some(detector) = version.info.outlier.clone()
            && detector.sweep(&version.hosts, clock::now())
        {
            self.show_health_soon(id, version, None);
        }
    }

    /// Shows changed health flags (those of `host`, or of any) to the workers after everything that was reported up to now: many
    /// ejections at once cost one update.
    pub(super) fn show_health_soon(
        &self,
        id: ClusterId,
        version: &mut Version,
        host: Option<&Arc<Host>>,
    ) {
        version.note_flip(host);
        if std::mem::replace(&mut version.health_is_stale, true) {
            return;
        }
        let manager = self.this.clone();
        let show = move || {
            if let Some(manager) = manager.upgrade() {
                manager.show_health(id);
            }
        };
        match version.patience() {
            // Nobody is left to be told when the main thread is gone.
            None => _ = self.main.post(show),
            Some(patience) => {
                tokio::spawn(async move {
                    tokio::time::sleep(patience).await;
                    show();
                });
            }
        }
    }
}
