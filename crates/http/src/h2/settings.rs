//! Settings of the HTTP/2 codec.

use crate::h1::UnderscoreAction;

/// What the codec needs to know of the configuration. Shared by all connections of a listener or cluster.
///
/// Sources: `envoy.config.core.v3.Http2ProtocolOptions` and the limits beside it in the connection manager
/// (`max_request_headers_kb`) and in `HttpProtocolOptions`. Defaults are Envoy 1.40's.
#[derive(Clone, Debug)]
pub struct H2Settings {
    /// `hpack_table_size`: the table that peers may use, and the largest that our encoder uses, in bytes. Default 4096.
    pub hpack_table_size: u32,
    /// `max_concurrent_streams`: what the peer may open (server), what we open at most (client). Default 1024.
    pub max_concurrent_streams: u32,
    /// `initial_stream_window_size` in bytes, 65,535 to 2^31-1. Default 16 MiB.
    pub initial_stream_window_size: u32,
    /// `initial_connection_window_size` in bytes, 65,535 to 2^31-1. Default 24 MiB.
    pub initial_connection_window_size: u32,
    /// `allow_connect`: extended CONNECT (RFC 8441), announced by servers. Default off.
    pub allow_connect: bool,
    /// `custom_settings_parameters`: further SETTINGS to send, in order.
    pub custom_settings: Vec<(u16, u32)>,
    /// `override_stream_error_on_invalid_http_message`: an invalid message ends its stream only, not the connection. Default off.
    pub stream_error_on_invalid_messages: bool,
    /// `enable_huffman_encoding`: how strings of headers are written. Default on.
    pub huffman: bool,
    /// `disallow_obs_text`: refuse bytes above 127 in header values. Default off.
    pub disallow_obs_text: bool,
    /// `max_outbound_frames` that may wait to be written. Default 10,000.
    pub max_outbound_frames: u32,
    /// `max_outbound_control_frames` (PING, SETTINGS, RST_STREAM) that may wait to be written. Default 1000.
    pub max_outbound_control_frames: u32,
    /// `max_consecutive_inbound_frames_with_empty_payload`. Default 1.
    pub max_consecutive_empty_frames: u32,
    /// `max_inbound_priority_frames_per_stream`. Default 100.
    pub max_priority_frames_per_stream: u32,
    /// `max_inbound_window_update_frames_per_data_frame_sent`. Default 10.
    pub max_window_updates_per_data_frame: u32,
    /// `stream_reset_burst`: RST_STREAM frames that may come at once. Default 1000.
    pub stream_reset_burst: u64,
    /// `stream_reset_rate`: RST_STREAM frames a second that may come in the long run. Default 33.
    pub stream_reset_rate: u64,
    /// Most bytes of a header list, as Envoy counts them (`max_request_headers_kb`, `max_response_headers_kb`). Default
    /// 60 KiB (see [`upstream`](Self::upstream)).
    pub max_header_bytes: usize,
    /// Most headers of a list, pseudo headers counted (`max_headers_count`). Default 100.
    pub max_headers: usize,
    /// `max_header_field_size_kb` in bytes: longest name or value as it is on the wire. Default 64 KiB.
    pub max_header_field_bytes: usize,
    /// `headers_with_underscores_action` (requests only). Default: allow.
    pub underscores: UnderscoreAction,
}

impl Default for H2Settings {
    fn default() -> Self {
        Self {
            hpack_table_size: 4096,
            max_concurrent_streams: 1024,
            initial_stream_window_size: 16 << 20,
            initial_connection_window_size: 24 << 20,
            allow_connect: false,
            custom_settings: Vec::new(),
            stream_error_on_invalid_messages: false,
            huffman: true,
            disallow_obs_text: false,
            max_outbound_frames: 10_000,
            max_outbound_control_frames: 1000,
            max_consecutive_empty_frames: 1,
            max_priority_frames_per_stream: 100,
            max_window_updates_per_data_frame: 10,
            stream_reset_burst: 1000,
            stream_reset_rate: 33,
            max_header_bytes: 60 << 10,
            max_headers: 100,
            max_header_field_bytes: 64 << 10,
            underscores: UnderscoreAction::Allow,
        }
    }
}

impl H2Settings {
    /// The defaults for connections to upstream servers: response headers of up to 80 KiB.
    #[must_use]
    pub fn upstream() -> Self {
        Self {
            max_header_bytes: 80 << 10,
            ..Self::default()
        }
    }
}
