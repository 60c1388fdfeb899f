//! How stats are named and shown: `envoy.config.metrics.v3.StatsConfig`, checked and without its message types.

use std::fmt;
use std::ops::Range;

/// Whether a stat's full name is among those meant.
pub trait NameMatcher: Send + Sync + fmt::Debug {
    /// Whether `name` matches.
    fn matches(&self, name: &str) -> bool;
}

/// A regular expression that finds a tag in a stat's full name. This crate compiles none.
pub trait TagPattern: Send + Sync + fmt::Debug {
    /// Searches `name` (anywhere in it). `None` if it does not match, has no group, or the first group is empty.
    fn find(&self, name: &str) -> Option<TagSpan>;
}

/// Where in a stat's name a tag was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSpan {
    /// What is removed from the name: the expression's first group.
    pub remove: Range<usize>,
    /// The tag's value: the second group if there is one, else the first.
    pub value: Range<usize>,
}

/// `TagSpecifier`: a tag for all stats, or one that is found in names.
#[derive(Debug)]
pub struct TagSpecifier {
    /// The tag's name.
    pub name: String,
    /// Where the value comes from.
    pub value: TagValue,
}

/// Where a tag's value comes from.
#[derive(Debug)]
pub enum TagValue {
    /// The rules that Envoy has for a tag of this name.
    Default,
    /// A regular expression.
    Regex {
        /// As configured; what it begins with decides the order of tags.
        source: String,
        /// The same, compiled.
        pattern: Box<dyn TagPattern>,
    },
    /// The same for all stats.
    Fixed(String),
}

/// `StatsMatcher`: which stats exist.
#[derive(Debug, Default)]
pub enum StatsMatcher {
    /// All of them.
    #[default]
    AcceptAll,
    /// None.
    RejectAll,
    /// Those that match none of these.
    Exclude(Vec<Box<dyn NameMatcher>>),
    /// Those that match one of these.
    Include(Vec<Box<dyn NameMatcher>>),
}

impl StatsMatcher {
    /// Whether a stat of this name exists.
    #[must_use]
    pub fn accepts(&self, name: &str) -> bool {
        match self {
            Self::AcceptAll => true,
            Self::RejectAll => false,
            Self::Exclude(list) => !list.iter().any(|matcher| matcher.matches(name)),
            Self::Include(list) => list.iter().any(|matcher| matcher.matches(name)),
        }
    }
}

/// `HistogramBucketSettings`: the buckets of the histograms whose names match.
#[derive(Debug)]
pub struct BucketSettings {
    /// Which histograms.
    pub matcher: Box<dyn NameMatcher>,
    /// Upper bounds, rising and above zero.
    pub bounds: Vec<f64>,
}

/// `StatsConfig`.
#[derive(Debug)]
pub struct StatsConfig {
    /// Whether Envoy's own rules find tags.
    pub use_all_default_tags: bool,
    /// Further tags, after the default ones; those of the command line come first.
    pub tags: Vec<TagSpecifier>,
    /// Which stats exist. A stat that does not is still counted, but never shown.
    pub matcher: StatsMatcher,
    /// The first whose matcher matches wins.
    pub buckets: Vec<BucketSettings>,
}

impl Default for StatsConfig {
    fn default() -> Self {
        Self {
            use_all_default_tags: true,
            tags: Vec::new(),
            matcher: StatsMatcher::AcceptAll,
            buckets: Vec::new(),
        }
    }
}

/// Envoy's buckets (`HistogramSettingsImpl::defaultBuckets`), made for milliseconds.
pub const DEFAULT_BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

impl StatsConfig {
    /// The upper bounds of the buckets of a histogram.
    #[must_use]
    pub fn bounds(&self, name: &str) -> &[f64] {
        let settings = self
            .buckets
            .iter()
            .find(|settings| settings.matcher.matches(name));
        settings.map_or(&DEFAULT_BOUNDS, |settings| &settings.bounds)
    }
}
