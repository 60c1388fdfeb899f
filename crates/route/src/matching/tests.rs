//! Trees over inputs of a test, and the shapes of routes' own inputs.

use std::sync::Arc;

use nuncio_config::api::consistent_hashing::ConsistentHashing;
use nuncio_config::api::ip_matcher::Ip;
use nuncio_config::api::metadata_matcher::Metadata;
use nuncio_config::api::protobuf::{Any, UInt32Value};
use nuncio_config::api::xds_core::{CidrRange, TypedExtensionConfig};
use nuncio_config::api::xds_matcher::matcher::matcher_list::predicate::single_predicate::Matcher as ValueConfig;
use nuncio_config::api::xds_matcher::matcher::matcher_list::predicate::{
    MatchType, PredicateList, SinglePredicate,
};
use nuncio_config::api::xds_matcher::matcher::matcher_list::{FieldMatcher, Predicate};
use nuncio_config::api::xds_matcher::matcher::matcher_tree::{MatchMap, TreeType};
use nuncio_config::api::xds_matcher::matcher::on_match::OnMatch as Then;
use nuncio_config::api::xds_matcher::matcher::{MatcherList, MatcherTree, MatcherType, OnMatch};
use nuncio_config::api::xds_matcher::string_matcher::MatchPattern;
use nuncio_config::api::xds_matcher::{Matcher, StringMatcher};
use nuncio_config::api::xds_matchers::{
    DomainMatcher, IpMatcher, IpRangeMatcher, ServerNameMatcher,
};
use nuncio_config::api::{self, core};
use nuncio_config::{ConfigError, any};
use nuncio_sdk::ServerContext;
use nuncio_sdk::{ClusterNames, Extensions, LocalInfo, Services};
use nuncio_stats::Store;

use super::{Input, MatchTree, Outcome, Place, Value, compile};

mod model;

/// Reads the n-th letter's value of `a=x;b=y`: absent, `?` is pending, `!` a metadata string.
#[derive(Debug)]
struct Letter(String);

impl Input for Letter {
    type Data<'d> = &'d str;

    fn get<'d>(&'d self, data: &'d str) -> Value<'d> {
        let mut pairs = data.split(';').filter_map(|pair| pair.split_once('='));
        match pairs.find(|(name, _)| *name == self.0) {
            None => Value::Absent,
            Some((_, "?")) => Value::Pending,
            Some((_, "!")) => Value::Metadata(None),
            Some((_, text)) => Value::Text(text.as_bytes()),
        }
    }
}

struct Everything;

impl Place for Everything {
    type Input = Letter;
    type Action = String;
    const KEEP_MATCHING: bool = true;

    fn input(&mut self, config: &TypedExtensionConfig) -> Result<Letter, ConfigError> {
        match config.name.as_str() {
            "bad" => Err(ConfigError::new("name", "no such input")),
            name => Ok(Letter(name.into())),
        }
    }

    fn action(&mut self, config: &TypedExtensionConfig) -> Result<String, Vec<ConfigError>> {
        match config.name.as_str() {
            "bad" => Err(vec![ConfigError::new("name", "no such action")]),
            name => Ok(name.into()),
        }
    }
}

fn named(name: &str) -> TypedExtensionConfig {
    TypedExtensionConfig {
        name: name.into(),
        typed_config: None,
    }
}

fn action(name: &str) -> OnMatch {
    OnMatch {
        keep_matching: false,
        on_match: Some(Then::Action(named(name))),
    }
}

fn keep(name: &str) -> OnMatch {
    OnMatch {
        keep_matching: true,
        ..action(name)
    }
}

fn nested(matcher: Matcher) -> OnMatch {
    OnMatch {
        keep_matching: false,
        on_match: Some(Then::Matcher(Box::new(matcher))),
    }
}

fn single(input: &str, matcher: ValueConfig) -> Predicate {
    Predicate {
        match_type: Some(MatchType::SinglePredicate(SinglePredicate {
            input: Some(named(input)),
            matcher: Some(matcher),
        })),
    }
}

fn exact(input: &str, text: &str) -> Predicate {
    let match_pattern = Some(MatchPattern::Exact(text.into()));
    let matcher = StringMatcher {
        ignore_case: false,
        match_pattern,
    };
    single(input, ValueConfig::ValueMatch(matcher))
}

