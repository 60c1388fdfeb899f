//! [`GrpcClient`]: a `GrpcService` of the configuration.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nuncio_access_log::Formatter;
use nuncio_config::api::core::GrpcService;
use nuncio_config::api::core::HeaderValue;
use nuncio_config::api::core::grpc_service::{EnvoyGrpc, TargetSpecifier};
use nuncio_config::{ConfigError, Within, convert};
use nuncio_http::{HeaderMap, Known, grpc};
use nuncio_sdk::{ClusterId, LogContext, Protocol, ServerContext};
use nuncio_upstream::{ClusterManager, Priority};
use prost::Message;

use super::status::GrpcStatus;
use super::stream::GrpcStream;
use crate::http::{CallError, HttpCall, HttpCallOptions};

/// Largest message that is received unless `max_receive_message_length` says otherwise, in bytes. (Envoy's default is
/// without limit.)
const MAX_RECEIVE: u32 = 256 << 20;

/// A gRPC service that a part of the configuration names (`config.core.v3.GrpcService` with `envoy_grpc`). Shared by all
/// threads; calls belong to the thread that begins them.
pub struct GrpcClient {
    clusters: Arc<ClusterManager>,
    cluster: ClusterId,
    authority: String,
    metadata: Box<[Metadata]>,
    timeout: Option<Duration>,
    max_receive: u32,
    /// Our address for `x-forwarded-for`; absent with `skip_envoy_headers`.
    forwarded_for: Option<IpAddr>,
    skip_envoy_headers: bool,
}

/// An entry of `initial_metadata`.
struct Metadata {
    name: String,
    value: Formatter,
    /// The value as it stands in the configuration, for calls that belong to no stream.
    text: String,
}

/// What one call wants.
#[derive(Clone, Copy, Default)]
pub struct GrpcCallOptions<'a> {
    /// Instead of [`GrpcClient::timeout`]; for a unary call.
    pub timeout: Option<Duration>,
    /// The stream on whose behalf the call is made: `initial_metadata` is formatted with it.
    pub parent: Option<&'a LogContext<'a>>,
    /// Further metadata (lower-case names).
    pub metadata: &'a [(&'a str, &'a str)],
}

impl fmt::Debug for GrpcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcClient")
            .field("cluster", &self.cluster)
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

impl GrpcClient {
    /// Compiles a service. The cluster need not exist yet: a call to one that does not fails with `UNAVAILABLE`.
    ///
    /// # Errors
    /// What the configuration asks for cannot be done; the path is relative to the message.
    pub fn new(
        config: &GrpcService,
        server: &Arc<ServerContext>,
    ) -> Result<GrpcClient, ConfigError> {
        let GrpcService {
            timeout,
            initial_metadata,
            retry_policy,
            target_specifier,
        } = config;
        let target = match target_specifier {
            Some(TargetSpecifier::EnvoyGrpc(target)) => target,
            Some(TargetSpecifier::GoogleGrpc(_)) => {
                return Err(ConfigError::new(
                    "google_grpc",
                    "is not supported: envoy_grpc goes through a cluster of this proxy",
                ));
            }
            None => {
                return Err(ConfigError::new(
                    "target_specifier",
                    "is required: envoy_grpc",
                ));
            }
        };
        let EnvoyGrpc {
            cluster_name,
            authority,
            retry_policy: of_target,
            max_receive_message_length,
            skip_envoy_headers,
        } = target;
        for (retries, path) in [
            (retry_policy, "retry_policy"),
            (of_target, "envoy_grpc.retry_policy"),
        ] {
            if retries.is_some() {
                return Err(ConfigError::new(
                    path,
                    "is not supported: calls are not retried",
                ));
            }
        }
        if cluster_name.is_empty() {
            return Err(ConfigError::new(
                "envoy_grpc.cluster_name",
                "value length must be at least 1 characters",
            ));
        }
        let metadata = initial_metadata
            .iter()
            .enumerate()
            .map(|(index, entry)| metadata(entry).within_index("initial_metadata", index))
            .collect::<Result<_, _>>()?;
        Ok(GrpcClient {
            clusters: server.service::<ClusterManager>(),
            cluster: server.cluster_names.intern(cluster_name),
            authority: match authority.is_empty() {
                true => cluster_name.clone(),
                false => authority.clone(),
            },
            metadata,
            timeout: timeout
                .as_ref()
                .map(convert::duration)
                .transpose()
                .within("timeout")?
                .filter(|timeout| !timeout.is_zero()),
            max_receive: match max_receive_message_length {
                Some(max) if max.value > 0 => max.value,
                Some(_) | None => MAX_RECEIVE,
            },
            forwarded_for: server.local_info.address.filter(|_| !skip_envoy_headers),
            skip_envoy_headers: *skip_envoy_headers,
        })
    }

