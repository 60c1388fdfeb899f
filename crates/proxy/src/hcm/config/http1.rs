//! Settings of the HTTP/1 codec.

use std::sync::Arc;

use nuncio_config::api::core;
use nuncio_config::api::hcm::HttpConnectionManager;
use nuncio_config::{ConfigError, Within, convert};
use nuncio_http::h1::{H1Settings, UnderscoreAction, UpgradeMatcher};
use nuncio_route::matchers::StringMatcher;
use nuncio_sdk::http1::header_case;

pub(super) fn h1_settings(
    config: &HttpConnectionManager,
    common: &core::HttpProtocolOptions,
) -> Result<H1Settings, ConfigError> {
    if common.max_response_headers_kb.is_some() {
        let error = ConfigError::new(
            "common_http_protocol_options.max_response_headers_kb",
            "max_response_headers_kb cannot be set on http_connection_manager.",
        );
        return Err(error.with_remedy("set it in the HttpProtocolOptions of a cluster"));
    }
    let mut settings =
        h1_options(config.http_protocol_options.as_ref()).within("http_protocol_options")?;
    settings.refuse_https_targets = config.xff_num_trusted_hops == 0
        && convert::bool_or(config.use_remote_address.as_ref(), false);
    settings.max_head_bytes =
        convert::u32_or(config.max_request_headers_kb.as_ref(), 60) as usize * 1024;
    settings.max_headers = convert::u32_or(common.max_headers_count.as_ref(), 100) as usize;
    settings.underscores = match core::http_protocol_options::HeadersWithUnderscoresAction::try_from(
        common.headers_with_underscores_action,
    ) {
        Ok(core::http_protocol_options::HeadersWithUnderscoresAction::RejectRequest) => {
            UnderscoreAction::RejectRequest
        }
        Ok(core::http_protocol_options::HeadersWithUnderscoresAction::DropHeader) => {
            UnderscoreAction::DropHeader
        }
        _ => UnderscoreAction::Allow,
    };
    Ok(settings)
}

fn h1_options(options: Option<&core::Http1ProtocolOptions>) -> Result<H1Settings, ConfigError> {
    let mut settings = H1Settings::default();
    let Some(options) = options else {
        return Ok(settings);
    };
    settings.allow_absolute_url = convert::bool_or(options.allow_absolute_url.as_ref(), true);
    settings.accept_http_10 = options.accept_http_10;
    settings
        .default_host_for_http_10
        .clone_from(&options.default_host_for_http_10);
    settings.enable_trailers = options.enable_trailers;
    settings.allow_chunked_length = options.allow_chunked_length;
    settings.allow_custom_methods = options.allow_custom_methods;
    if let Some(format) = &options.header_key_format {
        settings.header_case = header_case(format).within("header_key_format")?;
    }
    if !options.ignore_http_11_upgrade.is_empty() {
        let matchers = options.ignore_http_11_upgrade.iter().enumerate();
        let matchers: Vec<StringMatcher> = matchers
            .map(|(index, matcher)| {
                StringMatcher::from_config(matcher).within_index("ignore_http_11_upgrade", index)
            })
            .collect::<Result<_, _>>()?;
        settings.ignore_upgrade = Some(UpgradeMatcher(Arc::new(move |kind| {
            matchers.iter().any(|matcher| matcher.matches(kind))
        })));
    }
    Ok(settings)
}
