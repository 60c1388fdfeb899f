//! `/stats`, beside what Envoy 1.40 was seen to answer.

use super::fixture::Fixture;

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