fn custom(input: &str, config: Any) -> Predicate {
    let extension = TypedExtensionConfig {
        name: "custom".into(),
        typed_config: Some(config),
    };
    single(input, ValueConfig::CustomMatch(extension))
}

fn all(predicate: Vec<Predicate>) -> Predicate {
    Predicate {
        match_type: Some(MatchType::AndMatcher(PredicateList { predicate })),
    }
}

fn either(predicate: Vec<Predicate>) -> Predicate {
    Predicate {
        match_type: Some(MatchType::OrMatcher(PredicateList { predicate })),
    }
}

fn not(predicate: Predicate) -> Predicate {
    Predicate {
        match_type: Some(MatchType::NotMatcher(Box::new(predicate))),
    }
}

fn list(entries: Vec<(Predicate, OnMatch)>, on_no_match: Option<OnMatch>) -> Matcher {
    let matchers = entries
        .into_iter()
        .map(|(predicate, on_match)| FieldMatcher {
            predicate: Some(predicate),
            on_match: Some(on_match),
        });
    Matcher {
        on_no_match: on_no_match.map(Box::new),
        matcher_type: Some(MatcherType::MatcherList(MatcherList {
            matchers: matchers.collect(),
        })),
    }
}

fn tree(input: &str, tree_type: TreeType, on_no_match: Option<OnMatch>) -> Matcher {
    Matcher {
        on_no_match: on_no_match.map(Box::new),
        matcher_type: Some(MatcherType::MatcherTree(MatcherTree {
            input: Some(named(input)),
            tree_type: Some(tree_type),
        })),
    }
}

fn map(entries: Vec<(&str, OnMatch)>) -> MatchMap {
    let entries = entries.into_iter();
    MatchMap {
        map: entries.map(|(key, then)| (key.to_owned(), then)).collect(),
    }
}

fn custom_tree(message: Any) -> TreeType {
    TreeType::CustomMatch(TypedExtensionConfig {
        name: "custom".into(),
        typed_config: Some(message),
    })
}

fn compiled(config: &Matcher) -> MatchTree<Letter, String> {
    compile(config, &server(), &mut Everything).expect("a tree without errors")
}

fn server() -> Arc<ServerContext> {
    Arc::new(ServerContext {
        stats: Arc::new(Store::new(1)),
        extensions: Extensions::default(),
        local_info: LocalInfo::default(),
        cluster_names: ClusterNames::default(),
        concurrency: 1,
        services: Services::default(),
    })
}

/// `skipped,skipped>found`
fn look(tree: &MatchTree<Letter, String>, data: &str) -> String {
    let mut skipped = Vec::new();
    let found = match tree.find(data, &mut |action| skipped.push(action.as_str())) {
        Outcome::Matched(action) => action.as_str(),
        Outcome::NoMatch => "-",
        Outcome::Pending => "?",
    };
    match skipped.as_slice() {
        [] => found.to_owned(),
        skipped => format!("{}>{found}", skipped.join(",")),
    }
}

#[test]
fn lists_take_the_first_that_leads_somewhere() {
    let tree = compiled(&list(
        vec![
            (
                exact("a", "1"),
                nested(list(vec![(exact("b", "1"), action("inner"))], None)),
            ),
            (exact("a", "1"), action("second")),
            (not(exact("a", "2")), action("third")),
        ],
        Some(action("none")),
    ));
    assert_eq!(look(&tree, "a=1;b=1"), "inner");
    assert_eq!(
        look(&tree, "a=1;b=2"),
        "second",
        "what comes to nothing is passed over"
    );
    assert_eq!(look(&tree, "a=3"), "third");
    assert_eq!(look(&tree, ""), "third", "an absent value is not 2");
    assert_eq!(look(&tree, "a=2"), "none");
    assert_eq!(look(&tree, "a=1;b=?"), "?");
    assert_eq!(look(&tree, "a=?"), "?");
}

#[test]
fn predicates_wait_only_if_they_must() {
    let both = || vec![exact("a", "1"), exact("b", "1")];
    let tree = compiled(&list(
        vec![
            (all(both()), action("both")),
            (either(both()), action("either")),
        ],
        None,
    ));
    assert_eq!(look(&tree, "a=1;b=1"), "both");
    assert_eq!(look(&tree, "a=2;b=1"), "either");
    assert_eq!(look(&tree, "a=2;b=?"), "?");
    assert_eq!(look(&tree, "a=1;b=?"), "?");
    let tree = compiled(&list(vec![(either(both()), action("either"))], None));
    assert_eq!(look(&tree, "a=?;b=1"), "either");
    assert_eq!(look(&tree, "a=?;b=2"), "?");
    assert_eq!(look(&tree, "a=2;b=2"), "-");
    let tree = compiled(&list(vec![(not(exact("a", "1")), action("not"))], None));
    assert_eq!(look(&tree, "a=?"), "?");
}

