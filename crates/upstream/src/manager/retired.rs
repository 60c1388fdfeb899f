//! Hosts that were shown to workers before.

use std::sync::Arc;

use nuncio_event::MainDispatcher;

use crate::host_set::PrioritySet;

/// Smaller sets may end anywhere.
const LARGE: usize = 256;

/// A set of hosts that workers are about to give up. To let go of ten thousand hosts takes longer than a request: the main thread
/// does it, after the last worker.
pub(super) struct Retired {
    hosts: Option<Arc<PrioritySet>>,
    main: MainDispatcher,
}

impl Retired {
    pub(super) fn new(hosts: Arc<PrioritySet>, main: &MainDispatcher) -> Self {
        Self {
            hosts: Some(hosts).filter(|hosts| hosts.len() >= LARGE),
            main: main.clone(),
        }
    }
}

impl Drop for Retired {
    fn drop(&mut self) {
        if let Some(hosts) = self.hosts.take() {
            // Without a main thread they end here.
            let _ = self.main.post(move || drop(hosts));
        }
    }
}
