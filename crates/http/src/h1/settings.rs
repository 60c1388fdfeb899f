//! Settings of the HTTP/1 codec.

use std::{fmt, sync::Arc};

/// What the HTTP/1 codec needs to know of the configuration. Shared by all connections of a listener or cluster.
///
/// Sources: `envoy.config.core.v3.Http1ProtocolOptions` and the limits beside it in the connection manager
/// (`max_request_headers_kb`) and in `HttpProtocolOptions` (`max_headers_count`, `headers_with_underscores_action`,
/// `max_response_headers_kb`).
#[derive(Clone, Debug)]
pub struct H1Settings {
    /// Longest head (request or status line, headers) and longest trailer section, in bytes. Default 60 KiB
    /// (see [`upstream`](Self::upstream)).
    pub max_head_bytes: usize,
    /// Most headers in a head, and most trailers; joined duplicates count once. Default 100.
    pub max_headers: usize,
    /// `allow_absolute_url`: take scheme, authority and path from an absolute-form target. Default on.
    pub allow_absolute_url: bool,
    /// Answer 403 to absolute-form targets with the scheme `https`. Connections without TLS only: where a proxy faces its clients
    /// (`use_remote_address`, no trusted hops), such a request claims what is not so. Default off.
    pub refuse_https_targets: bool,
    /// `accept_http_10`: serve HTTP/1.0 requests rather than answer 426. Default off.
    pub accept_http_10: bool,
    /// `default_host_for_http_10`: authority of an HTTP/1.0 request without `Host`; empty for none.
    pub default_host_for_http_10: String,
    /// `header_key_format`: how header names are written.
    pub header_case: HeaderCase,
    /// `enable_trailers`: report received trailers and write those given. Otherwise they are checked and dropped.
    pub enable_trailers: bool,
    /// `allow_chunked_length`: let `Transfer-Encoding: chunked` win over `Content-Length` rather than refuse both together.
    pub allow_chunked_length: bool,
    /// `send_fully_qualified_url`: write the absolute-form target upstream.
    pub send_fully_qualified_url: bool,
    /// `allow_custom_methods`: any token is a method.
    pub allow_custom_methods: bool,
    /// `headers_with_underscores_action` (requests only).
    pub underscores: UnderscoreAction,
    /// `ignore_http_11_upgrade`: which `Upgrade` protocols of a request to ignore.
    pub ignore_upgrade: Option<UpgradeMatcher>,
}

impl Default for H1Settings {
    fn default() -> Self {
        Self {
            max_head_bytes: 60 * 1024,
            max_headers: 100,
            allow_absolute_url: true,
            refuse_https_targets: false,
            accept_http_10: false,
            default_host_for_http_10: String::new(),
            header_case: HeaderCase::Lower,
            enable_trailers: false,
            allow_chunked_length: false,
            send_fully_qualified_url: false,
            allow_custom_methods: false,
            underscores: UnderscoreAction::Allow,
            ignore_upgrade: None,
        }
    }
}

impl H1Settings {
    /// The defaults for connections to upstream servers: response heads of up to 80 KiB, as Envoy 1.40 takes them.
    #[must_use]
    pub fn upstream() -> Self {
        Self {
            max_head_bytes: 80 * 1024,
            ..Self::default()
        }
    }

    /// Most lines of a head. Joined repetitions count once in `max_headers`, but each costs a move of the
    /// joined value, so that their number needs a bound as well.
    pub(super) fn max_lines(&self) -> usize {
        self.max_headers.saturating_mul(4).saturating_add(1)
    }
}

/// How header names are written: `header_key_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderCase {
    /// Lower case.
    #[default]
    Lower,
    /// `proper_case_words`: the first letter, and each after a byte that is no letter or digit, is upper case.
    ProperWords,
    /// The `preserve_case` formatter: what a decoder with it receives is written as received, wherever it goes (see
    /// [`NameCase`](crate::NameCase)). An encoder with it writes what came from elsewhere in lower case.
    Preserve {
        /// `formatter_type_on_envoy_headers: PROPER_CASE`: headers that were not received are written in proper case.
        proper_own: bool,
        /// `forward_reason_phrase`: pass the upstream's reason phrase on.
        forward_reason: bool,
    },
}

/// What to do with a request header whose name has an underscore: `headers_with_underscores_action`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnderscoreAction {
    /// Treat it as any other.
    #[default]
    Allow,
    /// Answer 400.
    RejectRequest,
    /// Leave it out.
    DropHeader,
}

/// A test of bytes that may be shared by threads.
pub type BytesPredicate = dyn Fn(&[u8]) -> bool + Send + Sync;

/// Decides which upgrade protocols of a request are ignored.
#[derive(Clone)]
pub struct UpgradeMatcher(pub Arc<BytesPredicate>);

impl fmt::Debug for UpgradeMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpgradeMatcher(..)")
    }
}
