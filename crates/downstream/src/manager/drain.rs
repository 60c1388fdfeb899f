//! Removing listeners: their connections leave, then what is left is closed.

use std::rc::Rc;

use nuncio_event as event;

use super::entry::Entry;
use super::update::Origin;
use super::{Inner, ListenerManager, State};
use crate::stats::ManagerStats;

impl ListenerManager {
    /// Removes a listener: it stops accepting at once, and its connections have the drain time to
    /// leave. `false` when there is none of the name that may be removed.
    pub fn remove(&self, name: &str) -> bool {
        let inner = &self.inner;
        let mut state = inner.state.borrow_mut();
        let removable = |entry: &Entry| entry.name() == name && entry.origin != Origin::Static;
        let warming = state.warming.len();
        state.warming.retain(|entry| !removable(entry));
        let mut removed = state.warming.len() < warming;
        if let Some(place) = state.active.iter().position(removable) {
            let entry = state.active.remove(place);
            if state.workers_started {
                inner.drain(&mut state, entry);
            }
            removed = true;
        }
        state.errors.remove(name);
        drop(state);
        if removed {
            inner.stats.inc(ManagerStats::LISTENER_REMOVED);
        }
        inner.publish();
        removed
    }
}

impl Inner {
    /// Lets the connections of a version that is no longer in force leave.
    pub(super) fn drain(self: &Rc<Self>, state: &mut State, entry: Entry) {
        let (tag, plan) = (entry.tag(), self.plan());
        state.draining.push(entry);
        let stopped = self.on_handlers(move |handler| {
            handler.stop_accepting(tag);
            handler.start_drain(tag, plan);
        });
        let weak = Rc::downgrade(self);
        event::spawn(async move {
            stopped.all().await;
            if let Some(inner) = weak.upgrade() {
                inner.close_sockets(tag);
            }
            event::sleep(plan.time).await;
            let Some(inner) = weak.upgrade() else { return };
            inner
                .on_handlers(move |handler| handler.remove(tag))
                .all()
                .await;
            let mut state = inner.state.borrow_mut();
            state.draining.retain(|draining| draining.tag() != tag);
            drop(state);
            inner.publish();
        });
    }

    /// Lets go of the sockets of a draining version. They close unless another version has them.
    fn close_sockets(&self, tag: u64) {
        let mut state = self.state.borrow_mut();
        let mut draining = state.draining.iter_mut();
        if let Some(draining) = draining.find(|draining| draining.tag() == tag) {
            draining.sockets.clear();
        }
    }

    /// Closes what is left of chains removed by `update`, when their time is over.
    pub(super) fn drain_chains(
        self: &Rc<Self>,
        state: &mut State,
        listener: u64,
        update: u64,
        chains: usize,
    ) {
        state.draining_chains += chains;
        let time = self.options.drain_time;
        let weak = Rc::downgrade(self);
        event::spawn(async move {
            event::sleep(time).await;
            let Some(inner) = weak.upgrade() else { return };
            inner
                .on_handlers(move |handler| handler.close_chains(listener, update))
                .all()
                .await;
            inner.state.borrow_mut().draining_chains -= chains;
            inner.publish();
        });
    }
}
