//! Criteria as a key to look subsets up by, and hosts matched against criteria.

use nuncio_config::api::protobuf::{Value, value::Kind};
use nuncio_route::LB_NAMESPACE;

use nuncio_sdk::metadata::DynamicMetadata;

use crate::host::Host;

/// A key that is equal for equal criteria: keys and values, in order of keys, without ambiguity.
pub(super) fn push_criterion(name: &str, value: &Value, out: &mut Vec<u8>) {
    push_text(name, out);
    push_value(value, out);
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn push_value(value: &Value, out: &mut Vec<u8>) {
    match &value.kind {
        None => out.push(0),
        Some(Kind::NullValue(_)) => out.push(1),
        Some(Kind::NumberValue(number)) => {
            out.push(2);
            // Zeros are equal whatever their sign.
            let number = if *number == 0.0 { 0.0 } else { *number };
            out.extend_from_slice(&number.to_bits().to_le_bytes());
        }
        Some(Kind::StringValue(text)) => {
            out.push(3);
            push_text(text, out);
        }
        Some(Kind::BoolValue(truth)) => out.extend_from_slice(&[4, u8::from(*truth)]),
        Some(Kind::StructValue(fields)) => {
            out.push(5);
            let mut fields: Vec<_> = fields.fields.iter().collect();
            fields.sort_by_key(|(name, _)| name.as_str());
            out.extend_from_slice(&(fields.len() as u32).to_le_bytes());
            for (name, value) in fields {
                push_criterion(name, value, out);
            }
        }
        Some(Kind::ListValue(list)) => {
            out.push(6);
            out.extend_from_slice(&(list.values.len() as u32).to_le_bytes());
            for value in &list.values {
                push_value(value, out);
            }
        }
    }
}

/// What a host's metadata have under `key`: several values if it is a list that stands for any of its elements.
pub(super) fn values_of<'m>(
    metadata: Option<&'m DynamicMetadata>,
    key: &str,
    list_as_any: bool,
) -> Option<&'m [Value]> {
    let value = metadata?.namespace(LB_NAMESPACE)?.fields.get(key)?;
    match &value.kind {
        Some(Kind::ListValue(list)) if list_as_any => Some(&list.values),
        _ => Some(std::slice::from_ref(value)),
    }
}

/// Whether a host has all of `criteria` (Envoy's `metadataLabelMatch`).
pub(super) fn matches(host: &Host, criteria: &[(Box<str>, Value)], list_as_any: bool) -> bool {
    let metadata = host.metadata();
    criteria.iter().all(|(key, wanted)| {
        values_of(metadata.as_deref(), key, list_as_any)
            .is_some_and(|values| values.contains(wanted))
    })
}
