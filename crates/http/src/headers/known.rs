//! Well-known header names, interned to one byte.

use super::lower::is_lower_of;

/// A set of known names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownSet([u64; 2]);

impl KnownSet {
    pub(crate) const EMPTY: Self = Self([0; 2]);

    /// The set of these names.
    #[must_use]
    pub const fn of(names: &[Known]) -> Self {
        let mut set = Self::EMPTY;
        let mut i = 0;
        while i < names.len() {
            set.insert(names[i]);
            i += 1;
        }
        set
    }

    /// Whether the name is one of these.
    #[inline]
    #[must_use]
    pub const fn contains(self, name: Known) -> bool {
        self.0[name.word()] & name.bit() != 0
    }

    #[inline]
    pub(crate) const fn insert(&mut self, name: Known) {
        self.0[name.word()] |= name.bit();
    }

    #[inline]
    pub(crate) const fn remove(&mut self, name: Known) {
        self.0[name.word()] &= !name.bit();
    }

    /// Whether some name is in both sets.
    #[inline]
    pub(crate) const fn meets(self, other: Self) -> bool {
        (self.0[0] & other.0[0]) | (self.0[1] & other.0[1]) != 0
    }

    /// Without the names of `other`.
    #[inline]
    pub(crate) const fn without(self, other: Self) -> Self {
        Self([self.0[0] & !other.0[0], self.0[1] & !other.0[1]])
    }
}

const EMPTY: u8 = u8::MAX;
const SLOTS: usize = 512;

macro_rules! known {
    ($($variant:ident = $name:literal,)+) => {
        /// A header name that this proxy knows: compared, stored and looked up as one byte.
        ///
        /// Pseudo headers come first. `host` is a name of its own here; in requests the HTTP/1 decoder turns it into
        /// `:authority`, as Envoy does (see [`Known::from_request_name`]). `:reason-phrase` and `:chunked-spelling` are
        /// ours alone: an HTTP/1 response's reason phrase, there only if it is to be forwarded, and never written as a
        /// header.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Known {
            $(#[doc = concat!("`", $name, "`")] $variant,)+
        }

        impl Known {
            /// Every known name, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
        }

        const NAMES: &[&str] = &[$($name),+];
    };
}

