//! Brings any encoded message into the form the rest of this crate expects: fields by number, a singular field once,
//! repeated scalars not packed, one entry for each key of a map, nothing unknown.
//!
//! Needed for binary files, for `--config-yaml` over a file (concatenating two encodings merges the
//! messages) and for JSON with a repeated key. What YAML decodes to is in that form already.

use std::{collections::HashMap, ops::Range};

use crate::{
    ConfigError,
    any::type_name,
    decode::{any::is_typed_struct, decode},
    front::{Syntax, parse},
    json,
    path::{Path, Step},
    schema::{FieldType, Kind, MessageType, WellKnown},
    wire::{self, WireField, WireValue},
};

/// Messages nest no deeper than this.
const MAX_DEPTH: usize = 100;

/// The normal form of `bytes`, a message of type `message`, and what is wrong with it.
pub(crate) fn normalise(
    message: MessageType,
    bytes: &[u8],
    extension_types: &[String],
) -> (Vec<u8>, Vec<ConfigError>) {
    normalise_at(message, bytes, extension_types, 0)
}

/// The same of a message that lies `depth` deep in another one.
pub(crate) fn normalise_inner(
    message: MessageType,
    bytes: &[u8],
    depth: usize,
) -> (Vec<u8>, Vec<ConfigError>) {
    normalise_at(message, bytes, &[], depth)
}

fn normalise_at(
    message: MessageType,
    bytes: &[u8],
    extension_types: &[String],
    depth: usize,
) -> (Vec<u8>, Vec<ConfigError>) {
    let mut normaliser = Normaliser {
        extension_types,
        path: Vec::new(),
        errors: Vec::new(),
    };
    let mut out = Vec::with_capacity(bytes.len());
    normaliser.message(message, bytes, &mut Vec::new(), &mut out, depth);
    (out, normaliser.errors)
}

struct Normaliser<'a> {
    /// Types of third parties, whose values are structs.
    extension_types: &'a [String],
    /// Fields, and elements of those that are repeated.
    path: Vec<(FieldType, Option<usize>)>,
    errors: Vec<ConfigError>,
}

/// The fields of all messages that are being walked, as they occur; each message sees its own end of it.
type Occurrences<'b> = Vec<(FieldType, WireValue<'b>)>;

