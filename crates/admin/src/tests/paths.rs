//! What the paths answer, beside what Envoy 1.40 was seen to answer.

use serde_json::Value;

use super::fixture::Fixture;
use crate::AdminAction;
use crate::limits::Limits;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

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
    // Quitting is asked for after the answer was sent: the thread's end waits for it.
    let actions = admin.actions.clone();
    while actions.lock().unwrap().len() < 3 {
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
fn clusters_as_text() {
    let admin = Fixture::new();
    let text = admin.get("/clusters?filter=sev").body;
    let expected = "several::observability_name::several\n\
        several::default_priority::max_connections::1\n\
        several::default_priority::max_pending_requests::3\n\
        several::default_priority::max_requests::2\n\
        several::default_priority::max_retries::4\n\
        several::high_priority::max_connections::1024\n\
        several::high_priority::max_pending_requests::1024\n\
        several::high_priority::max_requests::1024\n\
        several::high_priority::max_retries::3\n\
        several::added_via_api::false\n\
        several::127.0.0.1:29911::cx_active::0\n";
    assert!(text.starts_with(expected), "{text}");
    let second = "several::[::1]:29912::hostname::\n\
        several::[::1]:29912::health_flags::/failed_eds_health\n\
        several::[::1]:29912::weight::1\n\
        several::[::1]:29912::region::r\n\
        several::[::1]:29912::zone::z\n\
        several::[::1]:29912::sub_zone::s\n\
        several::[::1]:29912::canary::false\n\
        several::[::1]:29912::priority::0\n\
        several::[::1]:29912::success_rate::-1\n\
        several::[::1]:29912::local_origin_success_rate::-1\n";
    assert!(text.ends_with(second), "{text}");
    assert!(!text.contains("plain"));
    let refused = admin.get("/clusters?filter=(");
    assert_eq!((refused.status, &*refused.body), (400, "Invalid re2 regex"));
    assert_eq!(admin.get("/clusters?filter=zz&format=json").body, "{}\n");
}

#[test]
fn clusters_as_json() {
    let admin = Fixture::new();
    let answer = admin.get("/clusters?format=json");
    assert!(
        answer
            .body
            .starts_with("{\n \"cluster_statuses\": [\n  {\n   \"name\": \"plain\",\n")
    );
    let all = json(&answer.body);
    let several = &all["cluster_statuses"][1];
    assert_eq!(
        several["circuit_breakers"]["thresholds"][0]["max_retries"],
        4
    );
    assert_eq!(
        several["circuit_breakers"]["thresholds"][1]["priority"],
        "HIGH"
    );
    assert_eq!(several["observability_name"], "several");
    let hosts = &several["host_statuses"];
    assert_eq!(hosts[0]["health_status"]["eds_health_status"], "HEALTHY");
    assert_eq!(hosts[1]["health_status"]["eds_health_status"], "UNHEALTHY");
    assert_eq!(hosts[0]["weight"], 5);
    assert_eq!(hosts[1]["address"]["socket_address"]["address"], "::1");
    assert_eq!(
        hosts[0]["stats"][8],
        json(r#"{"type": "GAUGE", "name": "rq_pending_active"}"#)
    );
}

#[test]
fn config_dump_has_its_sections() {
    let admin = Fixture::new();
    let answer = admin.get("/config_dump");
    assert!(answer.body.starts_with(
        "{\n \"configs\": [\n  {\n   \"@type\": \"type.googleapis.com/envoy.admin.v3.BootstrapConfigDump\",\n   \"bootstrap\": {\n"
    ));
    let dump = json(&answer.body);
    let kinds = dump["configs"].as_array().unwrap().iter();
    let kinds: Vec<&str> = kinds
        .map(|config| {
            config["@type"]
                .as_str()
                .unwrap()
                .rsplit('.')
                .next()
                .unwrap()
        })
        .collect();
    let expected = [
        "Bootstrap",
        "Clusters",
        "Listeners",
        "ScopedRoutes",
        "Routes",
        "Secrets",
    ];
    assert_eq!(kinds, expected.map(|kind| format!("{kind}ConfigDump")));
    let bootstrap = &dump["configs"][0]["bootstrap"];
    assert_eq!(bootstrap["node"]["user_agent_name"], "nuncio");
    assert_eq!(
        bootstrap["static_resources"]["clusters"][1]["name"],
        "several"
    );
    let clusters = &dump["configs"][1]["static_clusters"];
    assert_eq!(clusters[0]["cluster"]["name"], "plain");
    assert_eq!(
        clusters[0]["cluster"]["@type"],
        "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    );
    let with_endpoints = json(&admin.get("/config_dump?include_eds&name_regex=s.*").body);
    let endpoints = &with_endpoints["configs"][2]["static_endpoint_configs"];
    assert_eq!(endpoints.as_array().unwrap().len(), 1);
    let locality = &endpoints[0]["endpoint_config"]["endpoints"][0];
    assert_eq!(locality["lb_endpoints"][1]["health_status"], "UNHEALTHY");
    assert_eq!(locality["load_balancing_weight"], 3);
}

#[test]
fn config_dump_of_a_resource() {
    let admin = Fixture::new();
    let names =
        admin.get("/config_dump?resource=static_clusters&mask=cluster.name&name_regex=sev.*");
    assert_eq!(
        names.body,
        "{\n \"configs\": [\n  {\n   \"@type\": \"type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster\",\n   \
         \"cluster\": {\n    \"@type\": \"type.googleapis.com/envoy.config.cluster.v3.Cluster\",\n    \"name\": \"several\"\n   }\n  }\n ]\n}\n"
    );
    for empty in [
        "static_secrets",
        "dynamic_listeners",
        "static_clusters&name_regex=eve",
    ] {
        assert_eq!(
            admin.get(&format!("/config_dump?resource={empty}")).body,
            "{}\n",
            "{empty}"
        );
    }
    for (target, status, text) in [
        ("resource=nothing", 404, "nothing not found in config dump"),
        (
            "resource=static_endpoint_configs",
            404,
            "static_endpoint_configs not found in config dump",
        ),
        (
            "resource=bootstrap",
            400,
            "bootstrap is not a repeated field. Use ?mask=bootstrap to get only this field",
        ),
        (
            "resource=static_clusters&mask=nope",
            400,
            "FieldMask paths: \"nope\" could not be successfully used.",
        ),
        (
            "name_regex=(",
            400,
            "INVALID_ARGUMENT: Error while parsing name_regex from (: missing ): (",
        ),
    ] {
        let answer = admin.get(&format!("/config_dump?{target}"));
        assert_eq!((answer.status, &*answer.body), (status, text));
        assert_eq!(answer.header("content-type"), Some("text/plain"));
    }
}

#[test]
fn config_dump_with_a_mask() {
    let admin = Fixture::new();
    let id = admin.get("/config_dump?mask=bootstrap.node.id");
    assert_eq!(
        id.body,
        "{\n \"configs\": [\n  {\n   \"@type\": \"type.googleapis.com/envoy.admin.v3.BootstrapConfigDump\",\n   \
         \"bootstrap\": {\n    \"node\": {\n     \"id\": \"me\"\n    }\n   }\n  }\n ]\n}\n"
    );
    let clusters = json(&admin.get("/config_dump?mask=static_clusters").body);
    assert_eq!(clusters["configs"].as_array().unwrap().len(), 1);
    assert_eq!(
        clusters["configs"][0]["static_clusters"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    for mask in [
        "nope",
        "bootstrap,static_clusters",
        "static_clusters.cluster",
    ] {
        let answer = admin.get(&format!("/config_dump?mask={mask}"));
        assert_eq!(answer.status, 400);
        assert_eq!(
            answer.body,
            format!("FieldMask {mask} could not be successfully applied to any configs.")
        );
    }
}

#[test]
fn stats_in_every_format() {
    let admin = Fixture::new();
    let get = |query: &str| admin.get(&format!("/stats?{query}")).body;
    assert_eq!(
        get("filter=^server.(live|concurrency|version)$"),
        "server.concurrency: 1\nserver.live: 1\nserver.version: 7\n"
    );
    assert_eq!(
        get("filter=total_connections"),
        "server.total_connections: 3\n"
    );
    assert_eq!(get("filter=^nothing$"), "");
    assert_eq!(get("filter=SERVER.LIVE"), "");
    assert!(
        get("filter=server&invert_filter&usedonly")
            .lines()
            .all(|line| !line.contains("server"))
    );
    assert_eq!(
        get("format=json&filter=^server.live$"),
        "{\"stats\":[{\"name\":\"server.live\",\"value\":1}]}"
    );
    let prometheus = "# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\n";
    assert_eq!(get("format=prometheus&filter=^server.live$"), prometheus);
    assert_eq!(
        admin
            .get("/stats/prometheus?filter=^server.live$&format=json")
            .body,
        prometheus
    );
    let html = admin.get("/stats?format=html&filter=^server.live$");
    assert_eq!(
        html.header("content-type"),
        Some("text/html; charset=UTF-8")
    );
    assert!(html.body.contains("<pre>\nserver.live: 1\n</pre>"));
    assert_eq!(get("type=Counters&filter=server.live"), "");
}

#[test]
fn stats_refuse_what_they_do_not_know() {
    let admin = Fixture::new();
    let modes =
        "usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n";
    for (target, text) in [
        (
            "/stats?format=nonsense",
            "usage: /stats?format=(html|active-html|json|prometheus|text)\n\n",
        ),
        ("/stats?filter=(", "Invalid re2 regex: missing ): ("),
        (
            "/stats?filter=*",
            "Invalid re2 regex: no argument for repetition operator: *",
        ),
        ("/stats?type=Nope", "invalid &type= param"),
        ("/stats?histogram_buckets=nope", modes),
        (
            "/stats?histogram_buckets=prometheusnative",
            "Invalid histogram_buckets type for non prometheus stats type",
        ),
        (
            "/stats/prometheus?histogram_buckets=detailed",
            "unsupported prometheus histogram bucket mode",
        ),
        (
            "/stats/prometheus?filter=(",
            "Invalid re2 regex: missing ): (",
        ),
    ] {
        let answer = admin.get(target);
        assert_eq!((answer.status, &*answer.body), (400, text), "{target}");
    }
    for target in [
        "/stats?format=&filter=^server.live$",
        "/stats?type=All&histogram_buckets=&filter=^server.live$",
    ] {
        assert_eq!(admin.get(target).body, "server.live: 1\n");
    }
}

#[test]
fn counters_can_be_reset() {
    let admin = Fixture::new();
    admin.server.stats.counter("some.counter").add(5);
    assert_eq!(admin.stat("some.counter"), 5);
    assert_eq!(admin.ask("POST", "/reset_counters").body, "OK\n");
    assert_eq!(admin.stat("some.counter"), 0);
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
