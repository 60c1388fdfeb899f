use std::collections::HashMap;

use nuncio_stats::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::testing::run;

mod hostile;

/// What a server does with questions about a name.
#[derive(Clone)]
pub(in crate::dns) enum Reply {
    /// Answers with these records of the kind that was asked for.
    Records(Vec<(IpAddr, u32)>),
    Code(u8),
    /// Says by UDP that the answer does not fit.
    ByTcp(IpAddr),
    Silence,
    Junk,
}

/// Serves a zone by UDP and TCP until the test ends; tells what was asked.
pub(in crate::dns) async fn server(
    zone: &[(&str, Reply)],
) -> (SocketAddr, Arc<std::sync::Mutex<Vec<String>>>) {
    let zone: HashMap<String, Reply> = zone
        .iter()
        .map(|(name, reply)| ((*name).to_owned(), reply.clone()))
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let udp = UdpSocket::bind(at).await.unwrap();
    let log = Arc::<std::sync::Mutex<Vec<String>>>::default();
    let (z, l) = (zone.clone(), log.clone());
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
            if let Some(reply) = reply(&z, &buffer[..length], false, &l) {
                udp.send_to(&reply, from).await.unwrap();
            }
        }
    });
    let l = log.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut question = vec![0; length.into()];
            stream.read_exact(&mut question).await.unwrap();
            let reply = reply(&zone, &question, true, &l).unwrap();
            stream.write_u16(reply.len() as u16).await.unwrap();
            stream.write_all(&reply).await.unwrap();
        }
    });
    (at, log)
}

fn reply(
    zone: &HashMap<String, Reply>,
    question: &[u8],
    tcp: bool,
    log: &std::sync::Mutex<Vec<String>>,
) -> Option<Vec<u8>> {
    let (mut name, mut at) = (String::new(), 12);
    while question[at] > 0 {
        let end = at + 1 + usize::from(question[at]);
        name += std::str::from_utf8(&question[at + 1..end]).unwrap();
        name.push('.');
        at = end;
    }
    let v6 = question[at + 2] == 28;
    let (by, kind) = (if tcp { "tcp" } else { "udp" }, if v6 { 6 } else { 4 });
    log.lock().unwrap().push(format!("{by} {name}{kind}"));
    let mut message = question[..at + 5].to_vec();
    message[2] = 0x81;
    message[11] = 0;
    let mut records = Vec::new();
    match zone.get(&name) {
        None => message[3] = 3,
        Some(Reply::Records(all)) => records.clone_from(all),
        Some(Reply::Code(code)) => message[3] = *code,
        Some(Reply::ByTcp(ip)) if tcp => records.push((*ip, 9)),
        Some(Reply::ByTcp(_)) => message[2] |= 2,
        Some(Reply::Silence) => return None,
        Some(Reply::Junk) => return Some(message[..9].to_vec()),
    }
    for (ip, ttl) in records.iter().filter(|(ip, _)| ip.is_ipv6() == v6) {
        message[7] += 1;
        message.extend([0xc0, 12, 0, if v6 { 28 } else { 1 }, 0, 1]);
        message.extend(ttl.to_be_bytes());
        match ip {
            IpAddr::V4(ip) => {
                message.extend([0, 4]);
                message.extend(ip.octets());
            }
            IpAddr::V6(ip) => {
                message.extend([0, 16]);
                message.extend(ip.octets());
            }
        }
    }
    Some(message)
}

fn options(servers: &[SocketAddr]) -> CaresOptions {
    CaresOptions {
        servers: servers.to_vec(),
        no_search: true,
        timeout: Duration::from_millis(200),
        tries: 2,
        edns: None,
        ..CaresOptions::default()
    }
}

