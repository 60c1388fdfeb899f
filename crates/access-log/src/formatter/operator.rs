//! A compiled `%OPERATOR%` and what it writes.

use std::time::SystemTime;

use nuncio_event::clock;
use nuncio_http::{HeaderMap, Known};
use nuncio_sdk::LogContext;
use nuncio_strftime::TimeFormat;

use super::coalesce::Coalesce;
use super::duration::CommonDuration;
use super::field::Field;
use super::filter_state::FilterStateOperator;
use super::grpc::GrpcStatus;
use super::query::{PathOperator, QueryParam, QueryParams};
use super::value;
use super::xfcc::XfccValue;

/// What an operator appended: decides quotes in JSON, and what a missing value prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Nothing was appended: the value is missing.
    Nothing,
    /// Text (perhaps empty), a string in JSON.
    Text,
    /// A number, or a whole JSON value.
    Json,
}

impl Written {
    /// `Text` when there was something to write.
    pub(super) fn text_if(written: bool) -> Written {
        if written {
            Written::Text
        } else {
            Written::Nothing
        }
    }
}

/// A header's name, looked up as cheaply as the map can.
#[derive(Debug)]
pub(super) enum HeaderName {
    Known(Known),
    Other(Box<str>),
}

impl HeaderName {
    fn of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a [u8]> {
        match self {
            HeaderName::Known(known) => headers.get(*known),
            HeaderName::Other(name) => headers.get_str(name),
        }
    }
}

/// Whose headers are read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Headers {
    Request,
    Response,
    Trailers,
}

/// `%REQ(X?Y):Z%` and its like.
#[derive(Debug)]
pub(super) struct HeaderOperator {
    pub(super) headers: Headers,
    pub(super) main: HeaderName,
    pub(super) alternative: Option<HeaderName>,
    pub(super) length: usize,
    /// `REQ_WITHOUT_QUERY`: cut at the first `?`.
    pub(super) without_query: bool,
}

impl HeaderOperator {
    #[inline]
    fn write(&self, cx: &LogContext<'_>, out: &mut Vec<u8>) -> Written {
        let headers = match self.headers {
            Headers::Request => cx.request_headers,
            Headers::Response => cx.response_headers,
            Headers::Trailers => cx.response_trailers,
        };
        let found = self
            .main
            .of(headers)
            .or_else(|| self.alternative.as_ref()?.of(headers));
        let Some(mut found) = found else {
            return Written::Nothing;
        };
        if self.without_query {
            found = found.split(|byte| *byte == b'?').next().unwrap_or(found);
        }
        out.extend_from_slice(cut(found, self.length));
        Written::Text
    }
}

/// The first `length` bytes.
pub(super) fn cut(text: &[u8], length: usize) -> &[u8] {
    text.get(..length).unwrap_or(text)
}

/// Whose metadata `%METADATA(TYPE:…)%` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetadataOf {
    /// What filters have set.
    Stream,
    Cluster,
    Route,
    UpstreamHost,
    Listener,
    ListenerFilterChain,
    VirtualHost,
}

/// `%DYNAMIC_METADATA(namespace:key:…):Z%`, `%METADATA(TYPE:namespace:key:…):Z%`
#[derive(Debug)]
pub(super) struct MetadataOperator {
    pub(super) of: MetadataOf,
    pub(super) namespace: Box<str>,
    pub(super) path: Box<[Box<str>]>,
    pub(super) length: Option<usize>,
}

