//! From the message to the tree. Every error is collected, with its path.

use nuncio_config::api::consistent_hashing::ConsistentHashing;
use nuncio_config::api::ip_matcher::Ip;
use nuncio_config::api::metadata_matcher::Metadata;
use nuncio_config::api::runtime_fraction::RuntimeFraction;
use nuncio_config::api::xds_core::TypedExtensionConfig;
use nuncio_config::api::xds_matcher::Matcher;
use nuncio_config::api::xds_matcher::matcher::matcher_list::predicate::single_predicate::Matcher as ValueConfig;
use nuncio_config::api::xds_matcher::matcher::matcher_list::predicate::{
    MatchType, PredicateList, SinglePredicate,
};
use nuncio_config::api::xds_matcher::matcher::matcher_list::{
    FieldMatcher as FieldMatcherConfig, Predicate as PredicateConfig,
};
use nuncio_config::api::xds_matcher::matcher::matcher_tree::{MatchMap, TreeType};
use nuncio_config::api::xds_matcher::matcher::on_match::OnMatch as ThenConfig;
use nuncio_config::api::xds_matcher::matcher::{
    MatcherList, MatcherTree, MatcherType, OnMatch as OnMatchConfig,
};
use nuncio_config::api::xds_matchers::{
    DomainMatcher, IpMatcher, IpRangeMatcher, ServerNameMatcher,
};
use nuncio_config::api::{core, xds_core};
use nuncio_config::{ConfigError, any, convert};
use nuncio_net::{Address, IpRange};
use nuncio_sdk::ServerContext;

use super::addresses::{AddressSet, AddressTree};
use super::names::NameTree;
use super::predicate::{AddressStats, InputMatcher, Predicate};
use super::prefixes::PrefixTree;
use super::{Branches, FieldMatcher, Input, MatchTree, OnMatch, Then, TreeKind};
use crate::matchers::{StringMatcher, ValueMatcher};
use crate::problems::Problems;

/// Where a tree stands in the configuration.
pub trait Place {
    /// What trees look at there.
    type Input: Input;
    /// What they lead to.
    type Action;
    /// Whether `OnMatch.keep_matching` has a meaning there.
    const KEEP_MATCHING: bool;

    /// Compiles an input.
    ///
    /// # Errors
    /// Among others: when it is not possible in this place.
    fn input(&mut self, config: &TypedExtensionConfig) -> Result<Self::Input, ConfigError>;

    /// Compiles an action.
    ///
    /// # Errors
    /// Among others: when it is not possible in this place. Paths are relative to the message.
    fn action(&mut self, config: &TypedExtensionConfig) -> Result<Self::Action, Vec<ConfigError>>;
}

/// Compiles a tree.
///
/// # Errors
/// Everything that is wrong with it; paths are relative to the message.
pub fn compile<P: Place>(
    config: &Matcher,
    server: &ServerContext,
    place: &mut P,
) -> Result<MatchTree<P::Input, P::Action>, Vec<ConfigError>> {
    let mut problems = Problems::default();
    let tree = Compiler { server, place }.tree(config, &mut problems);
    problems.finish()?;
    // Who gives nothing has said why.
    tree.ok_or_else(Vec::new)
}

type Tree<P> = MatchTree<<P as Place>::Input, <P as Place>::Action>;
/// Of a map.
type Entries<P> = Vec<(Box<[u8]>, Branch<P>)>;
type Branch<P> = OnMatch<<P as Place>::Input, <P as Place>::Action>;

struct Compiler<'c, P> {
    server: &'c ServerContext,
    place: &'c mut P,
}

