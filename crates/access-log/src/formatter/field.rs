//! Operators without argument: one value of the stream each.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nuncio_event::clock;
use nuncio_http::Known;
use nuncio_net::Address;
use nuncio_sdk::{AccessLogType, LogContext, StreamInfo};
use rand::RngCore;

use super::duration::since_start;
use super::operator::{Written, replace_blanks};

/// Which part of an address is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressPart {
    Whole,
    WithoutPort,
    Port,
    /// `endpoint_id` of an internal address, empty for every other.
    EndpointId,
}

/// One of a stream's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressOf {
    UpstreamHost,
    /// The host, once there is a connection to it.
    UpstreamHostAttempted,
    UpstreamLocal,
    UpstreamRemote,
    DownstreamLocal,
    DownstreamRemote,
    DownstreamDirectRemote,
}

/// The operators that take neither argument nor length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Nothing in this proxy can set it (TLS, tracing …): always missing.
    Absent,
    /// Always the empty text.
    Empty,
    /// Always zero: TCP connections have none.
    Zero,
    Protocol,
    UpstreamProtocol,
    ResponseCode,
    ResponseFlags,
    ResponseFlagsLong,
    ConnectionTerminationDetails,
    BytesReceived,
    BytesSent,
    DownstreamWireBytesReceived,
    DownstreamWireBytesSent,
    DownstreamHeaderBytesReceived,
    DownstreamHeaderBytesSent,
    DownstreamPlainHeaderBytesReceived,
    DownstreamPlainHeaderBytesSent,
    UpstreamHeadBytesReceived,
    UpstreamWireBytesReceived,
    UpstreamWireBytesSent,
    UpstreamHeaderBytesReceived,
    UpstreamHeaderBytesSent,
    RequestHeadersBytes,
    ResponseHeadersBytes,
    ResponseTrailersBytes,
    Duration,
    RequestDuration,
    RequestTxDuration,
    ResponseDuration,
    ResponseTxDuration,
    UpstreamPoolReadyDuration,
    UpstreamHostName,
    UpstreamHostNameWithoutPort,
    UpstreamCluster,
    UpstreamClusterRaw,
    UpstreamConnectionId,
    UpstreamConnectionIdAttempted,
    /// Without its port?
    UpstreamHostNameAttempted(bool),
    UpstreamCloseType,
    /// Always `Normal`.
    Normal,
    UpstreamRequestAttemptCount,
    UpstreamTransportFailureReason,
    Address(AddressOf, AddressPart),
    RouteName,
    VirtualClusterName,
    ConnectionId,
    StreamId,
    UniqueId,
    FilterChainName,
    ListenerName,
    LocalReplyBody,
    AccessLogType,
}

