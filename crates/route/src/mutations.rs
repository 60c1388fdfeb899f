//! `*_headers_to_add` and `*_headers_to_remove`.

use std::cell::RefCell;

use nuncio_access_log::Formatter;
use nuncio_config::ConfigError;
use nuncio_config::api::core::header_value_option::HeaderAppendAction;
use nuncio_config::api::core::{HeaderValue, HeaderValueOption};
use nuncio_http::{HeaderMap, Known, NameRef};
use nuncio_sdk::{LogContext, StreamInfo};
use smallvec::SmallVec;

use crate::matchers::HeaderName;

/// Headers to remove and to add, compiled. Removals come first, then all values are computed from the headers as
/// they are, then headers are overwritten, then added (Envoy's `HeaderParser::evaluateHeaders`).
#[derive(Debug, Default)]
pub struct HeaderMutations {
    remove: Box<[HeaderName]>,
    add: Box<[Addition]>,
}

#[derive(Debug)]
struct Addition {
    name: HeaderName,
    value: Value,
    action: HeaderAppendAction,
    keep_empty: bool,
}

#[derive(Debug)]
enum Value {
    Constant(Box<[u8]>),
    Format(Formatter),
}

/// Which message's headers are changed: some names are joined with a comma instead of being repeated, and which
/// these are differs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Response,
}

