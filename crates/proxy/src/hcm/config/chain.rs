//! Filter chains: `http_filters` and `upgrade_configs`.

use std::sync::Arc;

use nuncio_config::api::hcm::HttpFilter;
use nuncio_config::api::hcm::http_connection_manager as proto;
use nuncio_config::api::hcm::http_filter::ConfigType;
use nuncio_config::{ConfigError, Within, convert};
use nuncio_sdk::{FactoryContext, HttpFilterConfig};

use super::no_filters;
use crate::router::RouterConfig;

/// A filter of the chain, before the terminal one.
pub(crate) struct FilterEntry {
    /// `HttpFilter.name`: what `typed_per_filter_config` refers to.
    pub(crate) name: Box<str>,
    /// Off unless a route switches it on.
    pub(crate) disabled: bool,
    pub(crate) config: Arc<dyn HttpFilterConfig>,
}

/// A filter chain: the router ends it.
pub(crate) struct FilterChain {
    pub(crate) filters: Vec<FilterEntry>,
    pub(crate) router: Arc<RouterConfig>,
}

/// `upgrade_configs[]`
pub(crate) struct Upgrade {
    /// Lower case.
    pub(crate) kind: Box<str>,
    pub(crate) enabled: bool,
    /// A chain of its own; absent: the connection manager's.
    pub(crate) chain: Option<Arc<FilterChain>>,
}

/// Builds a filter chain, whose last filter must be the terminal one; without any filter, one that does not answer.
pub(super) fn chain(
    filters: &[HttpFilter],
    field: &str,
    cx: &FactoryContext<'_>,
) -> Result<FilterChain, Vec<ConfigError>> {
    if filters.is_empty() {
        return Ok(no_filters::chain(cx));
    }
    let mut errors = Vec::new();
    let mut entries = Vec::with_capacity(filters.len());
    let mut router = None;
    for (index, filter) in filters.iter().enumerate() {
        let is_last = index + 1 == filters.len();
        match chain_filter(filter, is_last, cx) {
            Ok(Some(ChainFilter::Plain(entry))) => entries.push(entry),
            Ok(Some(ChainFilter::Router(config))) => router = Some(config),
            Ok(None) => {}
            Err(error) => errors.push(error.within(format_args!("{field}[{index}]"))),
        }
    }
    match router {
        Some(router) if errors.is_empty() => Ok(FilterChain {
            filters: entries,
            router,
        }),
        _ => Err(errors),
    }
}

enum ChainFilter {
    Plain(FilterEntry),
    Router(Arc<RouterConfig>),
}

fn chain_filter(
    filter: &HttpFilter,
    is_last: bool,
    cx: &FactoryContext<'_>,
) -> Result<Option<ChainFilter>, ConfigError> {
    let config = match &filter.config_type {
        Some(ConfigType::TypedConfig(config)) => config,
        Some(ConfigType::ConfigDiscovery(_)) => {
            return Err(ConfigError::new(
                "config_discovery",
                "filter discovery needs xDS, which is not supported yet",
            ));
        }
        None => {
            return Err(ConfigError::new(
                "typed_config",
                format!(
                    "Didn't find a registered implementation for '{}': it has no typed_config",
                    filter.name
                ),
            ));
        }
    };
    let Some(factory) = cx.server.extensions.http_filter(&config.type_url) else {
        if filter.is_optional {
            log::warn!(
                "optional HTTP filter '{}' ({}) is not available: skipped",
                filter.name,
                config.type_url
            );
            return Ok(None);
        }
        return Err(ConfigError::new(
            "typed_config",
            format!(
                "Didn't find a registered implementation for '{}' with type URL: '{}'",
                filter.name,
                nuncio_config::any::type_name(&config.type_url)
            ),
        ));
    };
    if factory.is_terminal() != is_last {
        let message = match is_last {
            true => format!(
                "Error: non-terminal filter named {} of type {} is the last filter in a http filter chain.",
                filter.name,
                factory.name()
            ),
            false => format!(
                "Error: terminal filter named {} of type {} must be the last filter in a http filter chain.",
                filter.name,
                factory.name()
            ),
        };
        let remedy = match is_last {
            true => "add envoy.filters.http.router as the last filter",
            false => "move it to the end of the list",
        };
        return Err(ConfigError::new("", message).with_remedy(remedy));
    }
    if is_last && filter.disabled {
        return Err(ConfigError::new(
            "disabled",
            "Error: the last (terminal) filter in the chain cannot be disabled by default.",
        ));
    }
    let built = factory
        .create(config, &cx.named(&filter.name))
        .within("typed_config")?;
    if !is_last {
        return Ok(Some(ChainFilter::Plain(FilterEntry {
            name: filter.name.as_str().into(),
            disabled: filter.disabled,
            config: built,
        })));
    }
    let router = built
        .terminal()
        .and_then(|terminal| terminal.downcast::<RouterConfig>().ok());
    match router {
        Some(router) => Ok(Some(ChainFilter::Router(router))),
        None => Err(ConfigError::new(
            "typed_config",
            format!("{} cannot end a chain", factory.name()),
        )),
    }
}

pub(super) fn upgrades(
    configs: &[proto::UpgradeConfig],
    cx: &FactoryContext<'_>,
) -> Result<Vec<Upgrade>, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut upgrades: Vec<Upgrade> = Vec::with_capacity(configs.len());
    for (index, config) in configs.iter().enumerate() {
        let kind = config.upgrade_type.to_ascii_lowercase();
        if upgrades.iter().any(|upgrade| *upgrade.kind == *kind) {
            errors.push(ConfigError::new(
                format!("upgrade_configs[{index}].upgrade_type"),
                format!(
                    "Error: multiple upgrade configs with the same name: '{}'",
                    config.upgrade_type
                ),
            ));
            continue;
        }
        let own = match config.filters.is_empty() {
            true => Ok(None),
            false => chain(&config.filters, "filters", cx).map(|chain| Some(Arc::new(chain))),
        };
        match own {
            Ok(chain) => upgrades.push(Upgrade {
                kind: kind.into(),
                enabled: convert::bool_or(config.enabled.as_ref(), true),
                chain,
            }),
            Err(found) => errors.extend(
                found
                    .into_iter()
                    .map(|error| error.within(format_args!("upgrade_configs[{index}]"))),
            ),
        }
    }
    if errors.is_empty() {
        Ok(upgrades)
    } else {
        Err(errors)
    }
}
