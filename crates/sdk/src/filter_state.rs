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
}

/// The objects of one stream. There are few: they are searched one after the other.
#[derive(Clone, Default)]
pub struct FilterState(Vec<(Cow<'static, str>, Rc<dyn FilterStateObject>)>);

impl FilterState {
    /// Puts an object in place of the one of this name, if there is one.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, object: Rc<dyn FilterStateObject>) {
        let name = name.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, place)) => *place = object,
            None => self.0.push((name, object)),
        }
    }

    /// The object of this name.
    pub fn get(&self, name: &str) -> Option<&Rc<dyn FilterStateObject>> {
        let found = self.0.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
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

    impl FilterStateObject for Number {
        fn text(&self) -> Option<String> {
            Some(self.0.to_string())
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
