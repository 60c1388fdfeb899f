//! Adding and updating listeners.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;

use nuncio_config::ConfigError;
use nuncio_config::api::listener as proto;
use nuncio_event as event;
use nuncio_net::{Address, BindError};
use nuncio_sdk::LocalFuture;

use super::entry::{Entry, WarmTask};
use super::sockets::AddressSockets;
use super::{ErrorState, Inner, ListenerManager, State, wall_now};
use crate::compile::compile;
use crate::spec::ListenerSpec;
use crate::stats::ManagerStats;

/// Where a listener comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The bootstrap. Cannot be updated or removed later.
    Static,
    /// An API (LDS).
    Dynamic {
        /// `version_info` of the update.
        version_info: String,
    },
}

/// Why a listener was not taken. The version in force, if there is one, is untouched.
#[derive(Debug)]
pub enum UpdateError {
    /// The configuration is wrong; paths are relative to the listener.
    Config(Vec<ConfigError>),
    /// The system refused an address.
    Bind(BindError),
    /// Listeners of this direction were stopped.
    Stopped,
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => {
                for (index, error) in errors.iter().enumerate() {
                    let between = if index == 0 { "" } else { "; " };
                    write!(f, "{between}{error}")?;
                }
                Ok(())
            }
            Self::Bind(error) => error.fmt(f),
            Self::Stopped => f.write_str("listeners were stopped"),
        }
    }
}

impl std::error::Error for UpdateError {}

impl From<BindError> for UpdateError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl ListenerManager {
    /// Adds a listener, or updates the one of the same name. `false` when there was nothing to do: the
    /// same listener is in force, or a static one has the name.
    ///
    /// Before the workers are started a listener is in force at once. Later it is when `warm` has
    /// ended; until then the version before it stays.
    ///
    /// # Errors
    /// [`UpdateError`]; nothing has changed then.
    pub fn add_or_update(
        &self,
        mut listener: proto::Listener,
        origin: Origin,
        warm: Option<LocalFuture<()>>,
    ) -> Result<bool, UpdateError> {
        if listener.name.is_empty() {
            listener.name = unique_name();
        }
        let listener = Arc::new(listener);
        let result = self.take(&listener, &origin, warm);
        if let Origin::Dynamic { version_info } = origin {
            let errors = &mut self.inner.state.borrow_mut().errors;
            match &result {
                Ok(_) => {
                    errors.remove(&listener.name);
                }
                Err(error) => {
                    let error = ErrorState {
                        listener: Arc::clone(&listener),
                        version_info,
                        last_update_attempt: wall_now(),
                        details: error.to_string(),
                    };
                    errors.insert(listener.name.clone(), error);
                }
            }
        }
        self.inner.publish();
        result
    }

    fn take(
        &self,
        listener: &Arc<proto::Listener>,
        origin: &Origin,
        warm: Option<LocalFuture<()>>,
    ) -> Result<bool, UpdateError> {
        let inner = &self.inner;
        let (active, started) = {
            let state = inner.state.borrow();
            if state.has_already(listener, origin) {
                return Ok(false);
            }
            let active = state
                .active
                .iter()
                .find(|entry| entry.name() == listener.name);
            let active = active.filter(|entry| !entry.stopped);
            (
                active.map(|entry| Arc::clone(entry.spec())),
                state.workers_started,
            )
        };
        let spec = compile(listener, &inner.server, active.as_deref());
        let spec = Arc::new(spec.map_err(UpdateError::Config)?);
        let in_place = started
            && active
                .as_ref()
                .is_some_and(|active| active.differs_in_chains_only(listener));
        let mut state = inner.state.borrow_mut();
        if state.stopped.is_some_and(|scope| scope.covers(&spec)) {
            return Err(UpdateError::Stopped);
        }
        state.check_addresses(&spec)?;
        let sockets = state.sockets_for(&spec, inner.workers.len())?;
        let mut entry = Entry {
            addresses: addresses(&spec, &sockets),
            sockets,
            shared: inner.share(inner.next_tag(), spec),
            origin: origin.clone(),
            last_updated: wall_now(),
            in_place,
            stopped: false,
            warming: None,
        };
        let known = state.position(listener).is_some();
        inner.stats.inc(if known {
            ManagerStats::LISTENER_MODIFIED
        } else {
            ManagerStats::LISTENER_ADDED
        });
        if !started {
            state.put_active(entry);
            return Ok(true);
        }
        let tag = entry.tag();
        if let Some(warm) = warm {
            let weak = Rc::downgrade(inner);
            let task = event::spawn(async move {
                warm.await;
                if let Some(inner) = weak.upgrade() {
                    inner.on_warm(tag);
                }
            });
            entry.warming = Some(WarmTask(task));
            state.put_warming(entry);
        } else {
            state.put_warming(entry);
            drop(state);
            inner.on_warm(tag);
        }
        Ok(true)
    }
}

impl Inner {
    /// Puts a warm listener into force.
    fn on_warm(self: &Rc<Self>, tag: u64) {
        let mut state = self.state.borrow_mut();
        let Some(place) = state.warming.iter().position(|entry| entry.tag() == tag) else {
            return;
        };
        let mut entry = state.warming.remove(place);
        entry.warming = None;
        let old = state
            .active
            .iter()
            .position(|old| old.name() == entry.name());
        match old {
            Some(old) if entry.in_place => self.replace_chains(&mut state, old, entry),
            Some(old) => {
                // First the new one opens, then the old one closes: both accept from the same
                // sockets where the address is the same, and nobody is refused.
                if self.open(&entry).is_some() {
                    let old = std::mem::replace(&mut state.active[old], entry);
                    self.drain(&mut state, old);
                }
            }
            None => {
                if self.open(&entry).is_some() {
                    state.active.push(entry);
                }
            }
        }
        drop(state);
        self.publish();
    }