impl MetadataOperator {
    fn write(&self, cx: &LogContext<'_>, out: &mut Vec<u8>, typed: bool) -> Written {
        let info = cx.info;
        let host;
        let metadata = match self.of {
            MetadataOf::Stream => info.metadata.as_deref(),
            MetadataOf::Cluster => info.cluster_metadata.as_deref(),
            MetadataOf::Route => info.route.as_ref().and_then(|route| route.metadata()),
            MetadataOf::UpstreamHost => {
                host = info.upstream.host.as_ref().and_then(|host| host.metadata());
                host.as_deref()
            }
            MetadataOf::Listener => info.connection.listener_metadata.as_deref(),
            MetadataOf::ListenerFilterChain => info.connection.filter_chain_metadata.as_deref(),
            MetadataOf::VirtualHost => {
                let route = info.route.as_ref();
                route.and_then(|route| route.virtual_host_metadata())
            }
        };
        let Some(metadata) = metadata else {
            return Written::Nothing;
        };
        let start = out.len();
        let written = if self.path.is_empty() {
            let Some(namespace) = metadata.namespace(&self.namespace) else {
                return Written::Nothing;
            };
            value::write_struct(namespace, out);
            Written::Json
        } else {
            let Some(found) = metadata.get(&self.namespace, self.path.iter().map(|key| &**key))
            else {
                return Written::Nothing;
            };
            value::write_plain(found, out)
        };
        // As in Envoy, a length limits texts; of typed values only strings.
        if let Some(length) = self.length
            && !(typed && written == Written::Json)
        {
            out.truncate(start.saturating_add(length).min(out.len()));
        }
        written
    }
}

/// Which moment a time operator shows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment {
    /// The first byte of the request.
    Start,
    /// Now, when the line is written.
    Emit,
}

#[derive(Debug)]
pub(super) enum Operator {
    Field(Field),
    Header(HeaderOperator),
    Time(Moment, TimeFormat),
    /// Known when the format is compiled: `HOSTNAME`, `ENVIRONMENT`.
    Constant(Box<[u8]>),
    /// `RESPONSE_CODE_DETAILS`, with blanks replaced unless they are allowed.
    ResponseCodeDetails {
        allow_blanks: bool,
    },
    CommonDuration(CommonDuration),
    Metadata(MetadataOperator),
    FilterState(FilterStateOperator),
    Path(PathOperator),
    QueryParam(QueryParam),
    QueryParams(QueryParams),
    GrpcStatus(GrpcStatus),
    XfccValue(XfccValue),
    Coalesce(Box<Coalesce>),
}

impl Operator {
    /// Appends the value as text.
    #[inline]
    pub(super) fn write(&self, cx: &LogContext<'_>, out: &mut Vec<u8>) -> Written {
        self.write_as(cx, out, false)
    }

    /// Appends the value as JSON needs it: whole when `typed`.
    pub(super) fn write_as(&self, cx: &LogContext<'_>, out: &mut Vec<u8>, typed: bool) -> Written {
        match self {
            Operator::Field(field) => field.write(cx, out),
            Operator::Header(header) => header.write(cx, out),
            Operator::Time(moment, format) => {
                let time = match moment {
                    Moment::Start => cx.info.start_time(),
                    Moment::Emit => wall_now(),
                };
                format.write(time, out);
                Written::Text
            }
            Operator::Constant(text) => {
                out.extend_from_slice(text);
                Written::Text
            }
            Operator::ResponseCodeDetails { allow_blanks } => write_details(cx, *allow_blanks, out),
            Operator::CommonDuration(duration) => duration.write(cx, out),
            Operator::Metadata(metadata) => metadata.write(cx, out, typed),
            Operator::FilterState(state) => state.write(cx, out, typed),
            Operator::Path(path) => path.write(cx, out),
            Operator::QueryParam(param) => param.write(cx, out),
            Operator::QueryParams(params) => params.write(cx, out),
            Operator::GrpcStatus(status) => status.write(cx, out),
            Operator::XfccValue(value) => value.write(cx, out),
            Operator::Coalesce(coalesce) => coalesce.write(cx, out, typed),
        }
    }
}

fn wall_now() -> SystemTime {
    clock::wall_time(clock::now())
}

fn write_details(cx: &LogContext<'_>, allow_blanks: bool, out: &mut Vec<u8>) -> Written {
    let Some(details) = &cx.info.response_code_details else {
        return Written::Nothing;
    };
    let start = out.len();
    out.extend_from_slice(details.as_bytes());
    if !allow_blanks {
        replace_blanks(&mut out[start..]);
    }
    Written::Text
}

/// Blanks become `_`, so that a log line can be split at them.
pub(super) fn replace_blanks(text: &mut [u8]) {
    for byte in text {
        if matches!(byte, b' ' | b'\t'..=b'\r') {
            *byte = b'_';
        }
    }
}
