//! The retry machine beside a model of Envoy's rules: random policies, failures and answers. `NUNCIO_SEED` chooses one run, which a
//! failure names.

use nuncio_config::api::protobuf::{Value, value::Kind};
use nuncio_route::ResetHeader;
use nuncio_sdk::metadata::DynamicMetadata;
use nuncio_upstream::{HealthFlags, HostConfig, Random};

use super::*;

const REASONS: [RetryOn; 10] = [
    RetryOn::FIVE_XX,
    RetryOn::GATEWAY_ERROR,
    RetryOn::RESET,
    RetryOn::RESET_BEFORE_REQUEST,
    RetryOn::CONNECT_FAILURE,
    RetryOn::ENVOY_RATELIMITED,
    RetryOn::RETRIABLE_4XX,
    RetryOn::REFUSED_STREAM,
    RetryOn::RETRIABLE_STATUS_CODES,
    RetryOn::GRPC_UNAVAILABLE,
];

fn below(random: &Random, limit: u64) -> u64 {
    random.next() % limit.max(1)
}

struct Simulation {
    random: Random,
    retry: Retry,
    /// The reasons of the policy, one by one.
    asked: Vec<RetryOn>,
    codes: Vec<u16>,
    base: Duration,
    most: Duration,
    retries: u32,
    limit: usize,
}

impl Simulation {
    fn new(random: Random) -> Self {
        let number = |limit| below(&random, limit);
        let asked: Vec<RetryOn> = REASONS.into_iter().filter(|_| number(3) == 0).collect();
        let codes: Vec<u16> = (0..number(3))
            .map(|_| [425, 400 + number(200) as u16][number(2) as usize])
            .collect();
        let base = Duration::from_millis(1 + number(100));
        let most = base * (1 + number(20) as u32);
        let retries = number(6) as u32;
        let limit = number(3000) as usize;
        let policy = RetryPolicy {
            on: asked
                .iter()
                .fold(RetryOn::default(), |all, one| all.or(*one)),
            retries,
            status_codes: codes.clone().into(),
            base_interval: base,
            max_interval: most,
            back_off_is_default: false,
            ..RetryPolicy::default()
        };
        let retry = Retry {
            on: policy.on,
            more_codes: Vec::new(),
            more_headers: Vec::new(),
            left: retries,
            priority: Priority::Default,
            body: Buffer::new(),
            early: number(4) == 0,
            keeps_body: true,
            limit,
            begun: false,
            after_timeout: false,
            tried: Vec::new(),
            priorities: None,
            taken: None,
            next_wait: base,
            max_wait: most,
            next_try: None,
            waits: BackOff::None,
            policy: Arc::new(policy),
        };
        Self {
            random,
            retry,
            asked,
            codes,
            base,
            most,
            retries,
            limit,
        }
    }

    /// What it was made with.
    fn policy(&self) -> RetryPolicy {
        let RetryPolicy { on, retries, .. } = *self.retry.policy;
        RetryPolicy {
            on,
            retries,
            status_codes: self.codes.clone().into(),
            base_interval: self.base,
            max_interval: self.most,
            back_off_is_default: false,
            ..RetryPolicy::default()
        }
    }

    fn asks(&self, reasons: &[RetryOn]) -> bool {
        reasons.iter().any(|reason| self.asked.contains(reason))
    }

    /// Some failure, and whether it asks for another try.
    fn failure(&self) -> (Failure, bool) {
        let failure = match below(&self.random, 6) {
            0 => Failure::Connect,
            1 => Failure::Timeout,
            2 => Failure::Reset(Reset::RemoteRefused),
            3 => Failure::Reset(Reset::Remote),
            4 => Failure::Reset(Reset::ProtocolError),
            _ => Failure::Reset(Reset::ConnectionTermination),
        };
        let always = [RetryOn::RESET, RetryOn::FIVE_XX, RetryOn::GATEWAY_ERROR];
        let more: &[RetryOn] = match failure {
            Failure::Connect if self.retry.begun => &[RetryOn::CONNECT_FAILURE],
            Failure::Connect => &[RetryOn::CONNECT_FAILURE, RetryOn::RESET_BEFORE_REQUEST],
            Failure::Reset(Reset::RemoteRefused) => &[RetryOn::REFUSED_STREAM],
            _ => &[],
        };
        (failure, self.asks(&always) || self.asks(more))
    }

