//! Header map, message events and sans-IO HTTP codecs.
//!
//! Nothing here touches a socket, a clock or configuration: bytes and settings come in, [`Event`]s and bytes go out.

pub mod date;
pub mod grpc;
pub mod h1;
pub mod h2;
mod headers;
mod message;
pub mod method;
pub mod path;
mod referer;
pub mod status;
pub mod validate;

pub use headers::{GetAll, HeaderMap, Iter, Known, KnownSet, NameCase, NameRef};
pub use message::{Event, Message};
pub use referer::is_valid_referer;
