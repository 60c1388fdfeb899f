//! What the paths answer, beside what Envoy 1.40 was seen to answer.

use std::time::Instant;

use super::client::BOUND;
use super::fixture::{Fixture, json};
use crate::AdminAction;
use crate::limits::Limits;

#[test]
fn heads_are_envoy_s() {
    let admin = Fixture::new();
    let ready = admin.get("/ready");
    let names: Vec<&str> = ready
        .head
        .lines()
        .skip(1)
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(ready.head.lines().next(), Some("HTTP/1.1 200 OK"));
    assert_eq!(
        names,
        [
            "content-type",
            "cache-control",
            "x-content-type-options",
            "date",
            "server",
            "transfer-encoding"
        ]
    );
    assert_eq!(
        ready.header("content-type"),
        Some("text/plain; charset=UTF-8")
    );
    assert_eq!(ready.header("cache-control"), Some("no-cache, max-age=0"));
    assert_eq!(ready.header("server"), Some("envoy"));
    assert_eq!(ready.body, "LIVE\n");
    let head = admin.ask("HEAD", "/stats");
    assert_eq!(
        (head.status, head.header("transfer-encoding")),
        (200, Some("chunked"))
    );
}

#[test]
fn readiness_follows_the_state() {
    let admin = Fixture::new();
    admin.state.set_initializing();
    let answer = admin.get("/ready");
    assert_eq!((answer.status, &*answer.body), (503, "INITIALIZING\n"));
    admin.state.set_live();
    assert_eq!(admin.ask("POST", "/healthcheck/fail").body, "OK\n");
    let answer = admin.get("/ready");
    assert_eq!((answer.status, &*answer.body), (503, "DRAINING\n"));
    assert_eq!(json(&admin.get("/server_info").body)["state"], "DRAINING");
    assert_eq!(admin.ask("POST", "/healthcheck/ok").body, "OK\n");
    assert_eq!(admin.ask("DELETE", "/ready?x=y").status, 200);
    let asked = [AdminAction::HealthCheckFail, AdminAction::HealthCheckOk];
    assert_eq!(*admin.actions.lock().unwrap(), asked);
}

#[test]
fn unknown_paths_get_the_help() {
    let admin = Fixture::new();
    let help = admin.get("/help");
    assert!(
        help.body
            .starts_with("admin commands are:\n  /: Admin home page\n  /allocprofiler (POST): ")
    );
    assert!(
        help.body
            .contains("\n      enable: enables the CPU profiler; One of (y, n)\n")
    );
    for path in ["/nothing", "/ready/", "/stats/nope"] {
        let answer = admin.get(path);
        assert_eq!(answer.status, 404);
        assert_eq!(answer.body, format!("invalid path. {}", help.body));
    }
    // Normalised before it is looked up.
    assert_eq!(admin.get("//x/../ready").body, "LIVE\n");
    let home = admin.get("/");
    assert_eq!(
        home.header("content-type"),
        Some("text/html; charset=UTF-8")
    );
    assert!(
        home.body
            .contains("<form action=\"quitquitquit\" method=\"post\">")
    );
}

#[test]
fn what_changes_something_needs_post() {
    let admin = Fixture::new();
    for path in [
        "/logging",
        "/quitquitquit",
        "/reset_counters",
        "/healthcheck/fail",
        "/drain_listeners",
        "/reopen_logs",
    ] {
        let answer = admin.get(path);
        assert_eq!(
            (answer.status, &*answer.body),
            (405, "Method GET not allowed, POST required.")
        );
    }
    assert!(admin.actions.lock().unwrap().is_empty());
    assert_eq!(
        admin
            .ask("POST", "/drain_listeners?graceful&inboundonly")
            .body,
        "OK\n"
    );
    assert_eq!(admin.ask("POST", "/reopen_logs").body, "OK\n");
    assert_eq!(admin.ask("POST", "/quitquitquit").body, "OK\n");
    // Quitting is asked for only when the answer was sent.
    let (actions, begun) = (admin.actions.clone(), Instant::now());
    while actions.lock().unwrap().len() < 3 && begun.elapsed() < BOUND {
        std::thread::yield_now();
    }
    let drain = AdminAction::DrainListeners {
        graceful: true,
        skip_exit: false,
        inbound_only: true,
    };
    assert_eq!(
        *actions.lock().unwrap(),
        [drain, AdminAction::ReopenLogs, AdminAction::Quit]
    );
}

