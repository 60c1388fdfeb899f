//! Finds the first matching route of a virtual host without looking at all of them.
//!
//! Every route hangs on a string in a radix tree: an exact path on itself, a prefix on itself, a regex on the literal
//! that all its matches begin with. One walk along the request's path collects the lists of routes that can match;
//! they are merged in the order of the configuration, and each candidate is tried against its remaining conditions.
//! Regexes that share a literal are tried in one pass over the path, and only once a merge comes to the first of them.

pub(crate) mod trie;

use std::collections::HashMap;

use crate::path::{PathMatcher, ends_segment};
use crate::regex::{Regex, RegexSet};
use trie::{Item, NONE, Trie};

/// From how many routes on an index is worth its memory; fewer are tried one by one.
pub(crate) const MIN_ROUTES: usize = 16;

/// The index of one virtual host; routes are numbered from 0.
pub(crate) struct PathIndex {
    exact_case: Trie,
    folded: Trie,
    lists: Box<[List]>,
    /// Routes with `connect_matcher`.
    connect: Box<[u32]>,
}

/// Routes in ascending order that are candidates together.
struct List {
    /// Routes whose path is known to match, or is quickly checked.
    routes: Box<[u32]>,
    /// Regexes, by set.
    sets: Box<[Set]>,
}

struct Set {
    regexes: RegexSet,
    /// The route of each pattern, ascending.
    routes: Box<[u32]>,
}

/// Memory of look-ups, kept by the worker.
#[derive(Default)]
pub(crate) struct Scratch {
    cursors: Vec<Cursor>,
    /// Routes whose regexes matched, in runs that cursors point to.
    matched: Vec<u32>,
}

/// What is left of a list of candidates.
struct Cursor {
    /// The first candidate.
    route: u32,
    rest: Rest,
}

#[derive(Clone, Copy)]
enum Rest {
    /// `lists[list].routes[next..]` follow.
    List { list: u32, next: u32 },
    /// The set was not tried yet.
    Set { list: u32, set: u32 },
    /// `connect[next..]` follow.
    Connect { next: u32 },
    /// `matched[next..end]` follow; their paths match.
    Matched { next: u32, end: u32 },
    /// The set gave up: `lists[list].sets[set].routes[next..]` follow.
    Untried { list: u32, set: u32, next: u32 },
}

/// What a tree's key collects while the index is built.
#[derive(Default)]
struct Bucket {
    prefixes: Vec<u32>,
    regexes: Vec<u32>,
    exacts: Vec<u32>,
}

