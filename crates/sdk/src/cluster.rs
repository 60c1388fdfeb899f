//! Cluster names, interned: routes name clusters, workers look them up by number.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLock};

/// The number of a cluster's name: an index into each worker's table of clusters. A name that configuration
/// has mentioned keeps its number for the life of the process, whether or not a cluster of that name exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u32);

/// All cluster names that configuration has mentioned. What network input adds is given back
/// ([`ClusterNames::intern_temporary`]).
#[derive(Default)]
pub struct ClusterNames(RwLock<Names>);

#[derive(Default)]
struct Names {
    by_name: HashMap<Arc<str>, ClusterId>,
    by_id: Vec<Arc<str>>,
    /// Numbers of names that come from the network.
    temporary: HashSet<ClusterId>,
    /// Numbers that such names have given back.
    free: Vec<ClusterId>,
}

impl Names {
    fn add(&mut self, name: &str) -> ClusterId {
        let name: Arc<str> = Arc::from(name);
        let id = ClusterId(u32::try_from(self.by_id.len()).expect("fewer than 2^32 cluster names"));
        self.by_id.push(name.clone());
        self.by_name.insert(name, id);
        id
    }
}

impl ClusterNames {
    /// The number of a name from the configuration; a new name gets the next number.
    pub fn intern(&self, name: &str) -> ClusterId {
        {
            let names = self
                .0
                .read()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            if let Some(id) = names.by_name.get(name)
                && !names.temporary.contains(id)
            {
                return *id;
            }
        }
        let mut names = self
            .0
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(&id) = names.by_name.get(name) {
            // Configuration mentions it from now on.
            names.temporary.remove(&id);
            return id;
        }
        names.add(name)
    }

    /// The number of a name that comes from the network. Who has asked for it gives it back ([`Self::release`]), so that the
    /// table does not grow with every name that there ever was.
    pub fn intern_temporary(&self, name: &str) -> ClusterId {
        let mut names = self
            .0
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(&id) = names.by_name.get(name) {
            return id;
        }
        let id = match names.free.pop() {
            None => names.add(name),
            Some(id) => {
                let name: Arc<str> = Arc::from(name);
                names.by_id[id.0 as usize] = name.clone();
                names.by_name.insert(name, id);
                id
            }
        };
        names.temporary.insert(id);
        id
    }

    /// The cluster of this number is gone: another name may get it, unless configuration has mentioned this one since.
    pub fn release(&self, id: ClusterId) {
        let mut names = self
            .0
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if !names.temporary.remove(&id) {
            return;
        }
        names.free.push(id);
        if let Some(name) = names.by_id.get(id.0 as usize).cloned() {
            names.by_name.remove(&name);
        }
    }

    /// The number of a name, if configuration has mentioned it.
    pub fn lookup(&self, name: &str) -> Option<ClusterId> {
        let names = self
            .0
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        names.by_name.get(name).copied()
    }

    /// The name behind a number of this table.
    pub fn name(&self, id: ClusterId) -> Option<Arc<str>> {
        let names = self
            .0
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        names.by_id.get(id.0 as usize).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number() {
        let names = ClusterNames::default();
        let a = names.intern("a");
        let b = names.intern("b");
        assert_ne!(a, b);
        assert_eq!(names.intern("a"), a);
        assert_eq!(names.lookup("b"), Some(b));
        assert_eq!(names.lookup("c"), None);
        assert_eq!(names.name(a).as_deref(), Some("a"));
    }

    #[test]
    fn numbers_of_names_from_the_network_are_used_again() {
        let names = ClusterNames::default();
        let a = names.intern_temporary("a");
        assert_eq!(names.intern_temporary("a"), a);
        let b = names.intern_temporary("b");
        assert_ne!(a, b);
        names.release(a);
        assert_eq!(names.lookup("a"), None);
        assert_eq!(names.intern_temporary("c"), a);
        assert_eq!(names.name(a).as_deref(), Some("c"));
        // What configuration mentions stays.
        assert_eq!(names.intern("b"), b);
        names.release(b);
        assert_eq!(names.lookup("b"), Some(b));
        assert_ne!(names.intern_temporary("d"), b);
    }
}
