//! The table of operators: which there are, what they take, which are refused.

use nuncio_config::ConfigError;
use nuncio_http::Known;
use nuncio_strftime::{TimeFormat, Zone};

use super::Extensions;
use super::coalesce::Coalesce;
use super::duration::CommonDuration;
use super::field::{AddressOf, AddressPart, Field};
use super::grpc::GrpcStatus;
use super::operator::{HeaderName, HeaderOperator, Headers, MetadataOperator, Moment, Operator};
use super::parse::Command;
use super::query::{PathOperator, QueryParam, QueryParams};

/// What follows an operator's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Argument,
    MaybeArgument,
    ArgumentAndLength,
    MaybeArgumentAndLength,
}

impl Takes {
    fn check(self, command: &Command<'_>) -> Result<(), ConfigError> {
        let Command {
            name,
            argument,
            length,
        } = command;
        let message = match self {
            Takes::Nothing if !argument.is_empty() || length.is_some() => {
                format!("{name} does not take any parameters or length")
            }
            Takes::Argument | Takes::ArgumentAndLength if argument.is_empty() => {
                format!("{name} requires parameters")
            }
            Takes::Argument | Takes::MaybeArgument if length.is_some() => {
                format!("{name} does not allow length to be specified.")
            }
            _ => return Ok(()),
        };
        Err(ConfigError::new("", message))
    }
}

