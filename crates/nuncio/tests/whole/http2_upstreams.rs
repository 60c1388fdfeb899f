//! Origins that speak HTTP/2: every pairing with clients, well and badly behaved.

mod failures;
mod flow;
mod pairings;
mod tunnels;

use nuncio_testing::{Cluster, Config, H2Origin, Proxy};

/// Fields of a cluster whose hosts speak HTTP/2, with these options and these common ones.
pub(crate) fn http2_with(options: &str, common: &str) -> String {
    format!(
        "typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{\
         '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, \
         common_http_protocol_options: {{{common}}}, \
         explicit_http_config: {{http2_protocol_options: {{{options}}}}}}}}}, "
    )
}

/// All requests go to this origin, by HTTP/2.
fn to(origin: &H2Origin) -> Config {
    to_with(origin, "")
}

/// The same with these HTTP/2 options.
fn to_with(origin: &H2Origin, options: &str) -> Config {
    let fields = http2_with(options, "");
    Config::of(Cluster::new("origin", &[origin.address], &fields))
}

/// Nothing is left of what the test did.
#[track_caller]
pub(crate) fn assert_idle(proxy: &mut Proxy) {
    for gauge in [
        "http.ingress.downstream_rq_active",
        "cluster.origin.upstream_rq_active",
        "cluster.origin.upstream_rq_pending_active",
        "cluster.origin.http2.streams_active",
        "cluster.origin.http2.pending_send_bytes",
        "cluster.origin.http2.outbound_frames_active",
        "cluster.origin.http2.outbound_control_frames_active",
        "cluster.origin.http2.deferred_stream_close",
    ] {
        proxy.wait_for_stat(gauge, 0);
    }
    proxy.assert_alive();
}
