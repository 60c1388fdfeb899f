//! One version of a listener as the manager has it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use nuncio_event::Task;
use nuncio_net::Address;

use super::sockets::AddressSockets;
use super::update::Origin;
use crate::handler::SharedListener;
use crate::spec::ListenerSpec;

/// A listener that is warming, active or draining.
pub(super) struct Entry {
    pub(super) shared: Arc<SharedListener>,
    /// By address; shared with other versions that listen at the same address.
    pub(super) sockets: Vec<Rc<AddressSockets>>,
    /// Where it listens, with real ports.
    pub(super) addresses: Vec<Address>,
    pub(super) origin: Origin,
    /// When the update arrived that brought it.
    pub(super) last_updated: SystemTime,
    /// Takes the place of the active version without new sockets.
    pub(super) in_place: bool,
    /// Its sockets were closed for good.
    pub(super) stopped: bool,
    /// Waits until it is warm; ends when the entry goes.
    pub(super) warming: Option<WarmTask>,
}

/// A task that ends with its owner.
pub(super) struct WarmTask(pub(super) Task);

impl Drop for WarmTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Entry {
    pub(super) fn spec(&self) -> &Arc<ListenerSpec> {
        &self.shared.spec
    }

    pub(super) fn name(&self) -> &str {
        &self.shared.spec.name
    }

    pub(super) fn tag(&self) -> u64 {
        self.shared.tag
    }
}