/// How an operator is compiled.
#[derive(Clone, Copy)]
enum Build {
    Field(Field),
    With(Takes, fn(&Command<'_>) -> Result<Operator, ConfigError>),
    /// Envoy has it, but here its value would be wrong.
    Refused,
}

use AddressOf::{
    DownstreamDirectRemote, DownstreamLocal, DownstreamRemote, UpstreamHost, UpstreamLocal,
    UpstreamRemote,
};
use AddressPart::{EndpointId, Port, Whole, WithoutPort};
use Build::{Field as F, Refused, With};

const fn address(of: AddressOf, part: AddressPart) -> Build {
    F(Field::Address(of, part))
}

/// Every operator of Envoy 1.40, sorted by name.
const COMMANDS: &[(&str, Build)] = &[
    ("ACCESS_LOG_TYPE", F(Field::AccessLogType)),
    ("BYTES_RECEIVED", F(Field::BytesReceived)),
    // QUIC only, as in Envoy.
    ("BYTES_RETRANSMITTED", F(Field::Zero)),
    ("BYTES_SENT", F(Field::BytesSent)),
    ("CEL", Refused),
    ("CLUSTER_METADATA", Refused),
    ("COALESCE", With(Takes::ArgumentAndLength, coalesce)),
    ("COMMON_DURATION", With(Takes::Argument, common_duration)),
    ("CONNECTION_ID", F(Field::ConnectionId)),
    (
        "CONNECTION_TERMINATION_DETAILS",
        F(Field::ConnectionTerminationDetails),
    ),
    // No filter of this proxy sets custom flags.
    ("CUSTOM_FLAGS", F(Field::Empty)),
    ("DOWNSTREAM_CX_RTT", Refused),
    // HTTP/1 headers are never compressed.
    (
        "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED",
        F(Field::DownstreamHeaderBytesReceived),
    ),
    (
        "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT",
        F(Field::DownstreamHeaderBytesSent),
    ),
    ("DOWNSTREAM_DETECTED_CLOSE_TYPE", Refused),
    // The local address is never rewritten, so the direct one is the same.
    (
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS",
        address(DownstreamLocal, Whole),
    ),
    (
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID",
        address(DownstreamLocal, EndpointId),
    ),
    (
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT",
        address(DownstreamLocal, WithoutPort),
    ),
    (
        "DOWNSTREAM_DIRECT_LOCAL_PORT",
        address(DownstreamLocal, Port),
    ),
    (
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
        address(DownstreamDirectRemote, Whole),
    ),
    (
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
        address(DownstreamDirectRemote, WithoutPort),
    ),
    (
        "DOWNSTREAM_DIRECT_REMOTE_PORT",
        address(DownstreamDirectRemote, Port),
    ),
    ("DOWNSTREAM_HANDSHAKE_DURATION", F(Field::Absent)),
    (
        "DOWNSTREAM_HEADER_BYTES_RECEIVED",
        F(Field::DownstreamHeaderBytesReceived),
    ),
    (
        "DOWNSTREAM_HEADER_BYTES_SENT",
        F(Field::DownstreamHeaderBytesSent),
    ),
    ("DOWNSTREAM_LOCAL_ADDRESS", address(DownstreamLocal, Whole)),
    (
        "DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID",
        address(DownstreamLocal, EndpointId),
    ),
    (
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        address(DownstreamLocal, WithoutPort),
    ),
    ("DOWNSTREAM_LOCAL_CLOSE_REASON", Refused),
    ("DOWNSTREAM_LOCAL_DNS_SAN", F(Field::Absent)),
    ("DOWNSTREAM_LOCAL_EMAIL_SAN", F(Field::Absent)),
    ("DOWNSTREAM_LOCAL_IP_SAN", F(Field::Absent)),
    ("DOWNSTREAM_LOCAL_OTHERNAME_SAN", F(Field::Absent)),
    ("DOWNSTREAM_LOCAL_PORT", address(DownstreamLocal, Port)),
    ("DOWNSTREAM_LOCAL_SUBJECT", F(Field::Absent)),
    ("DOWNSTREAM_LOCAL_URI_SAN", F(Field::Absent)),
    ("DOWNSTREAM_PEER_CERT", F(Field::Absent)),
    (
        "DOWNSTREAM_PEER_CERT_V_END",
        With(Takes::MaybeArgument, absent_time),
    ),
    (
        "DOWNSTREAM_PEER_CERT_V_START",
        With(Takes::MaybeArgument, absent_time),
    ),
    ("DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1", F(Field::Absent)),
    ("DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256", F(Field::Absent)),
    ("DOWNSTREAM_PEER_CHAIN_SERIALS", F(Field::Absent)),
    ("DOWNSTREAM_PEER_DNS_SAN", F(Field::Absent)),
    ("DOWNSTREAM_PEER_EMAIL_SAN", F(Field::Absent)),
    ("DOWNSTREAM_PEER_FINGERPRINT_1", F(Field::Absent)),
    ("DOWNSTREAM_PEER_FINGERPRINT_256", F(Field::Absent)),
    ("DOWNSTREAM_PEER_IP_SAN", F(Field::Absent)),
    ("DOWNSTREAM_PEER_ISSUER", F(Field::Absent)),
    ("DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256", F(Field::Absent)),
    ("DOWNSTREAM_PEER_ISSUER_SERIAL", F(Field::Absent)),
    ("DOWNSTREAM_PEER_OTHERNAME_SAN", F(Field::Absent)),
    ("DOWNSTREAM_PEER_SERIAL", F(Field::Absent)),
    ("DOWNSTREAM_PEER_SUBJECT", F(Field::Absent)),
    ("DOWNSTREAM_PEER_URI_SAN", F(Field::Absent)),
    (
        "DOWNSTREAM_REMOTE_ADDRESS",
        address(DownstreamRemote, Whole),
    ),
    (
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        address(DownstreamRemote, WithoutPort),
    ),
    ("DOWNSTREAM_REMOTE_PORT", address(DownstreamRemote, Port)),
    ("DOWNSTREAM_TLS_CIPHER", F(Field::Absent)),
    ("DOWNSTREAM_TLS_GROUP", F(Field::Absent)),
    ("DOWNSTREAM_TLS_SESSION_ID", F(Field::Absent)),
    ("DOWNSTREAM_TLS_VERSION", F(Field::Absent)),
    ("DOWNSTREAM_TRANSPORT_FAILURE_REASON", F(Field::Absent)),
    (
        "DOWNSTREAM_WIRE_BYTES_RECEIVED",
        F(Field::DownstreamWireBytesReceived),
    ),
    (
        "DOWNSTREAM_WIRE_BYTES_SENT",
        F(Field::DownstreamWireBytesSent),
    ),
    ("DURATION", F(Field::Duration)),
    (
        "DYNAMIC_METADATA",
        With(Takes::ArgumentAndLength, dynamic_metadata),
    ),
    (
        "EMIT_TIME",
        With(Takes::MaybeArgument, |c| time(c, Moment::Emit, Zone::Utc)),
    ),
    (
        "EMIT_TIME_LOCAL",
        With(Takes::MaybeArgument, |c| time(c, Moment::Emit, Zone::Local)),
    ),
    ("ENVIRONMENT", With(Takes::ArgumentAndLength, environment)),
    ("FILTER_CHAIN_NAME", F(Field::FilterChainName)),
    (
        "FILTER_STATE",
        With(Takes::MaybeArgumentAndLength, filter_state),
    ),
    (
        "GRPC_STATUS",
        With(Takes::MaybeArgument, |c| {
            GrpcStatus::parse(c.argument).map(Operator::GrpcStatus)
        }),
    ),
    (
        "GRPC_STATUS_NUMBER",
        With(Takes::Nothing, |_| {
            Ok(Operator::GrpcStatus(GrpcStatus::Number))
        }),
    ),
    ("HOSTNAME", With(Takes::Nothing, hostname)),
    ("LISTENER_NAME", F(Field::ListenerName)),
    ("LOCAL_REPLY_BODY", F(Field::LocalReplyBody)),
    ("METADATA", With(Takes::MaybeArgumentAndLength, metadata)),
    ("PACKETS_RETRANSMITTED", F(Field::Zero)),
    ("PATH", With(Takes::MaybeArgumentAndLength, path)),
    ("PROTOCOL", F(Field::Protocol)),
    ("QUERY_PARAM", With(Takes::ArgumentAndLength, query_param)),
    (
        "QUERY_PARAMS",
        With(Takes::MaybeArgumentAndLength, query_params),
    ),
    (
        "REQ",
        With(Takes::ArgumentAndLength, |c| header(c, Headers::Request)),
    ),
    ("REQUESTED_SERVER_NAME", F(Field::Absent)),
    ("REQUEST_DURATION", F(Field::RequestDuration)),
    (
        "REQUEST_HEADER",
        With(Takes::ArgumentAndLength, |c| header(c, Headers::Request)),
    ),
    ("REQUEST_HEADERS_BYTES", F(Field::RequestHeadersBytes)),
    ("REQUEST_TX_DURATION", F(Field::RequestTxDuration)),
    (
        "RESP",
        With(Takes::ArgumentAndLength, |c| header(c, Headers::Response)),
    ),
    ("RESPONSE_CODE", F(Field::ResponseCode)),
    (
        "RESPONSE_CODE_DETAILS",
        With(Takes::MaybeArgument, response_code_details),
    ),
    ("RESPONSE_DURATION", F(Field::ResponseDuration)),
    ("RESPONSE_FLAGS", F(Field::ResponseFlags)),
    ("RESPONSE_FLAGS_LONG", F(Field::ResponseFlagsLong)),
    (
        "RESPONSE_HEADER",
        With(Takes::ArgumentAndLength, |c| header(c, Headers::Response)),
    ),
    ("RESPONSE_HEADERS_BYTES", F(Field::ResponseHeadersBytes)),
    (
        "RESPONSE_TRAILER",
        With(Takes::ArgumentAndLength, |c| header(c, Headers::Trailers)),
    ),
    ("RESPONSE_TRAILERS_BYTES", F(Field::ResponseTrailersBytes)),
    ("RESPONSE_TX_DURATION", F(Field::ResponseTxDuration)),
    // QUIC only, as in Envoy.
    ("ROUNDTRIP_DURATION", F(Field::Absent)),
    ("ROUTE_NAME", F(Field::RouteName)),
    ("ROUTE_RESOLUTION_COUNT", Refused),
    ("ROUTE_RESOLUTION_TIME_US", Refused),
    ("SPAN_ID", F(Field::Absent)),
    (
        "START_TIME",
        With(Takes::MaybeArgument, |c| time(c, Moment::Start, Zone::Utc)),
    ),
    (
        "START_TIME_LOCAL",
        With(Takes::MaybeArgument, |c| {
            time(c, Moment::Start, Zone::Local)
        }),
    ),
    ("STREAM_ID", F(Field::StreamId)),
    (
        "STREAM_INFO_REQ",
        With(Takes::ArgumentAndLength, |c| header(c, Headers::Request)),
    ),
    ("TLS_JA3_FINGERPRINT", F(Field::Absent)),
    ("TLS_JA4_FINGERPRINT", F(Field::Absent)),
    ("TRACE_ID", F(Field::Absent)),
    (
        "TRAILER",
        With(Takes::ArgumentAndLength, |c| header(c, Headers::Trailers)),
    ),
    ("UNIQUE_ID", F(Field::UniqueId)),
    ("UPSTREAM_CLUSTER", F(Field::UpstreamCluster)),
    ("UPSTREAM_CLUSTER_RAW", F(Field::UpstreamCluster)),
    ("UPSTREAM_CONNECTION_ID", F(Field::UpstreamConnectionId)),
    ("UPSTREAM_CONNECTION_IDS_ATTEMPTED", Refused),
    (
        "UPSTREAM_CONNECTION_POOL_READY_DURATION",
        F(Field::UpstreamPoolReadyDuration),
    ),
    (
        "UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED",
        F(Field::UpstreamHeaderBytesReceived),
    ),
    (
        "UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT",
        F(Field::UpstreamHeaderBytesSent),
    ),
    ("UPSTREAM_DETECTED_CLOSE_TYPE", Refused),
    (
        "UPSTREAM_FILTER_STATE",
        With(Takes::MaybeArgumentAndLength, filter_state),
    ),
    (
        "UPSTREAM_HEADER_BYTES_RECEIVED",
        F(Field::UpstreamHeaderBytesReceived),
    ),
    (
        "UPSTREAM_HEADER_BYTES_SENT",
        F(Field::UpstreamHeaderBytesSent),
    ),
    ("UPSTREAM_HOST", address(UpstreamHost, Whole)),
    ("UPSTREAM_HOSTS_ATTEMPTED", Refused),
    ("UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", Refused),
    ("UPSTREAM_HOST_NAME", F(Field::UpstreamHostName)),
    ("UPSTREAM_HOST_NAMES_ATTEMPTED", Refused),
    ("UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT", Refused),
    (
        "UPSTREAM_HOST_NAME_WITHOUT_PORT",
        F(Field::UpstreamHostNameWithoutPort),
    ),
    ("UPSTREAM_LOCAL_ADDRESS", address(UpstreamLocal, Whole)),
    (
        "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        address(UpstreamLocal, WithoutPort),
    ),
    ("UPSTREAM_LOCAL_CLOSE_REASON", Refused),
    ("UPSTREAM_LOCAL_DNS_SAN", F(Field::Absent)),
    ("UPSTREAM_LOCAL_IP_SAN", F(Field::Absent)),
    ("UPSTREAM_LOCAL_PORT", address(UpstreamLocal, Port)),
    ("UPSTREAM_LOCAL_URI_SAN", F(Field::Absent)),
    ("UPSTREAM_METADATA", Refused),
    ("UPSTREAM_PEER_CERT", F(Field::Absent)),
    (
        "UPSTREAM_PEER_CERT_V_END",
        With(Takes::MaybeArgument, absent_time),
    ),
    (
        "UPSTREAM_PEER_CERT_V_START",
        With(Takes::MaybeArgument, absent_time),
    ),
    ("UPSTREAM_PEER_DNS_SAN", F(Field::Absent)),
    ("UPSTREAM_PEER_IP_SAN", F(Field::Absent)),
    ("UPSTREAM_PEER_ISSUER", F(Field::Absent)),
    ("UPSTREAM_PEER_SUBJECT", F(Field::Absent)),
    ("UPSTREAM_PEER_URI_SAN", F(Field::Absent)),
    ("UPSTREAM_PROTOCOL", F(Field::UpstreamProtocol)),
    ("UPSTREAM_REMOTE_ADDRESS", address(UpstreamRemote, Whole)),
    (
        "UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID",
        address(UpstreamRemote, EndpointId),
    ),
    (
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        address(UpstreamRemote, WithoutPort),
    ),
    ("UPSTREAM_REMOTE_PORT", address(UpstreamRemote, Port)),
    (
        "UPSTREAM_REQUEST_ATTEMPT_COUNT",
        F(Field::UpstreamRequestAttemptCount),
    ),
    ("UPSTREAM_SERVER_NAME", F(Field::Absent)),
    ("UPSTREAM_TLS_CIPHER", F(Field::Absent)),
    ("UPSTREAM_TLS_GROUP", F(Field::Absent)),
    ("UPSTREAM_TLS_SESSION_ID", F(Field::Absent)),
    ("UPSTREAM_TLS_VERSION", F(Field::Absent)),
    (
        "UPSTREAM_TRANSPORT_FAILURE_REASON",
        F(Field::UpstreamTransportFailureReason),
    ),
    (
        "UPSTREAM_WIRE_BYTES_RECEIVED",
        F(Field::UpstreamWireBytesReceived),
    ),
    ("UPSTREAM_WIRE_BYTES_SENT", F(Field::UpstreamWireBytesSent)),
    ("VIRTUAL_CLUSTER_NAME", F(Field::Absent)),
    ("XFCC_VALUE", Refused),
];

fn find(name: &str) -> Option<Build> {
    let index = COMMANDS
        .binary_search_by(|(known, _)| known.cmp(&name))
        .ok()?;
    Some(COMMANDS[index].1)
}

/// Whether there is an operator of this name.
pub(super) fn is_known(name: &str) -> bool {
    find(name).is_some()
}

/// Compiles one command of a format that knows these extensions.
pub(super) fn compile_with(
    command: &Command<'_>,
    extensions: Extensions,
) -> Result<Operator, ConfigError> {
    if extensions.req_without_query && command.name == "REQ_WITHOUT_QUERY" {
        let header = header_operator(command.argument, Headers::Request, length_of(command), true);
        return header.map(Operator::Header);
    }
    compile(command)
}

/// Compiles one built-in command.
pub(super) fn compile(command: &Command<'_>) -> Result<Operator, ConfigError> {
    match find(command.name) {
        Some(Build::Field(field)) => {
            Takes::Nothing.check(command)?;
            Ok(Operator::Field(field))
        }
        Some(Build::With(takes, build)) => {
            takes.check(command)?;
            build(command)
        }
        Some(Build::Refused) => Err(unsupported(&format!("%{}%", command.name))),
        None => Err(unknown(command.name)),
    }
}

fn unsupported(what: &str) -> ConfigError {
    ConfigError::new(
        "",
        format!("unsupported: the operator {what} is not implemented yet"),
    )
}

fn unknown(name: &str) -> ConfigError {
    let error = ConfigError::new("", format!("Not supported field in StreamInfo: {name}"));
    let nearest = COMMANDS
        .iter()
        .map(|(known, _)| (distance(known, name), *known))
        .min();
    match nearest {
        Some((distance, known)) if distance <= 3 && distance < name.len() => {
            error.with_remedy(format!("did you mean {known}?"))
        }
        _ => error,
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn length_of(command: &Command<'_>) -> usize {
    command.length.unwrap_or(usize::MAX)
}

fn header(command: &Command<'_>, headers: Headers) -> Result<Operator, ConfigError> {
    header_operator(command.argument, headers, length_of(command), false).map(Operator::Header)
}

/// Reads `X?Y`.
fn header_operator(
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

fn time(command: &Command<'_>, moment: Moment, zone: Zone) -> Result<Operator, ConfigError> {
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
fn absent_time(command: &Command<'_>) -> Result<Operator, ConfigError> {
    time_format(command.argument, Zone::Utc)?;
    Ok(Operator::Field(Field::Absent))
}

fn common_duration(command: &Command<'_>) -> Result<Operator, ConfigError> {
    CommonDuration::parse(command.argument).map(Operator::CommonDuration)
}

fn coalesce(command: &Command<'_>) -> Result<Operator, ConfigError> {
    Coalesce::parse(command.argument, command.length)
        .map(|coalesce| Operator::Coalesce(Box::new(coalesce)))
}

fn dynamic_metadata(command: &Command<'_>) -> Result<Operator, ConfigError> {
    Ok(metadata_operator(command.argument, command.length))
}

fn metadata_operator(argument: &str, length: Option<usize>) -> Operator {
    let mut keys = argument.split(':');
    Operator::Metadata(MetadataOperator {
        namespace: keys.next().unwrap_or("").into(),
        path: keys.map(Box::from).collect(),
        length,
    })
}

/// `METADATA(TYPE:namespace:key…)`
fn metadata(command: &Command<'_>) -> Result<Operator, ConfigError> {
    let (kind, rest) = command
        .argument
        .split_once(':')
        .unwrap_or((command.argument, ""));
    match kind {
        "DYNAMIC" => Ok(metadata_operator(rest, command.length)),
        "CLUSTER"
        | "ROUTE"
        | "UPSTREAM_HOST"
        | "LISTENER"
        | "LISTENER_FILTER_CHAIN"
        | "VIRTUAL_HOST" => Err(unsupported(&format!("%METADATA({kind}:…)%"))),
        _ => Err(ConfigError::new(
            "",
            format!("{kind} is not supported type of metadata"),
        )),
    }
}

/// Filter state holds nothing: no filter of this proxy writes it. The argument is checked as Envoy does.
fn filter_state(command: &Command<'_>) -> Result<Operator, ConfigError> {
    let error = |message: &str| Err(ConfigError::new("", message));
    let mut pieces = command.argument.split(':');
    if pieces.next().unwrap_or("").is_empty() {
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
    Ok(Operator::Field(Field::Absent))
}

fn path(command: &Command<'_>) -> Result<Operator, ConfigError> {
    PathOperator::parse(command.argument, length_of(command)).map(Operator::Path)
}

fn query_param(command: &Command<'_>) -> Result<Operator, ConfigError> {
    Ok(Operator::QueryParam(QueryParam {
        name: command.argument.into(),
        length: length_of(command),
    }))
}

fn query_params(command: &Command<'_>) -> Result<Operator, ConfigError> {
    QueryParams::parse(command.argument, length_of(command)).map(Operator::QueryParams)
}

fn response_code_details(command: &Command<'_>) -> Result<Operator, ConfigError> {
    Ok(Operator::ResponseCodeDetails {
        allow_blanks: command.argument == "ALLOW_WHITESPACES",
    })
}

/// Read once; missing variables print as `-`, even where missing values are left out.
fn environment(command: &Command<'_>) -> Result<Operator, ConfigError> {
    let mut value = match std::env::var_os(command.argument) {
        Some(value) => value.into_encoded_bytes(),
        None => return Ok(Operator::Constant(super::MISSING.into())),
    };
    value.truncate(length_of(command));
    Ok(Operator::Constant(value.into()))
}

fn hostname(_: &Command<'_>) -> Result<Operator, ConfigError> {
    let name = rustix::system::uname();
    Ok(Operator::Constant(name.nodename().to_bytes().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(COMMANDS.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn typing_errors_get_a_suggestion() {
        assert_eq!(
            unknown("RESPONSE_CODES").remedy.as_deref(),
            Some("did you mean RESPONSE_CODE?")
        );
        assert_eq!(unknown("FOO").remedy, None);
    }
}
