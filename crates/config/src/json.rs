//! Encoded messages as proto JSON, the way Envoy's admin interface prints them: proto names, one blank of indentation, enums
//! by name, `Any` expanded.

mod text;

use text::{fraction, timestamp};

use crate::{
    any::type_name,
    schema::{FieldType, Kind, MessageType, WellKnown},
    wire::{self, WireValue},
};

/// How to print.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// One entry a line, indented by one blank a level; otherwise everything on one line.
    pub pretty: bool,
    /// Also print plain fields and lists that are not set (`/server_info` does).
    pub defaults: bool,
    /// Print `[redacted]` for strings that the API marks as sensitive (`/config_dump` does).
    pub redact: bool,
}

/// Messages nested deeper than this are not printed.
const MAX_DEPTH: usize = 100;

/// Prints `encoded`, a message with the full name `message`; unknown names print as `{}`.
pub fn print(message: &str, encoded: &[u8], style: Style) -> String {
    let mut printer = Printer {
        out: String::with_capacity(encoded.len() * 2),
        style,
        level: 0,
        hidden: false,
    };
    match MessageType::find(message) {
        Some(message) => printer.message(message, encoded, None),
        None => printer.out.push_str("{}"),
    }
    printer.out
}

/// A JSON string, escaped as protobuf does.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    text::string(&mut out, text);
    out
}

/// Prints a message that has a name: `json::print_message(&config_dump, style)`.
pub fn print_message<M: prost::Message + prost::Name>(message: &M, style: Style) -> String {
    print(&M::full_name(), &message.encode_to_vec(), style)
}

struct Printer {
    out: String,
    style: Style,
    level: usize,
    /// Inside a field that must be hidden.
    hidden: bool,
}

