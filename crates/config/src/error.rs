//! What can be wrong with a configuration: [`ConfigError`] is what the code that compiles a message
//! knows (a path and a reason); [`Diagnostic`](crate::Diagnostic) adds the place in the file.

use std::fmt;

/// A configuration error that knows where it is only by its proto path.
///
/// Code that compiles a message returns errors whose path is relative to that message; each caller
/// on the way up puts its own part in front with [`ConfigError::within`] (or [`Within`]).
/// [`Document::diagnose`](crate::Document::diagnose) turns the complete path into file, line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Proto path such as `static_resources.clusters[3].connect_timeout`; map keys are written
    /// `typed_per_filter_config["envoy.filters.http.buffer"]`; an `Any` is not a step of its own.
    pub path: String,
    /// What is wrong, in Envoy's words where Envoy has the same check.
    pub message: String,
    /// What the operator can do about it.
    pub remedy: Option<String>,
}

impl ConfigError {
    /// An error at `path` (relative to the message that is being read; may be empty).
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
            remedy: None,
        }
    }

    /// Adds what the operator can do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Puts `parent` (a field name, `field[3]`, or a longer path) in front of the path.
    #[must_use]
    pub fn within(mut self, parent: impl fmt::Display) -> Self {
        self.path = match self.path.as_bytes().first() {
            None => parent.to_string(),
            Some(b'[') => format!("{parent}{}", self.path),
            Some(_) => format!("{parent}.{}", self.path),
        };
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(remedy) = &self.remedy {
            write!(f, " ({remedy})")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Adds path steps to a `Result` on its way up; costs nothing when there is no error.
pub trait Within: Sized {
    /// The error happened inside the field `field`.
    #[must_use]
    fn within(self, field: &str) -> Self;
    /// The error happened inside the element `index` of the repeated field `field`.
    #[must_use]
    fn within_index(self, field: &str, index: usize) -> Self;
    /// The error happened inside the entry `key` of the map field `field`.
    #[must_use]
    fn within_key(self, field: &str, key: &str) -> Self;
}

impl<T> Within for Result<T, ConfigError> {
    fn within(self, field: &str) -> Self {
        self.map_err(|e| e.within(field))
    }

    fn within_index(self, field: &str, index: usize) -> Self {
        self.map_err(|e| e.within(format_args!("{field}[{index}]")))
    }

    fn within_key(self, field: &str, key: &str) -> Self {
        self.map_err(|e| e.within(format_args!("{field}[{key:?}]")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_grows_from_the_inside_out() {
        let result: Result<(), _> = Err(ConfigError::new("timeout", "too long"));
        let error = result
            .within_index("routes", 2)
            .within_key("map", "a.b")
            .within("root")
            .unwrap_err();
        assert_eq!(error.path, "root.map[\"a.b\"].routes[2].timeout");
        assert_eq!(ConfigError::new("", "x").within("a").path, "a");
        assert_eq!(ConfigError::new("[1]", "x").within("a").path, "a[1]");
    }
}
