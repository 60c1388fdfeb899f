//! HAProxy as a proxy.

use super::{LONG, Protocol, Setup};

/// One thread, upstream connections shared by all requests; an access log goes to standard output.
pub(crate) fn proxy(setup: &Setup) -> String {
    let Setup {
        listener,
        origin,
        connections,
        downstream,
        upstream,
        ..
    } = setup;
    let (target, log) = if setup.access_log.is_some() {
        (
            "    log stdout format raw local0\n",
            "    log global\n    option httplog\n",
        )
    } else {
        ("", "")
    };
    let protocol = |side: &Protocol| match side {
        Protocol::Http1 => "",
        Protocol::Http2 => " proto h2",
    };
    let (front, back) = (protocol(downstream), protocol(upstream));
    // HAProxy plans two descriptors for each connection.
    let maximum = connections + 200;
    format!(
        "global
    nbthread 1
    maxconn {maximum}
{target}defaults
    mode http
{log}    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client {LONG}s
    timeout server {LONG}s
    timeout http-keep-alive {LONG}s
frontend front
    bind 127.0.0.1:{listener}{front}
    default_backend origin
backend origin
    server origin 127.0.0.1:{origin}{back}
"
    )
}
