//! Many patterns tried in one pass.

use regex_automata::hybrid::dfa::{Config, DFA};
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::Hir;

use super::cache::{Memory, SlotId};
use super::{Regex, lazy_dfa, re2, whole_match_nfa};

/// Most bytes of lazily built states of a set on one thread.
const STATE_BYTES: usize = 2 << 20;
/// Most bytes of a set's automaton; more patterns go to another set.
const MAX_SET_BYTES: usize = 8 << 20;

/// Finds which of many patterns match the whole input.
pub(crate) struct RegexSet {
    dfa: DFA,
    slot: SlotId,
}

impl RegexSet {
    /// One set of as many of the patterns, from the first on, as fit, and how many these are.
    /// None when there is no point: fewer than two fit.
    pub(crate) fn new(patterns: &[&Regex]) -> Option<(RegexSet, usize)> {
        let mut count = patterns.len();
        while count > 1 {
            let hirs = patterns[..count]
                .iter()
                .map(|regex| re2::parse(&regex.pattern));
            let hirs = hirs.collect::<Result<Vec<Hir>, _>>().ok()?;
            if let Ok(nfa) = whole_match_nfa(&hirs, MAX_SET_BYTES) {
                let config = Config::new()
                    .cache_capacity(STATE_BYTES)
                    .match_kind(MatchKind::All);
                let dfa = lazy_dfa(&nfa, config).ok()?;
                return Some((
                    RegexSet {
                        dfa,
                        slot: SlotId::allocate(),
                    },
                    count,
                ));
            }
            count /= 2;
        }
        None
    }

    /// Calls `found` with the number of each pattern that matches all of `input`, in no particular order.
    /// False when the set gave up: then each pattern must be tried by itself.
    pub(crate) fn matches(&self, input: &[u8], found: impl FnMut(usize)) -> bool {
        self.slot.with(
            || Memory::Lazy(Box::new(self.dfa.create_cache())),
            |memory| match memory {
                Memory::Lazy(cache) => self.walk(cache, input, found).is_some(),
                Memory::Meta(_) => false,
            },
        )
    }

    fn walk(
        &self,
        cache: &mut regex_automata::hybrid::dfa::Cache,
        input: &[u8],
        mut found: impl FnMut(usize),
    ) -> Option<()> {
        let dfa = &self.dfa;
        cache.search_start(0);
        let mut state = dfa
            .start_state(cache, &start::Config::new().anchored(Anchored::Yes))
            .ok()?;
        for (at, &byte) in input.iter().enumerate() {
            cache.search_update(at);
            state = dfa.next_state(cache, state, byte).ok()?;
            if state.is_dead() {
                cache.search_finish(at);
                return Some(());
            }
        }
        // Every pattern ends with "end of input", so that only this last step can match.
        state = dfa.next_eoi_state(cache, state).ok()?;
        cache.search_finish(input.len());
        if state.is_match() {
            for index in 0..dfa.match_len(cache, state) {
                found(dfa.match_pattern(cache, state, index).as_usize());
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_matching_patterns_are_found() {
        let regexes: Vec<Regex> = ["/a.*", "/ab", ".*b", "/c"]
            .iter()
            .map(|p| Regex::new(p).unwrap())
            .collect();
        let (set, count) = RegexSet::new(&regexes.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(count, 4);
        let found = |input: &str| {
            let mut all = Vec::new();
            assert!(set.matches(input.as_bytes(), |i| all.push(i)));
            all.sort_unstable();
            all
        };
        assert_eq!(found("/ab"), [0, 1, 2]);
        assert_eq!(found("/c"), [3]);
        assert_eq!(found("/d"), [0; 0]);
        assert_eq!(found(""), [0; 0]);
    }
}
