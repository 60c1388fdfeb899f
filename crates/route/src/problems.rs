//! Collecting errors with their paths.

use std::fmt::Display;

use nuncio_config::api::Any;
use nuncio_config::{ConfigError, any};

/// Errors so far, with paths relative to the message that is being compiled.
#[derive(Default)]
pub(crate) struct Problems(Vec<ConfigError>);

impl Problems {
    pub(crate) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(ConfigError::new(path, message));
    }

    /// A field that is set and that nothing here carries out.
    pub(crate) fn refuse(&mut self, set: bool, field: &str) {
        if set {
            self.add(field, "unsupported: not implemented yet");
        }
    }

    /// An extension that is not possible at a place, in Envoy's words.
    pub(crate) fn not_registered(&mut self, name: &str, config: &Any) {
        let kind = any::type_of(config);
        let message =
            format!("Didn't find a registered implementation for '{name}' with type URL: '{kind}'");
        self.add("", message);
    }

    /// Runs `compile` for the field (or element) `step`; its errors get the step in front of their paths.
    pub(crate) fn within<R>(
        &mut self,
        step: impl Display,
        compile: impl FnOnce(&mut Problems) -> R,
    ) -> R {
        let before = self.0.len();
        let result = compile(self);
        for error in &mut self.0[before..] {
            *error = error.clone().within(&step);
        }
        result
    }

    /// The value, or the error's path continued by `field`.
    pub(crate) fn take<T>(&mut self, field: &str, result: Result<T, ConfigError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.push(if field.is_empty() {
                    error
                } else {
                    error.within(field)
                });
                None
            }
        }
    }

    /// The value, or errors that have their paths.
    pub(crate) fn take_all<T>(&mut self, result: Result<T, Vec<ConfigError>>) -> Option<T> {
        result.map_err(|errors| self.0.extend(errors)).ok()
    }

    /// Compiles each element of the repeated field `field`.
    pub(crate) fn each<C, T>(
        &mut self,
        field: &str,
        configs: &[C],
        compile: impl Fn(&C) -> Result<T, ConfigError>,
    ) -> Box<[T]> {
        let mut all = Vec::with_capacity(configs.len());
        for (index, config) in configs.iter().enumerate() {
            match compile(config) {
                Ok(value) => all.push(value),
                Err(error) => self.0.push(error.within(format_args!("{field}[{index}]"))),
            }
        }
        all.into()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn finish(self) -> Result<(), Vec<ConfigError>> {
        if self.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
