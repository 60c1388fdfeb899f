//! What changes the server: drains, health, logs, counters, exit.

use crate::context::AdminAction;
use crate::request::Request;
use crate::response::Response;
use crate::thread::Admin;

/// `/quitquitquit`: the server exits when it has answered.
pub(crate) fn quit(_: &Admin, _: &Request) -> Response {
    Response {
        afterwards: Some(AdminAction::Quit),
        ..Response::ok()
    }
}

/// `/drain_listeners`
pub(crate) fn drain_listeners(admin: &Admin, request: &Request) -> Response {
    let params = &request.params;
    (admin.context.actions)(AdminAction::DrainListeners {
        graceful: params.has("graceful"),
        skip_exit: params.has("skip_exit"),
        inbound_only: params.has("inboundonly"),
    });
    Response::ok()
}

/// `/reopen_logs`
pub(crate) fn reopen_logs(admin: &Admin, _: &Request) -> Response {
    (admin.context.actions)(AdminAction::ReopenLogs);
    Response::ok()
}

/// `/healthcheck/fail`
pub(crate) fn health_check_fail(admin: &Admin, _: &Request) -> Response {
    admin.context.state.set_health_check_failed(true);
    (admin.context.actions)(AdminAction::HealthCheckFail);
    Response::ok()
}

/// `/healthcheck/ok`
pub(crate) fn health_check_ok(admin: &Admin, _: &Request) -> Response {
    admin.context.state.set_health_check_failed(false);
    (admin.context.actions)(AdminAction::HealthCheckOk);
    Response::ok()
}

/// `/reset_counters`
pub(crate) fn reset_counters(admin: &Admin, _: &Request) -> Response {
    admin.context.server.stats.reset_counters();
    Response::ok()
}
