//! Dynamic metadata: what filters tell each other and the access log about a stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use nuncio_config::api::{
    core::Metadata,
    protobuf::{Struct, Value, value::Kind},
};

/// Per-stream metadata: namespace (usually a filter name) → struct (`envoy.config.core.v3.Metadata`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DynamicMetadata(BTreeMap<String, Struct>);

impl DynamicMetadata {
    /// `Metadata.filter_metadata` of a configured message; nothing when there are none. Typed metadata are for extensions
    /// that read them.
    pub fn of_message(message: Option<&Metadata>) -> Option<Arc<Self>> {
        let mut metadata = Self::default();
        for (namespace, fields) in &message?.filter_metadata {
            metadata.0.insert(namespace.clone(), fields.clone());
        }
        (!metadata.is_empty()).then(|| Arc::new(metadata))
    }

    /// Sets one value.
    pub fn set(&mut self, namespace: &str, key: &str, value: Value) {
        let fields = &mut self.0.entry(namespace.to_owned()).or_default().fields;
        fields.insert(key.to_owned(), value);
    }

    /// The struct of a namespace.
    pub fn namespace(&self, namespace: &str) -> Option<&Struct> {
        self.0.get(namespace)
    }

    /// The value at `namespace` and a path of keys through nested structs.
    pub fn get<'a>(
        &'a self,
        namespace: &str,
        path: impl IntoIterator<Item = &'a str>,
    ) -> Option<&'a Value> {
        let mut path = path.into_iter();
        let mut found = self.0.get(namespace)?.fields.get(path.next()?)?;
        for key in path {
            let Some(Kind::StructValue(inner)) = &found.kind else {
                return None;
            };
            found = inner.fields.get(key)?;
        }
        Some(found)
    }

    /// All namespaces, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Struct)> {
        self.0
            .iter()
            .map(|(namespace, fields)| (&**namespace, fields))
    }

    /// Whether nothing was set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