known! {
    Method = ":method",
    Path = ":path",
    Authority = ":authority",
    Scheme = ":scheme",
    Status = ":status",
    Protocol = ":protocol",
    ReasonPhrase = ":reason-phrase",
    Host = "host",
    Connection = "connection",
    ContentLength = "content-length",
    TransferEncoding = "transfer-encoding",
    Te = "te",
    Trailer = "trailer",
    Upgrade = "upgrade",
    KeepAlive = "keep-alive",
    ProxyConnection = "proxy-connection",
    Expect = "expect",
    Date = "date",
    Server = "server",
    Via = "via",
    ContentType = "content-type",
    UserAgent = "user-agent",
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    AcceptRanges = "accept-ranges",
    Cookie = "cookie",
    SetCookie = "set-cookie",
    Location = "location",
    XForwardedFor = "x-forwarded-for",
    XForwardedProto = "x-forwarded-proto",
    XForwardedHost = "x-forwarded-host",
    XForwardedPort = "x-forwarded-port",
    XForwardedClientCert = "x-forwarded-client-cert",
    XRequestId = "x-request-id",
    XClientTraceId = "x-client-trace-id",
    GrpcStatus = "grpc-status",
    GrpcMessage = "grpc-message",
    GrpcTimeout = "grpc-timeout",
    GrpcEncoding = "grpc-encoding",
    GrpcAcceptEncoding = "grpc-accept-encoding",
    GrpcStatusDetailsBin = "grpc-status-details-bin",
    Etag = "etag",
    CacheControl = "cache-control",
    Authorization = "authorization",
    ProxyAuthorization = "proxy-authorization",
    WwwAuthenticate = "www-authenticate",
    ProxyAuthenticate = "proxy-authenticate",
    ContentEncoding = "content-encoding",
    ContentLanguage = "content-language",
    ContentRange = "content-range",
    ContentDisposition = "content-disposition",
    Range = "range",
    IfMatch = "if-match",
    IfNoneMatch = "if-none-match",
    IfModifiedSince = "if-modified-since",
    IfUnmodifiedSince = "if-unmodified-since",
    IfRange = "if-range",
    LastModified = "last-modified",
    Expires = "expires",
    Age = "age",
    Vary = "vary",
    Pragma = "pragma",
    Allow = "allow",
    Origin = "origin",
    Referer = "referer",
    AccessControlRequestMethod = "access-control-request-method",
    AccessControlRequestHeaders = "access-control-request-headers",
    AccessControlAllowOrigin = "access-control-allow-origin",
    AccessControlAllowHeaders = "access-control-allow-headers",
    AccessControlAllowMethods = "access-control-allow-methods",
    AccessControlAllowCredentials = "access-control-allow-credentials",
    AccessControlExposeHeaders = "access-control-expose-headers",
    AccessControlMaxAge = "access-control-max-age",
    StrictTransportSecurity = "strict-transport-security",
    AltSvc = "alt-svc",
    RetryAfter = "retry-after",
    ProxyStatus = "proxy-status",
    Forwarded = "forwarded",
    EarlyData = "early-data",
    Http2Settings = "http2-settings",
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    Baggage = "baggage",
    XEnvoyMaxRetries = "x-envoy-max-retries",
    XEnvoyRetryOn = "x-envoy-retry-on",
    XEnvoyRetryGrpcOn = "x-envoy-retry-grpc-on",
    XEnvoyRetriableHeaderNames = "x-envoy-retriable-header-names",
    XEnvoyRetriableStatusCodes = "x-envoy-retriable-status-codes",
    XEnvoyUpstreamAltStatName = "x-envoy-upstream-alt-stat-name",
    XEnvoyUpstreamRqTimeoutMs = "x-envoy-upstream-rq-timeout-ms",
    XEnvoyUpstreamRqPerTryTimeoutMs = "x-envoy-upstream-rq-per-try-timeout-ms",
    XEnvoyUpstreamRqTimeoutAltResponse = "x-envoy-upstream-rq-timeout-alt-response",
    XEnvoyHedgeOnPerTryTimeout = "x-envoy-hedge-on-per-try-timeout",
    XEnvoyUpstreamStreamDurationMs = "x-envoy-upstream-stream-duration-ms",
    XEnvoyDecoratorOperation = "x-envoy-decorator-operation",
    XEnvoyForceTrace = "x-envoy-force-trace",
    XEnvoyDownstreamServiceCluster = "x-envoy-downstream-service-cluster",
    XEnvoyDownstreamServiceNode = "x-envoy-downstream-service-node",
    XEnvoyIpTags = "x-envoy-ip-tags",
    XEnvoyFaultAbortRequest = "x-envoy-fault-abort-request",
    XEnvoyFaultAbortGrpcRequest = "x-envoy-fault-abort-grpc-request",
    XEnvoyFaultAbortRequestPercentage = "x-envoy-fault-abort-request-percentage",
    XEnvoyFaultDelayRequest = "x-envoy-fault-delay-request",
    XEnvoyFaultDelayRequestPercentage = "x-envoy-fault-delay-request-percentage",
    XEnvoyFaultThroughputResponse = "x-envoy-fault-throughput-response",
    XEnvoyFaultThroughputResponsePercentage = "x-envoy-fault-throughput-response-percentage",
    XEnvoyExpectedRqTimeoutMs = "x-envoy-expected-rq-timeout-ms",
    XEnvoyAttemptCount = "x-envoy-attempt-count",
    XEnvoyIsTimeoutRetry = "x-envoy-is-timeout-retry",
    XEnvoyOriginalPath = "x-envoy-original-path",
    XEnvoyOriginalUrl = "x-envoy-original-url",
    XEnvoyOriginalHost = "x-envoy-original-host",
    XEnvoyOriginalDstHost = "x-envoy-original-dst-host",
    XEnvoyExternalAddress = "x-envoy-external-address",
    XEnvoyInternal = "x-envoy-internal",
    XEnvoyUpstreamCanary = "x-envoy-upstream-canary",
    XEnvoyImmediateHealthCheckFail = "x-envoy-immediate-health-check-fail",
    XEnvoyRatelimited = "x-envoy-ratelimited",
    XEnvoyDegraded = "x-envoy-degraded",
    XEnvoyUpstreamHealthcheckedCluster = "x-envoy-upstream-healthchecked-cluster",
    XEnvoyUpstreamServiceTime = "x-envoy-upstream-service-time",
    XEnvoyOverloaded = "x-envoy-overloaded",
    XEnvoyLocalOverloaded = "x-envoy-local-overloaded",
}

