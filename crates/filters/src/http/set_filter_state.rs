//! `envoy.filters.http.set_filter_state`: leaves objects in the filter state of a request, for other filters and for clusters.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use nuncio_access_log::Format;
use nuncio_config::api::protobuf::Any;
use nuncio_config::api::set_filter_state::Config as Message;
use nuncio_config::api::set_filter_state_value::filter_state_value as value;
use nuncio_config::api::set_filter_state_value::{FilterStateValue, filter_state_value::Value};
use nuncio_config::{ConfigError, Within, any};
use nuncio_net::Address;
use nuncio_sdk::filter_state::{
    AddressObject, DYNAMIC_HOST, DYNAMIC_PORT, NumberObject, ORIGINAL_DST_ADDRESS, TextObject,
};
use nuncio_sdk::{
    Action, FactoryContext, FilterContext, FilterStateObject, HttpFilter, HttpFilterConfig,
    HttpFilterFactory, LogContext, RouteConfig, route,
};

/// The filter's factory.
pub static SET_FILTER_STATE: SetFilterStateFactory = SetFilterStateFactory;

/// Makes filters that set filter state.
pub struct SetFilterStateFactory;

impl HttpFilterFactory for SetFilterStateFactory {
    fn name(&self) -> &'static str {
        "envoy.filters.http.set_filter_state"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.set_filter_state.v3.Config"]
    }

    fn route_config_types(&self) -> &'static [&'static str] {
        self.config_types()
    }

    fn create(
        &self,
        config: &Any,
        _: &FactoryContext<'_>,
    ) -> Result<Arc<dyn HttpFilterConfig>, ConfigError> {
        Ok(Arc::new(Config(Arc::new(Level::new(config)?))))
    }

    fn create_route_config(
        &self,
        config: &Any,
        _: &FactoryContext<'_>,
    ) -> Result<RouteConfig, ConfigError> {
        Ok(Arc::new(Level::new(config)?))
    }
}

/// Makes an object of a text; `None` when the text is none.
type Make = fn(&str) -> Option<Rc<dyn FilterStateObject>>;

/// Kinds of objects, by the names of Envoy's object factories.
const KINDS: [(&str, Make); 4] = [
    ("envoy.string", text),
    (DYNAMIC_HOST, text),
    (DYNAMIC_PORT, number),
    (ORIGINAL_DST_ADDRESS, address),
];

fn text(text: &str) -> Option<Rc<dyn FilterStateObject>> {
    Some(Rc::new(TextObject(text.into())))
}

fn number(text: &str) -> Option<Rc<dyn FilterStateObject>> {
    Some(Rc::new(NumberObject(text.trim_ascii().parse().ok()?)))
}

fn address(text: &str) -> Option<Rc<dyn FilterStateObject>> {
    let address = Address::parse_ip_and_port(text).ok()?;
    Some(Rc::new(AddressObject(address)))
}

/// What one level of configuration sets.
struct Level {
    entries: Vec<Entry>,
    clear_route_cache: bool,
}

/// One object.
struct Entry {
    key: String,
    make: Make,
    format: Format,
    skip_if_empty: bool,
}

impl Level {
    fn new(config: &Any) -> Result<Self, ConfigError> {
        let Message {
            on_request_headers,
            clear_route_cache,
        } = any::unpack(config)?;
        let entries = on_request_headers.iter().enumerate();
        let entries = entries
            .map(|(index, entry)| Entry::new(entry).within_index("on_request_headers", index));
        Ok(Self {
            entries: entries.collect::<Result<_, _>>()?,
            clear_route_cache,
        })
    }

    fn apply(&self, cx: &mut FilterContext<'_>, out: &mut Vec<u8>) {
        for entry in &self.entries {
            out.clear();
            let seen = LogContext::of_request(cx.request_headers, cx.info);
            entry.format.formatter.format(&seen, out);
            if out.is_empty() && entry.skip_if_empty {
                continue;
            }
            let text = String::from_utf8_lossy(out);
            match (entry.make)(&text) {
                Some(object) => cx.info.filter_state_mut().set(entry.name(), object),
                None => log::debug!("{text:?} is no object {:?}", entry.key),
            }
        }
        cx.wishes.clear_route_cache |= self.clear_route_cache;
    }
}