impl Field {
    pub(super) fn write(self, cx: &LogContext<'_>, out: &mut Vec<u8>) -> Written {
        let info = cx.info;
        match self {
            Field::Absent => Written::Nothing,
            Field::Empty => Written::Text,
            Field::Zero => number(0, out),
            Field::Protocol => optional(info.protocol.map(|protocol| protocol.as_str()), out),
            Field::UpstreamProtocol => optional(
                info.upstream.protocol.map(|protocol| protocol.as_str()),
                out,
            ),
            Field::ResponseCode => number(info.response_code.unwrap_or(0).into(), out),
            Field::ResponseFlags => flags(info.flags.is_empty(), info.flags.short_names(), out),
            Field::ResponseFlagsLong => flags(info.flags.is_empty(), info.flags.long_names(), out),
            Field::ConnectionTerminationDetails => {
                optional(info.connection_termination_details.as_deref(), out)
            }
            Field::BytesReceived => number(info.bytes_received, out),
            Field::BytesSent => number(info.bytes_sent, out),
            Field::DownstreamWireBytesReceived => number(info.wire_bytes_received, out),
            Field::DownstreamWireBytesSent => number(info.wire_bytes_sent, out),
            Field::DownstreamHeaderBytesReceived => number(info.header_bytes_received, out),
            Field::DownstreamHeaderBytesSent => number(info.header_bytes_sent, out),
            Field::DownstreamPlainHeaderBytesReceived => {
                number(info.plain_header_bytes_received, out)
            }
            Field::DownstreamPlainHeaderBytesSent => number(info.plain_header_bytes_sent, out),
            Field::UpstreamHeadBytesReceived => number(info.upstream.head_bytes_received, out),
            Field::UpstreamWireBytesReceived => number(info.upstream.wire_bytes_received, out),
            Field::UpstreamWireBytesSent => number(info.upstream.wire_bytes_sent, out),
            Field::UpstreamHeaderBytesReceived => number(info.upstream.header_bytes_received, out),
            Field::UpstreamHeaderBytesSent => number(info.upstream.header_bytes_sent, out),
            Field::RequestHeadersBytes => number(cx.request_headers.byte_size() as u64, out),
            Field::ResponseHeadersBytes => number(cx.response_headers.byte_size() as u64, out),
            Field::ResponseTrailersBytes => number(cx.response_trailers.byte_size() as u64, out),
            Field::Duration => {
                // The clock is asked only while the stream runs.
                let now = info.end.unwrap_or_else(clock::now);
                millis(Some(info.duration(now)), out)
            }
            Field::RequestDuration => {
                millis(since_start(info, info.timing.last_downstream_rx), out)
            }
            Field::RequestTxDuration => {
                millis(since_start(info, info.timing.last_upstream_tx), out)
            }
            Field::ResponseDuration => {
                millis(since_start(info, info.timing.first_upstream_rx), out)
            }
            Field::ResponseTxDuration => millis(response_tx(info), out),
            Field::UpstreamPoolReadyDuration => millis(info.timing.upstream_pool_ready, out),
            Field::UpstreamHostName => host_name(info, false, out),
            Field::UpstreamHostNameWithoutPort => host_name(info, true, out),
            Field::UpstreamCluster => match &info.cluster_alt_name {
                Some(name) => non_empty(name, out),
                None => non_empty(info.cluster_name.as_deref().unwrap_or_default(), out),
            },
            Field::UpstreamClusterRaw => {
                non_empty(info.cluster_name.as_deref().unwrap_or_default(), out)
            }
            Field::UpstreamConnectionId => number(info.upstream.connection_id.unwrap_or(0), out),
            Field::UpstreamConnectionIdAttempted => match info.upstream.connection_id {
                Some(id) => {
                    number(id, out);
                    Written::Text
                }
                None => Written::Nothing,
            },
            Field::UpstreamHostNameAttempted(without_port) => match info.upstream.connection_id {
                Some(_) => host_name(info, without_port, out),
                None => Written::Nothing,
            },
            Field::Normal => optional(Some("Normal"), out),
            Field::UpstreamCloseType => {
                optional(info.upstream.host.as_ref().map(|_| "Normal"), out)
            }
            Field::UpstreamRequestAttemptCount => number(info.upstream.attempt_count.into(), out),
            Field::UpstreamTransportFailureReason => {
                let start = out.len();
                let written = non_empty(&info.upstream.transport_failure_reason, out);
                replace_blanks(&mut out[start..]);
                written
            }
            Field::Address(of, part) => match find_address(info, of) {
                Some(address) => write_address(address, part, out),
                None => Written::Nothing,
            },
            Field::VirtualClusterName => optional(info.virtual_cluster_name.as_deref(), out),
            Field::RouteName => match &info.route {
                Some(route) => non_empty(route.route_name(), out),
                None => Written::Nothing,
            },
            Field::ConnectionId => number(info.connection.id, out),
            Field::StreamId => match cx.request_headers.get(Known::XRequestId) {
                Some(id) => {
                    out.extend_from_slice(id);
                    Written::Text
                }
                None => Written::Nothing,
            },
            Field::UniqueId => unique_id(out),
            Field::FilterChainName => non_empty(&info.connection.filter_chain_name, out),
            Field::ListenerName => non_empty(&info.connection.listener_name, out),
            Field::LocalReplyBody => {
                out.extend_from_slice(info.local_reply_body.as_bytes());
                Written::Text
            }
            Field::AccessLogType => optional(Some(log_type_name(cx.log_type)), out),
        }
    }
}

/// The enum's name (`envoy.data.accesslog.v3.AccessLogType`).
fn log_type_name(log_type: AccessLogType) -> &'static str {
    match log_type {
        AccessLogType::NotSet => "NotSet",
        AccessLogType::DownstreamStart => "DownstreamStart",
        AccessLogType::DownstreamPeriodic => "DownstreamPeriodic",
        AccessLogType::DownstreamEnd => "DownstreamEnd",
        AccessLogType::DownstreamTunnelSuccessfullyEstablished => {
            "DownstreamTunnelSuccessfullyEstablished"
        }
    }
}

/// Appends a decimal number.
pub(super) fn number(value: u64, out: &mut Vec<u8>) -> Written {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    Written::Json
}

