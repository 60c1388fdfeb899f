//! Listener filters: a connection passes them in a task of its own before it gets a filter chain.

use std::rc::Rc;
use std::time::Duration;

use nuncio_event as event;
use nuncio_sdk::listener::{AcceptedConnection, ListenerVerdict};

use super::active::{ActiveListener, Permits};
use crate::spec::ListenerFilters;
use crate::stats::ListenerStats;

/// Counts a connection in `downstream_pre_cx_active` while listener filters look at it.
struct Counted<'a>(&'a ActiveListener);

impl<'a> Counted<'a> {
    fn new(listener: &'a ActiveListener) -> Self {
        let gauge = ListenerStats::DOWNSTREAM_PRE_CX_ACTIVE;
        listener.stats.gauge_add(gauge, 1);
        Self(listener)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let gauge = ListenerStats::DOWNSTREAM_PRE_CX_ACTIVE;
        self.0.stats.gauge_sub(gauge, 1);
    }
}

/// How the filters have ended.
enum Ended {
    Verdict(ListenerVerdict),
    Timeout,
}

/// Leads `connection` through the filters of `listener`, then to the listener at its original destination, if it is to be handed
/// over (`use_original_dst`) and was not yet, or to its filter chain.
pub(super) fn start(
    listener: &Rc<ActiveListener>,
    mut connection: AcceptedConnection,
    permits: Permits,
    may_hand_over: bool,
) {
    let listener = Rc::clone(listener);
    event::spawn(async move {
        let version = listener.version();
        let Some(filters) = &version.shared.spec.listener_filters else {
            return;
        };
        let counted = Counted::new(&listener);
        let passed = match run(filters, &mut connection).await {
            Ended::Verdict(ListenerVerdict::Continue) => true,
            Ended::Verdict(ListenerVerdict::Close) => false,
            Ended::Timeout => {
                listener.stats.inc(ListenerStats::DOWNSTREAM_PRE_CX_TIMEOUT);
                log::debug!("listener filters of {} time out", version.shared.spec.name);
                filters.continue_on_timeout
            }
        };
        drop(counted);
        if !passed || listener.is_closed() {
            return;
        }
        if may_hand_over
            && filters.hand_over
            && connection.local_address_restored
            && let Some(other) = listener.sibling_at(&connection.local_address)
        {
            // It counts where it goes.
            drop(permits);
            return other.take_over(connection);
        }
        listener.admit(connection, permits);
    });
}

async fn run(filters: &ListenerFilters, connection: &mut AcceptedConnection) -> Ended {
    let timeout = filters.timeout;
    let all = async {
        for entry in &filters.filters {
            let disabled = entry.disabled.as_ref();
            if disabled.is_some_and(|predicate| predicate.matches(connection)) {
                continue;
            }
            if entry.filter.inspect(connection).await == ListenerVerdict::Close {
                return ListenerVerdict::Close;
            }
        }
        ListenerVerdict::Continue
    };
    match timeout {
        None => Ended::Verdict(all.await),
        Some(timeout) => within(timeout, all).await,
    }
}

async fn within(timeout: Duration, all: impl Future<Output = ListenerVerdict>) -> Ended {
    match event::timeout(timeout, all).await {
        Ok(verdict) => Ended::Verdict(verdict),
        Err(_) => Ended::Timeout,
    }
}

#[cfg(test)]
mod tests;
