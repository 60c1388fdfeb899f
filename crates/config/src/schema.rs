//! The schema of every message that Envoy's API knows: a read-only blob made by `build.rs`, read in place.
//!
//! Handles ([`MessageType`], [`FieldType`] …) are small copies of indices; every name they give out is `'static`.
//! The layout is told in `build/blob.rs`.

static BLOB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/schema.bin"));

const MESSAGE_SIZE: usize = 24;
const FIELD_SIZE: usize = 24;
const NAME_SIZE: usize = 8;
const ONEOF_SIZE: usize = 8;
const ENUM_SIZE: usize = 12;
const VALUE_SIZE: usize = 12;

fn u16_at(at: usize) -> u16 {
    u16::from_le_bytes([BLOB[at], BLOB[at + 1]])
}

fn u32_at(at: usize) -> u32 {
    u32::from_le_bytes([BLOB[at], BLOB[at + 1], BLOB[at + 2], BLOB[at + 3]])
}

fn index_at(at: usize) -> usize {
    u32_at(at) as usize
}

/// Start of section `n`.
fn section(n: usize) -> usize {
    index_at(4 * n)
}

fn sized(section_number: usize, offset: usize) -> &'static [u8] {
    let at = section(section_number) + offset;
    &BLOB[at + 2..at + 2 + usize::from(u16_at(at))]
}

fn string(offset: u32) -> &'static str {
    std::str::from_utf8(sized(7, offset as usize)).unwrap_or_default()
}

/// A message type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct MessageType(u32);

/// A field of a message type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FieldType(u32);

/// An enum type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnumType(u32);

/// A oneof of a message type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OneofType(u32);

/// One value of an enum type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnumValue {
    /// Its name, in upper case.
    pub name: &'static str,
    /// Its number.
    pub number: i32,
    /// Whether its use earns a warning.
    pub deprecated: bool,
}

/// What a field holds, as protobuf's descriptors number it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "protobuf's own names")]
pub enum Kind {
    Double,
    Float,
    Int64,
    Uint64,
    Int32,
    Fixed64,
    Fixed32,
    Bool,
    String,
    Message,
    Bytes,
    Uint32,
    Enum,
    Sfixed32,
    Sfixed64,
    Sint32,
    Sint64,
}

/// A message that proto JSON writes in a form of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "protobuf's own names")]
pub enum WellKnown {
    None,
    Any,
    Duration,
    Timestamp,
    Struct,
    Value,
    List,
    Wrapper,
    FieldMask,
}

impl MessageType {
    /// The message with this full name (`envoy.config.cluster.v3.Cluster`).
    pub fn find(full_name: &str) -> Option<Self> {
        let (mut low, mut high) = (0, u32_at(section(0)));
        while low < high {
            let middle = u32::midpoint(low, high);
            match Self(middle).name().cmp(full_name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(Self(middle)),
            }
        }
        None
    }

