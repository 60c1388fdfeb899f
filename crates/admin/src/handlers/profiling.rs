//! Profilers: none is compiled in. The answers are those of an Envoy built without them.

use crate::request::Request;
use crate::response::Response;
use crate::thread::Admin;

/// `/cpuprofiler`
pub(crate) fn cpu_profiler(_: &Admin, request: &Request) -> Response {
    match request.params.get("enable") {
        // It is not running, so it is stopped.
        Some("n") if request.params.len() == 1 => Response::ok(),
        Some("y") if request.params.len() == 1 => {
            Response::error(500, "failure to start the profiler")
        }
        _ => Response::error(400, "?enable=<y|n>\n"),
    }
}

/// `/heapprofiler`
pub(crate) fn heap_profiler(_: &Admin, _: &Request) -> Response {
    Response::error(501, "The current build does not support heap profiler")
}

/// `/allocprofiler`
pub(crate) fn alloc_profiler(_: &Admin, request: &Request) -> Response {
    match request.params.get("enable") {
        Some("y" | "n") => Response::error(
            501,
            "The current build does not support allocation profiler",
        ),
        _ => Response::error(400, "?enable=<y|n>\n"),
    }
}

/// `/heap_dump` and `/peak_heap_dump`
pub(crate) fn heap_dump(_: &Admin, _: &Request) -> Response {
    Response::error(501, "Heap dump not supported by the current build")
}

/// `/contention`
pub(crate) fn contention(_: &Admin, _: &Request) -> Response {
    Response::text(
        "Mutex contention tracing is not enabled. To enable, run Envoy with flag --enable-mutex-tracing.",
    )
}
