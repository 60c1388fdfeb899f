//! What a connection manager does to a response's headers before they are sent
//! (Envoy's `ConnectionManagerUtility::mutateResponseHeaders`).

use nuncio_http::{HeaderMap, Known, KnownSet};
use nuncio_sdk::StreamInfo;

use super::config::{HcmConfig, ServerHeader};
use super::proxy_status::Facts;
use super::request::is_upgrade;

/// Headers that concern one hop only.
const HOP_BY_HOP: KnownSet = KnownSet::of(&[
    Known::TransferEncoding,
    Known::KeepAlive,
    Known::ProxyConnection,
]);
/// Those that concern one hop unless there is an upgrade.
const OF_UPGRADES: KnownSet = KnownSet::of(&[Known::Connection, Known::Upgrade]);

/// Removes what concerns the upstream connection only; of an informational response, too.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap, request_headers: &HeaderMap) {
    if !(is_upgrade(request_headers) && is_upgrade(headers)) {
        headers.remove_all(OF_UPGRADES);
    }
    headers.remove_all(HOP_BY_HOP);
}

/// Prepares a response: `date`, `server`, hop-by-hop headers, `via`, request id, `proxy-status`. `date` is the current one.
pub(crate) fn prepare(
    headers: &mut HeaderMap,
    request_headers: &HeaderMap,
    info: &StreamInfo,
    config: &HcmConfig,
    date: &[u8],
) {
    if !headers.contains(Known::Date) {
        headers.append(Known::Date, date);
    }
    let set_server = match config.server_header {
        ServerHeader::Overwrite => true,
        ServerHeader::AppendIfAbsent => !headers.contains(Known::Server),
        ServerHeader::PassThrough => false,
    };
    if set_server {
        headers.set(Known::Server, config.server_name.as_bytes());
    }
    remove_hop_by_hop(headers, request_headers);
    let tell_id = config.always_set_request_id_in_response
        || request_headers.contains(Known::XEnvoyForceTrace);
    if tell_id && let Some(id) = request_headers.get(Known::XRequestId) {
        headers.set(Known::XRequestId, id);
    }
    if !config.via.is_empty() {
        headers.append_to_value(Known::Via, b", ", config.via.as_bytes());
    }
    if let Some(proxy_status) = &config.proxy_status {
        proxy_status.apply(headers, Facts::of(info));
    }
}