    /// Every message, sorted by full name.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..u32_at(section(0))).map(Self)
    }

    /// Its place among [`Self::all`].
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    fn at(self) -> usize {
        section(0) + 4 + MESSAGE_SIZE * self.0 as usize
    }

    /// Full name.
    pub fn name(self) -> &'static str {
        string(u32_at(self.at()))
    }

    /// Name without package and outer messages.
    pub fn short_name(self) -> &'static str {
        let name = self.name();
        name.rsplit_once('.').map_or(name, |(_, short)| short)
    }

    fn flags(self) -> u16 {
        u16_at(self.at() + 22)
    }

    /// Whether it is the made-up entry message of a map field.
    pub fn is_map_entry(self) -> bool {
        self.flags() & 1 != 0
    }

    /// Whether it or anything below it has validation rules.
    pub fn is_checked(self) -> bool {
        self.flags() & 8 != 0
    }

    /// Whether its own rules are switched off (`validate.disabled`).
    pub fn is_unchecked(self) -> bool {
        self.flags() & 4 != 0
    }

    /// Its fields, sorted by number.
    pub fn fields(self) -> impl ExactSizeIterator<Item = FieldType> + Clone {
        let first = u32_at(self.at() + 4);
        (first..first + u32::from(u16_at(self.at() + 16))).map(FieldType)
    }

    /// How many fields it has.
    pub fn field_count(self) -> usize {
        usize::from(u16_at(self.at() + 16))
    }

    /// The field's position among [`Self::fields`].
    pub fn position(self, field: FieldType) -> usize {
        (field.0 - u32_at(self.at() + 4)) as usize
    }

    /// The field with this proto or JSON name.
    pub fn field_by_name(self, name: &str) -> Option<FieldType> {
        let first = index_at(self.at() + 8);
        let (mut low, mut high) = (0, usize::from(u16_at(self.at() + 18)));
        while low < high {
            let middle = usize::midpoint(low, high);
            let at = section(2) + NAME_SIZE * (first + middle);
            match string(u32_at(at)).cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    return Some(FieldType(u32_at(self.at() + 4) + u32_at(at + 4)));
                }
            }
        }
        None
    }

    /// The field with this number.
    pub fn field_by_number(self, number: u32) -> Option<FieldType> {
        let first = u32_at(self.at() + 4);
        let (mut low, mut high) = (0, u32::from(u16_at(self.at() + 16)));
        // Mostly numbers have no gaps.
        let guess = FieldType(first + number.wrapping_sub(1).min(high));
        if guess.0 < first + high && guess.number() == number {
            return Some(guess);
        }
        while low < high {
            let middle = u32::midpoint(low, high);
            let field = FieldType(first + middle);
            match field.number().cmp(&number) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(field),
            }
        }
        None
    }

    /// Its oneofs.
    pub fn oneofs(self) -> impl ExactSizeIterator<Item = OneofType> {
        let first = u32_at(self.at() + 12);
        (first..first + u32::from(u16_at(self.at() + 20))).map(OneofType)
    }

    /// Whether, and how, proto JSON treats it specially.
    pub fn well_known(self) -> WellKnown {
        match self.flags() >> 4 & 15 {
            1 => WellKnown::Any,
            2 => WellKnown::Duration,
            3 => WellKnown::Timestamp,
            4 => WellKnown::Struct,
            5 => WellKnown::Value,
            6 => WellKnown::List,
            7 => WellKnown::Wrapper,
            8 => WellKnown::FieldMask,
            _ => WellKnown::None,
        }
    }
}

impl FieldType {
    fn at(self) -> usize {
        section(1) + FIELD_SIZE * self.0 as usize
    }

    /// Proto name (snake_case).
    pub fn name(self) -> &'static str {
        string(u32_at(self.at()))
    }

    /// JSON name (camelCase).
    pub fn json_name(self) -> &'static str {
        string(u32_at(self.at() + 4))
    }

    /// Field number.
    pub fn number(self) -> u32 {
        u32_at(self.at() + 8)
    }

    /// What it holds.
    pub fn kind(self) -> Kind {
        match BLOB[self.at() + 20] {
            1 => Kind::Double,
            2 => Kind::Float,
            3 => Kind::Int64,
            4 => Kind::Uint64,
            5 => Kind::Int32,
            6 => Kind::Fixed64,
            7 => Kind::Fixed32,
            8 => Kind::Bool,
            9 => Kind::String,
            11 => Kind::Message,
            12 => Kind::Bytes,
            13 => Kind::Uint32,
            14 => Kind::Enum,
            15 => Kind::Sfixed32,
            16 => Kind::Sfixed64,
            17 => Kind::Sint32,
            _ => Kind::Sint64,
        }
    }

    /// The message it holds, if it holds messages (for a map: the entry message).
    pub fn message(self) -> Option<MessageType> {
        let index = u32_at(self.at() + 12);
        (self.kind() == Kind::Message && index != u32::MAX).then_some(MessageType(index))
    }

    /// The enum it holds, if it holds enums.
    pub fn enumeration(self) -> Option<EnumType> {
        let index = u32_at(self.at() + 12);
        (self.kind() == Kind::Enum && index != u32::MAX).then_some(EnumType(index))
    }

    fn flags(self) -> u8 {
        BLOB[self.at() + 21]
    }

    /// Whether it is repeated (maps are).
    pub fn is_repeated(self) -> bool {
        self.flags() & 1 != 0
    }

    /// Whether it is a map.
    pub fn is_map(self) -> bool {
        self.flags() & 2 != 0
    }

    /// Whether its use earns a warning.
    pub fn is_deprecated(self) -> bool {
        self.flags() & 4 != 0
    }

    /// Whether its default value means absence (a plain proto3 scalar).
    pub fn is_implicit(self) -> bool {
        self.flags() & 8 != 0
    }

    /// Whether `/config_dump` must hide its value.
    pub fn is_sensitive(self) -> bool {
        self.flags() & 16 != 0
    }

    /// The oneof it belongs to, by its position in the message.
    pub fn oneof(self) -> Option<usize> {
        usize::from(u16_at(self.at() + 22)).checked_sub(1)
    }

    /// Its encoded `validate.FieldRules`; empty when it has none.
    pub(crate) fn rules(self) -> &'static [u8] {
        match index_at(self.at() + 16) {
            0 => &[],
            offset => sized(6, offset - 1),
        }
    }
}

