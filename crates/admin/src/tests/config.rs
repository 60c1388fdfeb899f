//! `/clusters` and `/config_dump`, beside what Envoy 1.40 was seen to answer.

use super::fixture::{Fixture, json};

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
