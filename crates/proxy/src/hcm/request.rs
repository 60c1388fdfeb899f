//! What a connection manager does to a request's headers before the filters see them
//! (Envoy's `ConnectionManagerUtility::mutateRequestHeaders`).

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use nuncio_http::h1::list_contains;
use nuncio_http::{HeaderMap, Known, KnownSet, is_valid_referer};
use nuncio_net::Address;
use nuncio_route::WorkerRouteTable;
use nuncio_sdk::{ConnectionInfo, LocalReply, StreamInfo};

use super::config::{ForwardClientCert, ForwardProto, HcmConfig};
use super::forwarded::{self, ForwardedClient};
use super::original_ip;

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

/// Prepares a request: early changes, hop-by-hop headers, client address, scheme, `x-envoy-*`, request id.
///
/// # Errors
/// The answer to a request whose client is not told as it must be.
pub(crate) fn prepare(
    headers: &mut HeaderMap,
    info: &mut StreamInfo,
    config: &HcmConfig,
    routes: &WorkerRouteTable,
) -> Result<(), LocalReply> {
    let connection = info.connection.clone();
    for changes in &config.early_changes {
        changes.apply(headers, |addition, headers| {
            addition.apply_to_request(headers, info);
        });
    }
    remove_hop_by_hop(headers);
    let client = client_address(headers, &connection, config)?;
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
    Ok(())
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
) -> Result<Option<ForwardedClient>, LocalReply> {
    let peer = peer_ip(connection);
    if !config.use_remote_address {
        if config.original_ip.is_empty() {
            let client = forwarded::client_of(headers, config.xff_num_trusted_hops);
            return Ok(client);
        }
        return original_ip::detect(&config.original_ip, headers, peer, |headers| {
            append_peer(headers, peer, config);
        });
    }
    let trusted = !headers.contains(Known::XForwardedFor);
    let client = if config.xff_num_trusted_hops > 0 {
        forwarded::client_of(headers, config.xff_num_trusted_hops - 1)
            .map(|client| client.address)
            .or(peer)
    } else {
        peer
    };
    if !config.skip_xff_append {
        append_peer(headers, peer, config);
    }
    Ok(client.map(|address| ForwardedClient { address, trusted }))
}

/// Adds the peer to `x-forwarded-for`.
fn append_peer(headers: &mut HeaderMap, peer: Option<IpAddr>, config: &HcmConfig) {
    let Some(peer) = peer else { return };
    let shown = match config.local_address {
        Some(local) if peer.is_loopback() => local,
        _ if config.ipv4_as_mapped_ipv6 => forwarded::mapped(peer),
        _ => peer,
    };
    forwarded::append(headers, shown);
}

/// `x-forwarded-proto` and `x-forwarded-port`: what an untrusted peer says of them does not count.
fn forward_proto(headers: &mut HeaderMap, connection: &ConnectionInfo, config: &HcmConfig) {
    let distrust = config.use_remote_address && config.xff_num_trusted_hops == 0;
    if distrust || !headers.contains(Known::XForwardedProto) {
        let scheme = match &config.forward_proto {
            Some(by_port) => scheme_by_port(by_port, connection),
            None => scheme_of(connection),
        };
        headers.set(Known::XForwardedProto, scheme);
    }
    if config.append_x_forwarded_port
        && (distrust || !headers.contains(Known::XForwardedPort))
        && let Some(port) = connection.local_address.port()
    {
        headers.set_number(Known::XForwardedPort, u64::from(port));
    }
}

/// As the port says that the client meant to connect to, if somebody has told it.
fn scheme_by_port(by_port: &ForwardProto, connection: &ConnectionInfo) -> &'static [u8] {
    let restored = connection.local_address_restored;
    let meant = restored.then(|| connection.local_address.port()).flatten();
    meant
        .and_then(|port| by_port.scheme(port))
        .unwrap_or_else(|| scheme_of(connection))
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
    use nuncio_config::api::hcm::ForwardProtoConfig;

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
    fn a_restored_port_tells_the_scheme() {
        let by_port = ForwardProto::new(ForwardProtoConfig {
            https_destination_ports: vec![443, 555, 70_000],
            http_destination_ports: vec![80, 555],
        });
        let connection = |port, restored| {
            let address = |port| Rc::new(Address::parse_ip("127.0.0.1", port).unwrap());
            ConnectionInfo {
                id: 1,
                remote_address: address(1),
                direct_remote_address: address(1),
                local_address: address(port),
                local_address_restored: restored,
                listener_name: "".into(),
                filter_chain_name: "".into(),
                listener_metadata: None,
                filter_chain_metadata: None,
                tls: false,
                start: tokio::time::Instant::now(),
            }
        };
        for (port, restored, scheme) in [
            (443, true, &b"https"[..]),
            (443, false, b"http"),
            (555, true, b"https"),
            (80, true, b"http"),
            (8080, true, b"http"),
        ] {
            assert_eq!(
                scheme_by_port(&by_port, &connection(port, restored)),
                scheme
            );
        }
        let tls = ConnectionInfo {
            tls: true,
            ..connection(80, true)
        };
        assert_eq!(scheme_by_port(&by_port, &tls), b"http");
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
