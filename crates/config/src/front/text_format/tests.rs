use super::{
    super::tree::{Content, Place, Value},
    *,
};

fn print(value: Value<'_>) -> String {
    match value.content() {
        Content::Map(entries) => {
            let entries: Vec<_> = entries
                .map(|(k, v)| format!("{}={}", k.as_str().unwrap_or_default(), print(v)))
                .collect();
            format!("{{{}}}", entries.join(" "))
        }
        Content::List(items) => format!("[{}]", items.map(print).collect::<Vec<_>>().join(" ")),
        Content::Str(text) => format!("{text:?}"),
        Content::Word(text) | Content::Number(text) => text.to_owned(),
        other => format!("{other:?}"),
    }
}

fn read(text: &str) -> Result<String, String> {
    match parse(text) {
        Ok(tree) => Ok(print(tree.root())),
        Err(e) => Err(format!("{}:{} {}", e.place.line, e.place.column, e.message)),
    }
}

#[test]
fn messages_and_lists() {
    for (text, tree) in [
        ("", "{}"),
        ("# nothing", "{}"),
        ("a: 1, b: x; c: -y", "{a=1 b=x c=-y}"),
        ("a {b <c: 1>} a: {} # end\nd{}", "{a={b={c=1}} a={} d={}}"),
        (
            "a [{b: 1}, <>] c: [1, -2] d: []",
            "{a=[{b=1} {}] c=[1 -2] d=[]}",
        ),
        ("[t.com/a.B] {x: 1}", "{[t.com/a.B={x=1}}"),
        ("[ t.com / a .\nB ] : {}", "{[t.com/a.B={}}"),
    ] {
        assert_eq!(read(text).as_deref(), Ok(tree), "{text}");
    }
}

#[test]
fn strings_and_numbers() {
    for (text, tree) in [
        (
            r#"a: "x" 'y' # and
            "z""#,
            r#"{a="xyz"}"#,
        ),
        (r#"a: "\x41\102\u0041\n\'\?""#, r#"{a="ABA\n'?"}"#),
        (r#"a: "\ud83d\ude00\U0001f600""#, "{a=\"😀😀\"}"),
        (r#"a: "\377""#, "{a=Bytes(\"ÿ\")}"),
        (
            "a: 0x1F b: 017 c: - 1.5f d: .5 e: 1e+3 f: 2.",
            "{a=0x1F b=017 c=-1.5 d=.5 e=1e+3 f=2.}",
        ),
        ("a: -inf b: nan", "{a=-inf b=nan}"),
    ] {
        assert_eq!(read(text).as_deref(), Ok(tree), "{text}");
    }
}

#[test]
fn what_is_refused() {
    for (text, error) in [
        ("a", "1:2 unexpected EOF; expected ':' or a message"),
        (
            "a 1",
            "1:3 unexpected character: '1'; expected ':' or a message",
        ),
        (
            "1 {}",
            "1:1 unexpected character: '1'; expected a field name",
        ),
        ("a: {", "1:5 unexpected EOF; expected a field name"),
        (
            "a {\n b: 1 >",
            "2:7 unexpected character: '>'; expected a field name",
        ),
        ("}", "1:1 unexpected character: '}'; expected a field name"),
        (
            "a: 1,; b: 2",
            "1:6 unexpected character: ';'; expected a field name",
        ),
        (
            "a: [1, ]",
            "1:8 unexpected character: ']'; expected a value",
        ),
        ("a [1]", "1:4 unexpected character: '1'; expected '{'"),
        ("a: +1", "1:4 unexpected character: '+'; expected a value"),
        ("a: 08", "1:4 invalid number: '08'"),
        ("a: 8080b: 1", "1:4 invalid number: '8080b'"),
        ("a: 1.2.3", "1:4 invalid number: '1.2.3'"),
        ("a: \"x", "1:6 unexpected EOF; expected a quote"),
        (r#"a: "\q""#, "1:5 invalid escape sequence in a string"),
        (r#"a: "\400""#, "1:5 octal escape above \\377"),
        (r#"a: "\ud800""#, "1:5 invalid Unicode escape"),
        (
            "// x",
            "1:1 unexpected character: '/'; expected a field name",
        ),
        (
            "\u{feff}a: 1",
            "1:1 unexpected character: '\\u{feff}'; expected a field name",
        ),
        (
            "[a b!] {}",
            "1:5 unexpected character: '!'; expected a type URL and ']'",
        ),
    ] {
        assert_eq!(
            read(text).as_ref().map_err(String::as_str),
            Err(error),
            "{text}"
        );
    }
    let broken = read("a: \"x\ny\"").unwrap_err();
    assert!(
        broken.starts_with("1:6 a string must not go over the end of a line"),
        "{broken}"
    );
    for open in ["a{", "a:[", "a["] {
        assert!(read(&open.repeat(101)).is_err(), "{open}");
    }
    assert!(
        read(&"a{".repeat(102))
            .unwrap_err()
            .contains("too deeply nested")
    );
}

#[test]
fn places() {
    let tree = parse("a { # é\n  b: 'é' c: x }").unwrap();
    let (key, value) = tree.root().get("a").unwrap().1.get("c").unwrap();
    assert_eq!(
        key.place(),
        Place {
            line: 2,
            column: 10
        }
    );
    assert_eq!(
        value.place(),
        Place {
            line: 2,
            column: 13
        }
    );
}