#[test]
fn maps() {
    let entries = || {
        vec![
            ("", action("empty")),
            ("/a", keep("kept")),
            (
                "/a/b",
                nested(list(vec![(exact("h", "1"), action("deep"))], None)),
            ),
            ("/c", action("c")),
        ]
    };
    let prefixes = compiled(&tree(
        "p",
        TreeType::PrefixMatchMap(map(entries())),
        Some(action("none")),
    ));
    assert_eq!(look(&prefixes, "p=/a/b/c;h=1"), "deep");
    assert_eq!(
        look(&prefixes, "p=/a/b/c"),
        "kept>empty",
        "shorter prefixes are tried"
    );
    assert_eq!(look(&prefixes, "p=/cc"), "c");
    assert_eq!(look(&prefixes, "p="), "empty");
    assert_eq!(look(&prefixes, "q=1"), "none");
    assert_eq!(look(&prefixes, "p=?"), "?");
    assert_eq!(look(&prefixes, "p=!"), "none", "metadata are no text");
    let exacts = compiled(&tree(
        "p",
        TreeType::ExactMatchMap(map(entries())),
        Some(action("none")),
    ));
    assert_eq!(look(&exacts, "p=/c"), "c");
    assert_eq!(look(&exacts, "p=/cc"), "none");
    assert_eq!(look(&exacts, "p=/a"), "kept>none");
    assert_eq!(look(&exacts, "p=/a/b"), "none");
    assert_eq!(look(&exacts, "p="), "empty");
}

#[test]
fn what_is_kept_by_a_parent_is_skipped_with_its_children() {
    let inner = list(vec![(exact("a", "1"), action("inner"))], None);
    let outer = OnMatch {
        keep_matching: true,
        ..nested(inner)
    };
    let tree = compiled(&list(vec![(exact("a", "1"), outer)], Some(keep("last"))));
    assert_eq!(look(&tree, "a=1"), "inner,last>-");
    assert_eq!(look(&tree, "a=2"), "last>-");
    let nothing = Matcher {
        on_no_match: Some(Box::new(action("only"))),
        matcher_type: None,
    };
    assert_eq!(look(&compiled(&nothing), ""), "only");
    assert_eq!(look(&compiled(&Matcher::default()), ""), "-");
}

fn range(prefix: &str, length: u32) -> CidrRange {
    CidrRange {
        address_prefix: prefix.into(),
        prefix_len: Some(UInt32Value { value: length }),
    }
}

#[test]
fn trees_of_addresses() {
    let matcher = |ranges: Vec<CidrRange>, on_match, exclusive| IpRangeMatcher {
        ranges,
        on_match: Some(on_match),
        exclusive,
    };
    let only = |name| nested(list(vec![(exact("h", name), action(name))], None));
    let config = IpMatcher {
        range_matchers: vec![
            matcher(
                vec![range("10.0.0.0", 8), range("2001:db8::", 32)],
                action("wide"),
                false,
            ),
            matcher(vec![range("10.1.0.0", 16)], action("alone"), true),
            matcher(vec![range("10.1.2.0", 24)], only("small"), false),
            matcher(vec![range("10.2.0.0", 16)], only("b"), false),
            matcher(vec![range("10.2.0.0", 16)], action("same range"), false),
        ],
    };
    let tree = compiled(&tree(
        "ip",
        custom_tree(any::pack(&config)),
        Some(action("none")),
    ));
    assert_eq!(look(&tree, "ip=10.9.9.9"), "wide");
    assert_eq!(look(&tree, "ip=10.1.9.9"), "alone");
    assert_eq!(look(&tree, "ip=10.1.2.3;h=small"), "small");
    assert_eq!(
        look(&tree, "ip=10.1.2.3"),
        "wide",
        "an exclusive range is not tried after a smaller one"
    );
    assert_eq!(look(&tree, "ip=10.2.0.1"), "same range");
    assert_eq!(look(&tree, "ip=10.2.0.1;h=b"), "b");
    assert_eq!(look(&tree, "ip=2001:db8::1"), "wide");
    assert_eq!(look(&tree, "ip=11.0.0.1"), "none");
    assert_eq!(look(&tree, "ip=nonsense"), "none");
    assert_eq!(look(&tree, ""), "none");
}