thread_local! {
    /// Computed values of one application.
    static VALUES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl HeaderMutations {
    /// Compiles the two repeated fields called `add_field` and `remove_field`.
    ///
    /// # Errors
    /// Every name that may not be changed and every value that is not a valid format, with its path.
    pub fn from_config(
        add: &[HeaderValueOption],
        add_field: &str,
        remove: &[String],
        remove_field: &str,
    ) -> Result<HeaderMutations, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut additions = Vec::with_capacity(add.len());
        for (index, option) in add.iter().enumerate() {
            match Addition::from_config(option) {
                Ok(addition) => additions.push(addition),
                Err(error) => errors.push(error.within(format_args!("{add_field}[{index}]"))),
            }
        }
        let mut removals = Vec::with_capacity(remove.len());
        for (index, name) in remove.iter().enumerate() {
            if !may_be_changed(name) {
                let message = ":-prefixed or host headers may not be removed";
                errors.push(ConfigError::new(
                    format!("{remove_field}[{index}]"),
                    message,
                ));
            }
            removals.push(HeaderName::of_request(name));
        }
        if errors.is_empty() {
            Ok(HeaderMutations {
                remove: removals.into(),
                add: additions.into(),
            })
        } else {
            Err(errors)
        }
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }

    /// Whether all values are known already.
    pub fn is_constant(&self) -> bool {
        let mut additions = self.add.iter();
        additions.all(|addition| matches!(addition.value, Value::Constant(_)))
    }

    /// Changes the headers of a request that belongs to no stream. Values that are not constant count as empty.
    pub fn apply_constants(&self, headers: &mut HeaderMap) {
        self.apply(headers, Direction::Request, |_, _, _| {});
    }

    /// Changes the headers of a request.
    pub fn apply_to_request(&self, headers: &mut HeaderMap, info: &StreamInfo) {
        self.apply(headers, Direction::Request, |headers, value, out| {
            let cx = LogContext::of_request(headers, info);
            value.format(&cx, out);
        });
    }

    /// Changes the headers of a response.
    pub fn apply_to_response(
        &self,
        headers: &mut HeaderMap,
        request_headers: &HeaderMap,
        info: &StreamInfo,
    ) {
        self.apply(headers, Direction::Response, |headers, value, out| {
            let cx = LogContext::of_response(request_headers, headers, info);
            value.format(&cx, out);
        });
    }

    /// Changes the trailers of a request, whose values show its headers.
    pub fn apply_to_request_trailers(
        &self,
        trailers: &mut HeaderMap,
        request_headers: &HeaderMap,
        info: &StreamInfo,
    ) {
        self.apply(trailers, Direction::Request, |_, value, out| {
            let cx = LogContext::of_request(request_headers, info);
            value.format(&cx, out);
        });
    }

    /// Changes the trailers of a response, whose values show the headers of both directions.
    pub fn apply_to_response_trailers(
        &self,
        trailers: &mut HeaderMap,
        request_headers: &HeaderMap,
        response_headers: &HeaderMap,
        info: &StreamInfo,
    ) {
        self.apply(trailers, Direction::Response, |trailers, value, out| {
            let cx = LogContext {
                response_trailers: trailers,
                ..LogContext::of_response(request_headers, response_headers, info)
            };
            value.format(&cx, out);
        });
    }

    fn apply(
        &self,
        headers: &mut HeaderMap,
        direction: Direction,
        format: impl Fn(&HeaderMap, &Formatter, &mut Vec<u8>),
    ) {
        for name in &self.remove {
            headers.remove(name.as_ref());
        }
        if self.add.is_empty() {
            return;
        }
        let mut buffer = VALUES.take();
        buffer.clear();
        // Which additions are made, and where a computed value lies.
        let mut chosen: SmallVec<[(&Addition, usize, usize); 8]> = SmallVec::new();
        for addition in &self.add {
            let start = buffer.len();
            let empty = match &addition.value {
                Value::Constant(text) => text.is_empty(),
                Value::Format(formatter) => {
                    format(headers, formatter, &mut buffer);
                    buffer.len() == start
                }
            };
            let wanted = match addition.action {
                HeaderAppendAction::AppendIfExistsOrAdd
                | HeaderAppendAction::OverwriteIfExistsOrAdd => true,
                HeaderAppendAction::AddIfAbsent => !headers.contains(addition.name.as_ref()),
                HeaderAppendAction::OverwriteIfExists => headers.contains(addition.name.as_ref()),
            };
            if wanted && (!empty || addition.keep_empty) {
                chosen.push((addition, start, buffer.len()));
            }
        }
        let overwrites = |addition: &Addition| {
            use HeaderAppendAction::{OverwriteIfExists, OverwriteIfExistsOrAdd};
            matches!(addition.action, OverwriteIfExists | OverwriteIfExistsOrAdd)
        };
        for &(addition, start, end) in chosen.iter().filter(|(addition, ..)| overwrites(addition)) {
            let name = addition.name.as_ref();
            // As in Envoy, only headers that it holds in fixed places stay where they were.
            if !is_joined(name, direction) {
                headers.remove(name);
            }
            headers.set(name, addition.value.text(&buffer[start..end]));
        }
        for &(addition, start, end) in chosen.iter().filter(|(addition, ..)| !overwrites(addition))
        {
            let name = addition.name.as_ref();
            let value = addition.value.text(&buffer[start..end]);
            if is_joined(name, direction) {
                headers.append_to_value(name, b",", value);
            } else {
                headers.append(name, value);
            }
        }
        VALUES.replace(buffer);
    }
}

impl Value {
    fn text<'v>(&'v self, computed: &'v [u8]) -> &'v [u8] {
        match self {
            Value::Constant(text) => text,
            Value::Format(_) => computed,
        }
    }
}

impl Addition {
    fn from_config(config: &HeaderValueOption) -> Result<Addition, ConfigError> {
        #[expect(deprecated, reason = "Envoy still takes `append`")]
        let HeaderValueOption {
            header,
            append,
            append_action,
            keep_empty_value,
        } = config;
        let Some(HeaderValue {
            key,
            value,
            // Envoy has no use for it here either.
            raw_value: _,
        }) = header
        else {
            return Err(ConfigError::new("header", "value is required"));
        };
        if key.is_empty() {
            return Err(ConfigError::new(
                "header.key",
                "value length must be at least 1 characters",
            ));
        }
        if !may_be_changed(key) {
            return Err(ConfigError::new(
                "header.key",
                ":-prefixed or host headers may not be modified",
            ));
        }
        let Ok(action) = HeaderAppendAction::try_from(*append_action) else {
            return Err(ConfigError::new(
                "append_action",
                "value must be one of the defined enum values",
            ));
        };
        let action = match append {
            None => action,
            Some(_) if action != HeaderAppendAction::AppendIfExistsOrAdd => {
                let message = "Both append and append_action are set and it's not allowed";
                return Err(ConfigError::new("append_action", message));
            }
            Some(append) if append.value => HeaderAppendAction::AppendIfExistsOrAdd,
            Some(_) => HeaderAppendAction::OverwriteIfExistsOrAdd,
        };
        let formatter =
            Formatter::header_value(value).map_err(|error| error.within("header.value"))?;
        let value = match formatter.constant() {
            Some(text) => Value::Constant(text.into()),
            None => Value::Format(formatter),
        };
        Ok(Addition {
            name: HeaderName::of_request(key),
            value,
            action,
            keep_empty: *keep_empty_value,
        })
    }
}

