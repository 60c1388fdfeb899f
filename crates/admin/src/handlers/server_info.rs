//! What the process is and how it fares.

use std::time::Duration;

use nuncio_config::api::admin::{Certificates, Memory, ServerInfo};
use nuncio_config::api::protobuf;

use crate::json;
use crate::memory::MemoryUsage;
use crate::request::Request;
use crate::response::{BARE_TEXT, Body, Response};
use crate::state::Lifecycle;
use crate::thread::Admin;

/// What Envoy prints where hot restart is switched off.
const HOT_RESTART_VERSION: &str = "disabled";

/// `/ready`
pub(crate) fn ready(admin: &Admin, _: &Request) -> Response {
    let lifecycle = admin.context.state.lifecycle();
    let status = if lifecycle == Lifecycle::Live {
        200
    } else {
        503
    };
    Response::error(status, format!("{}\n", lifecycle.as_str()))
}

/// `/server_info`
pub(crate) fn server_info(admin: &Admin, _: &Request) -> Response {
    let context = &admin.context;
    // Whole seconds, as in Envoy.
    let uptime = Duration::from_secs(context.state.uptime().as_secs());
    let uptime = protobuf::Duration {
        seconds: i64::try_from(uptime.as_secs()).unwrap_or(i64::MAX),
        nanos: 0,
    };
    let info = ServerInfo {
        version: context.version.clone(),
        // The numbers are the same.
        state: context.state.lifecycle() as i32,
        uptime_current_epoch: Some(uptime),
        uptime_all_epochs: Some(uptime),
        hot_restart_version: HOT_RESTART_VERSION.into(),
        command_line_options: Some(context.command_line.clone()),
        node: Some(context.node.clone()),
        hot_restart_initializing: false,
    };
    Response::json(json::document(&info, json::WITH_DEFAULTS))
}

/// `/hot_restart_version`
pub(crate) fn hot_restart_version(_: &Admin, _: &Request) -> Response {
    Response::text(HOT_RESTART_VERSION)
}

/// `/memory`
pub(crate) fn memory(_: &Admin, _: &Request) -> Response {
    let usage = MemoryUsage::now();
    let memory = Memory {
        allocated: usage.allocated,
        heap_size: usage.heap_size,
        total_physical_bytes: usage.physical,
        // The allocator's own lists; it does not tell.
        pageheap_unmapped: 0,
        pageheap_free: 0,
        total_thread_cache: 0,
    };
    Response::json(json::document(&memory, json::WITH_DEFAULTS))
}

/// `/memory/tcmalloc`
pub(crate) fn allocator(_: &Admin, _: &Request) -> Response {
    let text = "The current build does not use tcmalloc; see /memory.\n";
    Response::new(501, BARE_TEXT, Body::Text(text.into()))
}

/// `/certs`: there is no TLS yet, hence no certificate.
pub(crate) fn certs(_: &Admin, _: &Request) -> Response {
    let none = Certificates::default();
    Response::json(json::document(&none, json::WITH_DEFAULTS))
}

/// `/init_dump`: what start-up waits for is told by `/ready`; there are no targets by name.
pub(crate) fn init_dump(_: &Admin, _: &Request) -> Response {
    Response::json("{}\n")
}
