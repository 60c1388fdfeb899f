//! Lists of `envoy.config.common.mutation_rules.v3.HeaderMutation`: changes that are made one after the other, unlike
//! [`HeaderMutations`], which makes all of its own at once.

use nuncio_config::api::mutation_rules::HeaderMutation as Message;
use nuncio_config::api::mutation_rules::header_mutation::{Action, RemoveOnMatch};
use nuncio_config::{ConfigError, Within};
use nuncio_http::{HeaderMap, Known};

use crate::HeaderMutations;
use crate::matchers::StringMatcher;

/// Changes of headers or trailers, in order.
#[derive(Debug, Default)]
pub struct HeaderChanges(Box<[Change]>);

#[derive(Debug)]
enum Change {
    Remove(Box<str>),
    /// Pseudo headers are never meant.
    RemoveMatching(StringMatcher),
    /// A single addition.
    Add(HeaderMutations),
}

impl HeaderChanges {
    /// Compiles the repeated field called `field`.
    ///
    /// # Errors
    /// The first change that is incomplete or not allowed, with its path.
    pub fn from_config(messages: &[Message], field: &str) -> Result<HeaderChanges, ConfigError> {
        let changes = messages.iter().enumerate();
        let changes = changes
            .map(|(index, message)| Change::from_config(message).within_index(field, index))
            .collect::<Result<_, _>>()?;
        Ok(HeaderChanges(changes))
    }

    /// Makes the changes; `add` makes an addition, for it depends on whose headers these are.
    pub fn apply(&self, headers: &mut HeaderMap, add: impl Fn(&HeaderMutations, &mut HeaderMap)) {
        for change in &self.0 {
            match change {
                Change::Remove(name) => {
                    headers.remove(&**name);
                    // In requests the host has another name; responses have none of that.
                    if &**name == "host" {
                        headers.remove(Known::Authority);
                    }
                }
                Change::RemoveMatching(matcher) => {
                    headers.retain(|name, _| name.starts_with(b":") || !matcher.matches(name));
                }
                Change::Add(addition) => add(addition, headers),
            }
        }
    }
}

impl Change {
    fn from_config(message: &Message) -> Result<Change, ConfigError> {
        let Message { action } = message;
        match action {
            Some(Action::Remove(name)) => Ok(Change::Remove(name.to_ascii_lowercase().into())),
            Some(Action::RemoveOnMatch(RemoveOnMatch { key_matcher })) => {
                const PATH: &str = "remove_on_match.key_matcher";
                let Some(matcher) = key_matcher else {
                    return Err(ConfigError::new(PATH, "value is required"));
                };
                StringMatcher::from_config(matcher)
                    .map(Change::RemoveMatching)
                    .within(PATH)
            }
            Some(Action::Append(option)) => {
                HeaderMutations::from_config(std::slice::from_ref(option), "append", &[], "")
                    .map(Change::Add)
                    .map_err(|mut errors| errors.swap_remove(0))
            }
            None => Err(ConfigError::new(
                "action",
                "is required: remove, append or remove_on_match",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use nuncio_config::api::core::{HeaderValue, HeaderValueOption};

    use super::*;

    fn add(name: &str, value: &str) -> Message {
        let header = HeaderValue {
            key: name.into(),
            value: value.into(),
            ..HeaderValue::default()
        };
        Message {
            action: Some(Action::Append(HeaderValueOption {
                header: Some(header),
                ..HeaderValueOption::default()
            })),
        }
    }

    fn remove(name: &str) -> Message {
        Message {
            action: Some(Action::Remove(name.into())),
        }
    }

    #[test]
    fn changes_are_made_in_order() {
        let list = [
            add("x-a", "new"),
            remove("X-A"),
            remove("host"),
            add("x-b", "1"),
        ];
        let changes = HeaderChanges::from_config(&list, "mutations").unwrap();
        let mut headers: HeaderMap = [("x-a", "old"), (":authority", "a")].into_iter().collect();
        changes.apply(&mut headers, |addition, headers| {
            addition.apply_constants(headers);
        });
        assert!(!headers.contains("x-a") && !headers.contains(Known::Authority));
        assert_eq!(headers.get_str("x-b"), Some(&b"1"[..]));
    }

    #[test]
    fn errors_name_their_place() {
        let path = |message: Message| {
            let list = [remove("x"), message];
            HeaderChanges::from_config(&list, "m").unwrap_err().path
        };
        assert_eq!(path(Message { action: None }), "m[1].action");
        assert!(path(add(":path", "/")).starts_with("m[1].append[0]"));
        let action = Some(Action::RemoveOnMatch(RemoveOnMatch { key_matcher: None }));
        assert_eq!(path(Message { action }), "m[1].remove_on_match.key_matcher");
    }
}