fn may_be_changed(name: &str) -> bool {
    !name.starts_with(':') && !name.eq_ignore_ascii_case("host")
}

/// Whether Envoy holds at most one value of this header and appends to it, separated by a comma (its "inline"
/// headers; found by asking Envoy 1.40 for every known name).
fn is_joined(name: NameRef<'_>, direction: Direction) -> bool {
    use Known::*;
    let known = match name {
        NameRef::Known(known) => known,
        NameRef::Other(name) => {
            return direction == Direction::Request
                && name == b"access-control-request-private-network";
        }
    };
    match known {
        Via
        | ContentType
        | ContentLength
        | Connection
        | KeepAlive
        | ProxyConnection
        | TransferEncoding
        | Upgrade
        | XRequestId
        | CacheControl
        | ContentEncoding
        | ProxyStatus
        | XEnvoyDecoratorOperation
        | XEnvoyAttemptCount => true,
        UserAgent
        | Accept
        | AcceptEncoding
        | XForwardedFor
        | XForwardedProto
        | XForwardedHost
        | XForwardedPort
        | XForwardedClientCert
        | XClientTraceId
        | GrpcTimeout
        | GrpcAcceptEncoding
        | Authorization
        | IfMatch
        | IfNoneMatch
        | IfModifiedSince
        | IfUnmodifiedSince
        | IfRange
        | Pragma
        | Origin
        | Referer
        | AccessControlRequestMethod
        | AccessControlRequestHeaders
        | Expect
        | Te
        | XEnvoyRetryOn
        | XEnvoyRetryGrpcOn
        | XEnvoyMaxRetries
        | XEnvoyRetriableHeaderNames
        | XEnvoyRetriableStatusCodes
        | XEnvoyHedgeOnPerTryTimeout
        | XEnvoyUpstreamAltStatName
        | XEnvoyUpstreamRqTimeoutMs
        | XEnvoyUpstreamRqPerTryTimeoutMs
        | XEnvoyUpstreamRqTimeoutAltResponse
        | XEnvoyUpstreamStreamDurationMs
        | XEnvoyForceTrace
        | XEnvoyDownstreamServiceCluster
        | XEnvoyDownstreamServiceNode
        | XEnvoyIpTags
        | XEnvoyExpectedRqTimeoutMs
        | XEnvoyIsTimeoutRetry
        | XEnvoyOriginalPath
        | XEnvoyOriginalHost
        | XEnvoyExternalAddress
        | XEnvoyInternal => direction == Direction::Request,
        Date
        | Server
        | Location
        | GrpcStatus
        | GrpcMessage
        | Etag
        | LastModified
        | Expires
        | Age
        | Vary
        | AccessControlAllowOrigin
        | AccessControlAllowHeaders
        | AccessControlAllowMethods
        | AccessControlAllowCredentials
        | AccessControlExposeHeaders
        | AccessControlMaxAge
        | XEnvoyUpstreamCanary
        | XEnvoyImmediateHealthCheckFail
        | XEnvoyRatelimited
        | XEnvoyDegraded
        | XEnvoyUpstreamHealthcheckedCluster
        | XEnvoyUpstreamServiceTime => direction == Direction::Response,
        _ => false,
    }
}