impl<P: Place> Compiler<'_, P> {
    fn tree(&mut self, config: &Matcher, problems: &mut Problems) -> Option<Tree<P>> {
        let Matcher {
            on_no_match,
            matcher_type,
        } = config;
        let kind = match matcher_type {
            None => Some(TreeKind::Nothing),
            Some(MatcherType::MatcherList(MatcherList { matchers })) => {
                let mut list = Vec::with_capacity(matchers.len());
                for (index, matcher) in matchers.iter().enumerate() {
                    problems.within(format_args!("matcher_list.matchers[{index}]"), |problems| {
                        list.extend(self.field_matcher(matcher, problems));
                    });
                }
                Some(TreeKind::List(list.into()))
            }
            Some(MatcherType::MatcherTree(MatcherTree { input, tree_type })) => {
                problems.within("matcher_tree", |problems| {
                    let input = self.input(input.as_ref(), problems);
                    let branches = self.branches(tree_type.as_ref(), problems);
                    Some(TreeKind::Tree(input?, branches?))
                })
            }
        };
        let on_no_match = match on_no_match {
            None => None,
            Some(config) => Some(problems.within("on_no_match", |problems| {
                self.on_match(Some(config), problems)
            })?),
        };
        Some(MatchTree {
            kind: kind?,
            on_no_match,
        })
    }

    fn field_matcher(
        &mut self,
        config: &FieldMatcherConfig,
        problems: &mut Problems,
    ) -> Option<FieldMatcher<P::Input, P::Action>> {
        let FieldMatcherConfig {
            predicate,
            on_match,
        } = config;
        let predicate = problems.within("predicate", |problems| {
            self.predicate(predicate.as_ref(), problems)
        });
        let on_match = problems.within("on_match", |problems| {
            self.on_match(on_match.as_ref(), problems)
        });
        Some(FieldMatcher {
            predicate: predicate?,
            on_match: on_match?,
        })
    }

    fn predicate(
        &mut self,
        config: Option<&PredicateConfig>,
        problems: &mut Problems,
    ) -> Option<Predicate<P::Input>> {
        let Some(PredicateConfig {
            match_type: Some(config),
        }) = config
        else {
            return required(problems);
        };
        match config {
            MatchType::SinglePredicate(SinglePredicate { input, matcher }) => {
                problems.within("single_predicate", |problems| {
                    let input = self.input(input.as_ref(), problems);
                    let matcher = match matcher {
                        None => required(problems),
                        Some(ValueConfig::ValueMatch(config)) => problems
                            .take("value_match", StringMatcher::from_xds(config))
                            .map(InputMatcher::String),
                        Some(ValueConfig::CustomMatch(config)) => problems
                            .within("custom_match", |problems| {
                                self.custom_match(config, problems)
                            }),
                    };
                    Some(Predicate::Single(input?, matcher?))
                })
            }
            MatchType::OrMatcher(list) => problems
                .within("or_matcher", |problems| self.predicates(list, problems))
                .map(Predicate::Any),
            MatchType::AndMatcher(list) => problems
                .within("and_matcher", |problems| self.predicates(list, problems))
                .map(Predicate::All),
            MatchType::NotMatcher(predicate) => problems
                .within("not_matcher", |problems| {
                    self.predicate(Some(&**predicate), problems)
                })
                .map(|predicate| Predicate::Not(Box::new(predicate))),
        }
    }

    fn predicates(
        &mut self,
        PredicateList { predicate }: &PredicateList,
        problems: &mut Problems,
    ) -> Option<Box<[Predicate<P::Input>]>> {
        let all = predicate.iter().enumerate().map(|(index, config)| {
            problems.within(format_args!("predicate[{index}]"), |problems| {
                self.predicate(Some(config), problems)
            })
        });
        // All of them first: every error counts.
        let all: Vec<_> = all.collect();
        all.into_iter().collect()
    }

    fn input(
        &mut self,
        config: Option<&TypedExtensionConfig>,
        problems: &mut Problems,
    ) -> Option<P::Input> {
        problems.within("input", |problems| match config {
            None => required(problems),
            Some(config) => problems.take("", self.place.input(config)),
        })
    }

    fn on_match(
        &mut self,
        config: Option<&OnMatchConfig>,
        problems: &mut Problems,
    ) -> Option<Branch<P>> {
        let Some(OnMatchConfig {
            keep_matching,
            on_match: Some(on_match),
        }) = config
        else {
            return required(problems);
        };
        if *keep_matching && !P::KEEP_MATCHING {
            problems.add(
                "keep_matching",
                "keep_matching is not supported in this context",
            );
        }
        let then = match on_match {
            ThenConfig::Matcher(config) => problems
                .within("matcher", |problems| self.tree(config, problems))
                .map(|tree| Then::Tree(Box::new(tree))),
            ThenConfig::Action(config) => problems
                .within("action", |problems| {
                    problems.take_all(self.place.action(config))
                })
                .map(Then::Action),
        };
        Some(OnMatch {
            then: then?,
            keep_matching: *keep_matching,
        })
    }

    fn branches(
        &mut self,
        config: Option<&TreeType>,
        problems: &mut Problems,
    ) -> Option<Branches<P::Input, P::Action>> {
        match config {
            None => required(problems),
            Some(TreeType::ExactMatchMap(map)) => problems
                .within("exact_match_map", |problems| self.map(map, problems))
                .map(|entries| Branches::Exact(entries.into_iter().collect())),
            Some(TreeType::PrefixMatchMap(map)) => problems
                .within("prefix_match_map", |problems| self.map(map, problems))
                .map(|entries| Branches::Prefix(PrefixTree::new(entries))),
            Some(TreeType::CustomMatch(config)) => problems.within("custom_match", |problems| {
                self.custom_tree(config, problems)
            }),
        }
    }

    fn map(&mut self, MatchMap { map }: &MatchMap, problems: &mut Problems) -> Option<Entries<P>> {
        let mut configs: Vec<_> = map.iter().collect();
        configs.sort_unstable_by_key(|(key, _)| key.as_str());
        let entries = configs.into_iter().map(|(key, config)| {
            let on_match = problems.within(format_args!("map[{key:?}]"), |problems| {
                self.on_match(Some(config), problems)
            });
            Some((key.as_bytes().into(), on_match?))
        });
        let entries: Vec<_> = entries.collect();
        entries.into_iter().collect()
    }

    fn custom_tree(
        &mut self,
        TypedExtensionConfig { name, typed_config }: &TypedExtensionConfig,
        problems: &mut Problems,
    ) -> Option<Branches<P::Input, P::Action>> {
        problems.within("typed_config", |problems| {
            let Some(config) = typed_config else {
                return required(problems);
            };
            if any::is::<IpMatcher>(config) {
                let config = problems.take("", any::unpack(config))?;
                return self.address_tree(&config, problems);
            }
            if any::is::<ServerNameMatcher>(config) {
                let config = problems.take("", any::unpack(config))?;
                return self.name_tree(&config, problems);
            }
            problems.not_registered(name, config);
            None
        })
    }

    fn address_tree(
        &mut self,
        IpMatcher { range_matchers }: &IpMatcher,
        problems: &mut Problems,
    ) -> Option<Branches<P::Input, P::Action>> {
        let mut entries = Vec::with_capacity(range_matchers.len());
        for (index, config) in range_matchers.iter().enumerate() {
            let IpRangeMatcher {
                ranges,
                on_match,
                exclusive,
            } = config;
            problems.within(format_args!("range_matchers[{index}]"), |problems| {
                let ranges = problems.each("ranges", ranges, |range| {
                    let xds_core::CidrRange {
                        address_prefix,
                        prefix_len,
                    } = range;
                    ip_range(address_prefix, convert::u32_or(prefix_len.as_ref(), 0))
                });
                let on_match = problems.within("on_match", |problems| {
                    self.on_match(on_match.as_ref(), problems)
                });
                entries.extend(on_match.map(|then| (ranges.into_vec(), *exclusive, then)));
            });
        }
        Some(Branches::Address(AddressTree::new(entries)))
    }

    fn name_tree(
        &mut self,
        ServerNameMatcher { domain_matchers }: &ServerNameMatcher,
        problems: &mut Problems,
    ) -> Option<Branches<P::Input, P::Action>> {
        let mut entries = Vec::with_capacity(domain_matchers.len());
        for (index, DomainMatcher { domains, on_match }) in domain_matchers.iter().enumerate() {
            let on_match = problems.within(
                format_args!("domain_matchers[{index}].on_match"),
                |problems| self.on_match(on_match.as_ref(), problems),
            );
            entries.push((domains.clone(), on_match?));
        }
        match NameTree::new(entries) {
            Ok(tree) => Some(Branches::Name(tree)),
            Err((matcher, domain, error)) => {
                let path = format!("domain_matchers[{matcher}].domains[{domain}]");
                problems.add(path, error);
                None
            }
        }
    }

    /// `envoy.matching.input_matchers`
    fn custom_match(
        &self,
        TypedExtensionConfig { name, typed_config }: &TypedExtensionConfig,
        problems: &mut Problems,
    ) -> Option<InputMatcher> {
        problems.within("typed_config", |problems| {
            let Some(config) = typed_config else {
                return required(problems);
            };
            if any::is::<RuntimeFraction>(config) {
                let config = problems.take("", any::unpack(config))?;
                return self.runtime_fraction(&config, problems);
            }
            if any::is::<ConsistentHashing>(config) {
                let ConsistentHashing {
                    threshold,
                    modulo,
                    seed,
                } = problems.take("", any::unpack(config))?;
                if modulo == 0 {
                    problems.add("modulo", "value must be greater than 0");
                    return None;
                }
                if threshold > modulo {
                    let message =
                        format!("threshold cannot be greater than modulo: {threshold} > {modulo}");
                    problems.add("threshold", message);
                }
                return Some(InputMatcher::ConsistentHashing {
                    threshold: threshold.into(),
                    modulo: modulo.into(),
                    seed,
                });
            }
            if any::is::<Ip>(config) {
                let Ip {
                    cidr_ranges,
                    stat_prefix,
                } = problems.take("", any::unpack(config))?;
                let mut set = AddressSet::default();
                let ranges = problems.each("cidr_ranges", &cidr_ranges, |range| {
                    let core::CidrRange {
                        address_prefix,
                        prefix_len,
                    } = range;
                    ip_range(address_prefix, convert::u32_or(prefix_len.as_ref(), 0))
                });
                ranges.into_iter().for_each(|range| set.add(range));
                let stats = self.server.stats.group(stat_prefix, AddressStats::SCHEMA);
                return Some(InputMatcher::Address(set, stats));
            }
            if any::is::<Metadata>(config) {
                let Metadata { value, invert } = problems.take("", any::unpack(config))?;
                let Some(value) = value else {
                    problems.add("value", "value is required");
                    return None;
                };
                let value = problems.take("value", ValueMatcher::from_config(&value))?;
                return Some(InputMatcher::Metadata { value, invert });
            }
            problems.not_registered(name, config);
            None
        })
    }

    fn runtime_fraction(
        &self,
        RuntimeFraction {
            runtime_fraction,
            seed,
        }: &RuntimeFraction,
        problems: &mut Problems,
    ) -> Option<InputMatcher> {
        problems.within("runtime_fraction", |problems| {
            let Some(share) = runtime_fraction else {
                return required(problems);
            };
            let fraction = problems.take("", self.server.runtime().share(share))?;
            Some(InputMatcher::RuntimeFraction {
                fraction,
                seed: *seed,
            })
        })
    }
}

fn required<T>(problems: &mut Problems) -> Option<T> {
    problems.add("", "value is required");
    None
}

fn ip_range(prefix: &str, length: u32) -> Result<IpRange, ConfigError> {
    let address = Address::parse_ip(prefix, 0)
        .map_err(|error| ConfigError::new("address_prefix", error.to_string()))?;
    // `parse_ip` makes nothing but IP addresses.
    Ok(address
        .ip()
        .map_or(IpRange::ANY_V4, |ip| IpRange::new(ip.ip(), length)))
}