    /// The number of the cluster to which calls go.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// `timeout` of the service: that of its unary calls. Streams have none.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Begins a call of `method` (`/package.Service/Method`) on the calling thread, which must have a view of the clusters.
    /// A failure is the stream's first event.
    pub fn stream(&self, method: &str, options: GrpcCallOptions<'_>) -> GrpcStream {
        let timeout = options.timeout;
        let headers = self.headers(method, timeout, options);
        let call = match self.clusters.on_this_thread().get(self.cluster) {
            None => Err(CallError::NoCluster),
            Some(cluster) => HttpCall::start(
                cluster,
                headers,
                false,
                HttpCallOptions {
                    timeout,
                    priority: Priority::Default,
                    protocol: Some(Protocol::Http2),
                },
            ),
        };
        GrpcStream::new(call, self.max_receive)
    }

    /// Calls a method that takes one message and answers with one. The time is that of `options`, else that of the
    /// service.
    ///
    /// # Errors
    /// The status, if it is not `OK`; also when the answer is no message of this type.
    pub async fn unary<Request: Message, Response: Message + Default>(
        &self,
        method: &str,
        request: &Request,
        options: GrpcCallOptions<'_>,
    ) -> Result<Response, GrpcStatus> {
        let mut stream = self.begin_unary(method, request, options);
        stream.only_message().await
    }

    /// As [`Self::unary`], for callers that poll: the request is sent, its answer is still to be taken.
    pub fn begin_unary<Request: Message>(
        &self,
        method: &str,
        request: &Request,
        options: GrpcCallOptions<'_>,
    ) -> GrpcStream {
        let mut stream = self.stream(
            method,
            GrpcCallOptions {
                timeout: options.timeout.or(self.timeout),
                ..options
            },
        );
        stream.send_last(request);
        stream
    }

    /// The request's headers, in Envoy's order.
    fn headers(
        &self,
        method: &str,
        timeout: Option<Duration>,
        options: GrpcCallOptions<'_>,
    ) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append(Known::Method, b"POST");
        headers.append(Known::Path, method.as_bytes());
        headers.append(Known::Authority, self.authority.as_bytes());
        headers.append(Known::Scheme, b"http");
        headers.append(Known::Te, b"trailers");
        if let Some(timeout) = timeout {
            let value = grpc::format_timeout(timeout);
            headers.append(Known::GrpcTimeout, value.as_bytes());
        }
        headers.append(Known::ContentType, grpc::CONTENT_TYPE);
        for entry in &self.metadata {
            let mut value = Vec::new();
            match options.parent {
                Some(parent) => entry.value.format(parent, &mut value),
                None => value.extend_from_slice(entry.text.as_bytes()),
            }
            append_metadata(&mut headers, &entry.name, &value);
        }
        for (name, value) in options.metadata {
            append_metadata(&mut headers, name, value.as_bytes());
        }
        if !self.skip_envoy_headers {
            headers.append(Known::XEnvoyInternal, b"true");
            if let Some(address) = self.forwarded_for {
                headers.append(Known::XForwardedFor, address.to_string().as_bytes());
            }
            if let Some(timeout) = timeout {
                headers.set_number(Known::XEnvoyExpectedRqTimeoutMs, timeout.as_millis() as u64);
            }
        }
        headers
    }
}

/// Binary metadata (`…-bin`) is sent as base64.
fn append_metadata(headers: &mut HeaderMap, name: &str, value: &[u8]) {
    match name.ends_with("-bin") {
        true => headers.append(name, STANDARD.encode(value).as_bytes()),
        false => headers.append(name, value),
    }
}

fn metadata(entry: &HeaderValue) -> Result<Metadata, ConfigError> {
    let HeaderValue {
        key,
        value,
        raw_value,
    } = entry;
    if !raw_value.is_empty() {
        return Err(ConfigError::new("raw_value", "is not supported"));
    }
    Ok(Metadata {
        name: key.to_ascii_lowercase(),
        value: Formatter::header_value(value).within("value")?,
        text: value.clone(),
    })
}