    /// Some answer, and whether it asks for another try.
    fn answer(&self) -> (u16, HeaderMap, bool) {
        let number = |limit| below(&self.random, limit);
        let status = [
            200, 204, 301, 404, 409, 425, 429, 500, 501, 502, 503, 504, 599,
        ][number(13) as usize];
        let mut headers: HeaderMap = [(":status", status.to_string())]
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let limited = number(8) == 0;
        if limited {
            headers.set(Known::XEnvoyRatelimited, b"true");
        }
        let grpc = (number(4) == 0).then(|| number(17));
        if let Some(code) = grpc {
            headers.set(Known::GrpcStatus, code.to_string().as_bytes());
        }
        let wants = if limited {
            self.asks(&[RetryOn::ENVOY_RATELIMITED])
        } else {
            let is = |applies: bool, reason| applies && self.asks(&[reason]);
            is((500..600).contains(&status), RetryOn::FIVE_XX)
                || is((502..505).contains(&status), RetryOn::GATEWAY_ERROR)
                || is(status == 409, RetryOn::RETRIABLE_4XX)
                || is(
                    self.codes.contains(&status) && !(status == 425 && self.retry.early),
                    RetryOn::RETRIABLE_STATUS_CODES,
                )
                || is(grpc == Some(14), RetryOn::GRPC_UNAVAILABLE)
        };
        (status, headers, wants)
    }

    /// One request, tried until nothing asks for more; returns how often.
    fn run(&mut self, seed: u64) -> u32 {
        let (mut sent, mut whole, mut tries) = (Vec::new(), false, 1);
        loop {
            // Some more of the body comes before the try is over.
            while !whole && below(&self.random, 3) != 0 {
                let piece = vec![sent.len() as u8; below(&self.random, 900) as usize];
                sent.extend_from_slice(&piece);
                self.retry.keep(&Buffer::from(piece.as_slice()), None, None);
                whole = below(&self.random, 3) == 0;
            }
            let kept = sent.len() <= self.limit;
            let body = self.retry.body();
            assert_eq!(body.is_some(), kept, "seed {seed}: {} bytes", sent.len());
            if let Some(body) = body {
                assert!(*body == *sent, "seed {seed}: the body is another one");
            }
            let answered = below(&self.random, 2) == 0;
            self.retry.begun |= answered || below(&self.random, 2) == 0;
            let begun = self.retry.begun;
            let (wants, expected) = match answered {
                true => {
                    let (status, headers, expected) = self.answer();
                    (self.retry.wants_after_answer(status, &headers), expected)
                }
                false => {
                    let (failure, expected) = self.failure();
                    (self.retry.wants_after(failure), expected)
                }
            };
            assert_eq!(wants, expected, "seed {seed}: {:?}", self.asked);
            let may = wants && (!begun || kept);
            let expected = match (may, tries <= self.retries) {
                (false, _) => Decision::Final,
                (true, true) => Decision::Again,
                (true, false) => Decision::Exhausted,
            };
            let decision = self.retry.another(wants);
            assert_eq!(decision, expected, "seed {seed}: try {tries}");
            if decision != Decision::Again {
                return tries;
            }
            let bound = (self.base * 2u32.pow(tries - 1)).min(self.most.max(self.base));
            let wait = self.retry.backoff();
            assert!(wait <= bound, "seed {seed}: {wait:?} of {bound:?}");
            tries += 1;
        }
    }
}