impl Entry {
    #[expect(
        deprecated,
        reason = "read_only is named so that a new field breaks the build"
    )]
    fn new(message: &FilterStateValue) -> Result<Self, ConfigError> {
        let FilterStateValue {
            factory_key,
            // Refused by the support table when set.
            read_only: _,
            shared_with_upstream: _,
            skip_if_empty,
            key,
            value,
        } = message;
        let Some(value::Key::ObjectKey(key)) = key else {
            return Err(ConfigError::new("key", "is required"));
        };
        let (kind, field) = match factory_key.as_str() {
            "" => (key, "object_key"),
            _ => (factory_key, "factory_key"),
        };
        let Some((_, make)) = KINDS.iter().find(|(name, _)| name == kind) else {
            let known: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
            return Err(ConfigError::new(
                field,
                format!(
                    "'{kind}' does not have an object factory; known are {}",
                    known.join(", ")
                ),
            ));
        };
        let Some(Value::FormatString(format)) = value else {
            return Err(ConfigError::new("value", "is required"));
        };
        Ok(Self {
            key: key.clone(),
            make: *make,
            format: Format::new(format).within("format_string")?,
            skip_if_empty: *skip_if_empty,
        })
    }

    /// The name that the object gets; well-known ones need no memory.
    fn name(&self) -> Cow<'static, str> {
        let known = KINDS.iter().find(|(name, _)| *name == self.key);
        known.map_or_else(|| Cow::Owned(self.key.clone()), |(name, _)| (*name).into())
    }
}

struct Config(Arc<Level>);

impl HttpFilterConfig for Config {
    fn create_filter(&self) -> Box<dyn HttpFilter> {
        Box::new(Filter(self.0.clone()))
    }
}

struct Filter(Arc<Level>);

impl HttpFilter for Filter {
    fn on_request_headers(&mut self, cx: &mut FilterContext<'_>, _: bool) -> Action {
        let mut out = Vec::new();
        self.0.apply(cx, &mut out);
        // The levels belong to the route, which stays while they are applied.
        if let Some(route) = cx.info.route.clone() {
            for level in route::all_levels::<Level>(route.per_filter_configs(), cx.filter_name) {
                level.apply(cx, &mut out);
            }
        }
        Action::Continue
    }

    fn wants_response_data(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: &str, factory: &str, format: &str) -> FilterStateValue {
        use nuncio_config::api::core::data_source::Specifier;
        use nuncio_config::api::core::substitution_format_string::Format::TextFormatSource;
        use nuncio_config::api::core::{DataSource, SubstitutionFormatString};
        let source = DataSource {
            specifier: Some(Specifier::InlineString(format.into())),
            ..Default::default()
        };
        FilterStateValue {
            factory_key: factory.into(),
            key: Some(value::Key::ObjectKey(key.into())),
            value: Some(Value::FormatString(SubstitutionFormatString {
                format: Some(TextFormatSource(source)),
                ..Default::default()
            })),
            ..Default::default()
        }
    }

    #[test]
    fn objects_are_made_by_kind() {
        let made = |kind: &str, text: &str| {
            let (_, make) = KINDS.iter().find(|(name, _)| *name == kind).unwrap();
            make(text).and_then(|object| object.text())
        };
        assert_eq!(made("envoy.string", "").as_deref(), Some(""));
        assert_eq!(made(DYNAMIC_HOST, "a").as_deref(), Some("a"));
        assert_eq!(made(DYNAMIC_PORT, " 80 ").as_deref(), Some("80"));
        assert_eq!(made(DYNAMIC_PORT, "x"), None);
        let address = "127.0.0.1:80";
        assert_eq!(
            made(ORIGINAL_DST_ADDRESS, address).as_deref(),
            Some(address)
        );
        assert_eq!(made(ORIGINAL_DST_ADDRESS, "127.0.0.1"), None);
    }

    #[test]
    fn kinds_that_nobody_knows_are_refused() {
        let error = |key, factory| match Entry::new(&value(key, factory, "x")) {
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        assert_eq!(error("anything", "envoy.string"), None);
        assert_eq!(error(DYNAMIC_HOST, ""), None);
        let found = error("anything", "").unwrap();
        assert!(
            found.contains("'anything' does not have an object factory"),
            "{found}"
        );
        assert!(
            error(DYNAMIC_HOST, "other")
                .unwrap()
                .contains("factory_key")
        );
        assert!(Entry::new(&value(DYNAMIC_HOST, "", "%NO_SUCH%")).is_err());
    }
}
