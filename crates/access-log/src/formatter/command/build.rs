//! How each operator is compiled from its argument.

use nuncio_config::ConfigError;
use nuncio_http::Known;
use nuncio_strftime::{TimeFormat, Zone};

use super::length_of;
use crate::formatter::MISSING;
use crate::formatter::coalesce::Coalesce;
use crate::formatter::duration::CommonDuration;
use crate::formatter::field::Field;
use crate::formatter::filter_state::{FilterStateOperator, Part};
use crate::formatter::operator::{
    HeaderName, HeaderOperator, Headers, MetadataOf, MetadataOperator, Moment, Operator,
};
use crate::formatter::parse::Command;
use crate::formatter::query::{PathOperator, QueryParam, QueryParams};
use crate::formatter::xfcc::XfccValue;

pub(super) fn header(command: &Command<'_>, headers: Headers) -> Result<Operator, ConfigError> {
    header_operator(command.argument, headers, length_of(command), false).map(Operator::Header)
}

/// Reads `X?Y`.
pub(super) fn header_operator(
    argument: &str,
    headers: Headers,
    length: usize,
    without_query: bool,
) -> Result<HeaderOperator, ConfigError> {
    let (main, alternative) = argument.split_once('?').unwrap_or((argument, ""));
    if alternative.contains('?') {
        let message = format!("More than 1 alternative header specified in token: {argument}");
        return Err(ConfigError::new("", message));
    }
    let main = header_name(main, headers)?;
    let alternative = if alternative.is_empty() {
        None
    } else {
        Some(header_name(alternative, headers)?)
    };
    Ok(HeaderOperator {
        headers,
        main,
        alternative,
        length,
        without_query,
    })
}

fn header_name(name: &str, headers: Headers) -> Result<HeaderName, ConfigError> {
    let name = name.to_ascii_lowercase();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.strip_prefix(':').unwrap_or(&name).bytes().all(token) {
        let message = "Invalid header configuration. Format string contains invalid characters.";
        return Err(ConfigError::new("", message));
    }
    let known = match headers {
        Headers::Request => Known::from_request_name(name.as_bytes()),
        Headers::Response | Headers::Trailers => Known::from_lower(name.as_bytes()),
    };
    Ok(known.map_or_else(|| HeaderName::Other(name.into()), HeaderName::Known))
}

/// How Envoy shows a time when no format is given.
const DEFAULT_TIME: &str = "%Y-%m-%dT%H:%M:%E3SZ";
const DEFAULT_LOCAL_TIME: &str = "%Y-%m-%dT%H:%M:%E3S%z";

pub(super) fn time(
    command: &Command<'_>,
    moment: Moment,
    zone: Zone,
) -> Result<Operator, ConfigError> {
    let format = match (command.argument, zone) {
        ("", Zone::Utc) => DEFAULT_TIME,
        ("", Zone::Local) => DEFAULT_LOCAL_TIME,
        (format, _) => format,
    };
    time_format(format, zone).map(|format| Operator::Time(moment, format))
}

fn time_format(format: &str, zone: Zone) -> Result<TimeFormat, ConfigError> {
    TimeFormat::parse(format, zone).map_err(|_| {
        ConfigError::new(
            "",
            "Invalid header configuration. Format string contains newline.",
        )
    })
}

/// Validity of a certificate: the format is checked, the time is never there.
pub(super) fn absent_time(command: &Command<'_>) -> Result<Operator, ConfigError> {
    time_format(command.argument, Zone::Utc)?;
    Ok(Operator::Field(Field::Absent))
}

pub(super) fn common_duration(command: &Command<'_>) -> Result<Operator, ConfigError> {
    CommonDuration::parse(command.argument).map(Operator::CommonDuration)
}

pub(super) fn coalesce(command: &Command<'_>) -> Result<Operator, ConfigError> {
    Coalesce::parse(command.argument, command.length)
        .map(|coalesce| Operator::Coalesce(Box::new(coalesce)))
}

pub(super) fn dynamic_metadata(command: &Command<'_>) -> Result<Operator, ConfigError> {
    metadata_of(command, MetadataOf::Stream)
}

/// `CLUSTER_METADATA` and its like: `(namespace:key…)` of a fixed owner.
pub(super) fn metadata_of(command: &Command<'_>, of: MetadataOf) -> Result<Operator, ConfigError> {
    Ok(metadata_operator(of, command.argument, command.length))
}

