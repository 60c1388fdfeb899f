//! Random trees beside a model that reads the messages as they stand, one entry after the other. `NUNCIO_SEED` chooses one
//! run, which a failure names.

use nuncio_net::{Address, IpRange};

use super::*;

const RUNS: u64 = 400;
const QUESTIONS: u64 = 40;

const LETTERS: [&str; 3] = ["a", "b", "c"];
const TEXTS: [&str; 6] = ["", "1", "12", "123", "1.2", "x.1.2"];
const ADDRESSES: [&str; 6] = [
    "10.0.0.1",
    "10.1.0.1",
    "10.1.1.1",
    "11.0.0.1",
    "2001:db8::1",
    "::1",
];
const RANGES: [(&str, u32); 6] = [
    ("10.0.0.0", 8),
    ("10.1.0.0", 16),
    ("10.1.1.1", 32),
    ("0.0.0.0", 0),
    ("2001:db8::", 32),
    ("::", 0),
];
const DOMAINS: [&str; 6] = ["1", "1.2", "*.2", "*.1.2", "*", "12"];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn matcher(&mut self, depth: usize) -> Matcher {
        let on_no_match = (self.below(2) == 0).then(|| self.on_match(depth));
        let letter = self.of(&LETTERS);
        match self.below(6) {
            0 => Matcher {
                on_no_match: on_no_match.map(Box::new),
                matcher_type: None,
            },
            1 | 2 => {
                let entries = (0..1 + self.below(3))
                    .map(|_| (self.predicate(2), self.on_match(depth)))
                    .collect();
                list(entries, on_no_match)
            }
            3 => {
                let mut left = TEXTS.to_vec();
                let entries = (0..1 + self.below(4))
                    .map(|_| {
                        (
                            left.swap_remove(self.below(left.len())),
                            self.on_match(depth),
                        )
                    })
                    .collect();
                let map = map(entries);
                let kind = match self.below(2) {
                    0 => TreeType::ExactMatchMap(map),
                    _ => TreeType::PrefixMatchMap(map),
                };
                tree(letter, kind, on_no_match)
            }
            4 => {
                let matchers = (0..1 + self.below(4)).map(|_| {
                    let ranges = (0..1 + self.below(2)).map(|_| {
                        let (prefix, length) = self.of(&RANGES);
                        range(prefix, length)
                    });
                    IpRangeMatcher {
                        ranges: ranges.collect(),
                        on_match: Some(self.on_match(depth)),
                        exclusive: self.below(3) == 0,
                    }
                });
                let config = IpMatcher {
                    range_matchers: matchers.collect(),
                };
                tree(letter, custom_tree(any::pack(&config)), on_no_match)
            }
            _ => {
                let mut left = DOMAINS.to_vec();
                let matchers = (0..1 + self.below(3)).map(|_| DomainMatcher {
                    domains: (0..1 + self.below(2))
                        .map(|_| left.swap_remove(self.below(left.len())).to_owned())
                        .collect(),
                    on_match: Some(self.on_match(depth)),
                });
                let config = ServerNameMatcher {
                    domain_matchers: matchers.collect(),
                };
                tree(letter, custom_tree(any::pack(&config)), on_no_match)
            }
        }
    }

    fn on_match(&mut self, depth: usize) -> OnMatch {
        let on_match = match depth {
            1.. if self.below(3) > 0 => nested(self.matcher(depth - 1)),
            _ => action(&format!("action {}", self.below(1000))),
        };
        OnMatch {
            keep_matching: self.below(5) == 0,
            ..on_match
        }
    }

    fn predicate(&mut self, depth: usize) -> Predicate {
        let several = |random: &mut Self| {
            (0..2 + random.below(2))
                .map(|_| random.predicate(depth - 1))
                .collect()
        };
        match self.below(if depth == 0 { 1 } else { 4 }) {
            0 => exact(self.of(&LETTERS), self.of(&TEXTS)),
            1 => all(several(self)),
            2 => either(several(self)),
            _ => not(self.predicate(depth - 1)),
        }
    }

    /// `a=…;b=…;c=…`, some of them absent or pending.
    fn data(&mut self) -> String {
        let mut data = String::new();
        for letter in LETTERS {
            let text = match self.below(8) {
                0 => continue,
                1 if self.below(3) == 0 => "?",
                2 | 3 => self.of(&ADDRESSES),
                _ => self.of(&TEXTS),
            };
            data.push_str(&format!("{letter}={text};"));
        }
        data
    }
}

/// What the tree finds; `Err` when something is pending.
type Answer = Result<Option<String>, ()>;

fn input<'d>(name: &str, data: &'d str) -> Result<Option<&'d str>, ()> {
    let mut pairs = data.split(';').filter_map(|pair| pair.split_once('='));
    match pairs.find(|(known, _)| *known == name) {
        Some((_, "?")) => Err(()),
        found => Ok(found.map(|(_, text)| text)),
    }
}

fn tree_says(config: &Matcher, data: &str, skipped: &mut Vec<String>) -> Answer {
    let found = match &config.matcher_type {
        None => None,
        Some(MatcherType::MatcherList(MatcherList { matchers })) => {
            let mut found = None;
            for FieldMatcher {
                predicate,
                on_match,
            } in matchers
            {
                if holds(predicate.as_ref().unwrap(), data).ok_or(())? {
                    found = on_match_says(on_match.as_ref().unwrap(), data, skipped)?;
                }
                if found.is_some() {
                    break;
                }
            }
            found
        }
        Some(MatcherType::MatcherTree(MatcherTree {
            input: Some(TypedExtensionConfig { name, .. }),
            tree_type: Some(kind),
        })) => {
            let mut found = None;
            if let Some(text) = input(name, data)? {
                for on_match in candidates(kind, text) {
                    found = on_match_says(&on_match, data, skipped)?;
                    if found.is_some() {
                        break;
                    }
                }
            }
            found
        }
        Some(MatcherType::MatcherTree(_)) => unreachable!("trees have both"),
    };
    match (found, &config.on_no_match) {
        (None, Some(on_no_match)) => on_match_says(on_no_match, data, skipped),
        (found, _) => Ok(found),
    }
}