#[test]
fn the_server_tells_who_it_is() {
    let admin = Fixture::new();
    let info = admin.get("/server_info");
    assert_eq!(info.header("content-type"), Some("application/json"));
    assert!(info.body.starts_with(
        "{\n \"version\": \"test/1\",\n \"state\": \"LIVE\",\n \"uptime_current_epoch\": \""
    ));
    let info = json(&info.body);
    assert_eq!(info["hot_restart_version"], "disabled");
    assert_eq!(info["command_line_options"]["concurrency"], 1);
    assert_eq!(info["command_line_options"]["mode"], "Serve");
    assert_eq!(info["node"]["id"], "me");
    assert_eq!(admin.get("/hot_restart_version").body, "disabled");
    assert_eq!(admin.get("/certs").body, "{\n \"certificates\": []\n}\n");
    assert_eq!(admin.get("/init_dump?mask=listener").body, "{}\n");
    let memory = json(&admin.get("/memory").body);
    assert!(
        memory["total_physical_bytes"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 0
    );
    assert_eq!(memory["pageheap_free"], "0");
    assert_eq!(admin.get("/listeners").body, "");
    assert_eq!(admin.get("/listeners?format=json").body, "{}\n");
}

#[test]
fn runtime_shows_its_layers() {
    let admin = Fixture::new();
    assert_eq!(
        admin.get("/runtime").body,
        "{\n \"entries\": {},\n \"layers\": [\n  \"one\"\n ]\n}\n"
    );
    assert_eq!(admin.ask("POST", "/runtime_modify").status, 400);
    let answer = admin.ask("POST", "/runtime_modify?a=b");
    assert_eq!(
        (answer.status, &*answer.body),
        (503, "No admin layer specified")
    );
}

#[test]
fn profilers_are_not_compiled_in() {
    let admin = Fixture::new();
    assert!(
        admin
            .get("/contention")
            .body
            .starts_with("Mutex contention tracing is not enabled.")
    );
    assert_eq!(admin.ask("POST", "/cpuprofiler").body, "?enable=<y|n>\n");
    assert_eq!(admin.ask("POST", "/cpuprofiler?enable=n").body, "OK\n");
    let answer = admin.ask("POST", "/heapprofiler?enable=y");
    assert_eq!(
        (answer.status, &*answer.body),
        (501, "The current build does not support heap profiler")
    );
    assert_eq!(admin.get("/heap_dump").status, 501);
    assert!(
        admin
            .get("/stats/recentlookups")
            .body
            .starts_with("Lookup tracking is not enabled.")
    );
    assert_eq!(admin.ask("POST", "/stats/recentlookups/clear").body, "OK\n");
}

#[test]
fn logging_changes_levels() {
    let admin = Fixture::new();
    let post = |target: &str| admin.ask("POST", target);
    assert_eq!(
        post("/logging").body,
        "active loggers:\n  admin: info\n  http: info\n  router: info\n\n"
    );
    assert!(
        post("/logging?level=error")
            .body
            .contains("  http: error\n")
    );
    assert!(
        post("/logging?http=debug")
            .body
            .contains("  http: debug\n  router: error\n")
    );
    let several = post("/logging?paths=router:critical,http:warning").body;
    assert!(several.contains("  http: warning\n  router: critical\n"));
    assert_eq!(post("/logging?level=").status, 200);
    for (target, error) in [
        ("/logging?level=nonsense", "unknown logger level"),
        ("/logging?nobody=info", "unknown logger name"),
        (
            "/logging?paths=http:info,nobody:info",
            "unknown logger name",
        ),
        (
            "/logging?paths=http",
            "empty logger name or empty logger level",
        ),
        ("/logging?a=info&b=info", "invalid number of parameters"),
        (
            "/logging?group=http:info",
            "group parameter requires fine-grain logging to be enabled",
        ),
    ] {
        let answer = post(target);
        assert_eq!(answer.status, 400, "{target}");
        assert!(
            answer
                .body
                .starts_with(&format!("error: {error}\n\nusage: /logging?<name>=<level>")),
            "{answer:?}"
        );
        assert!(
            answer.body.contains(
                "\nlevels: trace debug info warning error critical off \nactive loggers:\n"
            )
        );
        // A change that is wrong in part changes nothing.
        assert!(
            answer
                .body
                .contains("  http: warning\n  router: critical\n")
        );
    }
}

#[test]
fn only_allowed_paths_are_answered() {
    use nuncio_config::api::matcher::{StringMatcher, string_matcher::MatchPattern};
    let admin = Fixture::with(Limits::default(), |admin| {
        let matcher = |pattern| StringMatcher {
            match_pattern: Some(pattern),
            ..Default::default()
        };
        admin.allow_paths = vec![
            matcher(MatchPattern::Prefix("/stats".into())),
            matcher(MatchPattern::Exact("/ready".into())),
        ];
    });
    assert_eq!(admin.get("/ready").status, 200);
    assert_eq!(admin.get("/stats?filter=server.live").status, 200);
    for refused in ["/clusters", "/ready?x", "/nope"] {
        let answer = admin.get(refused);
        assert_eq!(answer.status, 403);
        assert_eq!(
            answer.body,
            format!("request to path {refused} not allowed")
        );
    }
}
