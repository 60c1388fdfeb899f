//! Load reports out of band: a call of `xds.service.orca.v3.OpenRcaService/StreamCoreMetrics` to each host, on whose
//! answer the host reports as often as it was asked to (Envoy's `OrcaOobManager`). On the main thread, like health
//! checks. See `LIFECYCLE.md`.

mod session;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nuncio_stats::Group;
use tokio::task::AbortHandle;

use crate::health::HttpCounters;
use crate::host::Host;
use crate::host_set::PrioritySet;
use crate::stats::OutOfBandStats as S;

pub(crate) use session::{Session, Target, read_all};

/// How a policy asks for reports out of band.
#[derive(Clone, Debug, PartialEq)]
pub struct OutOfBand {
    /// `oob_reporting_period`, in whole milliseconds, above 0.
    pub period: Duration,
    /// `oob_reporting_config.port_value`: in place of the endpoint's port.
    pub port: Option<u16>,
    /// `oob_reporting_config.authority`: in place of the host's name or address.
    pub authority: Option<Arc<str>>,
}

impl OutOfBand {
    /// Envoy's period where none is given.
    pub(crate) const DEFAULT_PERIOD: Duration = Duration::from_secs(10);
}

/// Who is asked on behalf of one version of a cluster. Dropping it ends all calls.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// One call to each host for each of them.
    settings: Box<[OutOfBand]>,
    stats: Arc<Group>,
    counters: Arc<HttpCounters>,
    /// By the host's place in memory, which [`Asked`] keeps.
    hosts: HashMap<usize, Asked>,
}

#[derive(Debug)]
struct Asked {
    _host: Arc<Host>,
    tasks: Box<[AbortHandle]>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Sessions {
    /// `None` without settings. `stats`: `cluster.<name>.lb_orca_oob`.
    pub(crate) fn new(
        settings: Vec<OutOfBand>,
        stats: impl FnOnce() -> Arc<Group>,
        counters: impl FnOnce() -> Arc<HttpCounters>,
    ) -> Option<Self> {
        (!settings.is_empty()).then(|| Self {
            settings: settings.into(),
            stats: stats(),
            counters: counters(),
            hosts: HashMap::new(),
        })
    }

    /// What the connections count for their cluster.
    pub(crate) fn counters(&self) -> &Arc<HttpCounters> {
        &self.counters
    }

    /// Asks these hosts from now on, and no others. `start` begins to ask one of them.
    pub(crate) fn set_hosts(
        &mut self,
        hosts: &PrioritySet,
        start: impl Fn(&Arc<Host>, &OutOfBand, Active) -> AbortHandle,
    ) {
        let mut before = std::mem::take(&mut self.hosts);
        for host in hosts.hosts() {
            let key = Arc::as_ptr(host) as usize;
            let asked = before.remove(&key).unwrap_or_else(|| Asked {
                _host: host.clone(),
                tasks: (self.settings.iter())
                    .map(|settings| start(host, settings, Active::new(&self.stats)))
                    .collect(),
            });
            self.hosts.insert(key, asked);
        }
    }
}

/// A session that is counted as active while it lives.
#[derive(Debug)]
pub(crate) struct Active {
    stats: Arc<Group>,
}

impl Active {
    pub(crate) fn new(stats: &Arc<Group>) -> Self {
        stats.gauge_add(S::ACTIVE_SESSIONS, 1);
        Self {
            stats: stats.clone(),
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.stats.gauge_sub(S::ACTIVE_SESSIONS, 1);
    }
}

#[cfg(test)]
mod tests;
