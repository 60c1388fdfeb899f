//! Filter state: objects that filters leave on a stream for each other and for the access log, by name (Envoy's
//! `StreamInfo::FilterState`).

use std::any::Any;
use std::borrow::Cow;
use std::rc::Rc;

use nuncio_net::Address;

/// One object. What it does not offer is logged as missing.
pub trait FilterStateObject: Any {
    /// The object as text (`%FILTER_STATE(name:PLAIN)%`).
    fn text(&self) -> Option<String> {
        None
    }

    /// The object as proto JSON (`TYPED`): names of fields as the proto file has them, or in camel case.
    fn json(&self, proto_names: bool) -> Option<String> {
        let _ = proto_names;
        None
    }

    /// What a hash policy makes of the object (Envoy's `Hashable`).
    fn hash(&self) -> Option<u64> {
        None
    }

    /// Whether the object has parts at all (Envoy's `hasFieldSupport`).
    fn has_fields(&self) -> bool {
        false
    }

    /// One part of the object (`FIELD:name`).
    fn field(&self, name: &str) -> Option<String> {
        let _ = name;
        None
    }
}

/// Where an `ORIGINAL_DST` cluster looks before anything else; an [`AddressObject`].
pub const ORIGINAL_DST_ADDRESS: &str = "envoy.network.transport_socket.original_dst_address";

/// An address (Envoy's `Network::AddressObject`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressObject(pub Address);

impl FilterStateObject for AddressObject {
    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn has_fields(&self) -> bool {
        true
    }

    fn field(&self, name: &str) -> Option<String> {
        let address = self.0.ip()?;
        match name {
            "ip" => Some(address.ip().to_string()),
            "port" => Some(address.port().to_string()),
            _ => None,
        }
    }
}

/// The host that a request to a dynamic forward proxy goes to, in place of the one that it names; a [`TextObject`].
pub const DYNAMIC_HOST: &str = "envoy.upstream.dynamic_host";
/// Its port; a [`NumberObject`] from 1 to 65535.
pub const DYNAMIC_PORT: &str = "envoy.upstream.dynamic_port";

/// A text (Envoy's `Router::StringAccessor`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextObject(pub Box<str>);

impl FilterStateObject for TextObject {
    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn json(&self, _: bool) -> Option<String> {
        Some(json_text(&self.0))
    }
}

/// A JSON string.
fn json_text(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\0'..='\x1f' => json.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => json.push(character),
        }
    }
    json.push('"');
    json
}

/// A number (Envoy's `StreamInfo::UInt32Accessor`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberObject(pub u32);

impl FilterStateObject for NumberObject {
    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn json(&self, _: bool) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// How long an object stays (Envoy's `FilterState::LifeSpan`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LifeSpan {
    /// Until the filter chain ends: a redirect that the proxy follows itself begins another one.
    #[default]
    FilterChain,
    /// As long as the client's request.
    Request,
}

#[derive(Clone)]
struct Entry {
    name: Cow<'static, str>,
    object: Rc<dyn FilterStateObject>,
    span: LifeSpan,
}

/// The objects of one stream. There are few: they are searched one after the other.
#[derive(Clone, Default)]
pub struct FilterState(Vec<Entry>);

impl FilterState {
    /// Puts an object of this filter chain in place of the one of this name, if there is one.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, object: Rc<dyn FilterStateObject>) {
        self.set_for(LifeSpan::FilterChain, name, object);
    }

    /// The same for an object that stays as long as this.
    pub fn set_for(
        &mut self,
        span: LifeSpan,
        name: impl Into<Cow<'static, str>>,
        object: Rc<dyn FilterStateObject>,
    ) {
        let name = name.into();
        let entry = Entry { name, object, span };
        match self.0.iter_mut().find(|known| known.name == entry.name) {
            Some(place) => *place = entry,
            None => self.0.push(entry),
        }
    }

    /// What the request's next filter chain begins with, if there is anything.
    pub fn into_next_chain(mut self) -> Option<FilterState> {
        self.0.retain(|entry| entry.span == LifeSpan::Request);
        (!self.0.is_empty()).then_some(self)
    }

    /// The object of this name.
    pub fn get(&self, name: &str) -> Option<&Rc<dyn FilterStateObject>> {
        let found = self.0.iter().find(|known| known.name == name)?;
        Some(&found.object)
    }

    /// The port that [`DYNAMIC_PORT`] gives, if it is one.
    pub fn dynamic_port(&self) -> Option<u16> {
        let NumberObject(port) = *self.get_as(DYNAMIC_PORT)?;
        u16::try_from(port).ok().filter(|&port| port != 0)
    }

    /// The object of this name, if it is of this type.
    pub fn get_as<T: FilterStateObject>(&self, name: &str) -> Option<&T> {
        let object: &dyn Any = &**self.get(name)?;
        object.downcast_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number(u32);

    #[test]
    fn the_next_chain_has_what_belongs_to_the_request() {
        let mut state = FilterState::default();
        state.set("chain", Rc::new(Number(1)));
        assert!(state.clone().into_next_chain().is_none());
        state.set_for(LifeSpan::Request, "request", Rc::new(Number(2)));
        let next = state.into_next_chain().expect("something stays");
        assert!(next.get("chain").is_none());
        assert!(next.get_as::<Number>("request").is_some());
    }

    impl FilterStateObject for Number {
        fn text(&self) -> Option<String> {
            Some(self.0.to_string())
        }
    }

    #[test]
    fn addresses_have_parts() {
        let object = AddressObject(Address::parse_ip("10.1.1.1", 80).unwrap());
        assert!(object.has_fields());
        assert_eq!(object.field("ip").as_deref(), Some("10.1.1.1"));
        assert_eq!(object.field("port").as_deref(), Some("80"));
        assert_eq!(object.field("address"), None);
        assert!(!NumberObject(7).has_fields());
    }

    #[test]
    fn texts_and_numbers_are_json() {
        let text = TextObject("a\"b\\\n\u{e9}".into());
        assert_eq!(
            text.json(true).as_deref(),
            Some("\"a\\\"b\\\\\\u000a\u{e9}\"")
        );
        assert_eq!(NumberObject(7).json(true).as_deref(), Some("7"));
    }

    #[test]
    fn a_dynamic_port_is_a_port() {
        let mut state = FilterState::default();
        assert_eq!(state.dynamic_port(), None);
        for (number, port) in [(0, None), (80, Some(80)), (65_536, None)] {
            state.set(DYNAMIC_PORT, Rc::new(NumberObject(number)));
            assert_eq!(state.dynamic_port(), port);
        }
    }

    #[test]
    fn objects_are_found_by_name_and_type() {
        let mut state = FilterState::default();
        state.set("a", Rc::new(Number(1)));
        state.set("b".to_owned(), Rc::new(Number(2)));
        state.set("a", Rc::new(Number(3)));
        assert_eq!(state.get("a").and_then(|a| a.text()), Some("3".into()));
        assert_eq!(state.get_as::<Number>("b").map(|b| b.0), Some(2));
        assert!(state.get("c").is_none());
        assert_eq!(state.get("a").and_then(|a| a.json(true)), None);
    }
}