fn on_match_says(config: &OnMatch, data: &str, skipped: &mut Vec<String>) -> Answer {
    let found = match config.on_match.as_ref().unwrap() {
        Then::Matcher(matcher) => tree_says(matcher, data, skipped)?,
        Then::Action(action) => Some(action.name.clone()),
    };
    if config.keep_matching {
        skipped.extend(found);
        return Ok(None);
    }
    Ok(found)
}

fn holds(config: &Predicate, data: &str) -> Option<bool> {
    match config.match_type.as_ref().unwrap() {
        MatchType::SinglePredicate(SinglePredicate {
            input: Some(TypedExtensionConfig { name, .. }),
            matcher:
                Some(ValueConfig::ValueMatch(StringMatcher {
                    match_pattern: Some(MatchPattern::Exact(wanted)),
                    ..
                })),
        }) => Some(input(name, data).ok()? == Some(wanted)),
        MatchType::SinglePredicate(_) => unreachable!("all are exact"),
        MatchType::NotMatcher(inner) => Some(!holds(inner, data)?),
        MatchType::AndMatcher(PredicateList { predicate }) => {
            let answers = predicate.iter().map(|one| holds(one, data));
            answers
                .into_iter()
                .find(|answer| *answer != Some(true))
                .unwrap_or(Some(true))
        }
        MatchType::OrMatcher(PredicateList { predicate }) => {
            let answers: Vec<_> = predicate.iter().map(|one| holds(one, data)).collect();
            match answers {
                _ if answers.contains(&Some(true)) => Some(true),
                _ if answers.contains(&None) => None,
                _ => Some(false),
            }
        }
    }
}

/// What a text leads to, in the order in which it is tried. An exclusive range is not tried after another one, whatever
/// that one came to: had it come to something, nobody would ask.
fn candidates(kind: &TreeType, text: &str) -> Vec<OnMatch> {
    match kind {
        TreeType::ExactMatchMap(MatchMap { map }) => map.get(text).into_iter().cloned().collect(),
        TreeType::PrefixMatchMap(MatchMap { map }) => {
            let mut found: Vec<_> = map
                .iter()
                .filter(|(key, _)| text.starts_with(key.as_str()))
                .collect();
            found.sort_by_key(|(key, _)| std::cmp::Reverse(key.len()));
            found.into_iter().map(|(_, then)| then.clone()).collect()
        }
        TreeType::CustomMatch(config) => {
            let config = config.typed_config.as_ref().unwrap();
            if let Ok(IpMatcher { range_matchers }) = any::unpack(config) {
                of_addresses(&range_matchers, text)
            } else {
                let ServerNameMatcher { domain_matchers } = any::unpack(config).unwrap();
                of_names(&domain_matchers, text)
            }
        }
    }
}

fn of_addresses(matchers: &[IpRangeMatcher], text: &str) -> Vec<OnMatch> {
    let Ok(address) = Address::parse_ip(text, 0) else {
        return Vec::new();
    };
    let address = address.ip().unwrap().ip();
    let mut found = Vec::new();
    for (number, matcher) in matchers.iter().enumerate() {
        for CidrRange {
            address_prefix,
            prefix_len,
        } in &matcher.ranges
        {
            let base = address_prefix.parse().unwrap();
            let range = IpRange::new(base, prefix_len.as_ref().unwrap().value);
            if range.contains(address) {
                found.push((std::cmp::Reverse(range.length()), number));
            }
        }
    }
    found.sort_unstable();
    let mut candidates = Vec::new();
    for (place, (_, number)) in found.into_iter().enumerate() {
        let matcher = &matchers[number];
        if place == 0 || !matcher.exclusive {
            candidates.extend(matcher.on_match.clone());
        }
    }
    candidates
}

fn of_names(matchers: &[DomainMatcher], text: &str) -> Vec<OnMatch> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for DomainMatcher { domains, on_match } in matchers {
        for domain in domains {
            let rank = match domain.strip_prefix('*') {
                None if domain == text => usize::MAX,
                None => continue,
                // `.2` ends `x.2`; alone, the star stands for anything.
                Some(suffix) if text.ends_with(suffix) => suffix.len(),
                Some(_) => continue,
            };
            found.push((std::cmp::Reverse(rank), on_match.clone().unwrap()));
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, then)| then).collect()
}

#[test]
fn trees_say_what_their_messages_say() {
    let only = std::env::var("NUNCIO_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    for seed in 0..RUNS {
        let seed = only.unwrap_or(seed);
        let mut random = Random(seed);
        let config = random.matcher(3);
        let tree = compiled(&config);
        for _ in 0..QUESTIONS {
            let data = random.data();
            let mut skipped = Vec::new();
            let found = match tree_says(&config, &data, &mut skipped) {
                Ok(Some(found)) => found,
                Ok(None) => "-".to_owned(),
                Err(()) => "?".to_owned(),
            };
            let expected = match skipped.as_slice() {
                [] => found,
                skipped => format!("{}>{found}", skipped.join(",")),
            };
            assert_eq!(
                look(&tree, &data),
                expected,
                "NUNCIO_SEED={seed} {data} {config:#?}"
            );
        }
    }
}
