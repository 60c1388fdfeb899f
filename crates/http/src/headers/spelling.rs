//! How the names of a message were spelt by its sender.

use super::HeaderMap;

/// How HTTP/1 writes the names of a message, as far as the message itself decides: Envoy's stateful formatter of a header
/// map, which comes from where the message was received and goes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameCase {
    /// The encoder decides.
    #[default]
    Encoder,
    /// As received; names that were added are lower case.
    Received,
    /// As received; names that were added are in proper case.
    ReceivedOrProper,
}

/// The spellings of one map.
#[derive(Clone, Debug)]
pub(super) struct Spellings {
    pub(super) case: NameCase,
    /// Names as received, each with a colon behind it.
    names: Vec<u8>,
}

impl Spellings {
    pub(super) fn new(case: NameCase) -> Spellings {
        Spellings {
            case,
            names: Vec::new(),
        }
    }

    /// Notes a name that was received.
    pub(super) fn remember(&mut self, name: &[u8]) {
        self.names.extend_from_slice(name);
        self.names.push(b':');
    }

    /// The first spelling of a name.
    pub(super) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.names
            .split(|&byte| byte == b':')
            .find(|spelt| spelt.eq_ignore_ascii_case(name))
    }
}

/// How names were, and are to be, spelt.
impl HeaderMap {
    /// How HTTP/1 shall write the names.
    #[inline]
    #[must_use]
    pub fn name_case(&self) -> NameCase {
        (self.spellings.as_ref()).map_or(NameCase::Encoder, |spellings| spellings.case)
    }

    /// Says how HTTP/1 shall write the names, until the map is cleared.
    pub fn set_name_case(&mut self, case: NameCase) {
        self.spellings = match case {
            NameCase::Encoder => None,
            case => Some(Box::new(Spellings::new(case))),
        };
    }

    /// A name as it was received first, if [`NameCase`] keeps that; also when the header was removed since.
    #[must_use]
    pub fn received_spelling(&self, name: &[u8]) -> Option<&[u8]> {
        self.spellings.as_ref()?.get(name)
    }
}