fn metadata_operator(of: MetadataOf, argument: &str, length: Option<usize>) -> Operator {
    let mut keys = argument.split(':');
    Operator::Metadata(MetadataOperator {
        of,
        namespace: keys.next().unwrap_or("").into(),
        path: keys.map(Box::from).collect(),
        length,
    })
}

/// `METADATA(TYPE:namespace:key…)`
pub(super) fn metadata(command: &Command<'_>) -> Result<Operator, ConfigError> {
    let (kind, rest) = command
        .argument
        .split_once(':')
        .unwrap_or((command.argument, ""));
    let of = match kind {
        "DYNAMIC" => MetadataOf::Stream,
        "CLUSTER" => MetadataOf::Cluster,
        "ROUTE" => MetadataOf::Route,
        "UPSTREAM_HOST" => MetadataOf::UpstreamHost,
        "LISTENER" => MetadataOf::Listener,
        "LISTENER_FILTER_CHAIN" => MetadataOf::ListenerFilterChain,
        "VIRTUAL_HOST" => MetadataOf::VirtualHost,
        _ => {
            let message = format!("{kind} is not supported type of metadata");
            return Err(ConfigError::new("", message));
        }
    };
    Ok(metadata_operator(of, rest, command.length))
}

/// Filter state holds nothing: no filter of this proxy writes it. The argument is checked as Envoy does.
pub(super) fn filter_state(command: &Command<'_>) -> Result<Operator, ConfigError> {
    let error = |message: &str| Err(ConfigError::new("", message));
    let mut pieces = command.argument.split(':');
    let name = pieces.next().unwrap_or("");
    if name.is_empty() {
        return error("Invalid filter state configuration, key cannot be empty.");
    }
    let kind = pieces.next().unwrap_or("TYPED");
    let field = pieces.next().unwrap_or("");
    if !matches!(kind, "" | "PLAIN" | "TYPED" | "FIELD") {
        return error("Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.");
    }
    if (kind == "FIELD") == field.is_empty() {
        return error(
            "Invalid filter state serialize type, FIELD should be used with the field name.",
        );
    }
    Ok(Operator::FilterState(FilterStateOperator {
        name: name.into(),
        part: match kind {
            "PLAIN" => Part::Text,
            "FIELD" => Part::Field(field.into()),
            _ => Part::Json,
        },
        length: command.length,
    }))
}

/// The state of filters on the upstream's side: there are none.
pub(super) fn upstream_filter_state(command: &Command<'_>) -> Result<Operator, ConfigError> {
    filter_state(command)?;
    Ok(Operator::Field(Field::Absent))
}

pub(super) fn path(command: &Command<'_>) -> Result<Operator, ConfigError> {
    PathOperator::parse(command.argument, length_of(command)).map(Operator::Path)
}

pub(super) fn query_param(command: &Command<'_>) -> Result<Operator, ConfigError> {
    Ok(Operator::QueryParam(QueryParam {
        name: command.argument.into(),
        length: length_of(command),
    }))
}

pub(super) fn query_params(command: &Command<'_>) -> Result<Operator, ConfigError> {
    QueryParams::parse(command.argument, length_of(command)).map(Operator::QueryParams)
}

/// A length is allowed and has no effect, as in Envoy.
pub(super) fn xfcc_value(command: &Command<'_>) -> Result<Operator, ConfigError> {
    XfccValue::parse(command.argument).map(Operator::XfccValue)
}

pub(super) fn response_code_details(command: &Command<'_>) -> Result<Operator, ConfigError> {
    Ok(Operator::ResponseCodeDetails {
        allow_blanks: command.argument == "ALLOW_WHITESPACES",
    })
}

/// Read once; missing variables print as `-`, even where missing values are left out.
pub(super) fn environment(command: &Command<'_>) -> Result<Operator, ConfigError> {
    let mut value = match std::env::var_os(command.argument) {
        Some(value) => value.into_encoded_bytes(),
        None => return Ok(Operator::Constant(MISSING.into())),
    };
    value.truncate(length_of(command));
    Ok(Operator::Constant(value.into()))
}

pub(super) fn hostname(_: &Command<'_>) -> Result<Operator, ConfigError> {
    let name = rustix::system::uname();
    Ok(Operator::Constant(name.nodename().to_bytes().into()))
}
