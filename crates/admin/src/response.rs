//! What handlers answer.

use std::fmt;

use tokio::sync::oneshot;

use crate::context::AdminAction;

/// Writes a body piece by piece; runs on a thread of its own and stops at the first error of the writer.
pub(crate) type BodyWriter = Box<dyn FnOnce(&mut dyn fmt::Write) -> fmt::Result + Send>;

/// The body of a response.
pub(crate) enum Body {
    /// Short enough to be made at once.
    Text(String),
    /// Of any length, written while it is sent.
    Stream(BodyWriter),
}

/// A response, but for the headers that all have.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Body,
    /// Ready when the response may be sent.
    pub(crate) done: Option<oneshot::Receiver<()>>,
    /// Asked of the server when the response is sent.
    pub(crate) afterwards: Option<AdminAction>,
}

/// `content-type` of most answers.
pub(crate) const TEXT: &str = "text/plain; charset=UTF-8";
pub(crate) const HTML: &str = "text/html; charset=UTF-8";
pub(crate) const JSON: &str = "application/json";
/// What handlers that say "text" themselves get, in Envoy.
pub(crate) const BARE_TEXT: &str = "text/plain";

impl Response {
    pub(crate) fn new(status: u16, content_type: &'static str, body: Body) -> Self {
        Self {
            status,
            content_type,
            body,
            done: None,
            afterwards: None,
        }
    }

    /// 200 and a text.
    pub(crate) fn text(body: impl Into<String>) -> Self {
        Self::new(200, TEXT, Body::Text(body.into()))
    }

    /// `OK`
    pub(crate) fn ok() -> Self {
        Self::text("OK\n")
    }

    /// 200 and a JSON document.
    pub(crate) fn json(body: impl Into<String>) -> Self {
        Self::new(200, JSON, Body::Text(body.into()))
    }

    /// Another status and a text.
    pub(crate) fn error(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, TEXT, Body::Text(body.into()))
    }

    /// 200 and a body that is written while it is sent.
    pub(crate) fn stream(
        content_type: &'static str,
        write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result + Send + 'static,
    ) -> Self {
        Self::new(200, content_type, Body::Stream(Box::new(write)))
    }
}
