use super::*;
use crate::regex::{Regex, RegexRewrite};

/// What Envoy 1.40 says to these.
#[test]
fn what_is_a_template() {
    let good = [
        "/a/b",
        "/a/*",
        "/a/**",
        "/a/{x}",
        "/a/{x=*}/b",
        "/a/{x=**}",
        "/a/{x=b/*}",
        "/a/**/b",
        "/a*",
        "/*a",
        "/*.html",
        "/**.html",
        "/",
        "/a/",
        "/{a}/{b}/{c}/{d}/{e}",
        "/{abcdefghijklmnop}",
        "/a%20",
        "/{x=a}",
        "/***",
        "/{x=**}/a",
        "/{x=*}.css",
        "/{x}.css/{y}",
        "/a=b;c",
        "/*/{x=**}",
        "/{x_1}",
        "/{x=a*}",
        "/a/*/",
        "/**/",
        "/{x=**}/",
        "/a{x}",
        "/a-{x}-b",
        "/{x}-b/{y}",
        "/a{x}b/**",
        "/a*b/c",
        "/{x}*",
        "/{x=**}.css/a",
        "/a{x=**}",
        "/a**b",
        "/a-{x=a-*}",
    ];
    for text in good {
        assert!(
            Template::new(text).is_ok(),
            "{text}: {:?}",
            Template::new(text)
        );
    }
    let bad = [
        ("/**/*", "Glob after text glob."),
        ("/**/{x}", "Implicit variable path glob after text glob."),
        ("/{x=**}/*", "Glob after text glob."),
        ("/**a/b", "Prefix match not supported."),
        ("/*.a/b", "Prefix match not supported."),
        ("a", "Invalid pattern: \"a\""),
        ("/a b", "Invalid pattern: \"/a b\""),
        ("/\u{e9}", "Invalid pattern: \"/\u{e9}\""),
        ("//", "Invalid literal: \"\""),
        ("/a//b", "Invalid literal: \"\""),
        ("/{}", "Invalid variable name: \"\""),
        ("/{1x}", "Invalid variable name: \"1x\""),
        ("/{x", "Unmatched variable bracket in mixed pattern: \"{x\""),
        ("/x}", "Invalid literal: \"x}\""),
        ("/{x}{y}", "Invalid suffix literal: \"{y}\""),
        ("/{x}-{y}", "Invalid suffix literal: \"-{y}\""),
        ("/a{x=b/*}c", "Invalid literal: \"a{x=b\""),
        ("/a{x", "Invalid literal: \"a{x\""),
        ("/{x}}", "Invalid suffix literal: \"}\""),
        ("/*{x}", "Invalid literal: \"{x}\""),
        ("/{x}/{x}", "Repeated variable name: \"x\""),
        (
            "/{a}/{b}/{c}/{d}/{e}/{f}",
            "Exceeded variable count limit (5)",
        ),
        ("/a?b", "Invalid literal: \"a?b\""),
        ("/{x=}", "Empty variable match"),
        ("/{x=a/}", "Invalid variable match: \"/\""),
        ("/{x=/a}", "Invalid literal: \"\""),
        ("/{x=*a}", "Invalid variable match: \"a\""),
    ];
    for (text, why) in bad {
        assert_eq!(Template::new(text).unwrap_err(), why, "{text}");
    }
    assert!(Template::new("/{abcdefghijklmnopq}").is_err());
}

/// What Envoy 1.40 does with these paths.
#[test]
fn what_matches_and_what_becomes_of_it() {
    let check = |template: &str, rewrite: &str, paths: &[(&str, Option<&str>)]| {
        let template = Template::new(template).unwrap();
        let regex = Regex::new(&template.regex).unwrap();
        let substitution = template.substitution(rewrite).unwrap().unwrap();
        let rewriter = RegexRewrite::new(&format!("^{}$", template.regex), &substitution);
        let rewriter = rewriter.unwrap();
        for (path, expected) in paths {
            let mut new = Vec::new();
            rewriter.replace_all(path.as_bytes(), &mut new);
            let found = regex.is_match(path.as_bytes()).then_some(new);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{path}");
        }
    };
    check(
        "/a*b",
        "/n",
        &[("/a*b", None), ("/aab", Some("/n")), ("/b", Some("/n"))],
    );
    check(
        "/a/*",
        "/",
        &[
            ("/a/b", Some("/")),
            ("/a/", None),
            ("/a/b/c", None),
            ("/a/\"", None),
        ],
    );
    check(
        "/a/**",
        "/n",
        &[("/a", None), ("/a/", Some("/n")), ("/a/b/c", Some("/n"))],
    );
    check(
        "/{x}-b",
        "/z/{x}",
        &[("/a-b-b", Some("/z/a-b")), ("/-b", None)],
    );
    check(
        "/p{x}s/{y}",
        "/{y}/{x}",
        &[("/pps-s/k", Some("/k/ps-")), ("/ps/k", None)],
    );
    check(
        "/{x=**}/e",
        "/r/{x}",
        &[
            ("//e", Some("/r/")),
            ("/a/e/e", Some("/r/a/e")),
            ("/e", None),
        ],
    );
    check(
        "/a/{x=b/*}/c",
        "/{x}/n",
        &[("/a/b/k/c", Some("/b/k/n")), ("/a/c/k/c", None)],
    );
    check("/{x}*", "/{x}", &[("/", Some("/")), ("/a*", Some("/a*"))]);
    check(
        "/a+b(c).$",
        "/n",
        &[("/a+b(c).$", Some("/n")), ("/aab(c).$", None)],
    );
    check(
        "/{a}/{b}",
        "/{b}{a}/x*y",
        &[("/1/2", Some("/21/x*y")), ("/1/2/", None)],
    );
    check("/", "/root", &[("/", Some("/root")), ("//", None)]);
}

#[test]
fn rewrites() {
    let template = Template::new("/a/{x}").unwrap();
    for good in ["/b/{x}", "/b", "/{x}{x}", "/a*b", "/b/"] {
        assert!(matches!(template.substitution(good), Ok(Some(_))), "{good}");
    }
    assert_eq!(template.substitution("/{y}"), Ok(None));
    for bad in [
        "b", "", "/b//c", "/{x", "/x}", "/a?b", "/{x=*}", "/ ", "/{1}",
    ] {
        assert!(template.substitution(bad).is_err(), "{bad}");
    }
}