/// Runs a simulation with so many seeds, or only with that of `NUNCIO_SEED`.
fn seeded(runs: u64, mut simulate: impl FnMut(Random, u64)) {
    let wanted = std::env::var("NUNCIO_SEED").ok();
    let wanted = wanted.map(|text| text.parse().expect("NUNCIO_SEED is a number"));
    let seeds: std::ops::RangeInclusive<u64> = wanted.map_or(1..=runs, |seed| seed..=seed);
    for seed in seeds {
        simulate(Random::seeded(Random::seeded(seed).next()), seed);
    }
}

#[test]
fn requests_are_tried_again_by_envoys_rules() {
    let (mut most, mut runs) = (0, 0);
    seeded(5000, |random, seed| {
        most = most.max(Simulation::new(random).run(seed));
        runs += 1;
    });
    assert!(runs == 1 || most > 3, "some are tried again and again");
}

/// Random policies, and random headers that say when to come back: what is waited for is what Envoy would wait for, and never
/// less than what was asked.
#[test]
fn answers_say_when_to_come_back() {
    seeded(3000, |random, seed| {
        let number = |limit| below(&random, limit);
        let mut it = Simulation::new(Random::seeded(random.next()));
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000 + number(100_000));
        let second = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let names = ["retry-after", "x-ratelimit-reset", "x-other"];
        let wanted: Vec<(&str, bool)> = (0..number(3))
            .map(|_| (names[number(3) as usize], number(2) == 0))
            .collect();
        let most = Duration::from_secs(number(20));
        let policy = RetryPolicy {
            reset_headers: wanted
                .iter()
                .map(|(name, is_time)| ResetHeader {
                    name: (*name).into(),
                    is_time: *is_time,
                })
                .collect(),
            max_reset: most,
            ..it.policy()
        };
        it.retry.policy = Arc::new(policy);
        let mut headers = HeaderMap::default();
        let mut said: Vec<(&str, String)> = Vec::new();
        for name in names {
            let value = match number(6) {
                0 => "soon".to_owned(),
                1 => number(30).to_string(),
                2 => (second + number(30)).to_string(),
                3 => (second - number(30)).to_string(),
                4 => "0".to_owned(),
                _ => continue,
            };
            headers.set(name, value.as_bytes());
            said.push((name, value));
        }
        // The first header of the policy with a number that makes a time, and not too long a one.
        let asked = wanted.iter().find_map(|(name, is_time)| {
            let (_, value) = said.iter().find(|(said, _)| said == name)?;
            let value: u64 = value.parse().ok()?;
            let seconds = match is_time {
                true if value < second => return None,
                true => value - second,
                false => value,
            };
            Some(seconds).filter(|seconds| Duration::from_secs(*seconds) <= most)
        });
        let what = format!("seed {seed}: {said:?} by {wanted:?} of {second}, at most {most:?}");
        let wait = it.retry.wait_after_answer(503, &headers, now);
        let wanted = match asked {
            Some(0) | None => Wait::BackOff,
            Some(seconds) => Wait::Asked(Duration::from_secs(seconds)),
        };
        assert_eq!(wait, wanted, "{what}");
        let time = it.retry.time_of(wait);
        match wait {
            Wait::Asked(least) => {
                assert!(time >= least && time <= least * 3 / 2, "{what}: {time:?}")
            }
            _ => assert!(time <= it.base.min(it.most), "{what}: {time:?}"),
        }
        // Too early is tried again at once, if the policy names it.
        let asks = it.asks(&[RetryOn::RETRIABLE_STATUS_CODES]);
        let at_once = asks && it.codes.contains(&425) && !it.retry.early;
        let found = it.retry.wait_after_answer(425, &headers, now) == Wait::Not;
        assert_eq!(found, at_once, "{what}");
    });
}

