//! `metadata_match`: what metadata of a host, under `envoy.lb`, a request asks for.

use nuncio_config::api::core::Metadata;
use nuncio_config::api::protobuf::{Struct, Value};

/// Criteria, sorted by key.
pub type MetadataMatch = Vec<(Box<str>, Value)>;

/// The namespace of metadata for load balancers.
pub const LB_NAMESPACE: &str = "envoy.lb";

/// The criteria of a message; `None` when it says nothing to load balancers.
pub(crate) fn from_config(config: Option<&Metadata>) -> Option<Box<MetadataMatch>> {
    let Metadata {
        filter_metadata,
        // Load balancers look at plain metadata only.
        typed_filter_metadata: _,
    } = config?;
    merged(None, filter_metadata.get(LB_NAMESPACE)?)
}

/// `base` with the criteria of `over` in place of, or beside, its own.
pub fn merged(base: Option<&MetadataMatch>, over: &Struct) -> Option<Box<MetadataMatch>> {
    let kept = base.map(Vec::as_slice).unwrap_or_default().iter();
    let kept = kept
        .filter(|(key, _)| !over.fields.contains_key(&**key))
        .cloned();
    let new = over.fields.iter();
    let new = new.map(|(key, value)| (key.as_str().into(), value.clone()));
    let mut all: MetadataMatch = kept.chain(new).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    (!all.is_empty()).then(|| Box::new(all))
}

#[cfg(test)]
mod tests {
    use nuncio_config::api::protobuf::value::Kind;

    use super::*;

    fn fields(fields: &[(&str, f64)]) -> Struct {
        let value = |number| Value {
            kind: Some(Kind::NumberValue(number)),
        };
        let fields = fields
            .iter()
            .map(|(key, number)| ((*key).to_owned(), value(*number)));
        Struct {
            fields: fields.collect(),
        }
    }

    fn config(namespace: &str, of: &[(&str, f64)]) -> Metadata {
        Metadata {
            filter_metadata: [(namespace.to_owned(), fields(of))].into(),
            ..Metadata::default()
        }
    }

    #[test]
    fn only_what_is_for_load_balancers_counts() {
        assert!(from_config(None).is_none());
        assert!(from_config(Some(&config("other", &[("a", 1.0)]))).is_none());
        let found = from_config(Some(&config("envoy.lb", &[("b", 1.0), ("a", 2.0)]))).unwrap();
        let keys: Vec<&str> = found.iter().map(|(key, _)| &**key).collect();
        assert_eq!(keys, ["a", "b"]);
    }

    #[test]
    fn the_nearer_criteria_win() {
        let base = from_config(Some(&config("envoy.lb", &[("a", 1.0), ("c", 3.0)]))).unwrap();
        let both = merged(Some(&base), &fields(&[("a", 9.0), ("b", 2.0)])).unwrap();
        let numbers: Vec<_> = both.iter().map(|(_, value)| value.kind.clone()).collect();
        let number = |number| Some(Kind::NumberValue(number));
        assert_eq!(numbers, [number(9.0), number(2.0), number(3.0)]);
    }
}