impl OneofType {
    fn at(self) -> usize {
        section(3) + ONEOF_SIZE * self.0 as usize
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        string(u32_at(self.at()))
    }

    /// Whether one of its fields must be set.
    pub fn is_required(self) -> bool {
        u32_at(self.at() + 4) != 0
    }
}

impl EnumValue {
    fn at(at: usize) -> Self {
        Self {
            name: string(u32_at(at)),
            number: u32_at(at + 4).cast_signed(),
            deprecated: u32_at(at + 8) != 0,
        }
    }
}

impl EnumType {
    fn at(self) -> usize {
        section(4) + 4 + ENUM_SIZE * self.0 as usize
    }

    /// Full name.
    pub fn name(self) -> &'static str {
        string(u32_at(self.at()))
    }

    /// Its values in the order of declaration.
    pub fn values(self) -> impl Iterator<Item = EnumValue> {
        self.places().map(EnumValue::at)
    }

    fn places(self) -> impl Iterator<Item = usize> {
        let first = index_at(self.at() + 4);
        let values = first..first + index_at(self.at() + 8);
        values.map(|i| section(5) + VALUE_SIZE * i)
    }

    /// The value with this number.
    pub fn by_number(self, number: i32) -> Option<EnumValue> {
        let mut places = self.places();
        let found = places.find(|at| u32_at(at + 4).cast_signed() == number);
        found.map(EnumValue::at)
    }

    /// The value with this name; as Envoy reads JSON, case does not matter.
    pub fn by_name(self, name: &str) -> Option<EnumValue> {
        self.values().find(|v| v.name.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_cluster() {
        let cluster = MessageType::find("envoy.config.cluster.v3.Cluster").unwrap();
        let field = cluster.field_by_name("connect_timeout").unwrap();
        assert_eq!(cluster.field_by_name("connectTimeout"), Some(field));
        assert_eq!(cluster.field_by_number(field.number()), Some(field));
        assert_eq!(field.message().unwrap().well_known(), WellKnown::Duration);
        assert!(!field.rules().is_empty() && cluster.is_checked());
        let policy = cluster.field_by_name("lb_policy").unwrap();
        assert_eq!(
            policy
                .enumeration()
                .unwrap()
                .by_name("Ring_Hash")
                .unwrap()
                .number,
            2
        );
        assert!(policy.is_implicit() && !field.is_implicit());
        let kind = cluster.field_by_name("type").unwrap();
        assert_eq!(
            cluster.oneofs().nth(kind.oneof().unwrap()).unwrap().name(),
            "cluster_discovery_type"
        );
        assert!(
            cluster
                .field_by_name("typed_extension_protocol_options")
                .unwrap()
                .is_map()
        );
        assert!(cluster.field_by_name("hosts").is_none());
    }

    #[test]
    fn every_field_is_found_by_its_names_and_number() {
        for message in MessageType::all() {
            assert_eq!(MessageType::find(message.name()), Some(message));
            for field in message.fields() {
                assert_eq!(message.field_by_name(field.name()), Some(field));
                assert_eq!(message.field_by_number(field.number()), Some(field));
                assert!(message.field_by_name(field.json_name()).is_some());
                assert!(
                    field.kind() != Kind::Message || field.message().is_some(),
                    "{}",
                    field.name()
                );
                assert!(
                    field.kind() != Kind::Enum || field.enumeration().is_some(),
                    "{}",
                    field.name()
                );
            }
        }
    }

    #[test]
    fn typed_structs_are_declared() {
        for name in ["xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"] {
            assert!(
                MessageType::find(name)
                    .unwrap()
                    .field_by_name("typeUrl")
                    .is_some()
            );
        }
    }
}
