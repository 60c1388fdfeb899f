//! Local replies: answers that the proxy gives itself.

use std::borrow::Cow;

use crate::flags::ResponseFlags;

/// An answer that does not come from an upstream (Envoy's `sendLocalReply`).
///
/// The connection manager turns it into headers and body (or a trailers-only gRPC answer), applies
/// `local_reply_config`, and runs it through the response side of the filter chain.
#[derive(Clone, Debug, Default)]
pub struct LocalReply {
    /// HTTP status.
    pub status: u16,
    /// Body, plain text unless a `content-type` is among the headers; empty for none.
    pub body: Cow<'static, [u8]>,
    /// `%RESPONSE_CODE_DETAILS%`: one word, no spaces.
    pub details: Cow<'static, str>,
    /// Flags to set on the stream.
    pub flags: ResponseFlags,
    /// gRPC status to answer a gRPC request with; derived from `status` when absent.
    pub grpc_status: Option<u32>,
    /// Headers to add to the answer (lower-case name, value).
    pub headers: Vec<(Cow<'static, str>, Cow<'static, [u8]>)>,
    /// Close the downstream connection after the answer.
    pub close_connection: bool,
    /// A response that a filter has made itself (its `encodeHeaders` in Envoy), to which neither `local_reply_config` nor
    /// what gRPC clients need applies.
    pub plain: bool,
}

impl LocalReply {
    /// A reply with a status, a body and its details.
    pub fn new(
        status: u16,
        body: impl Into<Cow<'static, str>>,
        details: impl Into<Cow<'static, str>>,
    ) -> LocalReply {
        LocalReply {
            status,
            body: bytes(body.into()),
            details: details.into(),
            ..LocalReply::default()
        }
    }

    /// Sets flags.
    #[must_use]
    pub fn flags(mut self, flags: ResponseFlags) -> LocalReply {
        self.flags = flags;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> LocalReply {
        self.headers.push((name.into(), bytes(value.into())));
        self
    }

    /// Adds a header whose value need not be text.
    #[must_use]
    pub fn raw_header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, [u8]>>,
    ) -> LocalReply {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the gRPC status.
    #[must_use]
    pub fn grpc_status(mut self, status: u32) -> LocalReply {
        self.grpc_status = Some(status);
        self
    }

    /// Sends the answer as it is.
    #[must_use]
    pub fn plain(mut self) -> LocalReply {
        self.plain = true;
        self
    }

    /// Closes the downstream connection after the answer.
    #[must_use]
    pub fn close(mut self) -> LocalReply {
        self.close_connection = true;
        self
    }
}

fn bytes(text: Cow<'static, str>) -> Cow<'static, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_need_not_be_text() {
        let reply = LocalReply::new(200, "", "details")
            .header("x-text", "é")
            .raw_header("x-raw", b"\xe9".to_vec());
        assert_eq!(&*reply.headers[0].1, "é".as_bytes());
        assert_eq!(&*reply.headers[1].1, b"\xe9");
    }
}
