//! The beginning of a connection.

use std::time::Duration;

use super::{PREFACE, flag, frame, is_session, kind};
use crate::conn::{Conn, wait_until};

/// How long the peer's settings are waited for.
const LIMIT: Duration = Duration::from_secs(3);

/// Sends preface and settings, waits for the proxy's settings and acknowledges them.
pub(crate) fn as_client(conn: &Conn, settings: &[u8]) {
    conn.send(&[PREFACE, settings].concat());
    wait_until(LIMIT, || {
        let received = conn.received();
        is_session(&received.bytes) || received.ended.is_some()
    });
    conn.send(&frame(kind::SETTINGS, flag::ACK, 0, &[]));
}

/// Sends settings and acknowledges the proxy's, which have come when `ready` says so.
pub(crate) fn as_server(conn: &Conn, settings: &[u8]) {
    conn.send(settings);
    conn.send(&frame(kind::SETTINGS, flag::ACK, 0, &[]));
}
