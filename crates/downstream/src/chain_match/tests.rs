use super::*;

fn address(text: &str) -> Address {
    if text.starts_with('/') {
        Address::pipe(text, 0).unwrap()
    } else {
        Address::parse_ip_and_port(text).unwrap()
    }
}

fn range(text: &str) -> IpRange {
    IpRange::parse(text).unwrap()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn any() -> Criteria {
    Criteria::default()
}

fn find(index: &ChainIndex, local: &str, remote: &str) -> Option<usize> {
    let (local, remote) = (address(local), address(remote));
    index.find(&ConnectionFacts::plain(&local, &remote))
}

fn find_name(index: &ChainIndex, name: &str, protocols: &[&str]) -> Option<usize> {
    let (local, remote) = (address("10.0.0.1:443"), address("10.0.0.2:1"));
    index.find(&ConnectionFacts {
        server_name: name,
        transport_protocol: "tls",
        application_protocols: protocols,
        ..ConnectionFacts::plain(&local, &remote)
    })
}

#[test]
fn one_chain_without_criteria_matches_everything() {
    let index = ChainIndex::new(&[any()]).unwrap();
    assert_eq!(find(&index, "10.0.0.1:80", "[::1]:9"), Some(0));
    assert_eq!(find(&index, "/run/x", "/run/y"), Some(0));
    assert_eq!(
        find(&ChainIndex::new(&[]).unwrap(), "1.1.1.1:1", "1.1.1.1:1"),
        None
    );
}

#[test]
fn ports_and_destinations_most_specific_first_and_no_backtracking() {
    let index = ChainIndex::new(&[
        Criteria {
            destination_port: Some(443),
            destinations: vec![range("10.1.0.0/16")],
            ..any()
        },
        Criteria {
            destinations: vec![range("10.0.0.0/8"), range("::/0")],
            ..any()
        },
        Criteria {
            destinations: vec![range("10.1.0.0/16")],
            source_ports: vec![7],
            ..any()
        },
    ])
    .unwrap();
    let from = "192.0.2.1:9";
    assert_eq!(find(&index, "10.1.2.3:443", from), Some(0));
    assert_eq!(
        find(&index, "10.2.2.3:443", from),
        None,
        "port 443 was chosen"
    );
    assert_eq!(find(&index, "10.2.2.3:80", from), Some(1));
    assert_eq!(find(&index, "[2001::1]:80", "[2001::2]:9"), Some(1));
    assert_eq!(
        find(&index, "10.1.2.3:80", from),
        None,
        "10.1/16 was chosen"
    );
    assert_eq!(find(&index, "10.1.2.3:80", "192.0.2.1:7"), Some(2));
    assert_eq!(find(&index, "11.1.2.3:80", from), None);
    assert_eq!(find(&index, "/run/x", "/run/y"), None);
}

#[test]
fn server_names_exact_then_wildcards_then_any() {
    let named = |names: &[&str]| Criteria {
        server_names: strings(names),
        ..any()
    };
    let index = ChainIndex::new(&[
        named(&["www.example.com", "other.org"]),
        named(&["*.example.com"]),
        named(&["*.com"]),
        named(&[]),
    ])
    .unwrap();
    for (name, chain) in [
        ("www.example.com", 0),
        ("other.org", 0),
        ("a.example.com", 1),
        ("a.b.example.com", 1),
        ("example.com", 2),
        ("x.com", 2),
        ("com", 3),
        ("x.org", 3),
        ("", 3),
        // As in Envoy, where a wildcard is kept without its star.
        (".com", 2),
        ("x.", 3),
    ] {
        assert_eq!(find_name(&index, name, &[]), Some(chain), "{name}");
    }
}

#[test]
fn transport_and_application_protocols() {
    let index = ChainIndex::new(&[
        Criteria {
            transport_protocol: "tls".into(),
            application_protocols: strings(&["h2"]),
            ..any()
        },
        Criteria {
            transport_protocol: "tls".into(),
            ..any()
        },
        Criteria {
            transport_protocol: "raw_buffer".into(),
            ..any()
        },
    ])
    .unwrap();
    assert_eq!(find_name(&index, "x", &["h2", "http/1.1"]), Some(0));
    assert_eq!(find_name(&index, "x", &["http/1.1"]), Some(1));
    assert_eq!(find_name(&index, "x", &[]), Some(1));
    assert_eq!(find(&index, "10.0.0.1:80", "10.0.0.2:1"), Some(2));
}

#[test]
fn sources() {
    let index = ChainIndex::new(&[
        Criteria {
            source_type: SourceType::SameIpOrLoopback,
            ..any()
        },
        Criteria {
            source_type: SourceType::External,
            sources: vec![range("10.0.0.0/8")],
            ..any()
        },
        Criteria {
            sources: vec![range("10.9.0.0/16")],
            source_ports: vec![1, 2],
            ..any()
        },
        Criteria {
            direct_sources: vec![range("172.16.0.0/12")],
            ..any()
        },
    ])
    .unwrap();
    let local = "192.0.2.1:80";
    assert_eq!(find(&index, local, "127.0.0.1:5"), Some(0));
    assert_eq!(find(&index, local, "192.0.2.1:5"), Some(0));
    assert_eq!(find(&index, "/run/x", "/run/y"), Some(0));
    assert_eq!(
        find(&index, local, "10.9.1.1:1"),
        Some(1),
        "type before range"
    );
    assert_eq!(find(&index, local, "172.16.5.5:1"), Some(3));
    let (local, remote) = (address(local), address("10.9.1.1:1"));
    let mut facts = ConnectionFacts::plain(&local, &remote);
    let proxy = address("172.16.0.1:99");
    facts.direct_remote = &proxy;
    assert_eq!(index.find(&facts), Some(3));
}

#[test]
fn source_ports_fall_back_to_any_port() {
    let index = ChainIndex::new(&[
        Criteria {
            source_ports: vec![1, 2],
            ..any()
        },
        any(),
    ])
    .unwrap();
    assert_eq!(find(&index, "10.0.0.1:80", "10.0.0.2:2"), Some(0));
    assert_eq!(find(&index, "10.0.0.1:80", "10.0.0.2:3"), Some(1));
}

#[test]
fn chains_that_match_the_same_are_refused() {
    let ports = |ports: &[u16]| Criteria {
        source_ports: ports.to_vec(),
        ..any()
    };
    let overlap = |first, second| Some(Overlap { first, second });
    let refused = |chains: &[Criteria]| ChainIndex::new(chains).err();
    assert_eq!(refused(&[any(), any()]), overlap(0, 1));
    assert_eq!(
        refused(&[ports(&[9]), ports(&[1, 2]), ports(&[2, 3])]),
        overlap(1, 2)
    );
    assert_eq!(refused(&[ports(&[1]), ports(&[2]), any()]), None);
}
