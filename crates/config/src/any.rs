//! Reading `google.protobuf.Any`, the door through which every extension's configuration comes.

use envoy_types::pb::google::protobuf::{Any, Struct};
use prost::{DecodeError, Message, Name};

use crate::ConfigError;

/// The full message name of a type URL: what follows its last `/`.
pub fn type_name(type_url: &str) -> &str {
    type_url.rsplit_once('/').map_or(type_url, |(_, name)| name)
}

/// The full message name that `any` says it holds.
pub fn type_of(any: &Any) -> &str {
    type_name(&any.type_url)
}

/// Whether `any` holds an `M`.
pub fn is<M: Name>(any: &Any) -> bool {
    type_of(any)
        .strip_prefix(M::PACKAGE)
        .and_then(|rest| rest.strip_prefix('.'))
        == Some(M::NAME)
}

/// Decodes the message in `any`, which must be an `M`.
///
/// # Errors
/// When the type URL names another message, or the bytes are not an `M` (Envoy's wording:
/// `Unable to unpack as …`). The path is empty: the caller adds the field that held the `Any`.
pub fn unpack<M: Message + Name + Default>(any: &Any) -> Result<M, ConfigError> {
    unpack_by(any, |bytes| M::decode(bytes))
}

/// [`unpack`] for a message that has a decoder of its own, such as [`decode_cluster`](crate::decode_cluster).
///
/// # Errors
/// The same.
pub fn unpack_by<M: Name>(
    any: &Any,
    decode: impl FnOnce(&[u8]) -> Result<M, DecodeError>,
) -> Result<M, ConfigError> {
    let unable = || {
        let shown = if any.type_url.is_empty() {
            "<no type>"
        } else {
            &any.type_url
        };
        ConfigError::new(
            "",
            format!("Unable to unpack as {}: [{shown}]", M::full_name()),
        )
    };
    if !is::<M>(any) {
        return Err(unable());
    }
    decode(&any.value).map_err(|_| unable())
}

/// The fields of a third party's configuration, which came as a `TypedStruct` (see [`crate::Sources::extension_types`]).
///
/// # Errors
/// When the bytes are no `google.protobuf.Struct`.
pub fn unpack_struct(any: &Any) -> Result<Struct, ConfigError> {
    Struct::decode(any.value.as_slice()).map_err(|_| {
        let name = type_of(any);
        ConfigError::new("", format!("{name} must be given as a TypedStruct"))
    })
}

/// Wraps `message` with Envoy's usual `type.googleapis.com/` prefix.
pub fn pack<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{}", M::full_name()),
        value: message.encode_to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::core::{DataSource, Locality};

    #[test]
    fn unpack_checks_the_type() {
        let any = pack(&Locality {
            region: "eu".into(),
            ..Default::default()
        });
        assert_eq!(unpack::<Locality>(&any).unwrap().region, "eu");
        assert!(is::<Locality>(&any) && !is::<DataSource>(&any));
        assert_eq!(
            unpack::<DataSource>(&any).unwrap_err().message,
            "Unable to unpack as envoy.config.core.v3.DataSource: \
             [type.googleapis.com/envoy.config.core.v3.Locality]"
        );
    }
}
