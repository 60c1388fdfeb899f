//! Response flags: why a response is what it is, as access logs show it (`%RESPONSE_FLAGS%`).

use std::fmt;

/// A set of response flags (Envoy's `StreamInfo::CoreResponseFlag`).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ResponseFlags(u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $short:literal, $long:literal;)*) => {
        impl ResponseFlags {
            $($(#[$doc])* pub const $name: ResponseFlags = ResponseFlags(1 << $bit);)*
        }
        /// (flag, short name, long name), in the order in which Envoy prints them.
        const NAMES: &[(ResponseFlags, &str, &str)] = &[$((ResponseFlags::$name, $short, $long),)*];
    };
}

// Order and spelling are those of Envoy's `ResponseFlagUtils::CORE_RESPONSE_FLAGS`.
flags! {
    /// Local service failed the health check.
    FAILED_LOCAL_HEALTH_CHECK = 0, "LH", "FailedLocalHealthCheck";
    /// No healthy upstream host.
    NO_HEALTHY_UPSTREAM = 1, "UH", "NoHealthyUpstream";
    /// The upstream did not answer in time.
    UPSTREAM_REQUEST_TIMEOUT = 2, "UT", "UpstreamRequestTimeout";
    /// The stream was reset locally.
    LOCAL_RESET = 3, "LR", "LocalReset";
    /// The upstream reset the stream.
    UPSTREAM_REMOTE_RESET = 4, "UR", "UpstreamRemoteReset";
    /// The upstream connection could not be made.
    UPSTREAM_CONNECTION_FAILURE = 5, "UF", "UpstreamConnectionFailure";
    /// The upstream closed the connection.
    UPSTREAM_CONNECTION_TERMINATION = 6, "UC", "UpstreamConnectionTermination";
    /// A circuit breaker was open.
    UPSTREAM_OVERFLOW = 7, "UO", "UpstreamOverflow";
    /// No route matched.
    NO_ROUTE_FOUND = 8, "NR", "NoRouteFound";
    /// The fault filter delayed the request.
    DELAY_INJECTED = 9, "DI", "DelayInjected";
    /// The fault filter aborted the request.
    FAULT_INJECTED = 10, "FI", "FaultInjected";
    /// Rate limited.
    RATE_LIMITED = 11, "RL", "RateLimited";
    /// Refused by external authorization.
    UNAUTHORIZED_EXTERNAL_SERVICE = 12, "UAEX", "UnauthorizedExternalService";
    /// The rate limit service failed.
    RATE_LIMIT_SERVICE_ERROR = 13, "RLSE", "RateLimitServiceError";
    /// The downstream closed the connection.
    DOWNSTREAM_CONNECTION_TERMINATION = 14, "DC", "DownstreamConnectionTermination";
    /// All upstream attempts failed.
    UPSTREAM_RETRY_LIMIT_EXCEEDED = 15, "URX", "UpstreamRetryLimitExceeded";
    /// The stream was idle for too long.
    STREAM_IDLE_TIMEOUT = 16, "SI", "StreamIdleTimeout";
    /// An x-envoy-* request header had an invalid value.
    INVALID_ENVOY_REQUEST_HEADERS = 17, "IH", "InvalidEnvoyRequestHeaders";
    /// The downstream broke the protocol.
    DOWNSTREAM_PROTOCOL_ERROR = 18, "DPE", "DownstreamProtocolError";
    /// The upstream stream lasted too long.
    UPSTREAM_MAX_STREAM_DURATION_REACHED = 19, "UMSDR", "UpstreamMaxStreamDurationReached";
    /// The response came from a cache.
    RESPONSE_FROM_CACHE_FILTER = 20, "RFCF", "ResponseFromCacheFilter";
    /// A filter's configuration had not arrived.
    NO_FILTER_CONFIG_FOUND = 21, "NFCF", "NoFilterConfigFound";
    /// The whole request took too long.
    DURATION_TIMEOUT = 22, "DT", "DurationTimeout";
    /// The upstream broke the protocol.
    UPSTREAM_PROTOCOL_ERROR = 23, "UPE", "UpstreamProtocolError";
    /// No such cluster.
    NO_CLUSTER_FOUND = 24, "NC", "NoClusterFound";
    /// The overload manager ended the stream.
    OVERLOAD_MANAGER = 25, "OM", "OverloadManagerTerminated";
    /// Name resolution failed.
    DNS_RESOLUTION_FAILED = 26, "DF", "DnsResolutionFailed";
    /// The cluster drops a share of its traffic.
    DROP_OVERLOAD = 27, "DO", "DropOverload";
    /// The downstream reset the stream.
    DOWNSTREAM_REMOTE_RESET = 28, "DR", "DownstreamRemoteReset";
    /// The cluster drops all its traffic.
    UNCONDITIONAL_DROP_OVERLOAD = 29, "UDO", "UnconditionalDropOverload";
}

