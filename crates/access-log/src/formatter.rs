//! The substitution formatter: text with `%OPERATOR(argument):length%` in it.

mod coalesce;
mod command;
mod duration;
mod field;
mod filter_state;
mod grpc;
mod json;
mod operator;
mod parse;
mod query;
#[cfg(test)]
mod tests;
mod value;
mod xfcc;

use nuncio_config::ConfigError;
use nuncio_config::api::protobuf::Struct;
use nuncio_sdk::LogContext;

pub(crate) use self::grpc::grpc_status;
use self::json::Json;
use self::operator::{Operator, Written};

/// The line that Envoy logs when no format is configured.
pub const DEFAULT_FORMAT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% ",
    "\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" ",
    "\"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n",
);

/// What stands for a value that is not there.
const MISSING: &[u8] = b"-";

/// A piece of a text format.
#[derive(Debug)]
enum Part {
    Literal(Box<[u8]>),
    Operator(Operator),
}

/// Operators that a format has only when it names their extension (`SubstitutionFormatString.formatters`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extensions {
    /// `envoy.formatter.req_without_query`
    pub(crate) req_without_query: bool,
}

/// A compiled format.
///
/// Formatting appends to the caller's buffer and allocates nothing beyond its growth. The same type serves
///
/// * access logs: everything is known;
/// * local replies and direct responses: the request, the response headers so far, and the reply's text
///   (`%LOCAL_REPLY_BODY%`) are known;
/// * header values of requests and responses. While a request is on its way in, response headers and trailers are
///   empty maps, and operators about the upstream, the response or the end of the stream find nothing: they give
///   `-`, or nothing at all in a header value, as in Envoy.
#[derive(Debug)]
pub struct Formatter(Kind);

#[derive(Debug)]
enum Kind {
    Text {
        parts: Box<[Part]>,
        missing: &'static [u8],
    },
    Json(Json),
}

impl Formatter {
    /// Compiles a text format. A missing value prints as `-`, or as nothing with `omit_empty_values`.
    ///
    /// # Errors
    /// Envoy's words for a malformed command (with its position), an unknown operator, or wrong arguments; an
    /// operator whose data this proxy does not have is refused by name.
    pub fn text(format: &str, omit_empty_values: bool) -> Result<Formatter, ConfigError> {
        Formatter::text_with(format, omit_empty_values, Extensions::default())
    }

    pub(crate) fn text_with(
        format: &str,
        omit_empty_values: bool,
        extensions: Extensions,
    ) -> Result<Formatter, ConfigError> {
        let parts = parse::parse(format, extensions)?;
        let missing = if omit_empty_values {
            b"".as_slice()
        } else {
            MISSING
        };
        Ok(Formatter(Kind::Text { parts, missing }))
    }

    /// Compiles the value of a header to be added or set: a text format whose missing values are empty, which also
    /// knows the older spellings `%DYNAMIC_METADATA(["namespace", "key"])%` and `%PER_REQUEST_STATE(key)%`.
    ///
    /// # Errors
    /// As [`Formatter::text`].
    pub fn header_value(format: &str) -> Result<Formatter, ConfigError> {
        Formatter::text(&parse::translate_older(format), true)
    }

    /// Compiles a JSON format: strings of the template are text formats, everything else is copied. Keys come out
    /// sorted; a string that is a single operator keeps the operator's type; a line feed ends the line.
    /// `omit_empty_values` leaves out entries whose value is missing instead of printing `null`.
    ///
    /// # Errors
    /// As [`Formatter::text`], with the path of the entry.
    pub fn json(template: &Struct, omit_empty_values: bool) -> Result<Formatter, ConfigError> {
        Formatter::json_with(template, omit_empty_values, Extensions::default())
    }

    pub(crate) fn json_with(
        template: &Struct,
        omit_empty_values: bool,
        extensions: Extensions,
    ) -> Result<Formatter, ConfigError> {
        Json::compile(template, omit_empty_values, extensions)
            .map(|json| Formatter(Kind::Json(json)))
    }

    /// Appends the formatted text to `out`.
    pub fn format(&self, cx: &LogContext<'_>, out: &mut Vec<u8>) {
        match &self.0 {
            Kind::Text { parts, missing } => write_parts(parts, missing, cx, out),
            Kind::Json(json) => json.write(cx, out),
        }
    }

    /// The text, when it is the same for every stream.
    pub fn constant(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Text { parts, .. } => match &**parts {
                [] => Some(b""),
                [Part::Literal(text)] => Some(text),
                _ => None,
            },
            Kind::Json(_) => None,
        }
    }
}

fn write_parts(parts: &[Part], missing: &[u8], cx: &LogContext<'_>, out: &mut Vec<u8>) {
    for part in parts {
        match part {
            Part::Literal(text) => out.extend_from_slice(text),
            Part::Operator(operator) => {
                if operator.write(cx, out) == Written::Nothing {
                    out.extend_from_slice(missing);
                }
            }
        }
    }
}
