//! `google.protobuf.Any`, and `TypedStruct` inside it.

use crate::{
    any::type_name,
    front::{Content, Value},
    path::Step,
    schema::{MessageType, WellKnown},
    suggest::nearest,
    support,
    wire::{put_bytes, put_nested},
};

use super::Decoder;

impl<'t> Decoder<'t> {
    /// The body of an `Any`.
    ///
    /// A `TypedStruct` (xds or udpa) becomes the message that it describes, which is what Envoy makes of it when it
    /// hands the configuration to an extension. One that names a third party's type stays a `Struct`: nothing here knows
    /// its fields.
    pub(super) fn any(&mut self, value: Value<'t>, out: &mut Vec<u8>) {
        let Content::Map(mut entries) = value.content() else {
            return self.mismatch(value, "a mapping with \"@type\"");
        };
        let Some((_, url_value)) = value.get("@type") else {
            if entries.next().is_some() {
                self.error(
                    value,
                    "missing @type in Any",
                    Some("\"@type\": type.googleapis.com/…".into()),
                    None,
                );
            }
            return;
        };
        let Some(url) = url_value.as_str() else {
            return self.mismatch(url_value, "a type URL");
        };
        let Some(message) = self.type_of(url, url_value) else {
            return;
        };
        if is_typed_struct(message) {
            return self.typed_struct(message, value, out);
        }
        put_bytes(out, 1, url.as_bytes());
        put_nested(out, 2, |out| match message.well_known() {
            WellKnown::None => self.fields(
                message,
                entries.filter(|(key, _)| key.as_str() != Some("@type")),
                out,
            ),
            _ => self.well_known_in_any(message, value, out),
        });
    }

    /// The message type that `url` names; reports when there is none.
    pub(super) fn type_of(&mut self, url: &str, at: Value<'t>) -> Option<MessageType> {
        if url.rfind('/').is_none_or(|slash| slash == 0) {
            let message =
                format!("@type must contain at least one / and a nonempty host; got: {url}");
            self.error(
                at,
                message,
                None,
                Some(format!(
                    "type.googleapis.com/{}",
                    url.trim_start_matches('/')
                )),
            );
            return None;
        }
        let name = type_name(url);
        let found = MessageType::find(name);
        if found.is_none() {
            if support::is_newer_message(name) {
                self.error(
                    at,
                    format!("unsupported: the type {name} is not supported yet"),
                    None,
                    None,
                );
            } else {
                let near = nearest(name, MessageType::all().map(MessageType::name));
                let suggestion =
                    near.map(|near| format!("did you mean \"type.googleapis.com/{near}\"?"));
                self.error(
                    at,
                    format!("could not find @type '{url}'"),
                    None,
                    suggestion,
                );
            }
        }
        found
    }

    /// A type that JSON writes specially stands in a field `value` beside `@type`.
    fn well_known_in_any(&mut self, message: MessageType, any: Value<'t>, out: &mut Vec<u8>) {
        let Content::Map(entries) = any.content() else {
            return;
        };
        for (key, value) in entries {
            match key.as_str() {
                Some("@type") => {}
                Some("value") => self.message(message, value, out),
                _ => self.error(
                    key,
                    "fields in a well-known-typed Any must be @type or value",
                    None,
                    None,
                ),
            }
        }
    }

    fn typed_struct(&mut self, wrapper: MessageType, any: Value<'t>, out: &mut Vec<u8>) {
        let Content::Map(entries) = any.content() else {
            return;
        };
        for (key, _) in entries {
            let name = key.as_str().unwrap_or_default();
            if name != "@type" && wrapper.field_by_name(name).is_none() {
                self.unknown(
                    key,
                    format!("no such field: '{name}' in {}", wrapper.name()),
                    None,
                );
            }
        }
        let inner = any.get("type_url").or_else(|| any.get("typeUrl"));
        let Some((url_value, url)) = inner.and_then(|(_, value)| Some((value, value.as_str()?)))
        else {
            return self.error(any, "a TypedStruct needs a type_url", None, None);
        };
        let url = if url.contains('/') {
            url.to_owned()
        } else {
            format!("type.googleapis.com/{url}")
        };
        let foreign = self
            .extension_types
            .iter()
            .any(|name| name == type_name(&url));
        let found = match foreign {
            true => MessageType::find("google.protobuf.Struct"),
            false => self.type_of(&url, url_value),
        };
        let Some(message) = found else { return };
        put_bytes(out, 1, url.as_bytes());
        put_nested(out, 2, |out| {
            if let Some((_, value)) = any.get("value")
                && !matches!(value.content(), Content::Null)
            {
                self.under(Step::Field("value"), |this| {
                    this.message(message, value, out)
                });
            }
        });
    }
}

pub(crate) fn is_typed_struct(message: MessageType) -> bool {
    matches!(
        message.name(),
        "xds.type.v3.TypedStruct" | "udpa.type.v1.TypedStruct"
    )
}