impl Normaliser<'_> {
    fn error(&mut self, message: impl Into<String>) {
        let mut path = Path::default();
        for (field, index) in &self.path {
            path.0.push(Step::Field(field.name()));
            path.0.extend(index.map(Step::Index));
        }
        self.errors
            .push(ConfigError::new(path.to_string(), message));
    }

    fn message<'b>(
        &mut self,
        message: MessageType,
        bytes: &'b [u8],
        stack: &mut Occurrences<'b>,
        out: &mut Vec<u8>,
        depth: usize,
    ) {
        if depth > MAX_DEPTH {
            return self.error("content was too deeply nested");
        }
        let start = stack.len();
        for field in wire::fields(bytes) {
            let Ok(WireField { number, value }) = field else {
                stack.truncate(start);
                return self.error(format!("Unable to parse as {}: malformed", message.name()));
            };
            let Some(field) = message.field_by_number(number) else {
                self.error(format!("Protobuf message (type {} with unknown field set {{{number}}}) has unknown fields", message.name()));
                continue;
            };
            push(field, value, stack);
        }
        keep_last_of_oneofs(message, start, stack);
        stack[start..].sort_by_key(|(field, _)| field.number());
        let mut at = start;
        while let Some(&(field, _)) = stack.get(at) {
            let same = stack[at..].iter().take_while(|(other, _)| *other == field);
            let group = at..at + same.count();
            at = group.end;
            self.path.push((field, None));
            self.field(field, group, stack, out, depth);
            self.path.pop();
        }
        stack.truncate(start);
    }

    /// One field, whose occurrences are `group` of `stack`.
    fn field<'b>(
        &mut self,
        field: FieldType,
        group: Range<usize>,
        stack: &mut Occurrences<'b>,
        out: &mut Vec<u8>,
        depth: usize,
    ) {
        let number = field.number();
        let last = stack[group.end - 1].1;
        match field.message() {
            None if !fits(field.kind(), last) => self.error("malformed value"),
            None if field.is_repeated() => {
                for (_, value) in &stack[group] {
                    self.scalar(field, *value, out);
                }
            }
            None if field.is_implicit() && is_default(last) => {}
            None => self.scalar(field, last, out),
            Some(entry) if field.is_map() => {
                let key = |value: WireValue<'_>| {
                    wire::fields(value.bytes())
                        .flatten()
                        .filter(|f| f.number == 1)
                        .last()
                        .map(|f| format!("{:?}", f.value))
                };
                let values = stack[group.clone()].iter().enumerate();
                let last: HashMap<_, usize> = values.map(|(i, (_, v))| (key(*v), i)).collect();
                for (i, at) in group.enumerate() {
                    let value = stack[at].1;
                    if last[&key(value)] == i {
                        wire::put_nested(out, number, |out| {
                            self.message(entry, value.bytes(), stack, out, depth + 1)
                        });
                    }
                }
            }
            Some(inner) if field.is_repeated() => {
                for (i, at) in group.enumerate() {
                    let bytes = stack[at].1.bytes();
                    if let Some((_, index)) = self.path.last_mut() {
                        *index = Some(i);
                    }
                    wire::put_nested(out, number, |out| {
                        self.nested(inner, bytes, stack, out, depth)
                    });
                }
            }
            Some(inner) if group.len() == 1 => wire::put_nested(out, number, |out| {
                self.nested(inner, last.bytes(), stack, out, depth)
            }),
            Some(inner) => {
                // Concatenation is how protobuf merges.
                let parts: Vec<&[u8]> = stack[group].iter().map(|(_, v)| v.bytes()).collect();
                let merged = parts.concat();
                wire::put_nested(out, number, |out| {
                    self.nested(inner, &merged, &mut Vec::new(), out, depth)
                });
            }
        }
    }

    fn nested<'b>(
        &mut self,
        message: MessageType,
        bytes: &'b [u8],
        stack: &mut Occurrences<'b>,
        out: &mut Vec<u8>,
        depth: usize,
    ) {
        if message.well_known() != WellKnown::Any {
            return self.message(message, bytes, stack, out, depth + 1);
        }
        let part = |number| {
            wire::fields(bytes)
                .flatten()
                .filter(|f| f.number == number)
                .last()
                .map(|f| f.value.bytes())
        };
        let Some(url) = part(1)
            .and_then(|url| std::str::from_utf8(url).ok())
            .filter(|url| !url.is_empty())
        else {
            return;
        };
        if MessageType::find(type_name(url)).is_some_and(is_typed_struct) {
            return self.typed_struct(part(2).unwrap_or_default(), out);
        }
        wire::put_bytes(out, 1, url.as_bytes());
        let name = type_name(url);
        let known = match self.extension_types.iter().any(|foreign| foreign == name) {
            true => "google.protobuf.Struct",
            false => name,
        };
        match MessageType::find(known) {
            Some(inner) => wire::put_nested(out, 2, |out| {
                self.message(inner, part(2).unwrap_or_default(), stack, out, depth + 1)
            }),
            None => self.error(format!("could not find @type '{url}'")),
        }
    }

    /// The body of an `Any` that held this `TypedStruct`: it becomes the message that it describes, as in YAML.
    fn typed_struct(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let part = |number| wire::find(bytes, number).map_or(&[][..], WireValue::bytes);
        let url = String::from_utf8_lossy(part(1));
        let json = format!(
            "{{\"@type\": \"type.googleapis.com/xds.type.v3.TypedStruct\", \"type_url\": {}, \"value\": {}}}",
            json::quoted(&url),
            json::print("google.protobuf.Struct", part(2), json::Style::default())
        );
        let (Ok(tree), Some(any)) = (
            parse(Syntax::Json, &json),
            MessageType::find("google.protobuf.Any"),
        ) else {
            return self.error("a TypedStruct that cannot be read");
        };
        let decoded = decode(any, tree.root(), Syntax::Json, false, self.extension_types);
        for problem in decoded.errors {
            self.error(problem.message);
        }
        out.extend_from_slice(&decoded.wire);
    }

    fn scalar(&mut self, field: FieldType, value: WireValue<'_>, out: &mut Vec<u8>) {
        if field.kind() == Kind::String && std::str::from_utf8(value.bytes()).is_err() {
            return self.error("a string that is not valid UTF-8");
        }
        wire::put_field(
            out,
            WireField {
                number: field.number(),
                value,
            },
        );
    }
}

/// Of a oneof only the member that was set last counts, since it last became the current one.
fn keep_last_of_oneofs(message: MessageType, start: usize, stack: &mut Occurrences<'_>) {
    for oneof in 0..message.oneofs().len() {
        let member = |field: FieldType| field.oneof() == Some(oneof);
        let mut members = stack[start..].iter().map(|(field, _)| *field);
        let Some(winner) = members.rfind(|field| member(*field)) else {
            continue;
        };
        let Some(before) = members.rposition(|field| member(field) && field != winner) else {
            continue;
        };
        let mut index = 0;
        stack.retain(|(field, _)| {
            index += 1;
            !member(*field) || index > start + before + 1 || index <= start
        });
    }
}

