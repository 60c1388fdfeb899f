//! How the names of a message were spelt by its sender.

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

/// The spellings of one map; nothing unless they are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spellings {
    pub(super) case: NameCase,
    /// Names as received, each with a colon behind it.
    names: Vec<u8>,
}

impl Spellings {
    pub(super) const fn new() -> Spellings {
        Spellings {
            case: NameCase::Encoder,
            names: Vec::new(),
        }
    }

    /// Notes a name that was received.
    #[inline]
    pub(super) fn remember(&mut self, name: &[u8]) {
        if self.case != NameCase::Encoder {
            self.names.extend_from_slice(name);
            self.names.push(b':');
        }
    }

    /// The first spelling of a name.
    pub(super) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.names
            .split(|&byte| byte == b':')
            .find(|spelt| spelt.eq_ignore_ascii_case(name))
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.case = NameCase::Encoder;
        self.names.clear();
    }

    pub(super) fn copy_from(&mut self, other: &Spellings) {
        self.case = other.case;
        self.names.clone_from(&other.names);
    }
}
