//! Routes that answer: redirects, direct responses, TLS that is required.

use super::*;

/// Status and location of an answer.
fn answer(route: Route, headers: &mut HeaderMap) -> (u16, String, String) {
    let entry = find(&worker(&routes(vec![route])), headers).expect("the route matches");
    let mut info = info();
    let reply = entry
        .direct_reply(headers, &mut info, true)
        .expect("an answer");
    let location = reply
        .location
        .map(|location| String::from_utf8(location).unwrap())
        .unwrap_or_default();
    (
        reply.status,
        location,
        String::from_utf8_lossy(&reply.body).into_owned(),
    )
}

#[test]
fn redirects() {
    let location = |change: fn(&mut RedirectAction), given: &str| {
        let mut action = RedirectAction::default();
        change(&mut action);
        let mut route = route(prefix("/p"));
        route.action = Some(Config::Redirect(action));
        let (status, location, _) =
            answer(route, &mut request("GET", "h:80", given, &[("x", "yy")]));
        format!("{status} {location}")
    };
    assert_eq!(location(|_| (), "/p/a?q=1"), "301 http://h:80/p/a?q=1");
    let https = |action: &mut RedirectAction| {
        action.scheme_rewrite_specifier = Some(SchemeRewriteSpecifier::HttpsRedirect(true));
        action.response_code = 4;
    };
    assert_eq!(location(https, "/p/a?q=1"), "308 https://h/p/a?q=1");
    fn with(action: &mut RedirectAction, path: PathRewriteSpecifier) {
        action.path_rewrite_specifier = Some(path);
    }
    let prefix_rewrite = |action: &mut RedirectAction| {
        with(action, PathRewriteSpecifier::PrefixRewrite("/np".into()))
    };
    assert_eq!(
        location(prefix_rewrite, "/p/a?q=1"),
        "301 http://h:80/np/a?q=1"
    );
    let path = |action: &mut RedirectAction| {
        with(action, PathRewriteSpecifier::PathRedirect("np?x".into()))
    };
    assert_eq!(location(path, "/p/a?q=1"), "301 http://h:80/np?x");
    let format = |action: &mut RedirectAction| {
        with(action, PathRewriteSpecifier::PathRewrite("%REQ(x)%".into()));
        action.port_redirect = 99;
    };
    assert_eq!(location(format, "/p/a?q=1"), "301 http://h:99/yy?q=1");
    let missing = |action: &mut RedirectAction| {
        with(action, PathRewriteSpecifier::PathRewrite("%REQ(z)%".into()))
    };
    assert_eq!(location(missing, "/p/a?q=1"), "301 http://h:80/p/a?q=1");
}

#[test]
fn direct_responses() {
    let reply = |status| {
        let mut route = route(prefix("/"));
        let specifier = Some(Specifier::InlineString("text".into()));
        let body = Some(DataSource {
            specifier,
            watched_directory: None,
        });
        route.action = Some(Config::DirectResponse(DirectResponseAction {
            status,
            body,
            body_format: None,
        }));
        answer(route, &mut get("/p?q"))
    };
    assert_eq!(reply(200), (200, String::new(), "text".to_owned()));
    assert_eq!(
        reply(201),
        (201, "http://host/p?q".to_owned(), "text".to_owned())
    );
    assert_eq!(
        reply(302),
        (302, "http://host/p?q".to_owned(), "text".to_owned())
    );
}

#[test]
fn tls_may_be_required() {
    let mut host = virtual_host("tls", &["*"], vec![route(prefix("/"))]);
    let mut outcome = |requirement: TlsRequirementType, headers: &mut HeaderMap| {
        host.require_tls = requirement as i32;
        host.response_headers_to_add = vec![add_header("x-v", "1")];
        let entry = find(&worker(&config(vec![host.clone()])), headers).expect("something matches");
        let mut response = HeaderMap::new();
        entry.finalize_response_headers(&mut response, headers, &info());
        assert_eq!(
            response.is_empty(),
            matches!(entry.action(), Action::TlsRedirect)
        );
        let mut info = info();
        let reply = entry.direct_reply(headers, &mut info, true)?;
        Some((
            reply.status,
            String::from_utf8(reply.location.unwrap_or_default()).unwrap(),
        ))
    };
    let redirect = Some((301, "https://h:80/p?q".to_owned()));
    let mut plain = request("GET", "h:80", "/p?q", &[]);
    let mut internal = request("GET", "h:80", "/p?q", &[("x-envoy-internal", "true")]);
    let mut secure = request("GET", "h", "/p?q", &[]);
    secure.set("x-forwarded-proto", b"https");
    assert_eq!(outcome(TlsRequirementType::All, &mut plain), redirect);
    assert_eq!(outcome(TlsRequirementType::All, &mut internal), redirect);
    assert_eq!(outcome(TlsRequirementType::All, &mut secure), None);
    assert_eq!(
        outcome(TlsRequirementType::ExternalOnly, &mut plain),
        redirect
    );
    assert_eq!(
        outcome(TlsRequirementType::ExternalOnly, &mut internal),
        None
    );
    assert_eq!(outcome(TlsRequirementType::None, &mut plain), None);
}
