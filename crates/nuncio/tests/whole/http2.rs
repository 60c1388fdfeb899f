//! Clients that speak HTTP/2: what they get, what they are bounded by, how they are told to go.

mod ending;
mod flow;
mod hostile;
mod peers;
mod requests;
mod tunnels;

use nuncio_testing::Proxy;

/// Nothing is left of what the test did.
#[track_caller]
fn assert_idle(proxy: &mut Proxy) {
    for gauge in [
        "http.ingress.downstream_cx_http2_active",
        "http.ingress.downstream_rq_active",
        "http2.streams_active",
        "http2.pending_send_bytes",
        "http2.outbound_frames_active",
        "http2.outbound_control_frames_active",
        "cluster.origin.upstream_rq_active",
    ] {
        proxy.wait_for_stat(gauge, 0);
    }
    proxy.assert_alive();
}

/// What stands in an access log line behind the path: status, flags, details.
fn outcome(line: &str) -> &str {
    line.splitn(3, ' ').nth(2).unwrap_or("")
}
