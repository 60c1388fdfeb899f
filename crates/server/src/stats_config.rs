//! `Bootstrap.stats_config` and `--stats-tag`: how stats are named and which exist.

use nuncio_config::api::metrics::{self, stats_matcher, tag_specifier};
use nuncio_config::{ConfigError, Within, convert};
use nuncio_route::matchers::StringMatcher;
use nuncio_stats::{
    BucketSettings, NameMatcher, StatsConfig, StatsMatcher, TagPattern, TagSpan, TagSpecifier,
    TagValue,
};
use regex_automata::meta::Regex;

/// Compiles the configuration; tags of the command line come first.
pub(crate) fn stats_config(
    config: Option<&metrics::StatsConfig>,
    flags: &[(String, String)],
) -> Result<StatsConfig, Vec<ConfigError>> {
    let flags = flags.iter().map(|(name, value)| TagSpecifier {
        name: name.clone(),
        value: TagValue::Fixed(value.clone()),
    });
    let mut result = StatsConfig {
        tags: flags.collect(),
        ..StatsConfig::default()
    };
    let Some(config) = config else {
        return Ok(result);
    };
    let mut errors = Vec::new();
    result.use_all_default_tags = convert::bool_or(config.use_all_default_tags.as_ref(), true);
    for (index, tag) in config.stats_tags.iter().enumerate() {
        match specifier(tag).within_index("stats_tags", index) {
            Ok(tag) => result.tags.push(tag),
            Err(error) => errors.push(error),
        }
    }
    match matcher(config.stats_matcher.as_ref()).within("stats_matcher") {
        Ok(matcher) => result.matcher = matcher,
        Err(error) => errors.push(error),
    }
    for (index, settings) in config.histogram_bucket_settings.iter().enumerate() {
        match buckets(settings).within_index("histogram_bucket_settings", index) {
            Ok(settings) => result.buckets.push(settings),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(result)
    } else {
        Err(errors)
    }
}

/// A matcher of stat names.
#[derive(Debug)]
struct Names(StringMatcher);

impl NameMatcher for Names {
    fn matches(&self, name: &str) -> bool {
        self.0.matches(name.as_bytes())
    }
}

fn names(
    config: &nuncio_config::api::matcher::StringMatcher,
) -> Result<Box<dyn NameMatcher>, ConfigError> {
    Ok(Box::new(Names(StringMatcher::from_config(config)?)))
}

/// A regular expression that finds a tag.
#[derive(Debug)]
struct Pattern(Regex);

impl TagPattern for Pattern {
    fn find(&self, name: &str) -> Option<TagSpan> {
        let mut captures = self.0.create_captures();
        self.0.captures(name, &mut captures);
        let remove = captures.get_group(1)?.range();
        let value = captures
            .get_group(2)
            .map_or_else(|| remove.clone(), |group| group.range());
        (!remove.is_empty()).then_some(TagSpan { remove, value })
    }
}

fn specifier(tag: &metrics::TagSpecifier) -> Result<TagSpecifier, ConfigError> {
    // Envoy minds only where it has a use for the name.
    if tag.tag_name.is_empty()
        && !matches!(tag.tag_value, Some(tag_specifier::TagValue::FixedValue(_)))
    {
        return Err(ConfigError::new("tag_name", "tag_name cannot be empty"));
    }
    let value = match &tag.tag_value {
        None => TagValue::Default,
        Some(tag_specifier::TagValue::FixedValue(value)) => TagValue::Fixed(value.clone()),
        Some(tag_specifier::TagValue::Regex(source)) if source.is_empty() => TagValue::Default,
        Some(tag_specifier::TagValue::Regex(source)) => {
            let pattern = Regex::new(source).map_err(|error| {
                ConfigError::new("regex", format!("Invalid regex '{source}': {error}"))
                    .with_remedy("look-ahead and back references are not available")
            })?;
            TagValue::Regex {
                source: source.clone(),
                pattern: Box::new(Pattern(pattern)),
            }
        }
    };
    Ok(TagSpecifier {
        name: tag.tag_name.clone(),
        value,
    })
}

fn matcher(config: Option<&metrics::StatsMatcher>) -> Result<StatsMatcher, ConfigError> {
    let list = |list: &nuncio_config::api::matcher::ListStringMatcher| {
        let patterns = list.patterns.iter().enumerate();
        patterns
            .map(|(index, pattern)| names(pattern).within_index("patterns", index))
            .collect::<Result<Vec<_>, _>>()
    };
    match config.and_then(|config| config.stats_matcher.as_ref()) {
        None | Some(stats_matcher::StatsMatcher::RejectAll(false)) => Ok(StatsMatcher::AcceptAll),
        Some(stats_matcher::StatsMatcher::RejectAll(true)) => Ok(StatsMatcher::RejectAll),
        Some(stats_matcher::StatsMatcher::ExclusionList(names)) => {
            Ok(StatsMatcher::Exclude(list(names).within("exclusion_list")?))
        }
        Some(stats_matcher::StatsMatcher::InclusionList(names)) => {
            Ok(StatsMatcher::Include(list(names).within("inclusion_list")?))
        }
    }
}

fn buckets(settings: &metrics::HistogramBucketSettings) -> Result<BucketSettings, ConfigError> {
    let Some(matcher) = &settings.r#match else {
        return Err(ConfigError::new("match", "value is required"));
    };
    let mut bounds = settings.buckets.clone();
    bounds.sort_by(f64::total_cmp);
    Ok(BucketSettings {
        matcher: names(matcher).within("match")?,
        bounds,
    })
}
