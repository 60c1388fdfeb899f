//! The Huffman code of RFC 7541, appendix B.

mod code;
mod decode;
mod encode;

pub(super) use decode::{decode, decoded_bound};
pub(super) use encode::{encode, encoded_len};
