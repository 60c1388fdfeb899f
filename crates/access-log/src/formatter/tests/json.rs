//! Templates in JSON.

use nuncio_config::api::protobuf::ListValue;

use super::*;

#[test]
fn json_templates() {
    let number = |n| Value {
        kind: Some(Kind::NumberValue(n)),
    };
    let null = || Value {
        kind: Some(Kind::NullValue(0)),
    };
    let values = vec![
        string("%REQ(x-none)%"),
        null(),
        number(3.0),
        number(1.5),
        Value {
            kind: Some(Kind::BoolValue(true)),
        },
        string("x%%y"),
        string("%PROTOCOL% %REQ(x-none)%"),
        number(1e20),
        number(1e-7),
    ];
    let list = Value {
        kind: Some(Kind::ListValue(ListValue { values })),
    };
    let template = object([
        ("z", string("")),
        ("n", null()),
        ("f", string("%RESPONSE_FLAGS%")),
        ("e", structure([])),
        ("l", list),
        ("b", structure([("c", string("%REQ(x-none)%"))])),
        ("a", string("%REQ(x-none)%")),
        ("c", string("%RESPONSE_CODE%")),
        ("q", string("%RESP(x-q)%")),
        ("é\"", string("é\u{1}\u{7f}\u{2028}</\\\"")),
    ]);
    let stream = Stream::proxied();
    assert_eq!(
        json(&template, false, &stream),
        concat!(
            r#"{"a":null,"b":{"c":null},"c":200,"e":{},"f":"-","l":[null,null,3,1.5,true,"x%y","HTTP/1.1 -",1e+20,1e-07],"#,
            r#""n":null,"q":"a\"b\\c\td","z":"","é\"":"é\u0001"#,
            "\u{7f}\u{2028}",
            r#"</\\\""}"#,
            "\n"
        )
    );
    assert_eq!(
        json(&template, true, &stream),
        concat!(
            r#"{"c":200,"f":"-","l":[3,1.5,true,"x%y","HTTP/1.1 ",1e+20,1e-07],"q":"a\"b\\c\td","z":"","é\"":"é\u0001"#,
            "\u{7f}\u{2028}",
            r#"</\\\""}"#,
            "\n"
        )
    );
    assert_eq!(json(&object([]), true, &stream), "{}\n");
    assert_eq!(json(&object([]), false, &stream), "{}\n");
}

#[test]
fn json_of_bytes_that_are_not_utf8() {
    let mut stream = Stream::new();
    stream.request.append("x-m", b"\xc3\xa9\xff");
    stream.request.append("x-v", "€😀".as_bytes());
    let template = object([
        ("m", string("%REQ(x-m)%")),
        ("mm", string("é%REQ(x-m)%%REQ(x-v)%")),
        ("v", string("%REQ(x-v)%")),
        ("v1", string("%REQ(x-v):1%")),
    ]);
    assert_eq!(
        json(&template, false, &stream),
        concat!(
            r#"{"m":"\u00c3\u00a9\u00ff","mm":"é\u00c3\u00a9\u00ff€😀","v":"€😀","v1":"\u00e2"}"#,
            "\n"
        )
    );
}

#[test]
fn an_error_in_json_has_its_path() {
    let template = object([("a", structure([("b", string("%FOO%"))]))]);
    assert_eq!(Formatter::json(&template, false).unwrap_err().path, "a.b");
}
