//! Messages that arrive inside `Any` and that nothing in the descriptor set imports.

use crate::descriptors::{Field, Message, Model};

const STRING: u8 = 9;
const MESSAGE: u8 = 11;

/// Adds the two `TypedStruct`s.
pub(crate) fn add(model: &mut Model) {
    for name in ["xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"] {
        if model.messages.iter().any(|m| m.name == name) {
            continue;
        }
        model.messages.push(Message {
            name: name.into(),
            fields: vec![
                field("type_url", "typeUrl", 1, STRING, ""),
                field("value", "value", 2, MESSAGE, "google.protobuf.Struct"),
            ],
            ..Message::default()
        });
    }
}

fn field(name: &str, json_name: &str, number: u32, kind: u8, type_name: &str) -> Field {
    Field {
        name: name.into(),
        json_name: json_name.into(),
        number,
        kind,
        type_name: type_name.into(),
        ..Field::default()
    }
}
