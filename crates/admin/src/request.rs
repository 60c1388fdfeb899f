//! A request as handlers see it.

use nuncio_http::path::{merge_slashes, normalize, percent_decode, query_params, split_query};

/// A request whose path is normalised and whose parameters are decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) params: Params,
}

impl Request {
    /// Reads the target of a request, as Envoy's admin connection manager does: the path is normalised, its slashes are merged.
    /// `None` when that is impossible.
    pub(crate) fn new(method: &[u8], target: &[u8]) -> Option<Self> {
        let (mut normal, mut merged) = (Vec::new(), Vec::new());
        if !normalize(target, &mut normal) {
            return None;
        }
        let target = match merge_slashes(&normal, &mut merged) {
            true => &merged,
            false => &normal,
        };
        let (path, _) = split_query(target);
        Some(Self {
            method: lossy(method),
            path: lossy(path),
            params: Params::of_target(target),
        })
    }
}

/// Query parameters, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    fn of_target(target: &[u8]) -> Self {
        let params = query_params(target);
        Self(
            params
                .map(|(name, value)| (decoded(name), decoded(value)))
                .collect(),
        )
    }

    /// Those of an `application/x-www-form-urlencoded` body.
    pub(crate) fn of_form(body: &[u8]) -> Self {
        let mut target = Vec::with_capacity(body.len() + 1);
        target.push(b'?');
        target.extend_from_slice(body);
        Self::of_target(&target)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Names and values, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The name and value of the first parameter.
    pub(crate) fn first(&self) -> Option<(&str, &str)> {
        let (name, value) = self.0.first()?;
        Some((name, value))
    }

    /// The first value of this name; empty for one without value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }

    /// As [`Self::get`], for parameters to which an empty value means nothing.
    pub(crate) fn get_some(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Whether there is a parameter of this name, whatever its value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

fn decoded(text: &[u8]) -> String {
    lossy(&percent_decode(text))
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_normalised_and_decoded() {
        let request =
            Request::new(b"GET", b"//x/../sta%74s?filter=a%2Bb+c&usedonly&filter=z").unwrap();
        assert_eq!(request.path, "/stats");
        assert_eq!(request.params.get("filter"), Some("a+b+c"));
        assert!(request.params.has("usedonly") && request.params.get_some("usedonly").is_none());
        assert_eq!(request.params.len(), 3);
        assert!(Request::new(b"GET", b"/%00").is_none());
        assert!(Request::new(b"OPTIONS", b"*").is_none());
    }

    #[test]
    fn forms_are_like_queries() {
        assert_eq!(Params::of_form(b"a=%41&b").get("a"), Some("A"));
        assert!(Params::of_form(b"").is_empty());
    }
}
