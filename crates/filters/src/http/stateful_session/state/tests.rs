use super::*;

const HOST: &str = "127.0.0.1:27912";

fn cookie_state(path: &str, ttl: Option<Duration>) -> SessionState {
    SessionState::Cookie(Cookie {
        name: "ss".into(),
        path: path.into(),
        ttl,
        attributes: "; HttpOnly".into(),
    })
}

fn request(path: &str, headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.set(Known::Path, path.as_bytes());
    for (name, value) in headers {
        map.append(*name, value.as_bytes());
    }
    map
}

fn begin(state: &SessionState, request: &mut HeaderMap) -> Option<Option<String>> {
    state.begin(request).map(|session| session.0)
}

/// The values are Envoy 1.40's.
#[test]
fn a_cookie_holds_the_host() {
    let state = cookie_state("", None);
    let mut response = HeaderMap::new();
    state.end(HOST, true, &mut response);
    let set = response.get(Known::SetCookie).unwrap();
    assert_eq!(set, br#"ss="Cg8xMjcuMC4wLjE6Mjc5MTI="; HttpOnly"#);
    let known = Some(Some(HOST.to_owned()));
    for value in ["Cg8xMjcuMC4wLjE6Mjc5MTI=", "MTI3LjAuMC4xOjI3OTEy"] {
        let mut request = request("/", &[("cookie", &format!("ss=\"{value}\""))]);
        assert_eq!(begin(&state, &mut request), known, "{value}");
    }
    let mut bad = request("/", &[("cookie", "ss=!")]);
    assert_eq!(begin(&state, &mut bad), Some(None));
}

#[test]
fn a_cookie_ends_with_its_time_and_its_path() {
    let state = cookie_state("/c", Some(Duration::from_secs(60)));
    let expired = "ss=Cg8xMjcuMC4wLjE6Mjc5MTIQAQ==";
    let mut old = request("/c", &[("cookie", expired)]);
    assert_eq!(begin(&state, &mut old), Some(None));
    for path in ["/c", "/c/x", "/c?x"] {
        assert!(begin(&state, &mut request(path, &[])).is_some(), "{path}");
    }
    for path in ["/cx", "/", "/d/c"] {
        assert!(begin(&state, &mut request(path, &[])).is_none(), "{path}");
    }
    let mut response = HeaderMap::new();
    state.end(HOST, true, &mut response);
    let mut again = request("/c", &[]);
    again.append("cookie", response.get(Known::SetCookie).unwrap());
    assert_eq!(begin(&state, &mut again), Some(Some(HOST.to_owned())));
}

#[test]
fn a_header_holds_the_host() {
    let state = SessionState::Header("x-sess".into());
    let mut response = HeaderMap::new();
    state.end(HOST, false, &mut response);
    assert!(response.get_name(b"x-sess".as_slice()).is_none());
    state.end(HOST, true, &mut response);
    let value = response.get_name(b"x-sess".as_slice()).unwrap();
    assert_eq!(value, b"MTI3LjAuMC4xOjI3OTEy");
    let mut again = request("/", &[("x-sess", "MTI3LjAuMC4xOjI3OTEy")]);
    assert_eq!(begin(&state, &mut again), Some(Some(HOST.to_owned())));
    let mut bad = request("/", &[("x-sess", "bad")]);
    assert_eq!(begin(&state, &mut bad), Some(None));
}

#[test]
fn an_envelope_goes_around_the_upstreams_value() {
    let state = SessionState::Envelope("x-env".into());
    let mut response = request("/", &[("x-env", "upv")]);
    state.end(HOST, false, &mut response);
    let wrapped = response.get_name(b"x-env".as_slice()).unwrap();
    assert_eq!(wrapped, b"MTI3LjAuMC4xOjI3OTEy;UV:dXB2");
    let mut again = request("/", &[("x-env", "MTI3LjAuMC4xOjI3OTEy;UV:dXB2")]);
    assert_eq!(begin(&state, &mut again), Some(Some(HOST.to_owned())));
    assert_eq!(again.get_name(b"x-env".as_slice()), Some(b"upv".as_slice()));
    for foreign in [
        "abc",
        "UV:dXB2",
        "MTI3; UV:dXB2",
        "MTI3LjAuMC4xOjI3OTEy;UV:bad",
    ] {
        let mut foreign_request = request("/", &[("x-env", foreign)]);
        assert_eq!(begin(&state, &mut foreign_request), Some(None), "{foreign}");
        let kept = foreign_request.get_name(b"x-env".as_slice());
        assert_eq!(kept, Some(foreign.as_bytes()));
    }
    let mut twice = request("/", &[("x-env", "a"), ("x-env", "b")]);
    state.end(HOST, true, &mut twice);
    assert_eq!(twice.get_all(b"x-env".as_slice()).count(), 2);
}