fn millis(value: Option<Duration>, out: &mut Vec<u8>) -> Written {
    match value {
        Some(value) => number(value.as_millis() as u64, out),
        None => Written::Nothing,
    }
}

fn optional(text: Option<&str>, out: &mut Vec<u8>) -> Written {
    out.extend_from_slice(text.unwrap_or("").as_bytes());
    Written::text_if(text.is_some())
}

fn non_empty(text: &str, out: &mut Vec<u8>) -> Written {
    optional(Some(text).filter(|text| !text.is_empty()), out)
}

fn flags(none: bool, names: impl Iterator<Item = &'static str>, out: &mut Vec<u8>) -> Written {
    if none {
        out.push(b'-');
        return Written::Text;
    }
    for (index, name) in names.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
    }
    Written::Text
}

fn response_tx(info: &StreamInfo) -> Option<Duration> {
    let sent = info.timing.last_downstream_tx?;
    Some(sent.saturating_duration_since(info.timing.first_upstream_rx?))
}

fn find_address(info: &StreamInfo, of: AddressOf) -> Option<&Address> {
    let upstream = &info.upstream;
    match of {
        AddressOf::UpstreamHost => Some(upstream.host.as_ref()?.address()),
        AddressOf::UpstreamHostAttempted => {
            upstream.connection_id?;
            Some(upstream.host.as_ref()?.address())
        }
        AddressOf::UpstreamLocal => upstream.local_address.as_deref(),
        // Known once a connection exists, unlike the host, which is known once it was chosen.
        AddressOf::UpstreamRemote => {
            upstream.connection_id?;
            match &upstream.other_address {
                Some(other) => Some(other),
                None => Some(upstream.host.as_ref()?.address()),
            }
        }
        AddressOf::DownstreamLocal => Some(&info.connection.local_address),
        AddressOf::DownstreamRemote => Some(&info.remote_address),
        AddressOf::DownstreamDirectRemote => Some(&info.connection.direct_remote_address),
    }
}

fn write_address(address: &Address, part: AddressPart, out: &mut Vec<u8>) -> Written {
    match (part, address) {
        (AddressPart::Whole, Address::Ip(ip)) => write_socket_address(*ip, out),
        (AddressPart::WithoutPort, Address::Ip(ip)) => write_ip(ip.ip(), out),
        (AddressPart::Port, Address::Ip(ip)) => return number(ip.port().into(), out),
        (AddressPart::Port, _) => return Written::Nothing,
        (AddressPart::EndpointId, Address::Internal { endpoint, .. }) => {
            out.extend_from_slice(endpoint.as_bytes());
        }
        (AddressPart::EndpointId, _) => {}
        (AddressPart::Whole | AddressPart::WithoutPort, other) => write_display(other, out),
    }
    Written::Text
}

fn write_socket_address(address: SocketAddr, out: &mut Vec<u8>) {
    match address {
        SocketAddr::V4(v4) => {
            write_ip((*v4.ip()).into(), out);
            out.push(b':');
            number(v4.port().into(), out);
        }
        SocketAddr::V6(_) => write_display(&address, out),
    }
}

/// IPv4 by hand: the formatting machinery of the standard library costs more than the rest of a log line.
fn write_ip(ip: IpAddr, out: &mut Vec<u8>) {
    match ip {
        IpAddr::V4(v4) => {
            for (index, octet) in v4.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                number(octet.into(), out);
            }
        }
        IpAddr::V6(v6) => write_display(&v6, out),
    }
}

fn write_display(value: &dyn std::fmt::Display, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}");
}

/// The endpoint's host name, or its address when it has none.
fn host_name(info: &StreamInfo, without_port: bool, out: &mut Vec<u8>) -> Written {
    let Some(host) = &info.upstream.host else {
        return Written::Nothing;
    };
    let name = host.hostname();
    if name.is_empty() {
        let part = if without_port {
            AddressPart::WithoutPort
        } else {
            AddressPart::Whole
        };
        return write_address(host.address(), part, out);
    }
    out.extend_from_slice(if without_port { strip_port(name) } else { name }.as_bytes());
    Written::Text
}

/// `host:80` → `host`; an IPv6 literal keeps its brackets and colons.
fn strip_port(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((host, port))
            if !port.is_empty()
                && port.bytes().all(|byte| byte.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => name,
    }
}

/// A random UUID (version 4), another one each time it is printed.
fn unique_id(out: &mut Vec<u8>) -> Written {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
    Written::Text
}
