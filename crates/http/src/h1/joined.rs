//! Which repeated headers become one: Envoy's inline headers.
//!
//! Envoy keeps one value per inline header and joins repetitions with a comma on receipt. Which headers are inline
//! differs between requests and responses; both lists were read off the wire of Envoy 1.40.

use crate::Known::{self, *};
use crate::headers::KnownSet;

/// Joined in requests.
pub(super) const REQUEST: KnownSet = KnownSet::of(&[
    Connection,
    ContentLength,
    TransferEncoding,
    Te,
    Upgrade,
    KeepAlive,
    ProxyConnection,
    Expect,
    Via,
    ContentType,
    UserAgent,
    Accept,
    AcceptEncoding,
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    XForwardedPort,
    XForwardedClientCert,
    XRequestId,
    XClientTraceId,
    GrpcTimeout,
    GrpcAcceptEncoding,
    CacheControl,
    Authorization,
    ContentEncoding,
    IfMatch,
    IfNoneMatch,
    IfModifiedSince,
    IfUnmodifiedSince,
    IfRange,
    Pragma,
    Origin,
    Referer,
    AccessControlRequestMethod,
    AccessControlRequestHeaders,
    ProxyStatus,
    XEnvoyMaxRetries,
    XEnvoyRetryOn,
    XEnvoyRetryGrpcOn,
    XEnvoyRetriableHeaderNames,
    XEnvoyRetriableStatusCodes,
    XEnvoyUpstreamAltStatName,
    XEnvoyUpstreamRqTimeoutMs,
    XEnvoyUpstreamRqPerTryTimeoutMs,
    XEnvoyUpstreamRqTimeoutAltResponse,
    XEnvoyHedgeOnPerTryTimeout,
    XEnvoyUpstreamStreamDurationMs,
    XEnvoyDecoratorOperation,
    XEnvoyForceTrace,
    XEnvoyDownstreamServiceCluster,
    XEnvoyDownstreamServiceNode,
    XEnvoyIpTags,
    XEnvoyExpectedRqTimeoutMs,
    XEnvoyAttemptCount,
    XEnvoyIsTimeoutRetry,
    XEnvoyOriginalPath,
    XEnvoyOriginalUrl,
    XEnvoyOriginalHost,
    XEnvoyExternalAddress,
    XEnvoyInternal,
]);

/// Joined in responses.
pub(super) const RESPONSE: KnownSet = KnownSet::of(&[
    Connection,
    ContentLength,
    TransferEncoding,
    Upgrade,
    KeepAlive,
    ProxyConnection,
    Date,
    Server,
    Via,
    ContentType,
    Location,
    XRequestId,
    GrpcStatus,
    GrpcMessage,
    Etag,
    CacheControl,
    ContentEncoding,
    LastModified,
    Expires,
    Age,
    Vary,
    AccessControlAllowOrigin,
    AccessControlAllowHeaders,
    AccessControlAllowMethods,
    AccessControlAllowCredentials,
    AccessControlExposeHeaders,
    AccessControlMaxAge,
    ProxyStatus,
    XEnvoyDecoratorOperation,
    XEnvoyAttemptCount,
    XEnvoyUpstreamCanary,
    XEnvoyImmediateHealthCheckFail,
    XEnvoyRatelimited,
    XEnvoyDegraded,
    XEnvoyUpstreamHealthcheckedCluster,
    XEnvoyUpstreamServiceTime,
]);

/// Whether Envoy keeps one value of this header in requests, so that adding another joins them with a comma.
#[must_use]
pub fn joins_in_requests(name: Known) -> bool {
    REQUEST.contains(name)
}

/// Whether Envoy keeps one value of this header in responses, so that adding another joins them with a comma.
#[must_use]
pub fn joins_in_responses(name: Known) -> bool {
    RESPONSE.contains(name)
}