impl PathIndex {
    /// Builds the index over the matchers of a virtual host's routes, in their order.
    pub(crate) fn new<'r>(matchers: impl Iterator<Item = &'r PathMatcher> + Clone) -> PathIndex {
        let mut exact_case: HashMap<Vec<u8>, Bucket> = HashMap::new();
        let mut folded: HashMap<Vec<u8>, Bucket> = HashMap::new();
        let mut connect = Vec::new();
        let mut regexes: HashMap<u32, &Regex> = HashMap::new();
        for (route, matcher) in (0_u32..).zip(matchers) {
            match matcher {
                PathMatcher::Exact(text) => exact_case
                    .entry(text.to_vec())
                    .or_default()
                    .exacts
                    .push(route),
                PathMatcher::ExactFolded(text) => {
                    folded
                        .entry(text.to_ascii_lowercase())
                        .or_default()
                        .exacts
                        .push(route);
                }
                PathMatcher::Prefix(text) | PathMatcher::Separated(text) => {
                    exact_case
                        .entry(text.to_vec())
                        .or_default()
                        .prefixes
                        .push(route);
                }
                PathMatcher::PrefixFolded(text) | PathMatcher::SeparatedFolded(text) => {
                    folded
                        .entry(text.to_ascii_lowercase())
                        .or_default()
                        .prefixes
                        .push(route);
                }
                PathMatcher::Regex(regex) | PathMatcher::Template(regex) => {
                    exact_case
                        .entry(regex.literal_prefix())
                        .or_default()
                        .regexes
                        .push(route);
                    regexes.insert(route, regex);
                }
                PathMatcher::Connect => connect.push(route),
            }
        }
        let mut lists = Vec::new();
        let exact_case = Trie::new(items(exact_case, &mut lists, &regexes), false);
        let folded = Trie::new(items(folded, &mut lists, &regexes), true);
        PathIndex {
            exact_case,
            folded,
            lists: lists.into(),
            connect: connect.into(),
        }
    }

    /// The first route whose path matches and that `accept` takes. `path` is what matchers look at, absent if the
    /// request has none; `matcher` gives a route's matcher.
    pub(crate) fn find<'r>(
        &self,
        path: Option<&[u8]>,
        connect: bool,
        scratch: &mut Scratch,
        matcher: impl Fn(u32) -> &'r PathMatcher,
        mut accept: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let Scratch { cursors, matched } = scratch;
        cursors.clear();
        matched.clear();
        if let Some(path) = path {
            let mut visit = |list: u32| {
                let List { routes, sets } = &self.lists[list as usize];
                if let Some(&route) = routes.first() {
                    cursors.push(Cursor {
                        route,
                        rest: Rest::List { list, next: 1 },
                    });
                }
                for (set, Set { routes, .. }) in (0_u32..).zip(sets) {
                    cursors.push(Cursor {
                        route: routes[0],
                        rest: Rest::Set { list, set },
                    });
                }
            };
            self.exact_case.walk(path, &mut visit);
            self.folded.walk(path, &mut visit);
        }
        if connect && let Some(&route) = self.connect.first() {
            cursors.push(Cursor {
                route,
                rest: Rest::Connect { next: 1 },
            });
        }
        let path = path.unwrap_or_default();
        loop {
            let (at, cursor) = cursors
                .iter_mut()
                .enumerate()
                .min_by_key(|(_, cursor)| cursor.route)?;
            let route = cursor.route;
            let (path_matches, next) = match &mut cursor.rest {
                Rest::Set { list, set } => {
                    let (list, set) = (*list, *set);
                    let Set { regexes, routes } = &self.lists[list as usize].sets[set as usize];
                    let start = matched.len();
                    let complete = regexes.matches(path, |pattern| matched.push(routes[pattern]));
                    if complete {
                        matched[start..].sort_unstable();
                        cursor.rest = Rest::Matched {
                            next: start as u32,
                            end: matched.len() as u32,
                        };
                    } else {
                        matched.truncate(start);
                        cursor.rest = Rest::Untried { list, set, next: 0 };
                    }
                    (false, self.advance(&mut cursor.rest, matched))
                }
                rest => {
                    let path_matches = match rest {
                        Rest::List { .. } => listed_matches(matcher(route), path),
                        Rest::Untried { .. } => matcher(route).matches(path),
                        _ => true,
                    };
                    (path_matches, self.advance(rest, matched))
                }
            };
            match next {
                Some(next) => cursor.route = next,
                None => {
                    cursors.swap_remove(at);
                }
            }
            if path_matches && accept(route) {
                return Some(route);
            }
        }
    }

    /// Takes the next candidate.
    fn advance(&self, rest: &mut Rest, matched: &[u32]) -> Option<u32> {
        let (routes, next): (&[u32], &mut u32) = match rest {
            Rest::List { list, next } => (&self.lists[*list as usize].routes, next),
            Rest::Connect { next } => (&self.connect, next),
            Rest::Matched { next, end } => (&matched[..*end as usize], next),
            Rest::Untried { list, set, next } => {
                (&self.lists[*list as usize].sets[*set as usize].routes, next)
            }
            Rest::Set { .. } => return None,
        };
        let route = routes.get(*next as usize).copied();
        *next += 1;
        route
    }
}

/// Whether a route of a list matches, given that the tree's walk came by its key.
fn listed_matches(matcher: &PathMatcher, path: &[u8]) -> bool {
    match matcher {
        PathMatcher::Separated(text) | PathMatcher::SeparatedFolded(text) => {
            ends_segment(path, text.len())
        }
        PathMatcher::Regex(regex) | PathMatcher::Template(regex) => regex.is_match(path),
        _ => true,
    }
}

/// Turns buckets into a tree's items and their lists.
fn items(
    buckets: HashMap<Vec<u8>, Bucket>,
    lists: &mut Vec<List>,
    regexes: &HashMap<u32, &Regex>,
) -> Vec<Item> {
    let mut add = |routes: Vec<u32>, sets: Vec<Set>| {
        if routes.is_empty() && sets.is_empty() {
            return NONE;
        }
        lists.push(List {
            routes: routes.into(),
            sets: sets.into(),
        });
        lists.len() as u32 - 1
    };
    let build = |(key, bucket): (Vec<u8>, Bucket)| {
        let Bucket {
            mut prefixes,
            regexes: members,
            exacts,
        } = bucket;
        let mut sets = Vec::new();
        let mut left = members.as_slice();
        while !left.is_empty() {
            let patterns: Vec<&Regex> = left.iter().map(|route| regexes[route]).collect();
            match RegexSet::new(&patterns) {
                Some((set, count)) => {
                    sets.push(Set {
                        regexes: set,
                        routes: left[..count].into(),
                    });
                    left = &left[count..];
                }
                // Alone, or too large for a set.
                None => {
                    prefixes.push(left[0]);
                    left = &left[1..];
                }
            }
        }
        prefixes.sort_unstable();
        let prefixes = add(prefixes, sets);
        let exacts = add(exacts, Vec::new());
        Item {
            key: key.into(),
            prefixes,
            exacts,
        }
    };
    buckets.into_iter().map(build).collect()
}