impl Printer {
    fn newline(&mut self) {
        if self.style.pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', self.level));
        }
    }

    /// An object or list: `body` prints the items and calls [`Self::item`] before each.
    fn container(&mut self, [open, close]: [char; 2], body: impl FnOnce(&mut Self, &mut bool)) {
        self.out.push(open);
        self.level += 1;
        let mut empty = true;
        body(self, &mut empty);
        self.level -= 1;
        if !empty {
            self.newline();
        }
        self.out.push(close);
    }

    fn item(&mut self, empty: &mut bool) {
        if !std::mem::replace(empty, false) {
            self.out.push(',');
        }
        self.newline();
    }

    fn key(&mut self, empty: &mut bool, key: &str) {
        self.item(empty);
        self.string(key);
        self.out.push(':');
        if self.style.pretty {
            self.out.push(' ');
        }
    }

    fn message(&mut self, message: MessageType, encoded: &[u8], any: Option<&str>) {
        if self.level > MAX_DEPTH {
            return self.out.push_str("{}");
        }
        match message.well_known() {
            WellKnown::None => self.container(['{', '}'], |this, empty| {
                if let Some(url) = any {
                    this.key(empty, "@type");
                    this.string(url);
                }
                this.fields(message, encoded, empty);
            }),
            WellKnown::Any => self.any(encoded),
            special if any.is_none() => self.special(message, special, encoded),
            special => self.container(['{', '}'], |this, empty| {
                this.key(empty, "@type");
                this.string(any.unwrap_or_default());
                this.key(empty, "value");
                this.special(message, special, encoded);
            }),
        }
    }

    fn any(&mut self, encoded: &[u8]) {
        let part = |number| wire::find(encoded, number).map_or(&[][..], WireValue::bytes);
        let url = String::from_utf8_lossy(part(1));
        match MessageType::find(type_name(&url)) {
            Some(inner) => self.message(inner, part(2), Some(&url)),
            None if url.is_empty() => self.out.push_str("{}"),
            None => self.container(['{', '}'], |this, empty| {
                this.key(empty, "@type");
                this.string(&url);
                this.key(empty, "value");
                this.base64(part(2));
            }),
        }
    }

    fn fields(&mut self, message: MessageType, encoded: &[u8], empty: &mut bool) {
        let mut set: Vec<(FieldType, WireValue<'_>)> = wire::fields(encoded)
            .flatten()
            .filter_map(|f| Some((message.field_by_number(f.number)?, f.value)))
            .collect();
        set.sort_by_key(|(field, _)| field.number());
        let mut groups = set.chunk_by(|a, b| a.0 == b.0).peekable();
        for field in message.fields() {
            match groups.next_if(|group| group[0].0 == field) {
                Some(group) => {
                    self.key(empty, field.name());
                    self.field(field, group);
                }
                None if self.style.defaults && (field.is_implicit() || field.is_repeated()) => {
                    self.key(empty, field.name());
                    match (field.is_map(), field.is_repeated()) {
                        (true, _) => self.out.push_str("{}"),
                        (_, true) => self.out.push_str("[]"),
                        _ if matches!(field.kind(), Kind::String | Kind::Bytes) => {
                            self.out.push_str("\"\"")
                        }
                        _ => self.scalar(field, WireValue::Varint(0)),
                    }
                }
                None => {}
            }
        }
    }

    fn field(&mut self, field: FieldType, values: &[(FieldType, WireValue<'_>)]) {
        if field.is_map() {
            self.container(['{', '}'], |this, empty| {
                let Some(entry) = field.message() else { return };
                for (_, value) in values {
                    this.entry(entry, value.bytes(), empty);
                }
            });
        } else if field.is_repeated() {
            self.container(['[', ']'], |this, empty| {
                for (_, value) in values {
                    this.item(empty);
                    this.value(field, *value);
                }
            });
        } else if let Some((_, value)) = values.last() {
            self.value(field, *value);
        }
    }

    fn entry(&mut self, entry: MessageType, encoded: &[u8], empty: &mut bool) {
        let (Some(key), Some(value)) = (entry.field_by_number(1), entry.field_by_number(2)) else {
            return;
        };
        let part =
            |field: FieldType| wire::find(encoded, field.number()).unwrap_or(default_of(field));
        let key_text = match (key.kind(), part(key)) {
            (Kind::String, text) => String::from_utf8_lossy(text.bytes()).into_owned(),
            (Kind::Bool, bits) => (bits.bits() != 0).to_string(),
            (kind, bits) => integer(kind, bits).to_string(),
        };
        self.key(empty, &key_text);
        self.value(value, part(value));
    }

    fn value(&mut self, field: FieldType, value: WireValue<'_>) {
        let outer = self.hidden;
        self.hidden |= self.style.redact && field.is_sensitive();
        match field.message() {
            Some(message) => self.message(message, value.bytes(), None),
            None => self.scalar(field, value),
        }
        self.hidden = outer;
    }

    fn scalar(&mut self, field: FieldType, value: WireValue<'_>) {
        match field.kind() {
            Kind::String if self.hidden => self.string("[redacted]"),
            Kind::Bytes if self.hidden => self.base64(b"[redacted]"),
            Kind::String => self.string(&String::from_utf8_lossy(value.bytes())),
            Kind::Bytes => self.base64(value.bytes()),
            Kind::Bool => self
                .out
                .push_str(if value.bits() != 0 { "true" } else { "false" }),
            Kind::Double => self.float(f64::from_bits(value.bits())),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "32-bit values stand in the lower half"
            )]
            Kind::Float => self.float(f64::from(f32::from_bits(value.bits() as u32))),
            Kind::Enum => {
                #[expect(clippy::cast_possible_truncation, reason = "enum numbers have 32 bits")]
                let number = value.bits() as i32;
                match field.enumeration().and_then(|e| e.by_number(number)) {
                    Some(_)
                        if field
                            .enumeration()
                            .is_some_and(|e| e.name() == "google.protobuf.NullValue") =>
                    {
                        self.out.push_str("null");
                    }
                    Some(named) => self.string(named.name),
                    None => self.out.push_str(&number.to_string()),
                }
            }
            kind => {
                let text = integer(kind, value).to_string();
                let wide = matches!(
                    kind,
                    Kind::Int64 | Kind::Uint64 | Kind::Fixed64 | Kind::Sfixed64 | Kind::Sint64
                );
                if wide {
                    self.string(&text)
                } else {
                    self.out.push_str(&text)
                }
            }
        }
    }

    fn special(&mut self, message: MessageType, special: WellKnown, encoded: &[u8]) {
        let integer = |number| wire::find(encoded, number).map_or(0, |v| v.bits().cast_signed());
        match special {
            WellKnown::Duration => {
                let (seconds, nanos) = (integer(1), integer(2));
                let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
                let text = format!(
                    "{sign}{}{}s",
                    seconds.unsigned_abs(),
                    fraction(nanos.unsigned_abs())
                );
                self.string(&text);
            }
            WellKnown::Timestamp => {
                let text = timestamp(integer(1), integer(2).unsigned_abs());
                self.string(&text);
            }
            WellKnown::FieldMask => {
                let paths: Vec<_> = wire::fields(encoded)
                    .flatten()
                    .map(|f| String::from_utf8_lossy(f.value.bytes()))
                    .collect();
                self.string(&paths.join(","));
            }
            WellKnown::Wrapper => {
                if let Some(field) = message.field_by_number(1) {
                    self.scalar(field, wire::find(encoded, 1).unwrap_or(default_of(field)));
                }
            }
            WellKnown::Struct => self.container(['{', '}'], |this, empty| {
                for entry in wire::fields(encoded).flatten() {
                    let part = |number| {
                        wire::find(entry.value.bytes(), number).map_or(&[][..], WireValue::bytes)
                    };
                    this.key(empty, &String::from_utf8_lossy(part(1)));
                    this.json_value(part(2));
                }
            }),
            WellKnown::List => self.container(['[', ']'], |this, empty| {
                for item in wire::fields(encoded).flatten() {
                    this.item(empty);
                    this.json_value(item.value.bytes());
                }
            }),
            _ => self.json_value(encoded),
        }
    }

    /// A `google.protobuf.Value`.
    fn json_value(&mut self, encoded: &[u8]) {
        let Some(kind) = wire::fields(encoded).flatten().last() else {
            return self.out.push_str("null");
        };
        if self.level > MAX_DEPTH {
            return self.out.push_str("null");
        }
        let message = |name| MessageType::find(name);
        match kind.number {
            2 => self.float(f64::from_bits(kind.value.bits())),
            3 => self.string(&String::from_utf8_lossy(kind.value.bytes())),
            4 => self.out.push_str(if kind.value.bits() != 0 {
                "true"
            } else {
                "false"
            }),
            5 | 6 => {
                let (name, special) = if kind.number == 5 {
                    ("google.protobuf.Struct", WellKnown::Struct)
                } else {
                    ("google.protobuf.ListValue", WellKnown::List)
                };
                if let Some(message) = message(name) {
                    self.special(message, special, kind.value.bytes());
                }
            }
            _ => self.out.push_str("null"),
        }
    }

    fn float(&mut self, value: f64) {
        if value.is_nan() {
            self.string("NaN");
        } else if value.is_infinite() {
            self.string(if value > 0.0 { "Infinity" } else { "-Infinity" });
        } else {
            self.out.push_str(&value.to_string());
        }
    }

    fn string(&mut self, text: &str) {
        text::string(&mut self.out, text);
    }

    fn base64(&mut self, bytes: &[u8]) {
        text::base64(&mut self.out, bytes);
    }
}

