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

/// `OK` when the action is done.
fn ok_after(admin: &Admin, action: AdminAction) -> Response {
    Response {
        done: Some((admin.context.actions)(action)),
        ..Response::ok()
    }
}

/// `/drain_listeners`
pub(crate) fn drain_listeners(admin: &Admin, request: &Request) -> Response {
    let params = &request.params;
    ok_after(
        admin,
        AdminAction::DrainListeners {
            graceful: params.has("graceful"),
            skip_exit: params.has("skip_exit"),
            inbound_only: params.has("inboundonly"),
        },
    )
}

/// `/reopen_logs`
pub(crate) fn reopen_logs(admin: &Admin, _: &Request) -> Response {
    ok_after(admin, AdminAction::ReopenLogs)
}

/// `/healthcheck/fail`
pub(crate) fn health_check_fail(admin: &Admin, _: &Request) -> Response {
    admin.context.state.set_health_check_failed(true);
    ok_after(admin, AdminAction::HealthCheckFail)
}

/// `/healthcheck/ok`
pub(crate) fn health_check_ok(admin: &Admin, _: &Request) -> Response {
    admin.context.state.set_health_check_failed(false);
    ok_after(admin, AdminAction::HealthCheckOk)
}

/// `/reset_counters`
pub(crate) fn reset_counters(admin: &Admin, _: &Request) -> Response {
    admin.context.server.stats.reset_counters();
    Response::ok()
}
