//! `local_reply_config`: how the proxy's own answers look.

use std::borrow::Cow;
use std::sync::Arc;

use nuncio_access_log::{Filter, Format};
use nuncio_config::api::hcm::{self, ResponseMapper};
use nuncio_config::{ConfigError, Within, convert};
use nuncio_http::{HeaderMap, Known};
use nuncio_route::HeaderMutations;
use nuncio_sdk::{FactoryContext, LocalReply, LogContext, StreamInfo};

/// One entry of `mappers`.
struct Mapper {
    filter: Filter,
    status: Option<u16>,
    body: Option<Arc<[u8]>>,
    format: Option<Format>,
    headers: HeaderMutations,
}

/// The compiled configuration; empty when nothing is configured.
#[derive(Default)]
pub(crate) struct LocalReplyConfig {
    mappers: Vec<Mapper>,
    format: Option<Format>,
}

/// What became of a reply's body.
#[derive(Default)]
pub(crate) struct Rewritten<'a> {
    /// The body that a format has made, and its content type.
    formatted: Option<(Vec<u8>, &'a str)>,
    /// Whether the body's content type replaces one that is there: the body is another one than before, and no mapper
    /// has set a content type.
    pub(crate) decides_content_type: bool,
}

impl Rewritten<'_> {
    /// The body to send, where `unformatted` is the reply's own.
    pub(crate) fn body<'b>(&'b self, unformatted: &'b [u8]) -> &'b [u8] {
        match &self.formatted {
            Some((body, _)) => body,
            None => unformatted,
        }
    }

    /// The body as a gRPC message: without the line end that ends a JSON body.
    pub(crate) fn grpc_message<'b>(&'b self, unformatted: &'b [u8]) -> &'b [u8] {
        let body = self.body(unformatted);
        match self.content_type() {
            b"application/json" => body.strip_suffix(b"\n").unwrap_or(body),
            _ => body,
        }
    }

    /// The content type that goes with the body.
    pub(crate) fn content_type(&self) -> &[u8] {
        match &self.formatted {
            Some((_, content_type)) => content_type.as_bytes(),
            None => b"text/plain",
        }
    }
}

impl LocalReplyConfig {
    pub(crate) fn new(
        config: Option<&hcm::LocalReplyConfig>,
        cx: &FactoryContext<'_>,
    ) -> Result<LocalReplyConfig, Vec<ConfigError>> {
        let Some(config) = config else {
            return Ok(LocalReplyConfig::default());
        };
        let mut errors = Vec::new();
        let mut mappers = Vec::with_capacity(config.mappers.len());
        for (index, mapper) in config.mappers.iter().enumerate() {
            match compile(mapper, cx).within_index("local_reply_config.mappers", index) {
                Ok(mapper) => mappers.push(mapper),
                Err(error) => errors.push(error),
            }
        }
        let format = config
            .body_format
            .as_ref()
            .map(Format::new)
            .transpose()
            .within("local_reply_config.body_format");
        match format {
            Ok(format) if errors.is_empty() => Ok(LocalReplyConfig { mappers, format }),
            Ok(_) => Err(errors),
            Err(error) => {
                errors.push(error);
                Err(errors)
            }
        }
    }

    /// Rewrites a reply: the first mapper whose filter matches may change status, body and headers, and choose the
    /// format; otherwise the general format applies.
    pub(crate) fn rewrite(
        &self,
        reply: &mut LocalReply,
        request_headers: &HeaderMap,
        headers: &mut HeaderMap,
        info: &mut StreamInfo,
    ) -> Rewritten<'_> {
        if self.mappers.is_empty() && self.format.is_none() {
            return Rewritten::default();
        }
        let content_type = headers.get(Known::ContentType).map(<[u8]>::to_vec);
        let original = reply.body.clone();
        info.response_code = Some(reply.status);
        let seen = LogContext::of_response(request_headers, headers, info);
        let mapper = self
            .mappers
            .iter()
            .find(|mapper| mapper.filter.passes(&seen));
        if let Some(mapper) = mapper {
            if let Some(body) = &mapper.body {
                reply.body = Cow::Owned(body.to_vec());
            }
            // Headers are computed while the old status is in force.
            mapper
                .headers
                .apply_to_response(headers, request_headers, info);
            if let Some(status) = mapper.status {
                reply.status = status;
                headers.set_status(status);
                info.response_code = Some(status);
            }
        }
        let format = mapper
            .and_then(|mapper| mapper.format.as_ref())
            .or(self.format.as_ref());
        let formatted = format.map(|format| {
            // Only the format sees the text: in headers and in the access log it is empty, as in Envoy.
            info.local_reply_body = text(&reply.body);
            let mut body = Vec::new();
            let seen = LogContext::of_response(request_headers, headers, info);
            format.formatter.format(&seen, &mut body);
            info.local_reply_body = Cow::Borrowed("");
            (body, &*format.content_type)
        });
        let mut rewritten = Rewritten {
            formatted,
            decides_content_type: false,
        };
        rewritten.decides_content_type = rewritten.body(&reply.body) != &*original
            && headers.get(Known::ContentType) == content_type.as_deref();
        rewritten
    }
}

/// A body as the formatter shows it.
fn text(body: &[u8]) -> Cow<'static, str> {
    Cow::Owned(String::from_utf8_lossy(body).into_owned())
}

fn compile(mapper: &ResponseMapper, cx: &FactoryContext<'_>) -> Result<Mapper, ConfigError> {
    let Some(filter) = &mapper.filter else {
        return Err(ConfigError::new(
            "filter",
            "is required: which replies are mapped",
        ));
    };
    let body = mapper
        .body
        .as_ref()
        .map(convert::data_source)
        .transpose()
        .within("body")?;
    let body = body.map(Arc::from);
    Ok(Mapper {
        filter: Filter::new(filter, cx).within("filter")?,
        status: mapper
            .status_code
            .as_ref()
            .map(|status| status.value as u16),
        body,
        format: mapper
            .body_format_override
            .as_ref()
            .map(Format::new)
            .transpose()
            .within("body_format_override")?,
        headers: HeaderMutations::from_config(&mapper.headers_to_add, "headers_to_add", &[], "")
            .map_err(|mut errors| errors.swap_remove(0))?,
    })
}