fn default_of(field: FieldType) -> WireValue<'static> {
    match field.kind() {
        Kind::String | Kind::Bytes | Kind::Message => WireValue::Bytes(&[]),
        _ => WireValue::Varint(0),
    }
}

fn integer(kind: Kind, value: WireValue<'_>) -> i128 {
    let bits = value.bits();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "32-bit values stand in the lower half"
    )]
    match kind {
        Kind::Int64 | Kind::Sfixed64 => i128::from(bits.cast_signed()),
        Kind::Int32 | Kind::Sfixed32 => i128::from((bits as u32).cast_signed()),
        Kind::Sint32 | Kind::Sint64 => {
            i128::from((bits >> 1).cast_signed() ^ -((bits & 1).cast_signed()))
        }
        _ => i128::from(bits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decode::decode,
        document::bootstrap_type,
        front::{Syntax, parse},
    };

    fn printed(text: &str, style: Style) -> String {
        let tree = parse(Syntax::Yaml, text).unwrap();
        let message = bootstrap_type().unwrap();
        let decoded = decode(message, tree.root(), Syntax::Yaml, false, &[]);
        assert_eq!(decoded.errors, []);
        print(message.name(), &decoded.wire, style)
    }

    #[test]
    fn as_envoy_prints_it() {
        // Taken from /config_dump of Envoy 1.40.
        let text = r#"
node: {id: n1, locality: {}}
stats_flush_interval: 5.25s
static_resources:
  clusters:
  - name: "/<a>&'\"é\u2028\x01"
    type: STATIC
    connect_timeout: 1s
    outlier_detection: {}
    common_lb_config: {healthy_panic_threshold: {value: 0.1}}
    ring_hash_lb_config: {minimum_ring_size: 5}
    typed_extension_protocol_options:
      a.b: {"@type": type.googleapis.com/google.protobuf.Duration, value: 0.001s}
      c: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}}}
