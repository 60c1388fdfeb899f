//! The header map: a flat entry list over one byte arena.
//!
//! Names are lower case, known names are interned ([`Known`]), order and duplicates are kept. A map is made to be
//! reused: [`HeaderMap::clear`] keeps its memory. Absent known names are answered from a bitset; present ones
//! by a scan of the (short) entry list.

mod entry;
mod iter;
mod known;
mod lookup;
mod lower;
mod map;
mod name;
mod received;
mod spelling;
mod usual;

pub use iter::{GetAll, Iter};
pub use known::{Known, KnownSet};
pub use map::HeaderMap;
pub(crate) use map::Receive;
pub use name::NameRef;
pub(crate) use received::{Line, WholeHead};
pub use spelling::NameCase;

#[cfg(test)]
mod tests;
