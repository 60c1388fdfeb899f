//! What is wrong with a text, and what may only be a consequence of that.

use crate::front::Place;

/// Something wrong at a place of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) expected: Option<String>,
    pub(crate) suggestion: Option<String>,
}

/// What cannot be judged after an error of decoding: another error there may be no more than its consequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// The value at this path was left out.
    Value(String),
    /// The message at this path has a key that is no field, perhaps a misspelt one.
    Fields(String),
}

impl Doubt {
    /// Whether an error at `path` may be a consequence.
    pub(crate) fn covers(&self, path: &str) -> bool {
        match self {
            Doubt::Value(value) => {
                // Elements behind one that was left out have moved up.
                let whole = match value.strip_suffix(']').and_then(|rest| rest.rfind('[')) {
                    Some(end) => &value[..end],
                    None => value,
                };
                beneath(path, whole).is_some() || beneath(whole, path).is_some()
            }
            Doubt::Fields(message) => beneath(path, message)
                .is_some_and(|rest| !rest.trim_start_matches('.').contains(['.', '['])),
        }
    }
}

/// What follows `parent` in `path`; nothing when they are the same.
fn beneath<'p>(path: &'p str, parent: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(parent)?;
    (parent.is_empty() || rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}
