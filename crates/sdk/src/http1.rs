//! What downstream and upstream connections share of the configuration of HTTP/1.

use nuncio_config::api::core::TypedExtensionConfig;
use nuncio_config::api::core::http1_protocol_options::HeaderKeyFormat;
use nuncio_config::api::core::http1_protocol_options::header_key_format::HeaderFormat;
use nuncio_config::api::preserve_case::PreserveCaseFormatterConfig;
use nuncio_config::{ConfigError, Within, any};
use nuncio_http::h1::HeaderCase;

/// `core.v3.Http1ProtocolOptions.HeaderKeyFormat`
///
/// # Errors
/// A formatter that is not implemented, or none.
pub fn header_case(format: &HeaderKeyFormat) -> Result<HeaderCase, ConfigError> {
    match &format.header_format {
        None => Err(ConfigError::new("header_format", "value is required")),
        Some(HeaderFormat::ProperCaseWords(_)) => Ok(HeaderCase::ProperWords),
        Some(HeaderFormat::StatefulFormatter(config)) => {
            stateful_formatter(config).within("stateful_formatter")
        }
    }
}

fn stateful_formatter(config: &TypedExtensionConfig) -> Result<HeaderCase, ConfigError> {
    let TypedExtensionConfig { name, typed_config } = config;
    let Some(config) = typed_config
        .as_ref()
        .filter(|config| any::is::<PreserveCaseFormatterConfig>(config))
    else {
        return Err(ConfigError::new(
            "typed_config",
            format!("unsupported: {name} is not implemented"),
        ));
    };
    let PreserveCaseFormatterConfig {
        forward_reason_phrase,
        formatter_type_on_envoy_headers,
    } = any::unpack(config)?;
    Ok(HeaderCase::Preserve {
        proper_own: formatter_type_on_envoy_headers == 1,
        forward_reason: forward_reason_phrase,
    })
}
