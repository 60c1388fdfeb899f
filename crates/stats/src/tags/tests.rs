use super::*;

fn tagged(name: &str, tags: &[(&str, &str)]) -> Tagged {
    let tags = tags
        .iter()
        .map(|&(tag, value)| (tag.to_owned(), value.to_owned()))
        .collect();
    Tagged {
        name: name.to_owned(),
        tags,
    }
}

fn default(name: &str) -> Tagged {
    TagExtractors::with_defaults().extract(name)
}

#[test]
fn several_tags_are_cut_from_one_name() {
    assert_eq!(
        default("cluster.web.upstream_rq_503"),
        tagged(
            "cluster.upstream_rq",
            &[
                ("envoy.response_code", "503"),
                ("envoy.cluster_name", "web")
            ]
        )
    );
    assert_eq!(
        default("listener.0.0.0.0_80.worker_3.downstream_cx_total"),
        tagged(
            "listener.worker_downstream_cx_total",
            &[
                ("envoy.worker_id", "3"),
                ("envoy.listener_address", "0.0.0.0_80")
            ]
        )
    );
    assert_eq!(default("server.live"), tagged("server.live", &[]));
}

/// Rules that no name of the golden file meets; expected values follow the regular expressions.
#[test]
fn rare_rules() {
    let http = ("envoy.http_conn_manager_prefix", "p");
    assert_eq!(
        default("http.p.dynamodb.table.t.capacity.GetItem.__partition_id=ABC1234"),
        tagged(
            "http.dynamodb.table.capacity",
            &[
                ("envoy.dynamo_partition_id", "ABC1234"),
                ("envoy.dynamo_operation", "GetItem"),
                ("envoy.dynamo_table", "t"),
                http
            ]
        )
    );
    assert_eq!(
        default("mongo.m.collection.c.query.total"),
        tagged(
            "mongo.collection.c.query.total",
            &[("envoy.mongo_prefix", "m")]
        ),
        "a token must stand between collection and query"
    );
    assert_eq!(
        default("mongo.m.collection.c.x.query.total"),
        tagged(
            "mongo.collection.x.query.total",
            &[("envoy.mongo_collection", "c"), ("envoy.mongo_prefix", "m")]
        )
    );
    assert_eq!(
        default("http.p.rds.r.bad-name").tags,
        tagged("", &[http]).tags
    );
}

#[test]
fn odd_names_do_not_panic() {
    for name in [
        "",
        ".",
        "..",
        "cluster",
        "cluster.",
        "listener.",
        "listener.[",
        "http...",
        "sds.",
        "_rq_",
        "é.x",
    ] {
        let _ = default(name);
        for first in [
            "listener",
            "cluster",
            "http",
            "http.p.rbac",
            "proxy_proto.versions",
            "server",
        ] {
            for last in [
                "",
                ".ssl.ciphers.",
                ".worker_",
                ".http.",
                "_rq_2xx",
                ".é_rq_20é",
            ] {
                let _ = default(&format!("{first}.{name}{last}"));
            }
        }
    }
}

#[derive(Debug)]
struct Last;

impl TagPattern for Last {
    fn find(&self, name: &str) -> Option<TagSpan> {
        let at = name.rfind('.')?;
        Some(TagSpan {
            remove: at..name.len(),
            value: at + 1..name.len(),
        })
    }
}

#[test]
fn configured_tags_come_after_default_ones() {
    let regex = |source: &str| TagValue::Regex {
        source: source.to_owned(),
        pattern: Box::new(Last),
    };
    let specifier = |name: &str, value| TagSpecifier {
        name: name.to_owned(),
        value,
    };
    let extractors = TagExtractors::new(
        true,
        vec![
            specifier("rooted", regex("^cluster\\.x")),
            specifier("other", regex("^other\\.")),
            specifier("free", TagValue::Fixed("f".to_owned())),
            specifier("envoy.cluster_name", TagValue::Fixed("shadowed".to_owned())),
        ],
    );
    let seen = extractors.expect("valid tags").extract("cluster.web.total");
    let tags = [
        ("free", "f"),
        ("envoy.cluster_name", "shadowed"),
        ("rooted", "total"),
    ];
    assert_eq!(seen, tagged("cluster.web", &tags));
}

#[test]
fn default_tags_can_be_picked() {
    let pick = |name: &str| {
        let specifier = TagSpecifier {
            name: name.to_owned(),
            value: TagValue::Default,
        };
        TagExtractors::new(false, vec![specifier])
    };
    let seen = pick("envoy.cluster_name")
        .expect("known")
        .extract("cluster.web.upstream_rq_200");
    assert_eq!(
        seen,
        tagged("cluster.upstream_rq_200", &[("envoy.cluster_name", "web")])
    );
    let error = pick("envoy.nothing").expect_err("unknown").to_string();
    assert_eq!(
        error,
        "No regex specified for tag specifier and no default regex for name: 'envoy.nothing'"
    );
}

#[test]
fn a_regex_is_rooted_by_its_first_token() {
    assert_eq!(first_token("^cluster\\.(.*)"), Some("cluster"));
    assert_eq!(first_token("^cluster(?=\\.).*"), Some("cluster"));
    assert_eq!(first_token("^total$"), Some("total"));
    assert_eq!(first_token("cluster\\."), None);
    assert_eq!(first_token("^(?:a|b)\\."), None);
    assert_eq!(first_token("^cluster"), None);
    assert_eq!(first_token("^cluster.x"), None);
}
