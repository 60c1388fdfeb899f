//! HTTP/1.0 and HTTP/1.1, both sides, sans-IO.
//!
//! Decoders take bytes from a [`Buffer`](nuncio_buffer::Buffer) and give [`Event`](crate::Event)s; encoders append
//! bytes to a buffer.
#![doc = include_str!("DEVIATIONS.md")]

mod body;
mod chunked;
mod encode;
mod error;
mod head;
mod joined;
mod judge;
mod lengths;
mod nominated;
mod request;
mod response;
mod scan;
mod settings;
mod target;
mod upgrade;
mod usual;

pub use encode::{ClientEncoder, MissingPseudoHeader, ServerEncoder};
pub use error::{CodecError, UNDERSCORE};
pub use head::list_contains;
pub use joined::{joins_in_requests, joins_in_responses};
pub use request::{RequestFacts, ServerDecoder};
pub use response::{ClientDecoder, RequestKind, ResponseFacts};
pub use settings::{BytesPredicate, H1Settings, HeaderCase, UnderscoreAction, UpgradeMatcher};

pub(crate) use target::{is_host, split_authority, split_port};

use crate::{HeaderMap, Known, NameCase};

/// The two versions of this protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}

impl Version {
    fn from_minor(minor: Option<u8>) -> Self {
        if minor == Some(1) {
            Self::Http11
        } else {
            Self::Http10
        }
    }
}

/// How the names of what is received are written later on, as these settings say.
fn name_case(settings: &H1Settings) -> NameCase {
    match settings.header_case {
        HeaderCase::Lower | HeaderCase::ProperWords => NameCase::Encoder,
        HeaderCase::Preserve {
            proper_own: false, ..
        } => NameCase::Received,
        HeaderCase::Preserve {
            proper_own: true, ..
        } => NameCase::ReceivedOrProper,
    }
}

/// Whether received spellings of header names are to be kept.
fn keeps_case(settings: &H1Settings) -> bool {
    name_case(settings) != NameCase::Encoder
}

/// Whether the sender of a message lets the connection be used again.
fn keeps_alive(version: Version, headers: &HeaderMap) -> bool {
    let has = |name, option| {
        headers
            .get(name)
            .is_some_and(|options| list_contains(options, option))
    };
    let open = match version {
        Version::Http11 => !has(Known::Connection, b"close"),
        Version::Http10 => has(Known::Connection, b"keep-alive"),
    };
    open && !has(Known::ProxyConnection, b"close")
}