/// Adds one occurrence; a packed list becomes one occurrence for each element.
fn push<'a>(field: FieldType, value: WireValue<'a>, out: &mut Vec<(FieldType, WireValue<'a>)>) {
    let WireValue::Bytes(bytes) = value else {
        return out.push((field, value));
    };
    match field.kind() {
        Kind::Message | Kind::String | Kind::Bytes => out.push((field, value)),
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => {
            let (chunks, _) = bytes.as_chunks::<8>();
            out.extend(
                chunks
                    .iter()
                    .map(|chunk| (field, WireValue::Fixed64(u64::from_le_bytes(*chunk)))),
            );
        }
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => {
            let (chunks, _) = bytes.as_chunks::<4>();
            out.extend(
                chunks
                    .iter()
                    .map(|chunk| (field, WireValue::Fixed32(u32::from_le_bytes(*chunk)))),
            );
        }
        _ => {
            let mut rest = wire::fields(bytes);
            while let Some(Ok(bits)) = rest.next_varint() {
                out.push((field, WireValue::Varint(bits)));
            }
        }
    }
}

fn fits(kind: Kind, value: WireValue<'_>) -> bool {
    match value {
        WireValue::Bytes(_) => matches!(kind, Kind::String | Kind::Bytes),
        WireValue::Fixed64(_) => matches!(kind, Kind::Double | Kind::Fixed64 | Kind::Sfixed64),
        WireValue::Fixed32(_) => matches!(kind, Kind::Float | Kind::Fixed32 | Kind::Sfixed32),
        WireValue::Varint(_) => matches!(
            kind,
            Kind::Int32
                | Kind::Int64
                | Kind::Uint32
                | Kind::Uint64
                | Kind::Sint32
                | Kind::Sint64
                | Kind::Bool
                | Kind::Enum
        ),
    }
}

fn is_default(value: WireValue<'_>) -> bool {
    value.bits() == 0 && value.bytes().is_empty()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::api::{
        bootstrap::Bootstrap,
        core::{Node, address, socket_address::PortSpecifier},
    };

    fn bootstrap() -> MessageType {
        MessageType::find("envoy.config.bootstrap.v3.Bootstrap").unwrap()
    }

    #[test]
    fn two_encodings_merge() {
        let node = |id: &str, cluster: &str| Bootstrap {
            node: Some(Node {
                id: id.into(),
                cluster: cluster.into(),
                ..Default::default()
            }),
            node_context_params: vec![format!("p{id}")],
            ..Default::default()
        };
        let mut bytes = node("a", "c").encode_to_vec();
        bytes.extend(node("b", "").encode_to_vec());
        let (normal, errors) = normalise(bootstrap(), &bytes, &[]);
        assert!(errors.is_empty());
        let merged = Bootstrap::decode(normal.as_slice()).unwrap();
        let node = merged.node.unwrap();
        assert_eq!((node.id.as_str(), node.cluster.as_str()), ("b", "c"));
        assert_eq!(merged.node_context_params, ["pa", "pb"]);
        assert_eq!(normalise(bootstrap(), &normal, &[]).0, normal);
    }

    #[test]
    fn of_a_oneof_the_last_counts() {
        use crate::api::core::{Address, Pipe, SocketAddress};
        let message = MessageType::find("envoy.config.core.v3.Address").unwrap();
        let pipe = Address {
            address: Some(address::Address::Pipe(Pipe {
                path: "p".into(),
                mode: 0,
            })),
        }
        .encode_to_vec();
        let socket = |port, address: &str| {
            let port_specifier = Some(PortSpecifier::PortValue(port));
            let socket = SocketAddress {
                address: address.into(),
                port_specifier,
                ..Default::default()
            };
            Address {
                address: Some(address::Address::SocketAddress(socket)),
            }
            .encode_to_vec()
        };
        let bytes = [socket(1, "x"), pipe, socket(2, "")].concat();
        let (normal, _) = normalise(message, &bytes, &[]);
        assert_eq!(normal, socket(2, ""));
    }

    #[test]
    fn unknown_and_malformed_fields_are_reported() {
        assert!(
            normalise(bootstrap(), &[0xf8, 0x7f, 1], &[]).1[0]
                .message
                .contains("has unknown fields")
        );
        assert!(
            normalise(bootstrap(), &[0x0a, 0x05], &[]).1[0]
                .message
                .contains("malformed")
        );
        assert_eq!(
            normalise(bootstrap(), &[0x0a, 0x03, 0x0a, 0x01, 0xff], &[]).1[0].path,
            "node.id"
        );
        assert_eq!(
            normalise(bootstrap(), &[0x0a, 0x02, 0x08, 0x01], &[]).1[0].path,
            "node.id"
        );
    }
}
