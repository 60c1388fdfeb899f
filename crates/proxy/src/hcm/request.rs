//! What a connection manager does to a request's headers before the filters see them
//! (Envoy's `ConnectionManagerUtility::mutateRequestHeaders`).

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use nuncio_http::h1::list_contains;
use nuncio_http::{HeaderMap, Known, KnownSet, is_valid_referer};
use nuncio_net::Address;
use nuncio_route::WorkerRouteTable;
use nuncio_sdk::{ConnectionInfo, StreamInfo};

use super::config::{ForwardClientCert, HcmConfig};
use super::forwarded::{self, ForwardedClient};

/// Headers that only requests from inside may carry.
const INTERNAL_ONLY: KnownSet = KnownSet::of(&[
    Known::XEnvoyRetriableStatusCodes,
    Known::XEnvoyRetriableHeaderNames,
    Known::XEnvoyRetryOn,
    Known::XEnvoyRetryGrpcOn,
    Known::XEnvoyMaxRetries,
    Known::XEnvoyUpstreamAltStatName,
    Known::XEnvoyUpstreamRqTimeoutMs,
    Known::XEnvoyUpstreamRqPerTryTimeoutMs,
    Known::XEnvoyUpstreamRqTimeoutAltResponse,
    Known::XEnvoyExpectedRqTimeoutMs,
    Known::XEnvoyUpstreamStreamDurationMs,
    Known::XEnvoyForceTrace,
    Known::XEnvoyIpTags,
    Known::XEnvoyHedgeOnPerTryTimeout,
    Known::XEnvoyOriginalUrl,
]);

/// Headers that concern one hop only, those excepted that an upgrade needs.
const HOP_BY_HOP: KnownSet = KnownSet::of(&[
    Known::XEnvoyInternal,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
]);

/// Headers that are removed from requests that enter the mesh here.
const NOT_FROM_OUTSIDE: KnownSet = KnownSet::of(&[
    Known::XEnvoyDecoratorOperation,
    Known::XEnvoyDownstreamServiceCluster,
    Known::XEnvoyDownstreamServiceNode,
    Known::XEnvoyOriginalPath,
    Known::XEnvoyOriginalHost,
]);

/// Whether the request asks for another protocol (RFC 9110 §7.8).
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains(Known::Upgrade)
        && headers
            .get(Known::Connection)
            .is_some_and(|value| list_contains(value, b"upgrade"))
}

/// Prepares a request: hop-by-hop headers, client address, scheme, `x-envoy-*`, request id.
pub(crate) fn prepare(
    headers: &mut HeaderMap,
    info: &mut StreamInfo,
    config: &HcmConfig,
    routes: &WorkerRouteTable,
) {
    let connection = info.connection.clone();
    remove_hop_by_hop(headers);
    let client = client_address(headers, &connection, config);
    forward_proto(headers, &connection, config);
    set_scheme(headers, &connection, config);

    let internal = client.is_some_and(|client| {
        client.trusted
            && config
                .internal_addresses
                .iter()
                .any(|range| range.contains(client.address))
    }) || (config.internal_unix_sockets
        && matches!(*connection.remote_address, Address::Pipe { .. }));
    let edge = config.use_remote_address && !internal;
    if internal {
        headers.set(Known::XEnvoyInternal, b"true");
    } else {
        if edge {
            headers.remove_all(NOT_FROM_OUTSIDE);
        }
        headers.remove_all(INTERNAL_ONLY);
        for name in routes.table().internal_only_headers() {
            headers.remove(name);
        }
    }

    if let Some(cluster) = &config.user_agent {
        headers.set(Known::XEnvoyDownstreamServiceCluster, cluster.as_bytes());
        if headers.get(Known::UserAgent).is_none_or(<[u8]>::is_empty) {
            headers.set(Known::UserAgent, cluster.as_bytes());
        }
        if !config.node_id.is_empty() {
            headers.set(
                Known::XEnvoyDownstreamServiceNode,
                config.node_id.as_bytes(),
            );
        }
    }

    if !config.via.is_empty() {
        headers.append_to_value(Known::Via, b", ", config.via.as_bytes());
    }
    if let Some(client) = client {
        if edge {
            headers.set(
                Known::XEnvoyExternalAddress,
                client.address.to_string().as_bytes(),
            );
        }
        if Some(client.address) != peer_ip(&connection) {
            info.remote_address = Rc::new(Address::Ip(SocketAddr::new(client.address, 0)));
        }
    }
    if let Some(request_ids) = config.request_ids {
        request_ids.ensure(headers, edge);
    }
    // Client certificates arrive with TLS; a connection without one may pass the header on only if told always to.
    if config.forward_client_cert != ForwardClientCert::AlwaysForwardOnly {
        headers.remove(Known::XForwardedClientCert);
    }
}