"#;
        let expected = r#"{
 "node": {
  "id": "n1",
  "locality": {}
 },
 "static_resources": {
  "clusters": [
   {
    "name": "/\u003ca\u003e&'\"é\u2028\u0001",
    "type": "STATIC",
    "connect_timeout": "1s",
    "outlier_detection": {},
    "ring_hash_lb_config": {
     "minimum_ring_size": "5"
    },
    "common_lb_config": {
     "healthy_panic_threshold": {
      "value": 0.1
     }
    },
    "typed_extension_protocol_options": {
     "a.b": {
      "@type": "type.googleapis.com/google.protobuf.Duration",
      "value": "0.001s"
     },
     "c": {
      "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
      "explicit_http_config": {
       "http_protocol_options": {}
      }
     }
    }
   }
  ]
 },
 "stats_flush_interval": "5.250s"
}"#;
        assert_eq!(
            printed(
                text,
                Style {
                    pretty: true,
                    ..Style::default()
                }
            ),
            expected
        );
    }

    #[test]
    fn on_one_line_and_with_defaults() {
        let metadata = "node: {metadata: {a: [1, x, ~, true, {b: 1.5}]}}";
        assert_eq!(
            printed(metadata, Style::default()),
            r#"{"node":{"metadata":{"a":[1,"x",null,true,{"b":"1.5"}]}}}"#
        );
        let style = Style {
            defaults: true,
            ..Style::default()
        };
        assert_eq!(
            print("envoy.config.core.v3.Node", &[], style),
            r#"{"id":"","cluster":"","user_agent_name":"","extensions":[],"client_features":[],"listening_addresses":[],"dynamic_parameters":{}}"#
        );
    }

    #[test]
    fn secrets_are_hidden() {
        let name = "envoy.extensions.transport_sockets.tls.v3.TlsSessionTicketKeys";
        let mut keys = Vec::new();
        wire::put_nested(&mut keys, 1, |out| wire::put_bytes(out, 3, b"secret"));
        let style = Style {
            redact: true,
            ..Style::default()
        };
        assert_eq!(
            print(name, &keys, style),
            r#"{"keys":[{"inline_string":"[redacted]"}]}"#
        );
    }
}