/// A name as two words: its first and its last eight bytes, which overlap in names of less than sixteen. In names of less
/// than eight both words are the same and hold all bytes.
#[derive(Clone, Copy)]
struct Words {
    first: u64,
    last: u64,
}

impl Words {
    #[inline]
    const fn of(name: &[u8]) -> Self {
        if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            return Self {
                first: u64::from_le_bytes(*first),
                last: u64::from_le_bytes(*last),
            };
        }
        let word = if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            u32::from_le_bytes(*first) as u64 | (u32::from_le_bytes(*last) as u64) << 32
        } else {
            u64::from_le_bytes(match *name {
                [a] => [a; 8],
                [a, b] => [a, b, b, b, b, b, b, b],
                [a, b, c] => [a, b, c, c, c, c, c, c],
                _ => [0; 8],
            })
        };
        Self {
            first: word,
            last: word,
        }
    }

    /// With bit 5 of each byte set, which makes letters lower case; all other bytes of known names have it anyway.
    #[inline]
    const fn lower(self) -> Self {
        Self {
            first: self.first | BIT5,
            last: self.last | BIT5,
        }
    }

    /// Whether there is no control byte, which [`lower`](Self::lower) could take for a digit, `-` or `:`.
    #[inline]
    const fn no_control(self) -> bool {
        let (first, last) = (self.first, self.last);
        (first | first << 1) & (last | last << 1) & BIT6 == BIT6
    }

    /// Where a name's search begins. The factor was found by trial: all but a few known names are found at once.
    #[inline]
    const fn slot(self, len: usize) -> usize {
        let mixed = (self.first ^ self.last.rotate_left(29)).wrapping_add(len as u64);
        (mixed.wrapping_mul(0x9451_9450_6e2d_049d) >> 55) as usize % SLOTS
    }
}

const BIT5: u64 = 0x2020_2020_2020_2020;
const BIT6: u64 = 0x4040_4040_4040_4040;

/// The words of each known name, in lower case.
static WORDS: [Words; NAMES.len()] = {
    let mut all = [Words { first: 0, last: 0 }; NAMES.len()];
    let mut i = 0;
    while i < NAMES.len() {
        all[i] = Words::of(NAMES[i].as_bytes()).lower();
        i += 1;
    }
    all
};

/// Names of up to so many bytes, colon and space counted, are in [`STARTS`].
const START: usize = 32;

/// `name: ` of each known name.
static STARTS: [[u8; START]; NAMES.len()] = {
    let mut all = [[0; START]; NAMES.len()];
    let mut i = 0;
    while i < NAMES.len() {
        let name = NAMES[i].as_bytes();
        if name.len() + 2 <= START {
            let mut at = 0;
            while at < name.len() {
                all[i][at] = name[at];
                at += 1;
            }
            all[i][at] = b':';
            all[i][at + 1] = b' ';
        }
        i += 1;
    }
    all
};

/// Open-addressing table from slot to number, made at compile time.
static TABLE: [u8; SLOTS] = {
    // The presence bitset has 128 bits, and 255 marks an empty slot.
    assert!(NAMES.len() <= 128);
    let mut table = [EMPTY; SLOTS];
    let mut i = 0;
    while i < NAMES.len() {
        let name = NAMES[i].as_bytes();
        let mut at = Words::of(name).lower().slot(name.len());
        while table[at] != EMPTY {
            at = (at + 1) % SLOTS;
        }
        table[at] = i as u8;
        i += 1;
    }
    table
};

