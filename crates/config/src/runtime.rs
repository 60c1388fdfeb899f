//! The layered runtime, as far as there is one: layers without values. Envoy checks names and values at load.

use std::collections::HashSet;

use crate::{
    ConfigError, Within,
    api::{
        bootstrap::{Bootstrap, LayeredRuntime, runtime_layer::LayerSpecifier},
        protobuf::value::Kind,
    },
};

/// Refuses what Envoy refuses, and values, which nothing reads yet.
pub(crate) fn check(bootstrap: &Bootstrap) -> Vec<ConfigError> {
    let Some(LayeredRuntime { layers }) = &bootstrap.layered_runtime else {
        return Vec::new();
    };
    let mut names = HashSet::new();
    let mut errors = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let mut found = Vec::new();
        if !names.insert(&layer.name) {
            found.push(ConfigError::new(
                "name",
                format!("Duplicate layer name: {}", layer.name),
            ));
        }
        if let Some(LayerSpecifier::StaticLayer(values)) = &layer.layer_specifier {
            let mut values: Vec<_> = values.fields.iter().collect();
            values.sort_by_key(|(key, _)| *key);
            found.extend(values.into_iter().map(|(key, value)| {
                let error = match &value.kind {
                    Some(Kind::ListValue(_) | Kind::NullValue(_)) | None => {
                        ConfigError::new("", format!("Invalid runtime entry value for {key}"))
                    }
                    _ => ConfigError::new("", "unsupported: runtime values are not supported yet")
                        .with_remedy("remove the value; every runtime key then has its default"),
                };
                error.within(format_args!("static_layer[{key:?}]"))
            }));
        }
        errors.extend(found.into_iter().map(|error| {
            Err::<(), _>(error)
                .within_index("layers", index)
                .within("layered_runtime")
                .unwrap_err()
        }));
    }
    if layers
        .iter()
        .filter(|l| matches!(l.layer_specifier, Some(LayerSpecifier::AdminLayer(_))))
        .count()
        > 1
    {
        errors.push(ConfigError::new(
            "layered_runtime",
            "Too many admin layers specified in LayeredRuntime, at most one may be specified",
        ));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        bootstrap::RuntimeLayer,
        protobuf::{Struct, Value},
    };

    type Layer<'a> = (&'a str, &'a [(&'a str, Option<Kind>)]);

    fn errors(layers: &[Layer<'_>]) -> Vec<String> {
        let layers = layers.iter().map(|(name, values)| {
            let mut fields = Struct::default();
            fields.fields.extend(
                values
                    .iter()
                    .map(|(key, kind)| ((*key).to_owned(), Value { kind: kind.clone() })),
            );
            RuntimeLayer {
                name: (*name).into(),
                layer_specifier: Some(LayerSpecifier::StaticLayer(fields)),
            }
        });
        let layered_runtime = Some(LayeredRuntime {
            layers: layers.collect(),
        });
        check(&Bootstrap {
            layered_runtime,
            ..Default::default()
        })
        .iter()
        .map(ToString::to_string)
        .collect()
    }

    #[test]
    fn layers_must_be_named_apart_and_empty() {
        assert!(errors(&[("a", &[]), ("b", &[])]).is_empty());
        assert_eq!(
            errors(&[("a", &[]), ("a", &[])]),
            ["layered_runtime.layers[1].name: Duplicate layer name: a"]
        );
        assert_eq!(
            errors(&[("a", &[("foo", Some(Kind::NullValue(0)))])]),
            [
                "layered_runtime.layers[0].static_layer[\"foo\"]: Invalid runtime entry value for foo"
            ]
        );
        assert!(
            errors(&[("a", &[("foo", Some(Kind::BoolValue(true)))])])[0]
                .contains("unsupported: runtime values")
        );
    }
}
