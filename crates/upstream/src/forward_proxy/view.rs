//! What one worker knows of a DNS cache: a request looks here, and takes no lock for a host that another one has asked for
//! on the same worker.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;

use super::entry::{Entry, Known};

/// Hosts by name and port, as the cache has posted them. A host that this worker has not been asked for is not there.
#[derive(Default)]
pub(super) struct View(RefCell<HashMap<Box<str>, Seen>>);

struct Seen {
    entry: Arc<Entry>,
    known: Rc<Known>,
}

impl View {
    /// The host, which is in use.
    pub(super) fn find(&self, key: &str) -> Option<Rc<Known>> {
        let hosts = self.0.borrow();
        let Seen { entry, known } = hosts.get(key)?;
        entry.touch();
        Some(known.clone())
    }

    /// The cache was asked under its lock. What changes later is posted.
    pub(super) fn insert(&self, key: &str, entry: Arc<Entry>, known: Known) -> Rc<Known> {
        let known = Rc::new(known);
        let seen = Seen {
            entry,
            known: known.clone(),
        };
        self.0.borrow_mut().insert(key.into(), seen);
        known
    }

    /// A host is known differently from now on; `None`: it is gone.
    pub(super) fn update(&self, key: &str, known: Option<&Known>) {
        let mut hosts = self.0.borrow_mut();
        match known {
            None => _ = hosts.remove(key),
            Some(known) => {
                if let Some(seen) = hosts.get_mut(key) {
                    seen.known = Rc::new(known.clone());
                }
            }
        }
    }
}
