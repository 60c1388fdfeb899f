//! Requests that are sent to another cluster, too (`RequestMirrorPolicy`).

use std::sync::Arc;

use nuncio_config::api::route::route_action::RequestMirrorPolicy as Message;
use nuncio_config::{ConfigError, Within};
use nuncio_http::{HeaderMap, Known};
use nuncio_sdk::runtime::{Runtime, RuntimeFraction};
use nuncio_sdk::{ClusterId, StreamInfo};

use crate::HeaderChanges;
use crate::matchers::HeaderName;

/// `RequestMirrorPolicy`
#[derive(Debug)]
pub struct MirrorPolicy {
    cluster: MirrorCluster,
    /// `runtime_fraction`; `None`: every request.
    fraction: Option<RuntimeFraction>,
    /// `disable_shadow_host_suffix_append`: the host stays as it is.
    keeps_host: bool,
    /// `host_rewrite_literal`
    host: Option<Box<str>>,
    changes: HeaderChanges,
}

#[derive(Debug)]
enum MirrorCluster {
    /// `cluster`
    Named(ClusterId),
    /// `cluster_header`: a request header names it.
    Header(HeaderName),
}

/// Where a copy goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorTarget<'a> {
    /// To this cluster.
    Id(ClusterId),
    /// To the cluster of this name, which a request header gave.
    Name(&'a str),
}

impl MirrorPolicy {
    /// Where the copy of this request goes; `None` when the header that would tell is not there.
    #[must_use]
    pub fn target<'a>(&self, headers: &'a HeaderMap) -> Option<MirrorTarget<'a>> {
        match &self.cluster {
            MirrorCluster::Named(id) => Some(MirrorTarget::Id(*id)),
            MirrorCluster::Header(name) => {
                let name = headers.get_name(name.as_ref())?;
                let name = std::str::from_utf8(name).ok()?;
                (!name.is_empty()).then_some(MirrorTarget::Name(name))
            }
        }
    }

    /// Whether this request is mirrored; `random` is the stream's number.
    #[must_use]
    pub fn applies(&self, random: u64) -> bool {
        (self.fraction.as_ref()).is_none_or(|fraction| fraction.hit(random))
    }

    /// Makes the headers of the request, as they went to its own upstream, those of the copy.
    pub fn finalize(&self, headers: &mut HeaderMap, info: &StreamInfo) {
        self.changes.apply(headers, |addition, headers| {
            addition.apply_to_request(headers, info);
        });
        if let Some(host) = &self.host {
            headers.set(Known::Authority, host.as_bytes());
        } else if !self.keeps_host {
            let host = headers.authority().unwrap_or_default();
            let shadow = shadow_host(host);
            headers.set(Known::Authority, &shadow);
        }
    }

    /// Compiles policies; `intern` gives a cluster's number, or says why it may not be named.
    ///
    /// # Errors
    /// Everything that is wrong, with paths relative to the message that has the policies.
    pub(crate) fn all_from_config(
        messages: &[Message],
        runtime: &Arc<Runtime>,
        intern: &dyn Fn(&str) -> Result<ClusterId, ConfigError>,
    ) -> Result<Arc<[MirrorPolicy]>, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut all = Vec::with_capacity(messages.len());
        for (index, message) in messages.iter().enumerate() {
            let policy = MirrorPolicy::from_config(message, runtime, intern);
            match policy.within_index("request_mirror_policies", index) {
                Ok(policy) => all.push(policy),
                Err(error) => errors.push(error),
            }
        }
        match errors.is_empty() {
            true => Ok(all.into()),
            false => Err(errors),
        }
    }

    fn from_config(
        message: &Message,
        runtime: &Arc<Runtime>,
        intern: &dyn Fn(&str) -> Result<ClusterId, ConfigError>,
    ) -> Result<MirrorPolicy, ConfigError> {
        let Message {
            cluster,
            cluster_header,
            runtime_fraction,
            // There is no tracing yet.
            trace_sampled: _,
            disable_shadow_host_suffix_append,
            request_headers_mutations,
            host_rewrite_literal,
        } = message;
        let cluster = match (cluster.is_empty(), cluster_header.is_empty()) {
            (false, true) => MirrorCluster::Named(intern(cluster).within("cluster")?),
            (true, false) => MirrorCluster::Header(HeaderName::of_request(cluster_header)),
            (false, false) => {
                let message = format!(
                    "Only one of cluster '{cluster}' or cluster_header '{cluster_header}' in request mirror policy can be specified"
                );
                return Err(ConfigError::new("", message));
            }
            (true, true) => {
                let message = "Exactly one of cluster or cluster_header in request mirror policy need to be specified";
                return Err(ConfigError::new("", message));
            }
        };
        let fraction = match runtime_fraction {
            None => None,
            Some(share) => Some(runtime.share(share).within("runtime_fraction")?),
        };
        let changes =
            HeaderChanges::from_config(request_headers_mutations, "request_headers_mutations")?;
        Ok(MirrorPolicy {
            cluster,
            fraction,
            keeps_host: *disable_shadow_host_suffix_append,
            host: Some(host_rewrite_literal)
                .filter(|host| !host.is_empty())
                .map(|host| host.as_str().into()),
            changes,
        })
    }
}

/// `a:80` → `a-shadow:80`, so that the logs of the mirror tell what it was.
fn shadow_host(host: &[u8]) -> Vec<u8> {
    let port = port_start(host).unwrap_or(host.len());
    let mut shadow = Vec::with_capacity(host.len() + 7);
    shadow.extend_from_slice(&host[..port]);
    shadow.extend_from_slice(b"-shadow");
    shadow.extend_from_slice(&host[port..]);
    shadow
}

/// Where the port begins, with its colon; not the last part of an address of IPv6.
fn port_start(host: &[u8]) -> Option<usize> {
    let colon = host.iter().rposition(|byte| *byte == b':')?;
    let bracket = host.iter().rposition(|byte| *byte == b']');
    let first = host.iter().position(|byte| *byte == b':')?;
    let digits = &host[colon + 1..];
    let is_port = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let is_host = match bracket {
        Some(bracket) => bracket < colon,
        None => first == colon,
    };
    (is_port && is_host).then_some(colon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_comes_before_the_port() {
        for (host, shadow) in [
            ("a", "a-shadow"),
            ("a:80", "a-shadow:80"),
            ("[::1]", "[::1]-shadow"),
            ("[::1]:80", "[::1]-shadow:80"),
            ("1.2.3.4:5", "1.2.3.4-shadow:5"),
        ] {
            assert_eq!(shadow_host(host.as_bytes()), shadow.as_bytes(), "{host}");
        }
    }

    #[test]
    fn one_cluster_is_named() {
        let intern = |_: &str| Err(ConfigError::new("", "unknown"));
        let compile = |cluster: &str, header: &str| {
            let message = Message {
                cluster: cluster.into(),
                cluster_header: header.into(),
                ..Message::default()
            };
            MirrorPolicy::all_from_config(&[message], &Arc::default(), &intern).is_ok()
        };
        assert!(!compile("", "") && !compile("a", "b") && !compile("a", ""));
        assert!(compile("", "b"));
    }
}
