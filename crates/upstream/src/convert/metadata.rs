//! Metadata of clusters and endpoints.

use std::sync::Arc;

use nuncio_config::api::core::Metadata;
use nuncio_sdk::metadata::DynamicMetadata;

use super::Errors;

/// `filter_metadata` as plain data.
pub(super) fn metadata(
    message: Option<Metadata>,
    errors: &mut Errors,
) -> Option<Arc<DynamicMetadata>> {
    let Metadata {
        filter_metadata,
        typed_filter_metadata,
    } = message?;
    // No extension here reads typed metadata.
    errors.refuse_if(!typed_filter_metadata.is_empty(), "typed_filter_metadata");
    let mut metadata = DynamicMetadata::default();
    for (namespace, fields) in filter_metadata {
        for (key, value) in fields.fields {
            metadata.set(&namespace, &key, value);
        }
    }
    (!metadata.is_empty()).then(|| Arc::new(metadata))
}
