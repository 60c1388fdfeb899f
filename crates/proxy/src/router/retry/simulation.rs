//! The retry machine beside a model of Envoy's rules: random policies, failures and answers. `NUNCIO_SEED` chooses one run, which a
//! failure names.

use nuncio_upstream::Random;

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
        let codes: Vec<u16> = (0..number(3)).map(|_| 400 + number(200) as u16).collect();
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
            Failure::Connect => &[RetryOn::CONNECT_FAILURE, RetryOn::RESET_BEFORE_REQUEST],
            Failure::Reset(Reset::RemoteRefused) => &[RetryOn::REFUSED_STREAM],
            _ => &[],
        };
        (failure, self.asks(&always) || self.asks(more))
    }

    /// Some answer, and whether it asks for another try.
    fn answer(&self) -> (u16, HeaderMap, bool) {
        let number = |limit| below(&self.random, limit);
        let status =
            [200, 204, 301, 404, 409, 429, 500, 501, 502, 503, 504, 599][number(12) as usize];
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
                    self.codes.contains(&status),
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

#[test]
fn requests_are_tried_again_by_envoys_rules() {
    let wanted = std::env::var("NUNCIO_SEED").ok();
    let wanted = wanted.map(|text| text.parse().expect("NUNCIO_SEED is a number"));
    let seeds: std::ops::RangeInclusive<u64> = wanted.map_or(1..=5000, |seed| seed..=seed);
    let mut most = 0;
    for seed in seeds {
        let random = Random::seeded(Random::seeded(seed).next());
        most = most.max(Simulation::new(random).run(seed));
    }
    assert!(
        wanted.is_some() || most > 3,
        "some are tried again and again"
    );
}
