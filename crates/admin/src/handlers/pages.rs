//! `/help` and the home page.

use std::fmt::{self, Write};

use crate::endpoints::{self, ENDPOINTS, Endpoint, Values};
use crate::request::Request;
use crate::response::{Body, HTML, Response};
use crate::thread::Admin;

/// How every page begins.
pub(crate) const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <title>Nuncio Admin</title>\n<style>\n\
    body { font-family: sans-serif; margin: 1.5em }\n\
    td { padding: 0.2em 0.6em; vertical-align: top }\n\
    form { margin: 0 }\n\
    label { display: block }\n\
    </style>\n</head>\n<body>\n";
/// How every page ends.
pub(crate) const END: &str = "</body>\n</html>\n";

/// An empty field is no parameter: `/logging` takes one at most.
const SKIP_EMPTY: &str = "<script>\nfor (const form of document.forms)\n\
    form.onsubmit = () => { for (const field of form.elements) if (field.name && !field.value) field.disabled = true }\n\
    </script>\n";

/// Escapes what is written for HTML text and attributes.
pub(crate) struct Escaped<'a>(pub(crate) &'a mut dyn Write);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            self.0.write_str(&rest[..at])?;
            self.0.write_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &rest[at + 1..];
        }
        self.0.write_str(rest)
    }
}

/// `/help`
pub(crate) fn help(_: &Admin, _: &Request) -> Response {
    Response::text(endpoints::help())
}

/// `/`: every command with a form for its parameters.
pub(crate) fn home(_: &Admin, _: &Request) -> Response {
    let mut page = String::from(HEAD);
    page.push_str("<h1>Nuncio Admin</h1>\n<table>\n");
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.path != "/") {
        // A string takes everything.
        let _ = write_row(&mut page, endpoint);
    }
    page.push_str("</table>\n");
    page.push_str(SKIP_EMPTY);
    page.push_str(END);
    Response::new(200, HTML, Body::Text(page))
}

fn write_row(page: &mut String, endpoint: &Endpoint) -> fmt::Result {
    // Relative, so that it also works behind a path prefix.
    let path = &endpoint.path[1..];
    let method = if endpoint.mutates { "post" } else { "get" };
    write!(
        page,
        "<tr>\n<td><form action=\"{path}\" method=\"{method}\"><button>{path}</button>\n"
    )?;
    for param in endpoint.params {
        let name = param.name;
        write!(page, "<label title=\"")?;
        write!(Escaped(page), "{}", param.help)?;
        write!(page, "\">{name} ")?;
        match param.values {
            Values::Text => write!(page, "<input name=\"{name}\">")?,
            Values::Flag => write!(
                page,
                "<input type=\"checkbox\" name=\"{name}\" value=\"y\">"
            )?,
            Values::OneOf(choices) => {
                write!(page, "<select name=\"{name}\">")?;
                for choice in choices {
                    write!(page, "<option>{choice}</option>")?;
                }
                write!(page, "</select>")?;
            }
        }
        page.push_str("</label>\n");
    }
    page.push_str("</form></td>\n<td>");
    write!(Escaped(page), "{}", endpoint.help)?;
    page.push_str("</td>\n</tr>\n");
    Ok(())
}
