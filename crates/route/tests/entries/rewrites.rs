//! Paths and hosts on their way upstream.

use super::*;

#[test]
fn path_rewrites() {
    let rewrite = |path: PathSpecifier, change: fn(&mut RouteAction), given: &str| {
        let headers = finalized(forward(path, change), get(given));
        (
            text(&headers, ":path").remove(0),
            text(&headers, "x-envoy-original-path")
                .pop()
                .unwrap_or_default(),
        )
    };
    let to = |new: &str, old: &str| (new.to_owned(), old.to_owned());
    let new = |action: &mut RouteAction| action.prefix_rewrite = "/new".into();
    assert_eq!(
        rewrite(prefix("/p"), new, "/p/a?q=1"),
        to("/new/a?q=1", "/p/a?q=1")
    );
    assert_eq!(rewrite(prefix(""), new, "/p/a"), to("/new/p/a", "/p/a"));
    assert_eq!(rewrite(exact("/p"), new, "/p?a"), to("/new?a", "/p?a"));
    assert_eq!(rewrite(separated("/p"), new, "/p/a"), to("/new/a", "/p/a"));
    assert_eq!(
        rewrite(regex("/p.*"), new, "/p/a?q"),
        to("/new?q", "/p/a?q")
    );
    let substitute = |pattern: &str, substitution: &str| {
        Some(RegexMatchAndSubstitute {
            pattern: Some(regex_matcher(pattern)),
            substitution: substitution.into(),
        })
    };
    let regex_rewrite = forward(prefix("/"), |action| {
        action.regex_rewrite = substitute("/p/([^/]+)", r"/q/\1")
    });
    assert_eq!(
        text(&finalized(regex_rewrite, get("/p/abc/d?q=1")), ":path"),
        ["/q/abc/d?q=1"]
    );
    let empty = forward(prefix("/"), |action| {
        action.regex_rewrite = substitute(".*", "")
    });
    let headers = finalized(empty, get("/p?q=1"));
    assert_eq!(
        text(&headers, ":path"),
        ["/p?q=1"],
        "an empty result changes nothing"
    );
    assert!(text(&headers, "x-envoy-original-path").is_empty());
    let format = |action: &mut RouteAction| action.path_rewrite = "/n%REQ(x)%".into();
    assert_eq!(
        rewrite(prefix("/"), format, "/p/a?q=1"),
        to("/n?q=1", "/p/a?q=1")
    );
}

#[test]
fn host_rewrites() {
    let rewrite = |specifier: HostRewriteSpecifier, given: &[(&str, &str)]| {
        let route = forward(prefix("/"), |action| {
            action.host_rewrite_specifier = Some(specifier);
            action.append_x_forwarded_host = true;
        });
        let headers = finalized(route, request("GET", "old", "/p/abc/d?q", given));
        let one = |name: &str| text(&headers, name).join("|");
        (
            one(":authority"),
            one("x-envoy-original-host"),
            one("x-forwarded-host"),
        )
    };
    let to = |new: &str, old: &str, forwarded: &str| {
        (new.to_owned(), old.to_owned(), forwarded.to_owned())
    };
    let unchanged = to("old", "", "");
    let literal = || HostRewriteSpecifier::HostRewriteLiteral("lit".into());
    assert_eq!(rewrite(literal(), &[]), to("lit", "old", "old"));
    assert_eq!(
        rewrite(literal(), &[("x-forwarded-host", "a,b")]),
        to("lit", "old", "a,b,old")
    );
    let auto = HostRewriteSpecifier::AutoHostRewrite(BoolValue { value: true });
    assert_eq!(
        rewrite(auto, &[]),
        unchanged,
        "that is for the router, when it knows the host"
    );
    let header = || HostRewriteSpecifier::HostRewriteHeader("X-Host".into());
    assert_eq!(rewrite(header(), &[]), unchanged);
    assert_eq!(
        rewrite(header(), &[("x-host", "hh")]),
        to("hh", "old", "old")
    );
    let by_path = HostRewriteSpecifier::HostRewritePathRegex(RegexMatchAndSubstitute {
        pattern: Some(regex_matcher("^/p/([^/]+)/.*")),
        substitution: r"\1.example".into(),
    });
    assert_eq!(rewrite(by_path, &[]), to("abc.example", "old", "old"));
    let format = HostRewriteSpecifier::HostRewrite("pre-%REQ(x)%".into());
    assert_eq!(
        rewrite(format, &[]),
        to("pre--", "old", "old"),
        "a missing value is a dash"
    );
}
