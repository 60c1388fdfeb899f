//! Front ends: a text (YAML, JSON or protobuf's text format) becomes a [`Tree`] of values with places.

mod cursor;
mod json;
mod text_format;
mod tree;
mod yaml;

pub(crate) use tree::{Content, Entries, Items, Place, Tree, Value};

/// How deep lists and mappings may nest, as Envoy's protobuf has it.
const MAX_DEPTH: usize = 100;

/// What a text is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// By Envoy's rules, see [`yaml`].
    Yaml,
    /// By protobuf's rules, see [`json`].
    Json,
    /// protobuf's text format, see [`text_format`].
    Text,
}

/// A text that is not well-formed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) place: Place,
    pub(crate) message: String,
}

impl SyntaxError {
    fn new(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
        }
    }
}

/// Parses `text`.
pub(crate) fn parse(syntax: Syntax, text: &str) -> Result<Tree, SyntaxError> {
    match syntax {
        Syntax::Yaml => yaml::parse(text),
        Syntax::Json => json::parse(text),
        Syntax::Text => text_format::parse(text),
    }
}
