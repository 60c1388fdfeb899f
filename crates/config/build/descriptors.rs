//! Reads a `FileDescriptorSet`, with the options that protobuf libraries drop: `validate.rules` and the
//! annotations of Envoy's API.

use crate::wire::{WireField, fields};

// Extension numbers of the options.
const VALIDATE: u32 = 1071;
const VALIDATE_IGNORED: u32 = 1072;
const SENSITIVE: u32 = 76_569_463;

/// Every message and enum of the set, in the order found.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) messages: Vec<Message>,
    pub(crate) enums: Vec<Enum>,
}

#[derive(Default)]
pub(crate) struct Message {
    /// Full name without the leading dot.
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) oneofs: Vec<Oneof>,
    pub(crate) map_entry: bool,
    pub(crate) deprecated: bool,
    /// `validate.disabled` or `validate.ignored`.
    pub(crate) unchecked: bool,
}

#[derive(Default)]
pub(crate) struct Oneof {
    pub(crate) name: String,
    pub(crate) required: bool,
    /// Made by the compiler for a proto3 `optional` field.
    pub(crate) synthetic: bool,
}

#[derive(Default)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) json_name: String,
    pub(crate) number: u32,
    /// `FieldDescriptorProto.Type`.
    pub(crate) kind: u8,
    /// Full name of the message or enum, without the leading dot.
    pub(crate) type_name: String,
    pub(crate) repeated: bool,
    pub(crate) oneof: Option<u16>,
    pub(crate) deprecated: bool,
    pub(crate) sensitive: bool,
    /// An encoded `validate.FieldRules`; several are concatenated, which merges them.
    pub(crate) rules: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Enum {
    pub(crate) name: String,
    pub(crate) values: Vec<EnumValue>,
}

pub(crate) struct EnumValue {
    pub(crate) name: String,
    pub(crate) number: i32,
    pub(crate) deprecated: bool,
}

impl Model {
    /// Adds a `FileDescriptorSet`.
    pub(crate) fn add_set(&mut self, set: &[u8]) {
        for file in of(set, 1) {
            let package = of(file, 2).next().map(text).unwrap_or_default();
            for message in of(file, 4) {
                self.add_message(&package, message);
            }
            for descriptor in of(file, 5) {
                self.add_enum(&package, descriptor);
            }
        }
    }

    fn add_message(&mut self, scope: &str, bytes: &[u8]) {
        let mut message = Message::default();
        let (mut nested, mut enums) = (Vec::new(), Vec::new());
        for WireField { number, value } in all(bytes) {
            match number {
                1 => message.name = join(scope, &text(value.bytes())),
                2 => message.fields.push(field(value.bytes())),
                3 => nested.push(value.bytes()),
                4 => enums.push(value.bytes()),
                7 => {
                    for option in all(value.bytes()) {
                        match option.number {
                            3 => message.deprecated = option.value.bits() != 0,
                            7 => message.map_entry = option.value.bits() != 0,
                            VALIDATE | VALIDATE_IGNORED => {
                                message.unchecked |= option.value.bits() != 0
                            }
                            _ => {}
                        }
                    }
                }
                8 => message.oneofs.push(oneof(value.bytes())),
                _ => {}
            }
        }
        for field in all(bytes).filter(|f| f.number == 2) {
            // proto3_optional = 17
            if let Some(index) = optional_oneof(field.value.bytes()) {
                message.oneofs[index].synthetic = true;
            }
        }
        for inner in nested {
            self.add_message(&message.name, inner);
        }
        for inner in enums {
            self.add_enum(&message.name, inner);
        }
        self.messages.push(message);
    }

    fn add_enum(&mut self, scope: &str, bytes: &[u8]) {
        let mut descriptor = Enum::default();
        for WireField { number, value } in all(bytes) {
            match number {
                1 => descriptor.name = join(scope, &text(value.bytes())),
                2 => {
                    let value = value.bytes();
                    let deprecated = of(value, 3)
                        .any(|options| all(options).any(|o| o.number == 1 && o.value.bits() != 0));
                    descriptor.values.push(EnumValue {
                        name: of(value, 1).next().map(text).unwrap_or_default(),
                        number: all(value)
                            .find(|f| f.number == 2)
                            .map_or(0, |f| f.value.bits() as i32),
                        deprecated,
                    });
                }
                _ => {}
            }
        }
        self.enums.push(descriptor);
    }
}

fn oneof(bytes: &[u8]) -> Oneof {
    Oneof {
        name: of(bytes, 1).next().map(text).unwrap_or_default(),
        required: of(bytes, 2)
            .any(|options| all(options).any(|o| o.number == VALIDATE && o.value.bits() != 0)),
        synthetic: false,
    }
}

fn optional_oneof(field: &[u8]) -> Option<usize> {
    let optional = all(field).any(|f| f.number == 17 && f.value.bits() != 0);
    all(field)
        .find(|f| optional && f.number == 9)
        .map(|f| f.value.bits() as usize)
}

fn field(bytes: &[u8]) -> Field {
    let mut field = Field::default();
    for WireField { number, value } in all(bytes) {
        match number {
            1 => field.name = text(value.bytes()),
            3 => field.number = value.bits() as u32,
            4 => field.repeated = value.bits() == 3,
            5 => field.kind = value.bits() as u8,
            6 => field.type_name = text(value.bytes()).trim_start_matches('.').to_owned(),
            8 => {
                for option in all(value.bytes()) {
                    match option.number {
                        3 => field.deprecated = option.value.bits() != 0,
                        VALIDATE => field.rules.extend_from_slice(option.value.bytes()),
                        SENSITIVE => field.sensitive = option.value.bits() != 0,
                        _ => {}
                    }
                }
            }
            9 => field.oneof = Some(value.bits() as u16),
            10 => field.json_name = text(value.bytes()),
            _ => {}
        }
    }
    field
}

fn all(bytes: &[u8]) -> impl Iterator<Item = WireField<'_>> {
    fields(bytes).map(|f| f.expect("the descriptor set of envoy-types is well-formed"))
}

fn of(bytes: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    all(bytes)
        .filter(move |f| f.number == number)
        .map(|f| f.value.bytes())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("names are UTF-8")
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() {
        name.to_owned()
    } else {
        format!("{scope}.{name}")
    }
}