impl Known {
    /// The known name spelt `name` (lower case), if any.
    #[inline]
    #[must_use]
    pub fn from_lower(name: &[u8]) -> Option<Self> {
        Self::from_any_case(name).filter(|known| known.as_bytes() == name)
    }

    /// The known name spelt `name`, in whatever case.
    #[inline]
    pub(crate) fn from_any_case(name: &[u8]) -> Option<Self> {
        let words = Words::of(name);
        let lower = words.lower();
        let mut at = lower.slot(name.len());
        loop {
            let number = usize::from(TABLE[at]);
            let (known, text) = (WORDS.get(number)?, NAMES[number].as_bytes());
            if known.first == lower.first
                && known.last == lower.last
                && text.len() == name.len()
                && words.no_control()
                // The words do not hold all bytes of a longer name.
                && (name.len() <= 16 || is_lower_of(name, text))
            {
                return Some(Self::ALL[number]);
            }
            at = (at + 1) % SLOTS;
        }
    }

    /// Like [`from_lower`](Self::from_lower), but `host` means `:authority`, under which every
    /// codec stores it in requests. For header names in configuration that concern requests.
    #[must_use]
    pub fn from_request_name(name: &[u8]) -> Option<Self> {
        match Self::from_lower(name) {
            Some(Self::Host) => Some(Self::Authority),
            other => other,
        }
    }

    /// The name in lower case.
    #[inline]
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        NAMES[self as usize]
    }

    /// The name in lower case, as bytes.
    #[inline]
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        self.as_str().as_bytes()
    }

    /// Appends the name, a colon and a space.
    #[inline]
    pub(crate) fn write_start(self, out: &mut Vec<u8>) {
        let len = self.as_bytes().len() + 2;
        if len <= START {
            // A copy of fixed length takes a few instructions, one of varying length a call.
            out.extend_from_slice(&STARTS[self as usize]);
            out.truncate(out.len() - (START - len));
        } else {
            out.extend_from_slice(self.as_bytes());
            out.extend_from_slice(b": ");
        }
    }

    /// Whether the name begins with a colon, so that HTTP/1 never writes it as a header.
    #[inline]
    #[must_use]
    pub const fn is_pseudo(self) -> bool {
        (self as u8) <= Self::ReasonPhrase as u8
    }

    /// Which word of a set holds the name's bit.
    #[inline]
    const fn word(self) -> usize {
        (self as usize >> 6) & 1
    }

    #[inline]
    const fn bit(self) -> u64 {
        1 << (self as u8 & 63)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_near_misses_are_not() {
        for &known in Known::ALL {
            let name = known.as_bytes();
            assert_eq!(Known::from_lower(name), Some(known));
            assert_eq!(
                Known::from_any_case(&name.to_ascii_uppercase()),
                Some(known)
            );
            assert!(!name.iter().any(u8::is_ascii_uppercase));
            assert_eq!(known.is_pseudo(), name[0] == b':');
            let mut longer = name.to_vec();
            longer.push(b'x');
            assert_eq!(Known::from_lower(&longer), None);
            let mut other = name.to_vec();
            other[name.len() / 3] ^= 1;
            assert!(Known::from_lower(&other).is_none_or(|found| found != known));
        }
        assert_eq!(Known::from_lower(b""), None);
        assert_eq!(Known::from_lower(b"x-unheard-of"), None);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Known::ALL.len());
    }

    #[test]
    fn searches_are_short() {
        let probes = |name: &[u8]| {
            let mut at = Words::of(name).lower().slot(name.len());
            let mut probes = 1;
            while NAMES[TABLE[at] as usize].as_bytes() != name {
                at = (at + 1) % SLOTS;
                probes += 1;
            }
            probes
        };
        let all: Vec<usize> = NAMES.iter().map(|name| probes(name.as_bytes())).collect();
        assert!(all.iter().sum::<usize>() * 10 <= all.len() * 11, "{all:?}");
    }
}
