//! HTTP/2 frames in a case file.

use serde::Deserialize;

/// What a client or an origin sends on an HTTP/2 connection: one frame for each of the keys that are given, in the order of
/// this list. Settings in the first entry on a connection are part of its beginning, which is preface (client), settings
/// and the acknowledgement of the proxy's.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Frame {
    /// Without it: 1 for a client, the stream that was read last for an origin, 0 for `window` and `raw`.
    pub stream: Option<u32>,
    /// Sets END_STREAM on headers or data.
    pub end: bool,
    /// `GET /x` or `200` in the first line (`:scheme` and `:authority` are added), then fields; or only fields, also as trailers.
    pub headers: Option<String>,
    /// A header block as hexadecimal dump, in place of `headers`.
    pub block: Option<String>,
    /// Cuts the header block into so many frames: HEADERS and CONTINUATIONs.
    pub pieces: Option<usize>,
    pub data: Option<String>,
    /// RST_STREAM with this code.
    pub reset: Option<u32>,
    /// WINDOW_UPDATE.
    pub window: Option<u32>,
    pub settings: Option<Vec<(u16, u32)>>,
    /// Eight characters.
    pub ping: Option<String>,
    /// GOAWAY with this code; `stream` is the last stream.
    pub goaway: Option<u32>,
    pub raw: Option<RawFrame>,
    /// Further entries that come after the keys above.
    pub frames: Vec<Frame>,
    /// All of this so many times, each time two streams further on.
    pub repeat: Option<u32>,
}

/// Any frame.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFrame {
    #[serde(rename = "type")]
    pub kind: u8,
    #[serde(default)]
    pub flags: u8,
    /// Hexadecimal.
    #[serde(default)]
    pub payload: String,
}
