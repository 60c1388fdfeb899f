//! A section of `/config_dump`: one message whose lists are printed item by item.

use std::fmt::{self, Write};

use nuncio_config::{json, mask, schema};
use prost::{Message, Name};

use crate::json::{REDACTED, write_array, write_indented};

/// A message of `ConfigDump.configs`.
pub(super) struct Section {
    /// Full name of the message.
    pub(super) message: &'static str,
    /// Fields that are no lists, encoded.
    pub(super) fields: Vec<u8>,
    pub(super) lists: Vec<List>,
}

/// One of its repeated fields. The items are encoded only when they are printed.
pub(super) struct List {
    pub(super) field: &'static str,
    /// Full name of the items' message.
    pub(super) message: String,
    pub(super) items: Vec<Item>,
}

/// Makes the encoded message of an item.
pub(super) type Item = Box<dyn Fn() -> Vec<u8> + Send>;

/// The field of a section that a request names as `resource`.
pub(super) enum Resource<'a> {
    /// `None`: a list that Nuncio has nothing for.
    List(Option<&'a List>),
    /// It exists, but is not a list.
    NoList,
}

impl List {
    pub(super) fn of<M: Message + Name + 'static, T: Send + 'static>(
        field: &'static str,
        items: impl IntoIterator<Item = T>,
        make: impl Fn(&T) -> M + Send + Copy + 'static,
    ) -> Self {
        let item = |value: T| -> Item { Box::new(move || make(&value).encode_to_vec()) };
        Self {
            field,
            message: M::full_name(),
            items: items.into_iter().map(item).collect(),
        }
    }

    /// The items as values of `Any` fields, trimmed to `paths` (all of an item if there are none).
    ///
    /// # Errors
    /// A path names no field; the text is for the client.
    pub(super) fn print<'a>(
        &'a self,
        paths: &'a [String],
    ) -> impl Iterator<Item = Result<String, String>> + 'a {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        self.items.iter().map(move |item| {
            let encoded = item();
            let encoded = match paths.is_empty() {
                true => encoded,
                false => mask::apply(&self.message, &encoded, &paths)?,
            };
            Ok(with_type(
                &self.message,
                &json::print(&self.message, &encoded, REDACTED),
            ))
        })
    }
}

impl Section {
    /// The field of this name; `None` if the message has no such field.
    pub(super) fn resource(&self, name: &str) -> Option<Resource<'_>> {
        let message = schema::MessageType::find(self.message)?;
        let field = message.fields().find(|field| field.name() == name)?;
        if !field.is_repeated() {
            return Some(Resource::NoList);
        }
        Some(Resource::List(
            self.lists.iter().find(|list| list.field == name),
        ))
    }

    /// A section of which Nuncio has nothing yet.
    pub(super) fn empty(message: &'static str) -> Self {
        Self {
            message,
            fields: Vec::new(),
            lists: Vec::new(),
        }
    }

    /// Keeps only what `paths` name.
    ///
    /// # Errors
    /// A path cannot be used with this message.
    pub(super) fn trim(mut self, paths: &[String]) -> Result<Self, String> {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        self.fields = mask::apply(self.message, &self.fields, &paths)?;
        self.lists.retain(|list| paths.contains(&list.field));
        Ok(self)
    }

    /// Writes the section as an `Any`, indented by `level` blanks.
    pub(super) fn write(&self, out: &mut dyn Write, level: usize) -> fmt::Result {
        let plain = json::print(self.message, &self.fields, REDACTED);
        let plain = with_type(self.message, &plain);
        let lists: Vec<&List> = self
            .lists
            .iter()
            .filter(|list| !list.items.is_empty())
            .collect();
        if lists.is_empty() {
            return write_indented(out, level, &plain);
        }
        // The lists follow the other fields.
        write_indented(out, level, plain.strip_suffix("\n}").unwrap_or(&plain))?;
        for list in lists {
            write!(out, ",\n{:2$}\"{}\": ", "", list.field, level + 1)?;
            let items = list
                .items
                .iter()
                .map(|item| json::print(&list.message, &item(), REDACTED));
            write_array(out, level + 1, items)?;
        }
        write!(out, "\n{:level$}}}", "")
    }
}

/// Puts `@type` in front of the entries of a printed message.
fn with_type(message: &str, printed: &str) -> String {
    let url = format!("{{\n \"@type\": \"type.googleapis.com/{message}\"");
    match printed.strip_prefix('{') {
        Some("}") | None => format!("{url}\n}}"),
        Some(entries) => format!("{url},{entries}"),
    }
}
