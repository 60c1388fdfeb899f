//! [`Errors`]: all that is wrong with a cluster.

use std::fmt::Display;

use nuncio_config::ConfigError;

/// Collects errors, so that all are reported at once.
#[derive(Debug, Default)]
pub(crate) struct Errors(Vec<ConfigError>);

impl Errors {
    pub(crate) fn push(&mut self, error: ConfigError) {
        self.0.push(error);
    }

    /// Refuses a field that is set.
    pub(crate) fn refuse_if(&mut self, set: bool, field: &str) {
        if set {
            self.push(ConfigError::new(
                field,
                "unsupported: this field is not implemented",
            ));
        }
    }

    /// Refuses a value of a field.
    pub(crate) fn refuse_value(&mut self, field: &str, value: &str) {
        self.push(ConfigError::new(
            field,
            format!("unsupported: {value} is not implemented"),
        ));
    }

    /// The value, or its error for later.
    pub(crate) fn take<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// Runs `read` with the errors of a part, whose paths begin with `field`.
    pub(crate) fn nested<T>(
        &mut self,
        field: impl Display,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut inner = Self::default();
        let value = read(&mut inner);
        let inner = inner.0.into_iter();
        self.0.extend(inner.map(|error| error.within(&field)));
        value
    }

    pub(crate) fn finish(self) -> Result<(), Vec<ConfigError>> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.0)
        }
    }
}
