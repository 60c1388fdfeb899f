//! `/stats/recentlookups`: Envoy counts look-ups in its symbol table; Nuncio has no such table.

use crate::request::Request;
use crate::response::Response;
use crate::thread::Admin;

/// `/stats/recentlookups`: what Envoy answers while nothing is recorded.
pub(crate) fn recent(_: &Admin, _: &Request) -> Response {
    Response::text(
        "Lookup tracking is not enabled. Use /stats/recentlookups/enable to enable.\n\ntotal: 0\n",
    )
}

/// `/stats/recentlookups/clear`, `/disable` and `/enable`: there is nothing to record.
pub(crate) fn change(_: &Admin, _: &Request) -> Response {
    Response::ok()
}
