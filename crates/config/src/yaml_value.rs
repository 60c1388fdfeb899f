//! YAML as a `google.protobuf.Value`, for what operators write outside of a configuration (runtime values).

use envoy_types::pb::google::protobuf::{ListValue, Struct, Value, value::Kind};

use crate::front::{self, Content, Syntax, parse};

/// Reads one YAML document by Envoy's rules.
///
/// # Errors
/// What is wrong with it, in words.
pub fn yaml_value(text: &str) -> Result<Value, String> {
    let tree = parse(Syntax::Yaml, text).map_err(|error| error.message)?;
    Ok(convert(tree.root()))
}

fn convert(value: front::Value<'_>) -> Value {
    let kind = match value.content() {
        Content::Null => Kind::NullValue(0),
        Content::Bool(value) => Kind::BoolValue(value),
        #[expect(
            clippy::cast_precision_loss,
            reason = "YAML integers have 32 bits here"
        )]
        Content::Int(number) => Kind::NumberValue(number as f64),
        Content::Number(text) => Kind::NumberValue(text.parse().unwrap_or_default()),
        Content::Str(text) | Content::Word(text) | Content::Bytes(text) => {
            Kind::StringValue(text.into())
        }
        Content::List(items) => Kind::ListValue(ListValue {
            values: items.map(convert).collect(),
        }),
        Content::Map(entries) => {
            let mut message = Struct::default();
            for (key, value) in entries {
                let key = key.as_str().unwrap_or_default();
                message.fields.insert(key.into(), convert(value));
            }
            Kind::StructValue(message)
        }
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_and_mappings() {
        let kind = |text| yaml_value(text).unwrap().kind.unwrap();
        assert_eq!(kind("5"), Kind::NumberValue(5.0));
        assert_eq!(kind("true"), Kind::BoolValue(true));
        assert_eq!(kind("abc"), Kind::StringValue("abc".into()));
        let Kind::StructValue(message) = kind("{numerator: 3, denominator: MILLION}") else {
            panic!("no mapping");
        };
        assert_eq!(
            message.fields["numerator"].kind,
            Some(Kind::NumberValue(3.0))
        );
        assert!(yaml_value("[").is_err());
    }
}
