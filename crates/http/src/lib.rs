//! Header map, message events and sans-IO HTTP codecs.
//!
//! Nothing here touches a socket, a clock or configuration: bytes and settings come in, [`Event`]s and bytes go out.

pub mod h1;
mod headers;
mod message;
pub mod method;
pub mod status;

pub use headers::{GetAll, HeaderMap, Iter, Known, NameRef, Spelling};
pub use message::{Event, Message};
