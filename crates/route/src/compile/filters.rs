//! `typed_per_filter_config`.

use std::collections::HashMap;
use std::sync::Arc;

use nuncio_config::api::cors;
use nuncio_config::api::protobuf::Any;
use nuncio_config::api::route::cors_policy::EnabledSpecifier;
use nuncio_config::api::route::{CorsPolicy, FilterConfig};
use nuncio_config::{ConfigError, any};
use nuncio_sdk::route::CORS_FIELD;
use nuncio_sdk::{FactoryContext, PerFilterConfig, RouteConfig};
use prost::Message;

use crate::problems::Problems;

/// The entries of one level, by name.
pub(super) fn compile(
    configs: &HashMap<String, Any>,
    cx: &FactoryContext<'_>,
    problems: &mut Problems,
) -> Vec<PerFilterConfig> {
    let mut configs: Vec<_> = configs.iter().collect();
    configs.sort_unstable_by_key(|(name, _)| name.as_str());
    let mut compiled = Vec::with_capacity(configs.len());
    for (name, config) in configs {
        let field = format!("typed_per_filter_config[{name:?}]");
        if let Some(entry) = problems.take(&field, entry(name, config, cx)) {
            compiled.push(entry);
        }
    }
    compiled
}

/// What the field `cors` of a virtual host or route asks of the CORS filter; nothing, if there is no such filter.
pub(super) fn cors(
    policy: Option<&CorsPolicy>,
    cx: &FactoryContext<'_>,
    problems: &mut Problems,
) -> Option<PerFilterConfig> {
    let CorsPolicy {
        allow_origin_string_match,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        shadow_enabled,
        allow_private_network_access,
        forward_not_matching_preflights,
        enabled_specifier,
    } = policy?.clone();
    let policy = cors::CorsPolicy {
        allow_origin_string_match,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        filter_enabled: enabled_specifier.map(|EnabledSpecifier::FilterEnabled(share)| share),
        shadow_enabled,
        allow_private_network_access,
        forward_not_matching_preflights,
    };
    let policy = Any {
        type_url: "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy".into(),
        value: policy.encode_to_vec(),
    };
    let factory = cx.server.extensions.http_filter_route(&policy.type_url)?;
    let config = problems.take("cors", factory.create_route_config(&policy, cx))?;
    Some(PerFilterConfig {
        filter: CORS_FIELD.into(),
        disabled: None,
        config: Some(config),
    })
}

/// This level's entries behind those of the levels above it; none if there are none to add.
pub(super) fn added_to(
    above: &[PerFilterConfig],
    entries: Vec<PerFilterConfig>,
) -> Option<Arc<[PerFilterConfig]>> {
    (!entries.is_empty()).then(|| above.iter().cloned().chain(entries).collect())
}

fn entry(
    name: &str,
    config: &Any,
    cx: &FactoryContext<'_>,
) -> Result<PerFilterConfig, ConfigError> {
    let filter: Arc<str> = name.into();
    if !any::is::<FilterConfig>(config) {
        let config = parse(name, config, false, cx)?;
        return Ok(PerFilterConfig {
            filter,
            disabled: Some(false),
            config,
        });
    }
    let FilterConfig {
        config,
        is_optional,
        disabled,
    } = any::unpack(config)?;
    // A filter that is switched off needs no configuration.
    if disabled {
        return Ok(PerFilterConfig {
            filter,
            disabled: Some(true),
            config: None,
        });
    }
    let Some(config) = config else {
        let message =
            format!("Empty route/virtual host per filter configuration for {name} filter");
        return Err(ConfigError::new("config", message));
    };
    let config = if config.type_url.is_empty() {
        None
    } else {
        parse(name, &config, is_optional, cx).map_err(|error| error.within("config"))?
    };
    Ok(PerFilterConfig {
        filter,
        disabled: Some(false),
        config,
    })
}

/// The filter's own configuration; none for an optional filter that is not there.
fn parse(
    name: &str,
    config: &Any,
    is_optional: bool,
    cx: &FactoryContext<'_>,
) -> Result<Option<RouteConfig>, ConfigError> {
    let extensions = &cx.server.extensions;
    if let Some(factory) = extensions.http_filter_route(&config.type_url) {
        return factory
            .create_route_config(config, &cx.named(name))
            .map(Some);
    }
    if is_optional {
        return Ok(None);
    }
    if extensions.http_filter(&config.type_url).is_some() {
        let message = format!(
            "The filter {name} doesn't support virtual host or route specific configurations"
        );
        return Err(ConfigError::new("", message));
    }
    let type_name = any::type_of(config);
    let message = format!(
        "Didn't find a registered implementation for '{name}' with type URL: '{type_name}'"
    );
    Err(ConfigError::new("", message))
}
