//! How a header is named in calls.

use super::Known;

/// A header name in a call: a [`Known`] one, or its lower-case bytes.
///
/// Made by `into()` from `Known`, `&str` or `&[u8]`; text that spells a known name becomes that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRef<'a> {
    /// An interned name.
    Known(Known),
    /// Any other name, in lower case.
    Other(&'a [u8]),
}

impl<'a> NameRef<'a> {
    /// The name's bytes.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Known(known) => known.as_bytes(),
            Self::Other(name) => name,
        }
    }
}

impl From<Known> for NameRef<'_> {
    #[inline]
    fn from(known: Known) -> Self {
        Self::Known(known)
    }
}

impl<'a> From<&'a [u8]> for NameRef<'a> {
    #[inline]
    fn from(name: &'a [u8]) -> Self {
        Known::from_lower(name).map_or(Self::Other(name), Self::Known)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for NameRef<'a> {
    #[inline]
    fn from(name: &'a [u8; N]) -> Self {
        Self::from(name.as_slice())
    }
}

impl<'a> From<&'a str> for NameRef<'a> {
    #[inline]
    fn from(name: &'a str) -> Self {
        Self::from(name.as_bytes())
    }
}

impl<'a> From<&'a String> for NameRef<'a> {
    #[inline]
    fn from(name: &'a String) -> Self {
        Self::from(name.as_bytes())
    }
}
