//! What a connection counts.

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Events since the last [`Connection::take_counts`](super::Connection::take_counts); the names are those
        /// of Envoy's `http2.*` counters unless said otherwise.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u32,)+
        }
    };
}

counts! {
    /// Request headers left out because of an underscore.
    dropped_headers_with_underscores,
    /// Requests refused because of an underscore.
    requests_rejected_with_underscores_in_headers,
    /// GOAWAY frames sent that end a connection gracefully.
    goaway_sent,
    /// Header blocks with more headers than allowed.
    header_overflow,
    /// Header blocks with more bytes than allowed.
    header_list_size_too_large,
    /// Header blocks whose cookies alone have more bytes than allowed.
    cookies_total_bytes_too_large,
    /// Connections ended by frames without payload.
    inbound_empty_frames_flood,
    /// Connections ended by PRIORITY frames.
    inbound_priority_frames_flood,
    /// Connections ended by WINDOW_UPDATE frames.
    inbound_window_update_frames_flood,
    /// Connections ended because too many control frames wait to be written.
    outbound_control_flood,
    /// Connections ended because too many frames wait to be written.
    outbound_flood,
    /// Messages that break HTTP's rules.
    rx_messaging_error,
    /// RST_STREAM frames received.
    rx_reset,
    /// RST_STREAM frames sent.
    tx_reset,
    /// Streams refused because too many were open.
    stream_refused_errors,
    /// Trailers received.
    trailers,
}
