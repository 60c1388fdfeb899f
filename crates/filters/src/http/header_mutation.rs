//! `envoy.filters.http.header_mutation`: changes headers and trailers, in the order in which the changes are listed.

use std::sync::Arc;

use nuncio_access_log::Formatter;
use nuncio_config::api::core::KeyValueMutation;
use nuncio_config::api::core::key_value_append::KeyValueAppendAction;
use nuncio_config::api::header_mutation::{self as proto, HeaderMutationPerRoute};
use nuncio_config::api::protobuf::{Any, value::Kind};
use nuncio_config::{ConfigError, Within, any};
use nuncio_http::path::{percent_decode, percent_encode, query_params, split_query};
use nuncio_http::{HeaderMap, Known};
use nuncio_route::HeaderChanges;
use nuncio_sdk::{
    Action, FactoryContext, FilterContext, HttpFilter, HttpFilterConfig, HttpFilterFactory,
    LogContext, RouteConfig, StreamInfo,
};

/// The filter's factory.
pub static HEADER_MUTATION: HeaderMutationFactory = HeaderMutationFactory;

/// Makes header mutation filters.
pub struct HeaderMutationFactory;

impl HttpFilterFactory for HeaderMutationFactory {
    fn name(&self) -> &'static str {
        "envoy.filters.http.header_mutation"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"]
    }

    fn route_config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute"]
    }

    fn create(
        &self,
        config: &Any,
        _: &FactoryContext<'_>,
    ) -> Result<Arc<dyn HttpFilterConfig>, ConfigError> {
        let config: proto::HeaderMutation = any::unpack(config)?;
        Ok(Arc::new(Config(Arc::new(Shared {
            own: Mutations::new(config.mutations.as_ref()).within("mutations")?,
            most_specific_wins: config.most_specific_header_mutations_wins,
        }))))
    }

    fn create_route_config(
        &self,
        config: &Any,
        _: &FactoryContext<'_>,
    ) -> Result<RouteConfig, ConfigError> {
        let config: HeaderMutationPerRoute = any::unpack(config)?;
        Ok(Arc::new(
            Mutations::new(config.mutations.as_ref()).within("mutations")?,
        ))
    }
}

/// One change of the query.
struct QueryChange {
    key: Box<str>,
    /// Absent: remove.
    add: Option<(Formatter, KeyValueAppendAction)>,
}

/// The changes of one level.
#[derive(Default)]
struct Mutations {
    request: HeaderChanges,
    query: Vec<QueryChange>,
    request_trailers: HeaderChanges,
    response: HeaderChanges,
    response_trailers: HeaderChanges,
}

impl Mutations {
    fn new(config: Option<&proto::Mutations>) -> Result<Mutations, ConfigError> {
        let Some(config) = config else {
            return Ok(Mutations::default());
        };
        Ok(Mutations {
            request: HeaderChanges::from_config(&config.request_mutations, "request_mutations")?,
            query: query_changes(&config.query_parameter_mutations)?,
            request_trailers: HeaderChanges::from_config(
                &config.request_trailers_mutations,
                "request_trailers_mutations",
            )?,
            response: HeaderChanges::from_config(&config.response_mutations, "response_mutations")?,
            response_trailers: HeaderChanges::from_config(
                &config.response_trailers_mutations,
                "response_trailers_mutations",
            )?,
        })
    }
}

fn query_changes(steps: &[KeyValueMutation]) -> Result<Vec<QueryChange>, ConfigError> {
    let compile = |step: &KeyValueMutation| {
        let KeyValueMutation { append, remove } = step;
        let Some(append) = append else {
            if remove.is_empty() {
                let message = "One of 'append'/'remove' must be specified.";
                return Err(ConfigError::new("", message));
            }
            return Ok(QueryChange {
                key: remove.as_str().into(),
                add: None,
            });
        };
        if !remove.is_empty() {
            let message = "Only one of 'append'/'remove' can be specified.";
            return Err(ConfigError::new("remove", message));
        }
        // `entry` is of no use here, to Envoy neither.
        let Some(record) = &append.record else {
            let message = "No record specified for append mutation.";
            return Err(ConfigError::new("append.record", message));
        };
        let Some(Kind::StringValue(format)) =
            record.value.as_ref().and_then(|value| value.kind.as_ref())
        else {
            let message = "Only string value is allowed for record value.";
            return Err(ConfigError::new("append.record.value", message));
        };
        let action = KeyValueAppendAction::try_from(append.action)
            .map_err(|_| ConfigError::new("append.action", "unknown action"))?;
        Ok(QueryChange {
            key: record.key.as_str().into(),
            add: Some((
                Formatter::text(format, true).within("append.record.value")?,
                action,
            )),
        })
    };
    let steps = steps.iter().enumerate();
    steps
        .map(|(index, step)| compile(step).within_index("query_parameter_mutations", index))
        .collect()
}

struct Shared {
    own: Mutations,
    most_specific_wins: bool,
}

