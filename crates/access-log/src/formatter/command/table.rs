//! Every operator of Envoy 1.40.

use nuncio_strftime::Zone;

use super::build::{
    absent_time, coalesce, common_duration, dynamic_metadata, environment, filter_state, header,
    hostname, metadata, metadata_of, path, query_param, query_params, response_code_details, time,
    upstream_filter_state, xfcc_value,
};
use super::{Build, Takes};
use crate::formatter::field::{AddressOf, AddressPart, Field};
use crate::formatter::grpc::GrpcStatus;
use crate::formatter::operator::{Headers, MetadataOf, Moment, Operator};

use AddressOf::{
    DownstreamDirectRemote, DownstreamLocal, DownstreamRemote, UpstreamHost, UpstreamHostAttempted,
    UpstreamLocal, UpstreamRemote,
};
use AddressPart::{EndpointId, Port, Whole, WithoutPort};
use Build::{Field as F, Refused, With};

const fn address(of: AddressOf, part: AddressPart) -> Build {
    F(Field::Address(of, part))
}

/// Operators by name, sorted.
pub(super) const COMMANDS: &[(&str, Build)] = &[
    ("ACCESS_LOG_TYPE", F(Field::AccessLogType)),
    ("BYTES_RECEIVED", F(Field::BytesReceived)),
    // QUIC only, as in Envoy.
    ("BYTES_RETRANSMITTED", F(Field::Zero)),
    ("BYTES_SENT", F(Field::BytesSent)),
    ("CEL", Refused),
    (
        "CLUSTER_METADATA",
        With(Takes::Argument, |c| metadata_of(c, MetadataOf::Cluster)),
    ),
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
    (
        "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED",
        F(Field::DownstreamPlainHeaderBytesReceived),
    ),
    (
        "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT",
        F(Field::DownstreamPlainHeaderBytesSent),
    ),
    // A stream's line is written before its connection ends, so that Envoy, too, knows nothing else.
    ("DOWNSTREAM_DETECTED_CLOSE_TYPE", F(Field::Normal)),
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
    ("DOWNSTREAM_LOCAL_CLOSE_REASON", F(Field::Absent)),
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
    ("UPSTREAM_CLUSTER_RAW", F(Field::UpstreamClusterRaw)),
    ("UPSTREAM_CONNECTION_ID", F(Field::UpstreamConnectionId)),
    // Of the last try, as in Envoy: what went before is not in its upstream's info.
    (
        "UPSTREAM_CONNECTION_IDS_ATTEMPTED",
        F(Field::UpstreamConnectionIdAttempted),
    ),
    (
        "UPSTREAM_CONNECTION_POOL_READY_DURATION",
        F(Field::UpstreamPoolReadyDuration),
    ),
    (
        "UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED",
        F(Field::UpstreamHeadBytesReceived),
    ),
    (
        "UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT",
        F(Field::UpstreamHeaderBytesSent),
    ),
    ("UPSTREAM_DETECTED_CLOSE_TYPE", F(Field::UpstreamCloseType)),
    (
        "UPSTREAM_FILTER_STATE",
        With(Takes::MaybeArgumentAndLength, upstream_filter_state),
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
    (
        "UPSTREAM_HOSTS_ATTEMPTED",
        address(UpstreamHostAttempted, Whole),
    ),
    (
        "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT",
        address(UpstreamHostAttempted, WithoutPort),
    ),
    ("UPSTREAM_HOST_NAME", F(Field::UpstreamHostName)),
    (
        "UPSTREAM_HOST_NAMES_ATTEMPTED",
        F(Field::UpstreamHostNameAttempted(false)),
    ),
    (
        "UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT",
        F(Field::UpstreamHostNameAttempted(true)),
    ),
    (
        "UPSTREAM_HOST_NAME_WITHOUT_PORT",
        F(Field::UpstreamHostNameWithoutPort),
    ),
    ("UPSTREAM_LOCAL_ADDRESS", address(UpstreamLocal, Whole)),
    (
        "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        address(UpstreamLocal, WithoutPort),
    ),
    ("UPSTREAM_LOCAL_CLOSE_REASON", F(Field::Absent)),
    ("UPSTREAM_LOCAL_DNS_SAN", F(Field::Absent)),
    ("UPSTREAM_LOCAL_IP_SAN", F(Field::Absent)),
    ("UPSTREAM_LOCAL_PORT", address(UpstreamLocal, Port)),
    ("UPSTREAM_LOCAL_URI_SAN", F(Field::Absent)),
    (
        "UPSTREAM_METADATA",
        With(Takes::Argument, |c| {
            metadata_of(c, MetadataOf::UpstreamHost)
        }),
    ),
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
    ("VIRTUAL_CLUSTER_NAME", F(Field::VirtualClusterName)),
    ("XFCC_VALUE", With(Takes::ArgumentAndLength, xfcc_value)),
];