    /// Replaces the chains of the active listener at `place` by those of `entry`, on the same sockets.
    fn replace_chains(self: &Rc<Self>, state: &mut State, place: usize, mut entry: Entry) {
        let old = &state.active[place];
        // The workers know the listener by the tag of its first version. Its limit goes on too.
        entry.shared = Arc::new(crate::handler::SharedListener {
            tag: old.tag(),
            spec: Arc::clone(entry.spec()),
            stats: Arc::clone(&entry.shared.stats),
            worker_stats: entry.shared.worker_stats.clone(),
            limit: Arc::clone(&old.shared.limit),
            global_limit: Arc::clone(&self.global_limit),
        });
        let removed = removed_chains(old.spec(), entry.spec());
        let (shared, update, plan) = (Arc::clone(&entry.shared), self.next_tag(), self.plan());
        state.active[place] = entry;
        self.stats.inc(ManagerStats::LISTENER_IN_PLACE_UPDATED);
        // Counted per worker, as a new listener is.
        let workers = self.workers.len() as u64;
        self.stats
            .add(ManagerStats::LISTENER_CREATE_SUCCESS, workers);
        let listener = shared.tag;
        self.post(move |handler| handler.update_chains(Arc::clone(&shared), update, plan));
        if removed > 0 {
            self.drain_chains(state, listener, update, removed);
        }
    }
}

fn removed_chains(old: &ListenerSpec, new: &ListenerSpec) -> usize {
    let all = |spec: &ListenerSpec| {
        let chains = spec.chains.iter().chain(&spec.default_chain);
        chains.map(Arc::as_ptr).collect::<Vec<_>>()
    };
    let kept = all(new);
    all(old)
        .iter()
        .filter(|chain| !kept.contains(chain))
        .count()
}

impl State {
    /// Whether an update changes nothing: an equal one is warming, or in force and none is warming, or
    /// the one in force is not to be updated.
    fn has_already(&self, listener: &proto::Listener, origin: &Origin) -> bool {
        let named = |entry: &&Entry| entry.name() == listener.name;
        let warming = self.warming.iter().find(named);
        let Some(latest) = warming.or_else(|| self.active.iter().find(named)) else {
            return false;
        };
        let fixed = latest.origin == Origin::Static && *origin != Origin::Static;
        fixed || (*latest.spec().proto == *listener && !latest.stopped)
    }

    fn position(&self, listener: &proto::Listener) -> Option<()> {
        let mut all = self.active.iter().chain(&self.warming);
        all.find(|entry| entry.name() == listener.name).map(|_| ())
    }

    /// No other listener may have one of the addresses.
    fn check_addresses(&self, spec: &ListenerSpec) -> Result<(), UpdateError> {
        let others = self.active.iter().chain(&self.warming);
        let others = others.filter(|other| other.name() != &*spec.name);
        let others = others.map(|other| (other.name(), &*other.spec().addresses));
        match spec.duplicate_address(others) {
            None => Ok(()),
            Some(error) => Err(UpdateError::Config(vec![error])),
        }
    }

    /// The sockets of a new version: those that exist for its addresses, new ones for the others.
    fn sockets_for(
        &self,
        spec: &ListenerSpec,
        workers: usize,
    ) -> Result<Vec<Rc<AddressSockets>>, BindError> {
        if !spec.bind_to_port {
            return Ok(Vec::new());
        }
        let mut sockets: Vec<Rc<AddressSockets>> = Vec::with_capacity(spec.addresses.len());
        for wanted in &spec.addresses {
            let existing = self
                .active
                .iter()
                .chain(&self.warming)
                .chain(&self.draining);
            let found = existing
                // A free port belongs to the listener that was given it.
                .filter(|e| e.name() == &*spec.name || wanted.address.port() != Some(0))
                .flat_map(|entry| &entry.sockets)
                .find(|s| s.serves(wanted) && !sockets.iter().any(|own| Rc::ptr_eq(own, s)));
            sockets.push(match found {
                Some(found) => Rc::clone(found),
                None => AddressSockets::bind(wanted, workers)?,
            });
        }
        Ok(sockets)
    }

    fn put_active(&mut self, entry: Entry) {
        match self
            .active
            .iter_mut()
            .find(|old| old.name() == entry.name())
        {
            Some(old) => *old = entry,
            None => self.active.push(entry),
        }
    }

    fn put_warming(&mut self, entry: Entry) {
        match self
            .warming
            .iter_mut()
            .find(|old| old.name() == entry.name())
        {
            Some(old) => *old = entry,
            None => self.warming.push(entry),
        }
    }
}

/// Where a listener is, with real ports; without sockets, where it would be.
fn addresses(spec: &ListenerSpec, sockets: &[Rc<AddressSockets>]) -> Vec<Address> {
    if spec.bind_to_port {
        sockets.iter().map(|s| s.address().clone()).collect()
    } else {
        spec.addresses
            .iter()
            .map(|wanted| wanted.address.clone())
            .collect()
    }
}

/// A name for a listener that has none, in the form of a random UUID.
fn unique_name() -> String {
    let random = || RandomState::new().hash_one(0_u8);
    let (high, low) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}
