//! Changes of headers.

use super::*;

fn option(name: &str, value: &str, action: HeaderAppendAction) -> HeaderValueOption {
    HeaderValueOption {
        append_action: action as i32,
        ..add_header(name, value)
    }
}

/// What Envoy 1.40 sent upstream for this configuration.
#[test]
fn append_actions() {
    use HeaderAppendAction::{
        AddIfAbsent, AppendIfExistsOrAdd, OverwriteIfExists, OverwriteIfExistsOrAdd,
    };
    let mut route = route(prefix("/"));
    route.request_headers_to_add = vec![
        option("x-1", "n", AddIfAbsent),
        option("x-2", "n", AddIfAbsent),
        option("x-2", "m", AddIfAbsent),
        option("x-3", "n", OverwriteIfExists),
        option("x-4", "n", OverwriteIfExists),
        option("x-5", "n", OverwriteIfExistsOrAdd),
        option("x-6", "n", OverwriteIfExistsOrAdd),
        option("x-7", "z", AppendIfExistsOrAdd),
        option("x-7", "n", OverwriteIfExistsOrAdd),
        option("x-8", "%REQ(x-9)%", AppendIfExistsOrAdd),
        option("x-9", "new", AppendIfExistsOrAdd),
        option("accept", "q", AppendIfExistsOrAdd),
    ];
    route.request_headers_to_remove = vec!["x-rm".into(), "X-RM2".into()];
    let given = [
        ("x-1", "o"),
        ("x-3", "o"),
        ("x-5", "o"),
        ("x-5", "p"),
        ("x-7", "o"),
        ("x-9", "old"),
        ("x-rm", "1"),
        ("x-rm2", "2"),
        ("accept", "o"),
    ];
    let headers = finalized(route, request("GET", "h", "/", &given));
    let added: Vec<String> = headers
        .iter()
        .skip(5)
        .map(|(name, value)| {
            format!(
                "{}: {}",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value)
            )
        })
        .collect();
    let expected = [
        "x-1: o",
        "x-9: old",
        "accept: o,q",
        "x-3: n",
        "x-5: n",
        "x-6: n",
        "x-7: n",
        "x-2: n",
        "x-2: m",
        "x-7: z",
        "x-8: old",
        "x-9: new",
    ];
    assert_eq!(added, expected);
}

#[test]
fn empty_values_are_left_out_unless_kept() {
    let keep = |name: &str, value: &str| HeaderValueOption {
        keep_empty_value: true,
        ..add_header(name, value)
    };
    let mut route = route(prefix("/"));
    route.request_headers_to_add = vec![
        add_header("x-a", ""),
        keep("x-b", ""),
        add_header("x-c", "%REQ(nope)%"),
        keep("x-d", "%REQ(nope)%"),
        add_header("x-e", "a%REQ(nope)%b"),
        add_header("X-Upper", "100%%"),
    ];
    let headers = finalized(route, get("/"));
    assert_eq!(text(&headers, "x-a"), [""; 0]);
    assert_eq!(text(&headers, "x-b"), [""]);
    assert_eq!(text(&headers, "x-c"), [""; 0]);
    assert_eq!(text(&headers, "x-d"), [""]);
    assert_eq!(text(&headers, "x-e"), ["ab"]);
    assert_eq!(text(&headers, "x-upper"), ["100%"]);
}

#[test]
fn levels_of_header_changes() {
    let over = |value: &str| option("x-o", value, HeaderAppendAction::OverwriteIfExistsOrAdd);
    let weighted = WeightedCluster {
        clusters: vec![ClusterWeight {
            name: "c".into(),
            weight: Some(UInt32Value { value: 1 }),
            request_headers_to_add: vec![add_header("x-l", "wc"), over("wc")],
            response_headers_to_add: vec![add_header("x-l", "wc")],
            host_rewrite_specifier: Some(cluster_weight::HostRewriteSpecifier::HostRewriteLiteral(
                "wchost".into(),
            )),
            ..ClusterWeight::default()
        }],
        ..WeightedCluster::default()
    };
    let mut route = forward(prefix("/"), |action| {
        action.cluster_specifier = Some(ClusterSpecifier::WeightedClusters(weighted));
        action.host_rewrite_specifier =
            Some(HostRewriteSpecifier::HostRewriteLiteral("rthost".into()));
    });
    route.request_headers_to_add = vec![add_header("x-l", "rt"), over("rt")];
    route.response_headers_to_add = vec![add_header("x-l", "rt")];
    let mut host = virtual_host("v", &["*"], vec![route]);
    host.request_headers_to_add = vec![add_header("x-l", "vh"), over("vh")];
    let mut config = config(vec![host]);
    config.request_headers_to_add = vec![add_header("x-l", "rc")];
    config.response_headers_to_add = vec![add_header("x-l", "rc")];
    for (wins, order, last) in [
        (false, ["wc", "rt", "vh", "rc"], "vh"),
        (true, ["wc", "rc", "vh", "rt"], "rt"),
    ] {
        config.most_specific_header_mutations_wins = wins;
        let table = worker(&config);
        let mut headers = get("/");
        let entry = find(&table, &headers).unwrap();
        entry.finalize_request_headers(&mut headers, &info(), true);
        assert_eq!(text(&headers, "x-l"), order);
        assert_eq!(text(&headers, "x-o"), [last]);
        assert_eq!(text(&headers, ":authority"), ["rthost"]);
        assert_eq!(text(&headers, "x-envoy-original-host"), ["wchost"]);
        let mut response: HeaderMap = [(":status", "200")].into_iter().collect();
        entry.finalize_response_headers(&mut response, &headers, &info());
        let expected = if wins {
            ["wc", "rc", "rt"]
        } else {
            ["wc", "rt", "rc"]
        };
        assert_eq!(text(&response, "x-l"), expected);
    }
}
