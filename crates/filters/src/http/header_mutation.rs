//! `envoy.filters.http.header_mutation`: changes headers and trailers, in the order in which the changes are listed.

use std::sync::Arc;

use nuncio_config::api::core::KeyValueMutation;
use nuncio_config::api::core::key_value_append::KeyValueAppendAction;
use nuncio_config::api::header_mutation::{self as proto, HeaderMutationPerRoute};
use nuncio_config::api::mutation_rules::HeaderMutation as ProtoStep;
use nuncio_config::api::mutation_rules::header_mutation::Action as Step;
use nuncio_config::api::protobuf::{Any, value::Kind};
use nuncio_config::{ConfigError, Within, any};
use nuncio_http::{HeaderMap, Known};
use nuncio_route::HeaderMutations;
use nuncio_route::matchers::StringMatcher;
use nuncio_sdk::{
    Action, FactoryContext, FilterContext, HttpFilter, HttpFilterConfig, HttpFilterFactory,
    RouteConfig, StreamInfo,
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

/// One change.
enum Change {
    Remove(Box<str>),
    RemoveMatching(StringMatcher),
    /// A single addition.
    Add(HeaderMutations),
}

/// One change of the query.
struct QueryChange {
    key: Box<str>,
    /// Absent: remove.
    add: Option<(Box<str>, KeyValueAppendAction)>,
}

/// The changes of one level.
#[derive(Default)]
struct Mutations {
    request: Vec<Change>,
    query: Vec<QueryChange>,
    request_trailers: Vec<Change>,
    response: Vec<Change>,
    response_trailers: Vec<Change>,
}

impl Mutations {
    fn new(config: Option<&proto::Mutations>) -> Result<Mutations, ConfigError> {
        let Some(config) = config else {
            return Ok(Mutations::default());
        };
        Ok(Mutations {
            request: changes(&config.request_mutations, "request_mutations")?,
            query: query_changes(&config.query_parameter_mutations)?,
            request_trailers: changes(
                &config.request_trailers_mutations,
                "request_trailers_mutations",
            )?,
            response: changes(&config.response_mutations, "response_mutations")?,
            response_trailers: changes(
                &config.response_trailers_mutations,
                "response_trailers_mutations",
            )?,
        })
    }
}

fn changes(steps: &[ProtoStep], field: &str) -> Result<Vec<Change>, ConfigError> {
    let compile = |step: &ProtoStep| match &step.action {
        Some(Step::Remove(name)) => Ok(Change::Remove(name.to_ascii_lowercase().into())),
        Some(Step::RemoveOnMatch(matching)) => match &matching.key_matcher {
            Some(matcher) => StringMatcher::from_config(matcher)
                .map(Change::RemoveMatching)
                .within("remove_on_match.key_matcher"),
            None => Err(ConfigError::new(
                "remove_on_match.key_matcher",
                "value is required",
            )),
        },
        Some(Step::Append(option)) => {
            HeaderMutations::from_config(std::slice::from_ref(option), "append", &[], "")
                .map(Change::Add)
                .map_err(|mut errors| errors.swap_remove(0))
        }
        None => Err(ConfigError::new(
            "action",
            "is required: remove, append or remove_on_match",
        )),
    };
    let steps = steps.iter().enumerate();
    steps
        .map(|(index, step)| compile(step).within_index(field, index))
        .collect()
}

fn query_changes(steps: &[KeyValueMutation]) -> Result<Vec<QueryChange>, ConfigError> {
    let compile = |step: &KeyValueMutation| {
        if let Some(append) = &step.append {
            let entry = append
                .record
                .as_ref()
                .ok_or_else(|| ConfigError::new("append.record", "value is required"))?;
            let value = match entry.value.as_ref().and_then(|value| value.kind.as_ref()) {
                Some(Kind::StringValue(text)) => text.as_str(),
                _ => {
                    return Err(ConfigError::new(
                        "append.record.value",
                        "Only string value is allowed for record value.",
                    ));
                }
            };
            let action = KeyValueAppendAction::try_from(append.action)
                .map_err(|_| ConfigError::new("append.action", "unknown action"))?;
            return Ok(QueryChange {
                key: entry.key.as_str().into(),
                add: Some((value.into(), action)),
            });
        }
        if step.remove.is_empty() {
            return Err(ConfigError::new("remove", "is required: remove or append"));
        }
        Ok(QueryChange {
            key: step.remove.as_str().into(),
            add: None,
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

/// Which message's rules apply to a value.
#[derive(Clone, Copy)]
enum Side {
    Request,
    Response,
}

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
            apply(
                &level.request,
                cx.request_headers,
                None,
                cx.info,
                Side::Request,
            );
            if !level.query.is_empty() {
                change_query(&level.query, cx.request_headers);
            }
        });
        Action::Continue
    }

    fn on_request_trailers(&mut self, cx: &mut FilterContext<'_>) -> Action {
        self.each_level(cx, |level, cx| {
            apply(
                &level.request_trailers,
                cx.request_trailers,
                Some(cx.request_headers),
                cx.info,
                Side::Request,
            );
        });
        Action::Continue
    }

    fn on_response_headers(&mut self, cx: &mut FilterContext<'_>, _: bool) -> Action {
        self.each_level(cx, |level, cx| {
            apply(
                &level.response,
                cx.response_headers,
                Some(cx.request_headers),
                cx.info,
                Side::Response,
            );
        });
        Action::Continue
    }

    fn wants_response_data(&self) -> bool {
        false
    }

    fn on_response_trailers(&mut self, cx: &mut FilterContext<'_>) -> Action {
        self.each_level(cx, |level, cx| {
            apply(
                &level.response_trailers,
                cx.response_trailers,
                Some(cx.request_headers),
                cx.info,
                Side::Response,
            );
        });
        Action::Continue
    }
}

/// Makes the changes; `request` is the request's headers where `headers` are others.
fn apply(
    changes: &[Change],
    headers: &mut HeaderMap,
    request: Option<&HeaderMap>,
    info: &StreamInfo,
    side: Side,
) {
    let none = HeaderMap::new();
    for change in changes {
        match change {
            Change::Remove(name) => {
                headers.remove(&**name);
            }
            Change::RemoveMatching(matcher) => {
                headers.retain(|name, _| name.starts_with(b":") || !matcher.matches(name));
            }
            Change::Add(addition) => match side {
                Side::Request => addition.apply_to_request(headers, info),
                Side::Response => {
                    addition.apply_to_response(headers, request.unwrap_or(&none), info)
                }
            },
        }
    }
}

/// Changes the query of `:path`; parameters that are not named stay as they are.
fn change_query(changes: &[QueryChange], headers: &mut HeaderMap) {
    let Some(path) = headers.path() else { return };
    let path = path.to_vec();
    let (bare, query) = match memchr::memchr(b'?', &path) {
        Some(mark) => (&path[..mark], &path[mark + 1..]),
        None => (&path[..], &b""[..]),
    };
    let mut parameters: Vec<(Vec<u8>, Vec<u8>)> = query
        .split(|&b| b == b'&')
        .filter(|part| !part.is_empty())
        .map(|part| match memchr::memchr(b'=', part) {
            Some(equals) => (part[..equals].to_vec(), part[equals + 1..].to_vec()),
            None => (part.to_vec(), Vec::new()),
        })
        .collect();
    for QueryChange { key, add } in changes {
        let key = key.as_bytes();
        let exists = parameters.iter().any(|(name, _)| name == key);
        let Some((value, action)) = add else {
            parameters.retain(|(name, _)| name != key);
            continue;
        };
        let (overwrite, append) = match action {
            KeyValueAppendAction::AppendIfExistsOrAdd => (false, true),
            KeyValueAppendAction::AddIfAbsent => (false, !exists),
            KeyValueAppendAction::OverwriteIfExistsOrAdd => (true, true),
            KeyValueAppendAction::OverwriteIfExists => (exists, exists),
        };
        if overwrite {
            parameters.retain(|(name, _)| name != key);
        }
        if append {
            parameters.push((key.to_vec(), value.as_bytes().to_vec()));
        }
    }
    // As in Envoy, whose parameters are sorted by name once one was changed.
    parameters.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut new = bare.to_vec();
    for (index, (name, value)) in parameters.iter().enumerate() {
        new.push(if index == 0 { b'?' } else { b'&' });
        new.extend_from_slice(name);
        new.push(b'=');
        new.extend_from_slice(value);
    }
    headers.set(Known::Path, &new);
}
