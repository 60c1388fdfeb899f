//! `listener_filters`, with their time limit and what switches them off.

use std::time::Duration;

use nuncio_config::api::Any;
use nuncio_config::api::listener as proto;
use nuncio_config::api::listener::listener_filter::ConfigType;
use nuncio_config::api::listener::listener_filter_chain_match_predicate::{MatchSet, Rule};
use nuncio_config::{ConfigError, Within, convert};
use nuncio_sdk::FactoryContext;

use crate::spec::{ListenerFilterEntry, ListenerFilters, Predicate};

/// `listener_filters_timeout` when it is not given.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);
/// What `use_original_dst` adds.
const ORIGINAL_DST: &str =
    "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst";

/// The filters of a listener; `None` when there are none, and connections need no detour.
pub(super) fn listener_filters(
    listener: &proto::Listener,
    context: FactoryContext<'_>,
) -> Result<Option<ListenerFilters>, Vec<ConfigError>> {
    let proto::Listener {
        listener_filters,
        listener_filters_timeout,
        continue_on_listener_filters_timeout,
        use_original_dst,
        ..
    } = listener;
    let mut errors = Vec::new();
    let timeout = convert::opt_duration(listener_filters_timeout.as_ref())
        .within("listener_filters_timeout")
        .map_err(|error| errors.push(error))
        .ok()
        .flatten();
    let mut filters = Vec::with_capacity(listener_filters.len() + 1);
    for (index, filter) in listener_filters.iter().enumerate() {
        match entry(filter, context).within_index("listener_filters", index) {
            Ok(entry) => filters.push(entry),
            Err(error) => errors.push(error),
        }
    }
    let hand_over = convert::bool_or(use_original_dst.as_ref(), false);
    if hand_over {
        let config = Any {
            type_url: ORIGINAL_DST.into(),
            value: Vec::new(),
        };
        match make(&config, context).within("use_original_dst") {
            Ok(filter) => filters.push(ListenerFilterEntry {
                filter,
                disabled: None,
            }),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok((!filters.is_empty()).then(|| ListenerFilters {
        filters,
        timeout: Some(timeout.unwrap_or(DEFAULT_TIMEOUT)).filter(|timeout| !timeout.is_zero()),
        continue_on_timeout: *continue_on_listener_filters_timeout,
        hand_over,
    }))
}

fn entry(
    filter: &proto::ListenerFilter,
    context: FactoryContext<'_>,
) -> Result<ListenerFilterEntry, ConfigError> {
    let proto::ListenerFilter {
        name,
        filter_disabled,
        config_type,
    } = filter;
    let config = match config_type {
        Some(ConfigType::TypedConfig(config)) => config,
        Some(ConfigType::ConfigDiscovery(_)) => {
            let message = "unsupported: filter configurations are not discovered";
            return Err(ConfigError::new("config_discovery", message));
        }
        None => {
            let message = format!("Didn't find a registered implementation for name: '{name}'");
            return Err(ConfigError::new("typed_config", message));
        }
    };
    let disabled = match filter_disabled {
        None => None,
        Some(predicate) => Some(self::predicate(predicate).within("filter_disabled")?),
    };
    Ok(ListenerFilterEntry {
        filter: make(config, context.named(name)).within("typed_config")?,
        disabled,
    })
}

fn make(
    config: &Any,
    context: FactoryContext<'_>,
) -> Result<std::sync::Arc<dyn nuncio_sdk::listener::ListenerFilter>, ConfigError> {
    let factory = context.server.extensions.listener_filter(&config.type_url);
    let factory = factory.ok_or_else(|| {
        let message = format!(
            "Didn't find a registered implementation for type: '{}'",
            config.type_url
        );
        ConfigError::new("", message)
    })?;
    factory.create(config, &context)
}

fn predicate(message: &proto::ListenerFilterChainMatchPredicate) -> Result<Predicate, ConfigError> {
    let all = |set: &MatchSet, field: &str| {
        let rules = set.rules.iter().enumerate();
        let rules = rules.map(|(index, rule)| predicate(rule).within_index("rules", index));
        rules.collect::<Result<Vec<_>, _>>().within(field)
    };
    match &message.rule {
        Some(Rule::OrMatch(set)) => Ok(Predicate::Any(all(set, "or_match")?)),
        Some(Rule::AndMatch(set)) => Ok(Predicate::All(all(set, "and_match")?)),
        Some(Rule::NotMatch(rule)) => Ok(Predicate::Not(Box::new(
            predicate(rule).within("not_match")?,
        ))),
        Some(Rule::AnyMatch(_)) => Ok(Predicate::Always),
        Some(Rule::DestinationPortRange(range)) => Ok(Predicate::Port(range.start..range.end)),
        None => Err(ConfigError::new("rule", "is required")),
    }
}
