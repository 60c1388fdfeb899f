//! Extended CONNECT (RFC 8441) and the upgrade of HTTP/1.1 that it stands for.
//!
//! Filters, routes and HTTP/1 upstreams know upgrades only in their HTTP/1.1 form, as in Envoy.

use nuncio_http::{HeaderMap, Known};

/// Turns an extended CONNECT request into a request for an upgrade. Returns whether it was one.
pub(super) fn request_to_http1(headers: &mut HeaderMap) -> bool {
    let Some(protocol) = headers.get(Known::Protocol) else {
        return false;
    };
    if headers.method() != Some(b"CONNECT") {
        return false;
    }
    let protocol = protocol.to_vec();
    headers.set(Known::Method, b"GET");
    headers.set(Known::Upgrade, &protocol);
    headers.set(Known::Connection, b"upgrade");
    headers.remove(Known::Protocol);
    true
}

/// Turns the response to an upgrade into that to the extended CONNECT.
pub(super) fn response_to_http2(headers: &mut HeaderMap) {
    if headers.status() == Some(101) {
        headers.set_status(200);
    }
    headers.remove(Known::Upgrade);
    headers.remove(Known::Connection);
    if headers.get(Known::ContentLength) == Some(b"0") {
        headers.remove(Known::ContentLength);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extended_connect_is_an_upgrade() {
        let mut headers: HeaderMap = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":path", "/chat"),
        ]
        .into_iter()
        .collect();
        assert!(request_to_http1(&mut headers));
        let expected: HeaderMap = [
            (":method", "GET"),
            (":path", "/chat"),
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
        ]
        .into_iter()
        .collect();
        assert_eq!(headers, expected);
        let mut plain: HeaderMap = [(":method", "CONNECT")].into_iter().collect();
        assert!(!request_to_http1(&mut plain));
    }

    #[test]
    fn switching_protocols_is_a_success() {
        let mut headers: HeaderMap = [
            (":status", "101"),
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
        ]
        .into_iter()
        .collect();
        response_to_http2(&mut headers);
        let expected: HeaderMap = [(":status", "200")].into_iter().collect();
        assert_eq!(headers, expected);
    }
}