impl ResponseFlags {
    /// No flag.
    pub const NONE: ResponseFlags = ResponseFlags(0);

    /// Adds the flags of `other`.
    pub fn insert(&mut self, other: ResponseFlags) {
        self.0 |= other.0;
    }

    /// Whether all flags of `other` are set.
    pub fn contains(self, other: ResponseFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any flag of `other` is set.
    pub fn intersects(self, other: ResponseFlags) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether no flag is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flag with this short name (`UH`), as `response_flag_filter` names it.
    pub fn from_short(name: &str) -> Option<ResponseFlags> {
        NAMES
            .iter()
            .find(|(_, short, _)| *short == name)
            .map(|(flag, _, _)| *flag)
    }

    /// Short names of the set flags, in Envoy's order.
    pub fn short_names(self) -> impl Iterator<Item = &'static str> {
        self.names().map(|(_, short, _)| *short)
    }

    /// Long names of the set flags, in Envoy's order.
    pub fn long_names(self) -> impl Iterator<Item = &'static str> {
        self.names().map(|(_, _, long)| *long)
    }

    /// Envoy prints flags in the order in which they were set. That no try is left is known before what became of the
    /// last one, and nothing comes after a client that has left; otherwise the order of declaration is the same as far as
    /// was seen.
    fn names(self) -> impl Iterator<Item = &'static (Self, &'static str, &'static str)> {
        const FIRST: ResponseFlags = ResponseFlags::UPSTREAM_RETRY_LIMIT_EXCEEDED;
        const LAST: ResponseFlags = ResponseFlags(
            ResponseFlags::DOWNSTREAM_CONNECTION_TERMINATION.0
                | ResponseFlags::DOWNSTREAM_REMOTE_RESET.0,
        );
        const OTHERS: ResponseFlags = ResponseFlags(!(FIRST.0 | LAST.0));
        let set = move |among: Self| {
            let names = NAMES.iter();
            names.filter(move |(flag, _, _)| self.contains(*flag) && among.contains(*flag))
        };
        set(FIRST).chain(set(OTHERS)).chain(set(LAST))
    }
}

impl std::ops::BitOr for ResponseFlags {
    type Output = ResponseFlags;
    fn bitor(self, other: ResponseFlags) -> ResponseFlags {
        ResponseFlags(self.0 | other.0)
    }
}

impl fmt::Debug for ResponseFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.short_names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_the_order_in_which_flags_are_set() {
        let flags = ResponseFlags::UPSTREAM_RETRY_LIMIT_EXCEEDED
            | ResponseFlags::UPSTREAM_CONNECTION_FAILURE;
        assert_eq!(flags.short_names().collect::<Vec<_>>(), ["URX", "UF"]);
        assert_eq!(
            ResponseFlags::from_short("URX"),
            Some(ResponseFlags::UPSTREAM_RETRY_LIMIT_EXCEEDED)
        );
        let left = ResponseFlags::DOWNSTREAM_CONNECTION_TERMINATION
            | ResponseFlags::UPSTREAM_PROTOCOL_ERROR;
        assert_eq!(left.short_names().collect::<Vec<_>>(), ["UPE", "DC"]);
        assert_eq!(ResponseFlags::from_short("nope"), None);
    }
}
