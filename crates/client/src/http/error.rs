//! Why a call has no response, or no complete one.

use std::fmt;

use nuncio_upstream::{ConnectFailure, FailureKind, StreamReset};

/// Why a call failed. As text it reads as the router's answer to a client whose request fails so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// There is no cluster of this name.
    NoCluster,
    /// The cluster has no host that may be used.
    NoHealthyUpstream,
    /// A circuit breaker is open.
    Overflow,
    /// No connection could be made.
    Connect(ConnectFailure),
    /// The exchange broke off.
    Reset(StreamReset),
    /// The timeout is over.
    Timeout,
    /// The headers are no request.
    NoRequest,
}

impl CallError {
    /// The status with which the router would answer.
    pub fn status(&self) -> u16 {
        match self {
            CallError::Timeout => 504,
            CallError::Reset(StreamReset::ProtocolError) => 502,
            _ => 503,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self {
            CallError::NoCluster => return f.write_str("Cluster not available"),
            CallError::NoHealthyUpstream => return f.write_str("no healthy upstream"),
            CallError::Timeout => return f.write_str("upstream request timeout"),
            CallError::NoRequest => return f.write_str("missing required header"),
            CallError::Overflow => FailureKind::Overflow.as_str(),
            CallError::Connect(failure) => failure.kind.as_str(),
            CallError::Reset(StreamReset::ConnectionTermination) => "connection termination",
            CallError::Reset(StreamReset::ProtocolError) => "protocol error",
            CallError::Reset(StreamReset::RemoteReset) => "remote reset",
            CallError::Reset(StreamReset::RemoteRefused) => "remote refused stream reset",
            CallError::Reset(StreamReset::ConnectError) => "connect error",
        };
        write!(
            f,
            "upstream connect error or disconnect/reset before headers. reset reason: {reason}"
        )
    }
}

impl std::error::Error for CallError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_the_router_answers() {
        let refused = CallError::Connect(ConnectFailure {
            kind: FailureKind::RemoteConnectionFailure,
            reason: "".into(),
        });
        assert_eq!(refused.status(), 503);
        assert_eq!(
            refused.to_string(),
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
        );
        assert_eq!(CallError::Timeout.status(), 504);
    }
}