#[test]
fn trees_of_names() {
    let matcher = |domains: &[&str], on_match| DomainMatcher {
        domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
        on_match: Some(on_match),
    };
    let config = ServerNameMatcher {
        domain_matchers: vec![
            matcher(&["a.com", "*.b.com"], action("one")),
            matcher(
                &["*.x.b.com"],
                nested(list(vec![(exact("h", "1"), action("deep"))], None)),
            ),
            matcher(&["*"], action("any")),
        ],
    };
    let tree = compiled(&tree(
        "n",
        custom_tree(any::pack(&config)),
        Some(action("none")),
    ));
    assert_eq!(look(&tree, "n=a.com"), "one");
    assert_eq!(look(&tree, "n=A.com"), "any");
    assert_eq!(look(&tree, "n=b.com"), "any");
    assert_eq!(look(&tree, "n=c.b.com"), "one");
    assert_eq!(look(&tree, "n=y.x.b.com;h=1"), "deep");
    assert_eq!(
        look(&tree, "n=y.x.b.com"),
        "one",
        "shorter suffixes are tried"
    );
    assert_eq!(look(&tree, "n="), "none");
    let wrong = |domain: &str| {
        let config = ServerNameMatcher {
            domain_matchers: vec![matcher(&["z", domain], action("x"))],
        };
        let config = super::tests::tree("n", custom_tree(any::pack(&config)), None);
        compile(&config, &server(), &mut Everything).unwrap_err()[0].to_string()
    };
    for domain in ["", "a*", "*a", "*.", "*.a.*", "z"] {
        let error = wrong(domain);
        assert!(error.contains("domain_matchers[0].domains[1]"), "{error}");
    }
}

#[test]
fn custom_matchers() {
    let hashing = |threshold| {
        custom(
            "a",
            any::pack(&ConsistentHashing {
                threshold,
                modulo: 4,
                seed: 0,
            }),
        )
    };
    let ip = custom(
        "ip",
        any::pack(&Ip {
            cidr_ranges: vec![core::CidrRange {
                address_prefix: "10.0.0.0".into(),
                prefix_len: Some(UInt32Value { value: 8 }),
            }],
            stat_prefix: "addresses".into(),
        }),
    );
    let value = api::matcher::ValueMatcher {
        match_pattern: Some(api::matcher::value_matcher::MatchPattern::PresentMatch(
            false,
        )),
    };
    let metadata = custom(
        "m",
        any::pack(&Metadata {
            value: Some(value),
            invert: false,
        }),
    );
    let tree = compiled(&list(
        vec![
            (all(vec![hashing(0), not(hashing(4))]), action("hash")),
            (ip, action("ip")),
            (metadata, action("metadata")),
        ],
        None,
    ));
    assert_eq!(
        look(&tree, "a=anything"),
        "hash",
        "every remainder is at least 0 and below 4"
    );
    assert_eq!(look(&tree, "ip=10.1.1.1"), "ip");
    assert_eq!(look(&tree, "ip=11.1.1.1"), "-");
    assert_eq!(look(&tree, "ip=x;m=text"), "-");
    assert_eq!(look(&tree, "m=!"), "metadata");
}

#[test]
fn every_error_has_its_place() {
    let config = list(
        vec![
            (all(vec![exact("bad", "1"), exact("a", "1")]), action("x")),
            (
                not(custom("a", any::pack(&api::protobuf::Empty {}))),
                action("bad"),
            ),
            (exact("a", "1"), OnMatch::default()),
        ],
        Some(nested(tree(
            "bad",
            TreeType::ExactMatchMap(map(vec![("k", action("bad"))])),
            None,
        ))),
    );
    let errors = compile(&config, &server(), &mut Everything).unwrap_err();
    let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "matcher_list.matchers[0].predicate.and_matcher.predicate[0].single_predicate.input.name",
            "matcher_list.matchers[1].predicate.not_matcher.single_predicate.custom_match.typed_config",
            "matcher_list.matchers[1].on_match.action.name",
            "matcher_list.matchers[2].on_match",
            "on_no_match.matcher.matcher_tree.input.name",
            "on_no_match.matcher.matcher_tree.exact_match_map.map[\"k\"].action.name",
        ]
    );
}
