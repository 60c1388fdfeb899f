//! `%FILTER_STATE%`

use nuncio_sdk::LogContext;

use super::operator::Written;

/// What is shown of an object that a filter has left.
#[derive(Debug)]
pub(super) struct FilterStateOperator {
    pub(super) name: Box<str>,
    pub(super) part: Part,
    pub(super) length: Option<usize>,
}

#[derive(Debug)]
pub(super) enum Part {
    /// `PLAIN`
    Text,
    /// `TYPED`
    Json,
    /// `FIELD`
    Field(Box<str>),
}

impl FilterStateOperator {
    pub(super) fn write(&self, cx: &LogContext<'_>, out: &mut Vec<u8>, typed: bool) -> Written {
        let state = cx.info.filter_state.as_ref();
        let Some(object) = state.and_then(|state| state.get(&self.name)) else {
            return Written::Nothing;
        };
        let (value, written) = match &self.part {
            Part::Text => (object.text(), Written::Text),
            Part::Json => (object.json(typed), Written::Json),
            Part::Field(name) => (object.field(name), Written::Text),
        };
        let Some(value) = value else {
            return Written::Nothing;
        };
        // As in Envoy, a length limits the text, not the typed value.
        let mut shown = value.as_bytes();
        if let Some(length) = self.length
            && !(typed && matches!(self.part, Part::Json))
        {
            shown = &shown[..length.min(shown.len())];
        }
        out.extend_from_slice(shown);
        written
    }
}
