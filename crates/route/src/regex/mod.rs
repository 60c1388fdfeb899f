//! Regexes with RE2's meaning, safe to share between workers: searches use scratch memory of the calling thread,
//! take no lock, and run in time linear in the input.

mod cache;
mod re2;
mod rewrite;
mod set;

use std::fmt;

use regex_automata::hybrid::dfa::{Config, DFA};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::{Anchored, Input};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, Look};

use nuncio_config::ConfigError;
use nuncio_config::api::matcher::RegexMatcher;

use cache::{Memory, SlotId};
pub use rewrite::RegexRewrite;
pub(crate) use set::RegexSet;

/// Most bytes of one compiled pattern (RE2 stops at 8 MiB of its own, denser, programs).
const MAX_PATTERN_BYTES: usize = 8 << 20;
/// Most bytes of lazily built states of one pattern on one thread.
const STATE_BYTES: usize = 256 << 10;

/// A pattern that must match the whole input (RE2's `FullMatch`).
pub struct Regex {
    dfa: DFA,
    /// Finds what the lazy DFA gives up on, in linear time with a larger factor.
    fallback: PikeVM,
    slot: SlotId,
    pattern: Box<str>,
}

impl Regex {
    /// Compiles a pattern in RE2's syntax.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub fn new(pattern: &str) -> Result<Regex, String> {
        let hir = re2::parse(pattern)?;
        let nfa = whole_match_nfa(std::slice::from_ref(&hir), MAX_PATTERN_BYTES)?;
        let dfa = lazy_dfa(&nfa, Config::new().cache_capacity(STATE_BYTES))?;
        let fallback = pike_vm(nfa)?;
        Ok(Regex {
            dfa,
            fallback,
            slot: SlotId::allocate(),
            pattern: pattern.into(),
        })
    }

    /// Compiles a `RegexMatcher`; errors have Envoy's wording and the matcher's field as path.
    ///
    /// # Errors
    /// When the pattern is not valid.
    pub fn from_config(config: &RegexMatcher) -> Result<Regex, ConfigError> {
        Regex::new(regex_of(config)?).map_err(|error| ConfigError::new("regex", error))
    }

    /// Whether the pattern matches all of `input`.
    #[inline]
    pub fn is_match(&self, input: &[u8]) -> bool {
        let search = Input::new(input).anchored(Anchored::Yes);
        let found = self.slot.with(
            || Memory::Lazy(Box::new(self.dfa.create_cache())),
            |memory| match memory {
                Memory::Lazy(cache) => self.dfa.try_search_fwd(cache, &search).ok(),
                Memory::Meta(_) => None,
            },
        );
        match found {
            Some(found) => found.is_some(),
            None => cache::with_pike(&self.fallback, |cache| {
                self.fallback.is_match(cache, search)
            }),
        }
    }

    /// The pattern as configured.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The longest literal that every match begins with; may be empty.
    pub(crate) fn literal_prefix(&self) -> Vec<u8> {
        // Parsed again rather than kept: the tree is larger than the automaton, and only the index asks for it.
        let Ok(hir) = re2::parse(&self.pattern) else {
            return Vec::new();
        };
        let found = Extractor::new().limit_total(16).extract(&hir);
        found.longest_common_prefix().unwrap_or_default().to_vec()
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({:?})", self.pattern)
    }
}

/// The pattern in a `RegexMatcher`.
fn regex_of(config: &RegexMatcher) -> Result<&str, ConfigError> {
    // The engine is the only one there is. Its `max_program_size` is a limit that every configuration Envoy takes
    // keeps to; patterns are limited here by the size of their own automaton.
    let RegexMatcher {
        regex,
        engine_type: _,
    } = config;
    if regex.is_empty() {
        return Err(ConfigError::new(
            "regex",
            "value length must be at least 1 characters",
        ));
    }
    Ok(regex)
}

/// One automaton in which pattern `i` matches the whole input if `patterns[i]` does.
fn whole_match_nfa(patterns: &[Hir], limit: usize) -> Result<NFA, String> {
    let whole: Vec<Hir> = patterns
        .iter()
        .map(|hir| {
            Hir::concat(vec![
                Hir::look(Look::Start),
                hir.clone(),
                Hir::look(Look::End),
            ])
        })
        .collect();
    let config = thompson::Config::new()
        .utf8(false)
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(limit));
    thompson::Compiler::new()
        .configure(config)
        .build_many_from_hir(&whole)
        .map_err(|_| "pattern too large - compile failed".to_owned())
}

fn lazy_dfa(nfa: &NFA, config: Config) -> Result<DFA, String> {
    // Giving up is right when states are thrown away faster than they are used.
    let config = config
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(3))
        .minimum_bytes_per_state(Some(10));
    DFA::builder()
        .configure(config)
        .build_from_nfa(nfa.clone())
        .map_err(|_| "pattern too large - compile failed".to_owned())
}

fn pike_vm(nfa: NFA) -> Result<PikeVM, String> {
    PikeVM::builder()
        .build_from_nfa(nfa)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, input: &str) -> bool {
        Regex::new(pattern).unwrap().is_match(input.as_bytes())
    }

    #[test]
    fn the_whole_input_must_match() {
        assert!(matches("/a|/ab", "/ab"));
        assert!(!matches("/a", "/ab"));
        assert!(!matches("/b", "/ab"));
        assert!(matches("^/a.*$", "/abc"));
        assert!(matches("", ""));
        assert!(!matches("/.*", "/a\nb"), "a dot does not match a line feed");
        assert!(matches("(?s)/.*", "/a\nb"));
    }

    #[test]
    fn perl_classes_are_ascii() {
        assert!(matches(r"\d\w\s", "5a "));
        assert!(!matches(r"\d", "\u{0665}"));
        assert!(!matches(r"\w", "é"));
        assert!(matches(r"\W", "é"));
        assert!(!matches(r"\s", "\x0b"));
        assert!(matches(r"a\b.*", "a é"));
    }

    #[test]
    fn classes_match_well_formed_characters_only() {
        let any = Regex::new(".").unwrap();
        assert!(any.is_match("é".as_bytes()));
        assert!(!any.is_match(b"\xff"));
    }

    #[test]
    fn required_prefixes_are_found() {
        let prefix = |pattern: &str| {
            String::from_utf8(Regex::new(pattern).unwrap().literal_prefix()).unwrap()
        };
        assert_eq!(prefix("/api/v1/[0-9]+"), "/api/v1/");
        assert_eq!(prefix("^/api/.*$"), "/api/");
        assert_eq!(prefix("/(a|b)/c"), "/");
        assert_eq!(prefix(".*"), "");
        assert_eq!(prefix("(?i)/api"), "/");
    }

    #[test]
    fn a_pattern_that_explodes_is_refused_or_answered_in_linear_time() {
        assert!(Regex::new("((a{1000}){1000}){1000}").is_err());
        let slow = Regex::new("(a|aa)*(a|aa)*(a|aa)*[ab]{0,500}c").unwrap();
        assert!(!slow.is_match(&vec![b'a'; 10_000]));
    }
}
