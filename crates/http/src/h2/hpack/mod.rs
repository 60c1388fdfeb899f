//! HPACK (RFC 7541): header compression for HTTP/2.
//!
//! [`Decoder`] turns one complete header block into a [`HeaderMap`](crate::HeaderMap), showing each field to the
//! caller first; [`Encoder`] does the reverse. Each keeps one dynamic table; a connection has one of each. Known
//! names cross both without a comparison of text: static entries and dynamic entries remember their
//! [`Known`](crate::Known).

mod decoder;
mod dynamic;
mod encoder;
mod error;
mod huffman;
mod integer;
mod policy;
mod static_table;

pub use decoder::{Decoded, Decoder, Field, Limit, Limits, Visit};
pub use encoder::Encoder;
pub use error::Error;

/// Bytes of a dynamic table before any SETTINGS (RFC 9113, section 6.5.2).
pub const DEFAULT_TABLE_SIZE: u32 = 4096;

/// What each entry counts beside its name and value (RFC 7541, section 4.1).
const ENTRY_OVERHEAD: usize = 32;

#[cfg(test)]
mod tests;
