//! What can be wrong with a header block's encoding.

use std::fmt;

/// Why a header block cannot be decoded. The table may be out of step afterwards, so the
/// connection ends with `COMPRESSION_ERROR` (RFC 9113, section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// The block ends inside a field.
    Truncated,
    /// A number above 2³² − 1, or written in more than five continuation bytes (RFC 7541, section 5.1).
    IntegerOverflow,
    /// An index of 0, or beyond the end of the dynamic table (section 2.3.3).
    InvalidIndex,
    /// A Huffman-coded string holds EOS (section 5.2).
    HuffmanEos,
    /// A Huffman-coded string ends with more than seven bits of padding, or with others than EOS's first (section 5.2).
    HuffmanPadding,
    /// A table size update above the limit that was announced and acknowledged (section 6.3).
    SizeUpdateTooLarge,
    /// A table size update behind a field (section 4.2).
    SizeUpdateMisplaced,
    /// The limit was lowered below the table's size, and the block does not begin with an update (section 4.2).
    SizeUpdateMissing,
}

impl Error {
    /// What went wrong, in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "header block ends inside a field",
            Self::IntegerOverflow => "integer too large",
            Self::InvalidIndex => "index outside of the tables",
            Self::HuffmanEos => "EOS in a Huffman-coded string",
            Self::HuffmanPadding => "invalid padding of a Huffman-coded string",
            Self::SizeUpdateTooLarge => "table size update above the limit",
            Self::SizeUpdateMisplaced => "misplaced table size update",
            Self::SizeUpdateMissing => "table size update expected",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Error {}
