//! The addresses of a host that has more than one, or whose addresses change.

use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use nuncio_net::Address;

/// Addresses of one host, the first choice first; never empty.
#[derive(Clone, Debug)]
pub enum Addresses<'a> {
    /// Most hosts have just one.
    One(&'a Address),
    /// Several, or one that may change.
    List(Arc<[Address]>),
}

impl Addresses<'_> {
    /// The first choice: what logs and `/clusters` show.
    pub fn primary(&self) -> &Address {
        &self[0]
    }
}

impl Deref for Addresses<'_> {
    type Target = [Address];

    fn deref(&self) -> &[Address] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::List(list) => list,
        }
    }
}

/// A list that can be replaced. Read when a connection is made, which is rare enough for a lock that nobody holds for long.
#[derive(Debug)]
pub(super) struct AddressList(RwLock<Arc<[Address]>>);

impl AddressList {
    /// `addresses` is not empty.
    pub(super) fn new(addresses: Arc<[Address]>) -> Self {
        Self(RwLock::new(addresses))
    }

    pub(super) fn get(&self) -> Arc<[Address]> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