struct Config(Arc<Shared>);

impl HttpFilterConfig for Config {
    fn create_filter(&self) -> Box<dyn HttpFilter> {
        Box::new(Filter(self.0.clone()))
    }
}

struct Filter(Arc<Shared>);

impl Filter {
    /// Calls `apply` with every level's changes: the filter's own first, then from the general to the specific (or the
    /// other way about, `most_specific_header_mutations_wins`; the last word wins).
    fn each_level(
        &self,
        cx: &mut FilterContext<'_>,
        apply: impl Fn(&Mutations, &mut FilterContext<'_>),
    ) {
        apply(&self.0.own, cx);
        let Some(route) = cx.info.route.clone() else {
            return;
        };
        let levels: Vec<&Mutations> =
            nuncio_sdk::route::all_levels(route.per_filter_configs(), cx.filter_name).collect();
        if self.0.most_specific_wins {
            levels.into_iter().for_each(|level| apply(level, cx));
        } else {
            levels.into_iter().rev().for_each(|level| apply(level, cx));
        }
    }
}

impl HttpFilter for Filter {
    fn on_request_headers(&mut self, cx: &mut FilterContext<'_>, _: bool) -> Action {
        self.each_level(cx, |level, cx| {
            level
                .request
                .apply(cx.request_headers, |addition, headers| {
                    addition.apply_to_request(headers, cx.info);
                });
            if !level.query.is_empty() {
                change_query(&level.query, cx.request_headers, cx.info);
            }
        });
        Action::Continue
    }

    fn on_request_trailers(&mut self, cx: &mut FilterContext<'_>) -> Action {
        self.each_level(cx, |level, cx| {
            let request = &*cx.request_headers;
            level
                .request_trailers
                .apply(cx.request_trailers, |addition, trailers| {
                    addition.apply_to_request_trailers(trailers, request, cx.info);
                });
        });
        Action::Continue
    }

    fn on_response_headers(&mut self, cx: &mut FilterContext<'_>, _: bool) -> Action {
        self.each_level(cx, |level, cx| {
            let request = &*cx.request_headers;
            level
                .response
                .apply(cx.response_headers, |addition, headers| {
                    addition.apply_to_response(headers, request, cx.info);
                });
        });
        Action::Continue
    }

    fn wants_response_data(&self) -> bool {
        false
    }

    fn on_response_trailers(&mut self, cx: &mut FilterContext<'_>) -> Action {
        self.each_level(cx, |level, cx| {
            let (request, response) = (&*cx.request_headers, &*cx.response_headers);
            level
                .response_trailers
                .apply(cx.response_trailers, |addition, trailers| {
                    addition.apply_to_response_trailers(trailers, request, response, cx.info);
                });
        });
        Action::Continue
    }
}

/// One parameter of a query.
struct Parameter {
    /// Decoded.
    name: Vec<u8>,
    /// `name=value` as it is written.
    text: Vec<u8>,
}

/// Changes the query of `:path`. Parameters that are not named stay as they are; what is added is percent-encoded.
fn change_query(changes: &[QueryChange], headers: &mut HeaderMap, info: &StreamInfo) {
    let Some(path) = headers.path() else { return };
    let path = path.to_vec();
    let (bare, _) = split_query(&path);
    let mut parameters: Vec<_> = query_params(&path)
        .map(|(name, value)| Parameter {
            // A name does not escape its removal by being encoded.
            name: percent_decode(name).into_owned(),
            text: [name, b"=", value].concat(),
        })
        .collect();
    for QueryChange { key, add } in changes {
        let key = key.as_bytes();
        let exists = parameters.iter().any(|parameter| parameter.name == key);
        let Some((value, action)) = add else {
            parameters.retain(|parameter| parameter.name != key);
            continue;
        };
        let (overwrite, append) = match action {
            KeyValueAppendAction::AppendIfExistsOrAdd => (false, true),
            KeyValueAppendAction::AddIfAbsent => (false, !exists),
            KeyValueAppendAction::OverwriteIfExistsOrAdd => (true, true),
            KeyValueAppendAction::OverwriteIfExists => (exists, exists),
        };
        if overwrite {
            parameters.retain(|parameter| parameter.name != key);
        }
        if append {
            let mut formatted = Vec::new();
            value.format(&LogContext::of_request(headers, info), &mut formatted);
            let mut text = key.to_vec();
            text.push(b'=');
            percent_encode(&formatted, &mut text);
            let name = key.to_vec();
            parameters.push(Parameter { name, text });
        }
    }
    // As in Envoy, whose parameters are sorted by name once one was changed.
    parameters.sort_by(|a, b| a.name.cmp(&b.name));
    let mut new = bare.to_vec();
    for (index, parameter) in parameters.iter().enumerate() {
        new.push(if index == 0 { b'?' } else { b'&' });
        new.extend_from_slice(&parameter.text);
    }
    headers.set(Known::Path, &new);
}