fn host(number: u16, canary: bool, stage: &str) -> Arc<Host> {
    let mut metadata = DynamicMetadata::default();
    let value = |kind| Value { kind: Some(kind) };
    let stage = value(Kind::StringValue(stage.into()));
    metadata.set("envoy.lb", "stage", stage);
    metadata.set("envoy.lb", "canary", value(Kind::BoolValue(canary)));
    Arc::new(Host::new(HostConfig {
        address: nuncio_net::Address::parse_ip("127.0.0.1", number).unwrap(),
        additional: None,
        hostname: Arc::from(""),
        locality: Arc::default(),
        metadata: Some(Arc::new(metadata)),
        weight: 1,
        priority: 0,
        health: HealthFlags::NONE,
        health_check: None,
    }))
}

/// Random predicates, hosts and balancers: one that takes turns, and one that goes the same way each time, as rings do. Whom
/// Envoy finds within its limit is found, and nobody is avoided at the first try.
#[test]
fn hosts_are_avoided_by_envoys_rules() {
    seeded(4000, |random, seed| {
        let number = |limit| below(&random, limit);
        let mut it = Simulation::new(Random::seeded(random.next()));
        let hosts: Vec<Arc<Host>> = (0..1 + number(8))
            .map(|at| {
                let stage = ["old", "new"][number(2) as usize];
                host(at as u16, number(3) == 0, stage)
            })
            .collect();
        let (previous, canaries, old) = (number(2) == 0, number(2) == 0, number(2) == 0);
        let attempts = number(12) as u32;
        let stage = Value {
            kind: Some(Kind::StringValue("old".into())),
        };
        it.retry.policy = Arc::new(RetryPolicy {
            avoid_previous_hosts: previous,
            avoid_canaries: canaries,
            avoid_metadata: match old {
                true => vec![[("stage".into(), stage)].into_iter().collect()],
                false => Vec::new(),
            },
            host_attempts: attempts,
            ..it.policy()
        });
        // The balancer finds these, one after the other.
        let way: Vec<usize> = (0..200)
            .map(|_| number(hosts.len() as u64) as usize)
            .collect();
        let takes_turns = number(2) == 0;
        let mut turn = 0;
        for attempt in 0..4 {
            let begin = turn;
            let at = |turn: usize| &hosts[way[turn % way.len()]];
            let shown = |host: &Arc<Host>| format!("{:?}", host.metadata());
            let is_bad = |host: &Arc<Host>| {
                previous && it.retry.tried.iter().any(|tried| Arc::ptr_eq(tried, host))
                    || canaries && shown(host).contains("true")
                    || old && shown(host).contains("\"old\"")
            };
            let is_first = it.retry.tried.is_empty();
            let mut choices = (0..=attempts as usize).map(|more| at(begin + more));
            let wanted = match is_first {
                true => Some(at(begin)),
                false => choices.find(|host| !is_bad(host)),
            };
            let found = it.retry.choose(
                |host: &Arc<Host>| host,
                |attempted, max| {
                    // As `choose_untried` of the balancers.
                    let mut now = match takes_turns {
                        true => turn,
                        false => begin,
                    };
                    let mut host = at(now);
                    for _ in 0..max {
                        if !attempted.iter().any(|tried| Arc::ptr_eq(tried, host)) {
                            break;
                        }
                        now += 1;
                        host = at(now);
                    }
                    turn = now + 1;
                    Some(host.clone())
                },
            );
            let found = found.expect("there are hosts");
            let what = format!(
                "seed {seed}, try {attempt}: {attempts} choices, {previous} {canaries} {old}, turns {takes_turns}"
            );
            if let Some(wanted) = wanted {
                assert!(Arc::ptr_eq(&found, wanted), "{what}");
            } else if !takes_turns {
                // Nobody is good enough: the last one that may be looked at.
                assert!(Arc::ptr_eq(&found, at(begin + attempts as usize)), "{what}");
            }
            if !it
                .retry
                .tried
                .iter()
                .any(|tried| Arc::ptr_eq(tried, &found))
            {
                it.retry.tried.push(found);
            }
        }
    });
}
