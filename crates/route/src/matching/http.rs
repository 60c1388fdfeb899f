//! Inputs that are taken from a request.

use nuncio_config::api::environment_input::Config as EnvironmentVariable;
use nuncio_config::api::matcher::HttpRequestHeaderMatchInput;
use nuncio_config::api::network_inputs::FilterStateInput;
use nuncio_config::api::xds_core::TypedExtensionConfig;
use nuncio_config::{ConfigError, Within, any};
use nuncio_http::HeaderMap;
use nuncio_sdk::StreamInfo;
use smallvec::SmallVec;

use super::{Input, Value};
use crate::matchers::HeaderName;

/// What is known when a route is searched.
#[derive(Clone, Copy)]
pub struct HttpData<'d> {
    /// Of the request.
    pub headers: &'d HeaderMap,
    /// The stream so far.
    pub info: &'d StreamInfo,
}

/// An input of a tree that looks at a request's headers.
#[derive(Debug)]
pub enum HttpInput {
    /// `HttpRequestHeaderMatchInput`: the values of a header, joined by commas.
    RequestHeader(RequestHeader),
    /// `FilterStateInput`: an object's text, or one of its fields if it has any.
    FilterState(Box<(Box<str>, Option<Box<str>>)>),
    /// `environment_variable`: what it was when the configuration was applied.
    Constant(Option<Box<[u8]>>),
}

/// The header of a [`HttpInput::RequestHeader`].
#[derive(Debug)]
pub struct RequestHeader(HeaderName);

impl HttpInput {
    /// The input that a route table may have.
    ///
    /// # Errors
    /// When it is none of them, in Envoy's words.
    pub fn of_routes(config: &TypedExtensionConfig) -> Result<HttpInput, ConfigError> {
        let TypedExtensionConfig { name, typed_config } = config;
        let Some(config) = typed_config else {
            return Err(ConfigError::new("typed_config", "value is required"));
        };
        let at = |error: ConfigError| error.within("typed_config");
        if any::is::<HttpRequestHeaderMatchInput>(config) {
            let HttpRequestHeaderMatchInput { header_name } = any::unpack(config).map_err(at)?;
            return Ok(HttpInput::RequestHeader(RequestHeader(
                HeaderName::of_request(&header_name),
            )));
        }
        if any::is::<FilterStateInput>(config) {
            let FilterStateInput { key, field } = any::unpack(config).map_err(at)?;
            let field = Some(field).filter(|field| !field.is_empty());
            return Ok(HttpInput::FilterState(Box::new((
                key.into(),
                field.map(Into::into),
            ))));
        }
        if any::is::<EnvironmentVariable>(config) {
            let EnvironmentVariable { name } = any::unpack(config).map_err(at)?;
            let value = std::env::var_os(name);
            return Ok(HttpInput::Constant(
                value.map(|value| value.into_encoded_bytes().into()),
            ));
        }
        let kind = any::type_of(config);
        let message = if is_other_input(kind) {
            format!("Route table can only match on request headers, saw type.googleapis.com/{kind}")
        } else {
            format!("Didn't find a registered implementation for '{name}' with type URL: '{kind}'")
        };
        Err(ConfigError::new("", message)).within("typed_config")
    }
}

/// Whether Envoy has an input of this type for other trees that look at requests.
fn is_other_input(kind: &str) -> bool {
    let inputs = [
        "envoy.type.matcher.v3.",
        "envoy.extensions.matching.common_inputs.",
        "xds.type.matcher.v3.",
    ];
    kind.ends_with("Input") && inputs.iter().any(|package| kind.starts_with(package))
}

impl Input for HttpInput {
    type Data<'d> = HttpData<'d>;

    fn get<'d>(&'d self, data: HttpData<'d>) -> Value<'d> {
        match self {
            HttpInput::RequestHeader(RequestHeader(name)) => header(data.headers, name),
            HttpInput::FilterState(wanted) => {
                let (key, field) = &**wanted;
                let state = data.info.filter_state.as_deref();
                let text = state
                    .and_then(|state| state.get(key))
                    .and_then(|object| match field {
                        Some(field) if object.has_fields() => object.field(field),
                        _ => object.text(),
                    });
                text.map_or(Value::Absent, |text| Value::Made(text.into_bytes().into()))
            }
            HttpInput::Constant(value) => value.as_deref().map_or(Value::Absent, Value::Text),
        }
    }
}

fn header<'d>(headers: &'d HeaderMap, name: &'d HeaderName) -> Value<'d> {
    let mut values = headers.get_all(name.as_ref());
    let Some(first) = values.next() else {
        return Value::Absent;
    };
    let Some(second) = values.next() else {
        return Value::Text(first);
    };
    let mut joined = SmallVec::from_slice(first);
    for value in std::iter::once(second).chain(values) {
        joined.push(b',');
        joined.extend_from_slice(value);
    }
    Value::Made(joined)
}