fn resolver(options: CaresOptions) -> CaresResolver {
    let store = Box::leak(Box::new(Store::new(1)));
    CaresResolver::new(options, store.group("dns.cares", S::SCHEMA))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn families_and_ttls() {
    run(async {
        let both = Reply::Records(vec![
            (ip("10.0.0.1"), 30),
            (ip("::1"), 20),
            (ip("10.0.0.2"), 40),
        ]);
        let v4 = Reply::Records(vec![(ip("10.0.0.3"), 7)]);
        let (at, log) = server(&[("both.test.", both), ("v4.test.", v4)]).await;
        let resolver = resolver(options(&[at]));
        for (name, family, addresses, ttl, asked) in [
            (
                "both.test",
                LookupFamily::V4Only,
                &["10.0.0.1", "10.0.0.2"][..],
                Some(30),
                &["4"][..],
            ),
            ("both.test", LookupFamily::Auto, &["::1"], Some(20), &["6"]),
            (
                "both.test",
                LookupFamily::All,
                &["10.0.0.1", "10.0.0.2", "::1"],
                Some(20),
                &["4", "6"],
            ),
            (
                "v4.test",
                LookupFamily::Auto,
                &["10.0.0.3"],
                Some(7),
                &["6", "4"],
            ),
            (
                "v4.test",
                LookupFamily::V4Preferred,
                &["10.0.0.3"],
                Some(7),
                &["4"],
            ),
            ("v4.test", LookupFamily::V6Only, &[], None, &["6"]),
            ("nowhere.test", LookupFamily::Auto, &[], None, &["6", "4"]),
        ] {
            let found = resolver.resolve(name, family).await.unwrap();
            let wanted: Vec<_> = addresses.iter().map(|text| ip(text)).collect();
            assert_eq!(found.addresses, wanted, "{name} {family:?}");
            assert_eq!(found.ttl, ttl.map(Duration::from_secs), "{name} {family:?}");
            let mut seen = std::mem::take(&mut *log.lock().unwrap());
            if family == LookupFamily::All {
                seen.sort();
            }
            let wanted: Vec<_> = asked
                .iter()
                .map(|kind| format!("udp {name}.{kind}"))
                .collect();
            assert_eq!(seen, wanted, "{name} {family:?}");
        }
        // Each family that is tried counts.
        assert_eq!(resolver.0.stats.counter(S::RESOLVE_TOTAL), 7 + 2);
        assert_eq!(resolver.0.stats.counter(S::NOT_FOUND), 1 + 1 + 2);
        assert_eq!(resolver.0.stats.gauge(S::PENDING_RESOLUTIONS), 0);
    });
}

#[test]
fn what_does_not_fit_is_asked_by_tcp() {
    run(async {
        let (at, log) = server(&[("tc.test.", Reply::ByTcp(ip("10.0.0.4")))]).await;
        let found = resolver(options(&[at]))
            .resolve("tc.test", LookupFamily::V4Only)
            .await;
        assert_eq!(found.unwrap().addresses, [ip("10.0.0.4")]);
        assert_eq!(*log.lock().unwrap(), ["udp tc.test.4", "tcp tc.test.4"]);
        log.lock().unwrap().clear();
        let tcp = CaresOptions {
            tcp: true,
            ..options(&[at])
        };
        let found = resolver(tcp).resolve("tc.test", LookupFamily::V4Only).await;
        assert_eq!(found.unwrap().addresses, [ip("10.0.0.4")]);
        assert_eq!(*log.lock().unwrap(), ["tcp tc.test.4"]);
    });
}

#[test]
fn failures() {
    run(async {
        let zone = [
            ("fail.test.", Reply::Code(2)),
            ("silent.test.", Reply::Silence),
            ("junk.test.", Reply::Junk),
        ];
        let (at, log) = server(&zone).await;
        let resolver = resolver(options(&[at]));
        for (name, text) in [
            ("fail.test", "Could not contact DNS servers"),
            ("silent.test", "Timeout while contacting DNS servers"),
            ("junk.test", "Could not contact DNS servers"),
        ] {
            let error = resolver
                .resolve(name, LookupFamily::V4Only)
                .await
                .unwrap_err();
            assert_eq!(error.0, format!("cares_failure: {text}"), "{name}");
            assert_eq!(std::mem::take(&mut *log.lock().unwrap()).len(), 2, "{name}");
        }
        let error = resolver.resolve("a..b", LookupFamily::V4Only).await;
        assert_eq!(
            error.unwrap_err().0,
            "cares_failure: Misformatted domain name"
        );
        let stats = &resolver.0.stats;
        assert_eq!(stats.counter(S::TIMEOUTS), 2);
        assert_eq!(stats.counter(S::GET_ADDR_FAILURE), 3);
    });
}

#[test]
fn the_next_server_is_asked() {
    run(async {
        let good = Reply::Records(vec![(ip("10.0.0.1"), 30)]);
        let (bad, _) = server(&[("a.test.", Reply::Code(2))]).await;
        let (good, _) = server(&[("a.test.", good)]).await;
        let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let nobody = nobody.local_addr().unwrap();
        let found = resolver(options(&[nobody, bad, good]))
            .resolve("a.test", LookupFamily::V4Only)
            .await;
        assert_eq!(found.unwrap().addresses, [ip("10.0.0.1")]);
    });
}

#[test]
fn a_server_without_edns_is_asked_without() {
    run(async {
        let (at, log) = server(&[("a.test.", Reply::Code(1))]).await;
        let edns = CaresOptions {
            edns: Some(1232),
            ..options(&[at])
        };
        let failed = resolver(edns).resolve("a.test", LookupFamily::V4Only).await;
        assert!(failed.is_err());
        assert_eq!(log.lock().unwrap().len(), 2);
    });
}

#[test]
fn many_questions_share_few_sockets() {
    run(async {
        let records = Reply::Records(vec![(ip("10.0.0.1"), 30)]);
        let (at, log) = server(&[("a.test.", records)]).await;
        let resolver = resolver(options(&[at]));
        let all: Vec<_> = (0..250)
            .map(|_| tokio::spawn(resolver.resolve("a.test", LookupFamily::V4Only)))
            .collect();
        for one in all {
            assert_eq!(one.await.unwrap().unwrap().addresses, [ip("10.0.0.1")]);
        }
        assert!(log.lock().unwrap().len() >= 250);
    });
}

#[test]
fn names_are_searched_for() {
    let resolver = resolver(CaresOptions::default());
    let conf = ResolvConf::parse("search x.test y.test\noptions ndots:2\n");
    assert_eq!(
        resolver.0.asker.candidates("a.b", &conf),
        ["a.b.x.test", "a.b.y.test", "a.b"]
    );
    assert_eq!(
        resolver.0.asker.candidates("a.b.c", &conf),
        ["a.b.c", "a.b.c.x.test", "a.b.c.y.test"]
    );
    assert_eq!(resolver.0.asker.candidates("a.", &conf), ["a."]);
}

#[test]
fn answers_are_used_again_if_wanted() {
    run(async {
        let records = Reply::Records(vec![(ip("10.0.0.1"), 30)]);
        let (at, log) = server(&[("a.test.", records)]).await;
        for (max_ttl, asked) in [(0, 2), (60, 1)] {
            let caching = resolver(CaresOptions {
                cache_max_ttl: Duration::from_secs(max_ttl),
                ..options(&[at])
            });
            for _ in 0..2 {
                let found = caching.resolve("a.test", LookupFamily::V4Only).await;
                let found = found.unwrap();
                assert_eq!(found.addresses, [ip("10.0.0.1")]);
                assert!(found.ttl <= Some(Duration::from_secs(30)));
            }
            assert_eq!(std::mem::take(&mut *log.lock().unwrap()).len(), asked);
        }
    });
}
