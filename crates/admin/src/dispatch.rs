//! From a request to the endpoint that answers it.

use crate::endpoints;
use crate::request::Request;
use crate::response::Response;
use crate::thread::Admin;

/// Answers a request. `target` is its path and query as they came, which `allow_paths` is matched against.
pub(crate) fn answer(admin: &Admin, target: &[u8], request: &Request) -> Response {
    if !admin.allows(target) {
        let shown = String::from_utf8_lossy(target);
        return Response::error(403, format!("request to path {shown} not allowed"));
    }
    let Some(endpoint) = endpoints::find(&request.path) else {
        return Response::error(404, format!("invalid path. {}", endpoints::help()));
    };
    if endpoint.mutates && request.method != "POST" {
        log::error!(
            target: "admin",
            "admin path \"{}\" mutates state, method={} rather than POST",
            request.path,
            request.method
        );
        let refusal = format!("Method {} not allowed, POST required.", request.method);
        return Response::error(405, refusal);
    }
    (endpoint.handler)(admin, request)
}
