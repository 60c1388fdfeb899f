//! `/stats` and `/stats/prometheus`

use std::fmt::{self, Write};

use nuncio_route::regex::Regex;
use nuncio_stats::{HistogramBuckets, Kind, Outside, Query, Store};

use crate::handlers::{pages, partial};
use crate::request::{Params, Request};
use crate::response::{HTML, JSON, Response, TEXT};
use crate::thread::Admin;

/// How stats are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
    Prometheus,
    Html,
}

/// The parameters of a scrape.
struct Scrape {
    format: Format,
    used_only: bool,
    filter: Option<Regex>,
    invert_filter: bool,
    kind: Option<Kind>,
    buckets: HistogramBuckets,
    text_readouts: bool,
    /// Only stats that are hidden are asked for, and none is.
    hidden_only: bool,
}

/// `/stats`
pub(crate) fn stats(admin: &Admin, request: &Request) -> Response {
    let format = match request.params.get_some("format") {
        None | Some("text") => Format::Text,
        Some("json") => Format::Json,
        Some("prometheus") => Format::Prometheus,
        Some("html" | "active-html") => Format::Html,
        Some(_) => {
            let usage = "usage: /stats?format=(html|active-html|json|prometheus|text)\n\n";
            return Response::error(400, usage);
        }
    };
    scrape(admin, &request.params, format)
}

/// `/stats/prometheus`; `format` is not looked at.
pub(crate) fn prometheus(admin: &Admin, request: &Request) -> Response {
    scrape(admin, &request.params, Format::Prometheus)
}

fn scrape(admin: &Admin, params: &Params, format: Format) -> Response {
    let scrape = match Scrape::new(params, format) {
        Ok(scrape) => scrape,
        Err(error) => return Response::error(400, error),
    };
    let content_type = match format {
        Format::Text | Format::Prometheus => TEXT,
        Format::Json => JSON,
        Format::Html => HTML,
    };
    let store = admin.context.server.stats.clone();
    let server_stats = admin.context.server_stats.clone();
    let clusters = admin.context.clusters.clone();
    Response::stream(content_type, move |out| {
        // Not on the admin thread: counting connections may take a while.
        server_stats.update();
        scrape.write(&store, &clusters.endpoint_stats(), out)
    })
}

impl Scrape {
    /// Reads the parameters, in the order in which Envoy finds fault with them.
    fn new(params: &Params, format: Format) -> Result<Self, String> {
        let mode = params.get_some("histogram_buckets");
        let native = mode == Some("prometheusnative");
        let buckets = match mode {
            // Where there is nothing else to say, Prometheus gets buckets and readers quantiles.
            None if format == Format::Prometheus => HistogramBuckets::Cumulative,
            None | Some("summary" | "prometheusnative") => HistogramBuckets::Summary,
            Some("cumulative") => HistogramBuckets::Cumulative,
            Some("disjoint") => HistogramBuckets::Disjoint,
            Some("detailed") => HistogramBuckets::Detailed,
            Some(_) => {
                let modes = "cumulative|disjoint|detailed|summary|prometheusnative";
                return Err(format!("usage: /stats?histogram_buckets=({modes})\n"));
            }
        };
        let kind = match params.get_some("type") {
            None | Some("All") => None,
            Some("Counters") => Some(Kind::Counter),
            Some("Gauges") => Some(Kind::Gauge),
            Some("Histograms") => Some(Kind::Histogram),
            Some("TextReadouts") => Some(Kind::TextReadout),
            Some(_) => return Err("invalid &type= param".into()),
        };
        let filter = params.get_some("filter").map(partial).transpose();
        let filter = filter.map_err(|error| format!("Invalid re2 regex: {error}"))?;
        if format == Format::Prometheus {
            if native {
                return Err("unsupported prometheusnative histogram type when not using protobuf exposition format".into());
            }
            if matches!(
                buckets,
                HistogramBuckets::Disjoint | HistogramBuckets::Detailed
            ) {
                return Err("unsupported prometheus histogram bucket mode".into());
            }
        } else if native {
            return Err("Invalid histogram_buckets type for non prometheus stats type".into());
        }
        let hidden_only = match params.get_some("hidden") {
            None | Some("include" | "exclude") => false,
            Some("only") => true,
            Some(_) => return Err("usage: /stats?hidden=(include|only|exclude)\n\n".into()),
        };
        Ok(Self {
            format,
            used_only: params.has("usedonly"),
            filter,
            invert_filter: params.has("invert_filter"),
            kind,
            buckets,
            text_readouts: params.has("text_readouts"),
            hidden_only,
        })
    }

    fn write(&self, store: &Store, outside: &[Outside], out: &mut dyn Write) -> fmt::Result {
        let passes = |name: &str| {
            let filter = self.filter.as_ref();
            !self.hidden_only && filter.is_none_or(|filter| filter.is_match(name.as_bytes()))
        };
        let query = Query {
            used_only: self.used_only,
            filter: (self.filter.is_some() || self.hidden_only).then_some(&passes),
            invert_filter: self.invert_filter && !self.hidden_only,
            kind: self.kind,
            outside,
        };
        match self.format {
            Format::Text => store.write_text(&query, self.buckets, out),
            Format::Json => store.write_json(&query, self.buckets, out),
            Format::Prometheus => {
                store.write_prometheus(&query, self.text_readouts, self.buckets, out)
            }
            Format::Html => {
                out.write_str(pages::HEAD)?;
                out.write_str("<pre>\n")?;
                store.write_text(&query, self.buckets, &mut pages::Escaped(out))?;
                out.write_str("</pre>\n")?;
                out.write_str(pages::END)
            }
        }
    }
}