/// RFC 9110 §7.6.1, except that an upgrade goes on as it is. What `connection` names was removed by the codec.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if !is_upgrade(headers) {
        headers.remove(Known::Connection);
        headers.remove(Known::Upgrade);
        sanitize_te(headers);
    }
    headers.remove_all(HOP_BY_HOP);
    if headers
        .get(Known::Referer)
        .is_some_and(|value| !is_valid_referer(value))
    {
        headers.remove(Known::Referer);
    }
}

/// Only `te: trailers` concerns more than one hop; as in Envoy, it has no weight and is written in lower case.
fn sanitize_te(headers: &mut HeaderMap) {
    let trailers = match headers.get(Known::Te) {
        None | Some(b"") => return,
        Some(te) => te
            .split(|&b| b == b',')
            .any(|part| part.trim_ascii() == b"trailers"),
    };
    if trailers {
        headers.set(Known::Te, b"trailers");
    } else {
        headers.remove(Known::Te);
    }
}

fn peer_ip(connection: &ConnectionInfo) -> Option<IpAddr> {
    connection.remote_address.ip().map(|peer| peer.ip())
}

/// Settles who the client is, and adds the peer to `x-forwarded-for` where the connection manager is told to.
fn client_address(
    headers: &mut HeaderMap,
    connection: &ConnectionInfo,
    config: &HcmConfig,
) -> Option<ForwardedClient> {
    if !config.use_remote_address {
        return forwarded::client_of(headers, config.xff_num_trusted_hops);
    }
    let peer = peer_ip(connection);
    let trusted = !headers.contains(Known::XForwardedFor);
    let client = if config.xff_num_trusted_hops > 0 {
        forwarded::client_of(headers, config.xff_num_trusted_hops - 1)
            .map(|client| client.address)
            .or(peer)
    } else {
        peer
    };
    if let (false, Some(peer)) = (config.skip_xff_append, peer) {
        let shown = match config.local_address {
            Some(local) if peer.is_loopback() => local,
            _ if config.ipv4_as_mapped_ipv6 => forwarded::mapped(peer),
            _ => peer,
        };
        forwarded::append(headers, shown);
    }
    client.map(|address| ForwardedClient { address, trusted })
}

/// `x-forwarded-proto` and `x-forwarded-port`: what an untrusted peer says of them does not count.
fn forward_proto(headers: &mut HeaderMap, connection: &ConnectionInfo, config: &HcmConfig) {
    let distrust = config.use_remote_address && config.xff_num_trusted_hops == 0;
    if distrust || !headers.contains(Known::XForwardedProto) {
        headers.set(Known::XForwardedProto, scheme_of(connection));
    }
    if config.append_x_forwarded_port
        && (distrust || !headers.contains(Known::XForwardedPort))
        && let Some(port) = connection.local_address.port()
    {
        headers.set_number(Known::XForwardedPort, u64::from(port));
    }
}

fn scheme_of(connection: &ConnectionInfo) -> &'static [u8] {
    if connection.tls { b"https" } else { b"http" }
}

fn set_scheme(headers: &mut HeaderMap, connection: &ConnectionInfo, config: &HcmConfig) {
    if let Some(scheme) = &config.scheme_to_set {
        headers.set(Known::Scheme, scheme.as_bytes());
        headers.set(Known::XForwardedProto, scheme.as_bytes());
        return;
    }
    let scheme: &[u8] = match headers.scheme() {
        Some(b"http" | b"https") => return,
        Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => b"http",
        Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => b"https",
        // Absent (HTTP/1), or none that Envoy knows.
        _ => match headers.get(Known::XForwardedProto) {
            Some(b"http") => b"http",
            Some(b"https") => b"https",
            _ => scheme_of(connection),
        },
    };
    headers.set(Known::Scheme, scheme);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn te_keeps_trailers_only() {
        for (value, kept) in [
            (&b"trailers"[..], true),
            (b"gzip, trailers ", true),
            (b"Trailers", false),
            (b"trailers;q=0.5", false),
            (b"gzip", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(Known::Te, value);
            sanitize_te(&mut headers);
            assert_eq!(headers.get(Known::Te), kept.then_some(&b"trailers"[..]));
        }
    }

    #[test]
    fn upgrades_need_both_headers() {
        let mut headers = HeaderMap::new();
        headers.append(Known::Upgrade, b"websocket");
        assert!(!is_upgrade(&headers));
        headers.append(Known::Connection, b"keep-alive, Upgrade");
        assert!(is_upgrade(&headers));
    }
}
