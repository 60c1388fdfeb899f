//! Every example of `configs/` is accepted and does what its comment says.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use nuncio_testing::H2Client;
use support::client::{self, Response, read_response};
use support::{BOUND, Proxy, Sandbox, configs, program, wait_for_text};

/// A test per example, and the list of all of them.
macro_rules! examples {
    ($($(#[$meta:meta])* $test:ident: $file:literal,)*) => {
        const EXAMPLES: &[&str] = &[$($file),*];
        mod examples {
            $(#[test] $(#[$meta])* fn $test() { super::$test(super::start($file)); })*
        }
    };
}

examples! {
    access_log: "access-log.yaml",
    circuit_breakers: "circuit-breakers.yaml",
    dns: "dns.yaml",
    filters: "filters.yaml",
    forward_proxy: "forward-proxy.yaml",
    grpc_web: "grpc-web.yaml",
    http2: "http2.yaml",
    limits: "limits.yaml",
    quickstart: "quickstart.yaml",
    resilience: "resilience.yaml",
    routing: "routing.yaml",
    timeouts: "timeouts.yaml",
    unix_socket: "unix-socket.yaml",
    websocket: "websocket.yaml",
}

fn start(file: &str) -> Proxy {
    Sandbox::of_example(file).start(&["--file-flush-interval-msec", "50"])
}

#[test]
fn no_example_is_left_out() {
    let entries = fs::read_dir(configs()).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    files.sort();
    assert_eq!(files, EXAMPLES);
}

#[test]
fn every_example_is_valid_as_it_stands() {
    for file in EXAMPLES {
        let output = program()
            .args(["--mode", "validate", "-c"])
            .arg(configs().join(file))
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {output:?}");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(!log.contains("warning"), "{file}: {log}");
    }
}

/// Runs where `NUNCIO_ENVOY` names an Envoy, to show that the examples are Envoy's language.
#[test]
fn envoy_accepts_every_example() {
    let Some(envoy) = env::var_os("NUNCIO_ENVOY") else {
        return;
    };
    for file in EXAMPLES {
        let output = Command::new(&envoy)
            .args(["--mode", "validate", "--disable-hot-restart", "-c"])
            .arg(configs().join(file))
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {output:?}");
    }
}

/// A request for `path` and what must come back.
fn get(proxy: &Proxy, path: &str, headers: &[&str]) -> Response {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let host = match headers.iter().any(|line| line.starts_with("Host:")) {
        true => "",
        false => "Host: localhost\r\n",
    };
    proxy.request(10000, &format!("GET {path} HTTP/1.1\r\n{host}{lines}\r\n"))
}

/// Checks status and body of [`get`].
#[track_caller]
fn expect(proxy: &Proxy, path: &str, headers: &[&str], status: u16, body: &str) -> Response {
    let response = get(proxy, path, headers);
    let seen = (response.status, response.body.as_str());
    assert_eq!(seen, (status, body), "{path} {headers:?}: {response:?}");
    response
}

fn quickstart(proxy: Proxy) {
    let mut bodies: Vec<_> = (0..4).map(|_| get(&proxy, "/", &[]).body).collect();
    assert_ne!(bodies[0], bodies[1], "the hosts take turns");
    bodies.sort();
    let (one, two) = ("Hello from host one.\n", "Hello from host two.\n");
    assert_eq!(bodies, [one, one, two, two]);
    let clusters = proxy.admin("/clusters").body;
    for port in [10001, 10002] {
        let port = proxy.sandbox.ports.of(port);
        let line = format!("hosts::127.0.0.1:{port}::rq_total::2\n");
        assert!(clusters.contains(&line), "{line} is not in\n{clusters}");
    }
}

fn routing(proxy: Proxy) {
    let proxy = &proxy;
    expect(proxy, "/health", &[], 200, "fine\n");
    expect(
        proxy,
        "/users/42",
        &[],
        200,
        "one saw /users/42 for localhost\n",
    );
    expect(
        proxy,
        "/api/v1/things",
        &[],
        200,
        "two saw /v1/things for localhost\n",
    );
    expect(
        proxy,
        "/api/v1things",
        &[],
        200,
        "one saw /api/v1things for localhost\n",
    );
    expect(proxy, "/old/7", &[], 200, "one saw /new/7 for localhost\n");
    let moved = expect(proxy, "/moved", &[], 302, "");
    assert_eq!(moved.header("location"), Some("http://localhost/health"));
    expect(
        proxy,
        "/",
        &["x-version: 2"],
        200,
        "two saw / for localhost\n",
    );
    expect(
        proxy,
        "/?debug=1",
        &[],
        200,
        "two saw /?debug=1 for localhost\n",
    );
    expect(
        proxy,
        "/?debug=2",
        &[],
        200,
        "one saw /?debug=2 for localhost\n",
    );
    assert!(
        get(proxy, "/canary", &[])
            .body
            .ends_with(" saw /canary for localhost\n")
    );
    expect(
        proxy,
        "/pick",
        &["x-cluster: two"],
        200,
        "two saw /pick for localhost\n",
    );
    expect(proxy, "/pick", &["x-cluster: none"], 503, "");
    let secure = expect(proxy, "/a", &["Host: www.example.com"], 301, "");
    assert_eq!(secure.header("location"), Some("https://www.example.com/a"));
    expect(
        proxy,
        "/",
        &["Host: a.example.com"],
        200,
        "one saw / for tenants.internal\n",
    );
}

fn filters(proxy: Proxy) {
    let proxy = &proxy;
    let plain = "the host saw GET /, internal: -\n";
    let response = expect(proxy, "/", &["x-internal: 1"], 200, plain);
    assert_eq!(response.header("x-served-by"), Some("nuncio, from host"));
    assert!(
        get(proxy, "/?secret=1", &[])
            .body
            .starts_with("the host saw GET /")
    );
    assert!(!get(proxy, "/?secret=1", &[]).body.contains("secret"));
    expect(
        proxy,
        "/",
        &["x-envoy-fault-abort-request: 418"],
        418,
        "fault filter abort",
    );
    expect(proxy, "/", &["x-envoy-fault-delay-request: 20"], 200, plain);
    expect(proxy, "/broken", &[], 503, "fault filter abort");
    let body = "x".repeat(2000);
    let post = |path: &str| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n");
        proxy.request(10000, &(head + &body))
    };
    assert_eq!(post("/").status, 413);
    assert_eq!(
        post("/upload").body,
        "the host saw POST /upload, internal: -\n"
    );
    let response = expect(
        proxy,
        "/plain",
        &["x-internal: 1"],
        200,
        "the host saw GET /plain, internal: 1\n",
    );
    assert_eq!(response.header("x-served-by"), None);
}

fn access_log(proxy: Proxy) {
    expect(&proxy, "/ok", &["User-Agent: test"], 200, "fine\n");
    expect(&proxy, "/quiet", &[], 200, "fine\n");
    expect(&proxy, "/fails", &[], 503, "no healthy upstream");
    let text = wait_for_text(&proxy.sandbox.file("nuncio-text.log"), "/fails");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("GET /ok 200 - 5B "), "{text}");
    assert!(lines[1].starts_with("GET /fails 503 UH 19B "), "{text}");
    let json = wait_for_text(&proxy.sandbox.file("nuncio-json.log"), "/fails");
    assert_eq!(
        json.lines().next(),
        Some(
            r#"{"agent":"test","method":"GET","path":"/ok","response":{"bytes":5,"details":"direct_response"},"status":200}"#
        )
    );
    assert_eq!(json.lines().count(), 3);
    let errors = wait_for_text(&proxy.sandbox.file("nuncio-errors.log"), "/fails");
    assert!(
        errors.contains("\"GET /fails HTTP/1.1\" 503 UH "),
        "{errors}"
    );
    assert_eq!(errors.lines().count(), 1);
}

fn circuit_breakers(proxy: Proxy) {
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (mut served, mut refused) = (0, 0);
    thread::scope(|scope| {
        let first = scope.spawn(|| proxy.request(10000, request));
        let second = scope.spawn(|| proxy.request(10000, request));
        let responses = [first.join().unwrap(), second.join().unwrap()];
        for response in responses {
            match response.status {
                200 => served += 1,
                503 => {
                    assert_eq!(response.header("x-envoy-overloaded"), Some("true"));
                    refused += 1;
                }
                other => panic!("{other}: {response:?}"),
            }
        }
    });
    assert_eq!((served, refused), (1, 1));
    let stats = proxy.admin("/stats?filter=overflow").body;
    let line = "cluster.slow.upstream_rq_active_overflow: 1\n";
    assert!(stats.contains(line), "{line} is not in\n{stats}");
}

fn resilience(proxy: Proxy) {
    let flag = |port: u16, flag: &str| {
        let port = proxy.sandbox.ports.of(port);
        let line = format!("hosts::127.0.0.1:{port}::health_flags::{flag}\n");
        let deadline = Instant::now() + BOUND;
        while !proxy.admin("/clusters").body.contains(&line) {
            assert!(Instant::now() < deadline, "{line} never came");
            thread::sleep(Duration::from_millis(5));
        }
    };
    flag(10001, "healthy");
    flag(10003, "/failed_active_hc");
    for _ in 0..10 {
        expect(&proxy, "/", &[], 200, "all is well\n");
    }
    flag(10002, "/failed_outlier_check");
    let stats = proxy
        .admin("/stats?filter=cluster.hosts.upstream_rq_retry")
        .body;
    assert!(
        stats.contains("cluster.hosts.upstream_rq_retry_limit_exceeded: 0\n"),
        "{stats}"
    );
    assert!(
        !stats.contains("cluster.hosts.upstream_rq_retry: 0\n"),
        "{stats}"
    );
}

fn unix_socket(proxy: Proxy) {
    let hello = "Hello through a socket file.\n";
    expect(&proxy, "/", &[], 200, hello);
    let stream = UnixStream::connect(proxy.sandbox.file("nuncio-example.sock")).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let response = client::exchange(stream, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(response.body, hello);
}

fn dns(proxy: Proxy) {
    expect(&proxy, "/", &[], 200, "Hello, you asked for localhost.\n");
    let clusters = proxy.admin("/clusters").body;
    assert!(clusters.contains("::hostname::localhost\n"), "{clusters}");
}

fn forward_proxy(proxy: Proxy) {
    let port = proxy.sandbox.ports.of(10001);
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}")] {
        let request = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let response = proxy.request(10000, &request);
        let hello = format!("Hello, you asked for {host}.\n");
        assert_eq!((response.status, response.body), (200, hello));
    }
    let nobody = ["Host: nobody.invalid"];
    expect(&proxy, "/", &nobody, 503, "DNS resolution failure");
    let stats = proxy.admin("/stats?filter=dns_cache").body;
    assert!(stats.contains("dns_cache.names.num_hosts: 3\n"), "{stats}");
}

fn timeouts(proxy: Proxy) {
    let proxy = &proxy;
    let delay = |ms: u32| format!("x-envoy-fault-delay-request: {ms}");
    let late = &[&*delay(3000)];
    expect(proxy, "/", &[&*delay(50)], 200, "at last\n");
    expect(proxy, "/", late, 504, "upstream request timeout");
    expect(proxy, "/patient", &[&*delay(600)], 200, "at last\n");
    expect(proxy, "/patient", late, 504, "downstream duration timeout");
    expect(proxy, "/idle", late, 504, "stream timeout");
    let response = proxy.request(10000, "GET / HTTP/1.1\r\n");
    let seen = (response.status, response.body.as_str());
    assert_eq!(seen, (408, "request header timeout"));
}

fn limits(proxy: Proxy) {
    let proxy = &proxy;
    let response = get(proxy, "/", &[]);
    assert!(response.body.starts_with("/ from "), "{response:?}");
    assert!(
        response.body.contains(" over http, request "),
        "{response:?}"
    );
    assert!(
        !response.body.contains('-') || response.body.len() > 60,
        "{response:?}"
    );
    assert_eq!(
        get(proxy, "/", &[&format!("x-long: {}", "x".repeat(2000))]).status,
        431
    );
    assert_eq!(get(proxy, "/", &["under_score: 1"]).status, 400);
    assert_eq!(get(proxy, "/public/../secret", &[]).status, 404);
    assert_eq!(get(proxy, "/public/a%2Fb", &[]).status, 400);
    assert!(get(proxy, "/a//b", &[]).body.starts_with("/a/b from "));
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(proxy.request(10003, request).status, 200);

    let mut stream = client::connect(proxy.sandbox.ports.of(10000));
    let connection = |response: Response| response.header("connection").map(str::to_owned);
    assert_eq!(
        connection(client::exchange(&mut stream, request).unwrap()),
        None
    );
    let second = client::exchange(&mut stream, request).unwrap();
    assert_eq!(connection(second).as_deref(), Some("close"));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed");
}

fn websocket(proxy: Proxy) {
    let origin = TcpListener::bind((Ipv4Addr::LOCALHOST, proxy.sandbox.ports.of(10001))).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = origin.accept().unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .unwrap();
        let mut message = [0; 4];
        stream.read_exact(&mut message).unwrap();
        stream.write_all(&message).unwrap();
        String::from_utf8(request).unwrap()
    });
    let mut stream = client::connect(proxy.sandbox.ports.of(10000));
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    stream
        .write_all(format!("GET /chat HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n").as_bytes())
        .unwrap();
    let response = read_response(&mut stream).unwrap();
    assert_eq!(response.status, 101);
    assert_eq!(response.header("upgrade"), Some("websocket"));
    stream.write_all(b"\x81\x02hi").unwrap();
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"\x81\x02hi");
    assert!(server.join().unwrap().contains("upgrade: websocket"));

    let refused = get(
        &proxy,
        "/plain",
        &["Connection: Upgrade", "Upgrade: websocket"],
    );
    assert_eq!(refused.status, 403);
}

fn http2(proxy: Proxy) {
    let address = (Ipv4Addr::LOCALHOST, proxy.sandbox.ports.of(10000)).into();
    let mut client = H2Client::connect(address);
    let response = client.get("/");
    assert_eq!(response.status(), 200);
    assert_eq!(response.text(), "hello over HTTP/2\n");
    // A gRPC call to nowhere: the status is gRPC's, in the headers.
    let mut call = H2Client::request("POST", "/greeter/Hello");
    call.extend([("content-type", "application/grpc"), ("te", "trailers")]);
    let call = client.open(&call, true);
    let response = client.response(call);
    assert_eq!(response.header("grpc-status").as_deref(), Some("12"));
    assert_eq!(get(&proxy, "/", &[]).body, "hello over HTTP/2\n");
}

fn grpc_web(proxy: Proxy) {
    let call = |headers: &str, body: &str| {
        let head = format!(
            "POST /pkg.Greeter/Hello HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        let response = proxy.request(10000, &(head + body));
        let header = |name| response.header(name).unwrap_or_default().to_owned();
        (
            response.status,
            header("content-type"),
            header("grpc-status"),
            header("grpc-message"),
        )
    };
    let answer = |kind: &str| {
        let texts = [kind, "12", "no such method"].map(str::to_owned);
        let [kind, status, message] = texts;
        (200, kind, status, message)
    };
    assert_eq!(
        call("Content-Type: application/grpc-web+proto\r\n", "\0\0\0\0\0"),
        answer("application/grpc-web+proto")
    );
    let text = "Content-Type: application/grpc-web-text\r\nAccept: application/grpc-web-text\r\n";
    assert_eq!(
        call(text, "AAAAAAA="),
        answer("application/grpc-web-text+proto")
    );
    assert_eq!(
        call(
            "Content-Type: application/x-protobuf\r\nTE: trailers\r\n",
            ""
        ),
        answer("application/grpc")
    );
    let preflight = proxy.request(
        10000,
        "OPTIONS /pkg.Greeter/Hello HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
    );
    assert_eq!(preflight.status, 200);
    let allowed = preflight.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://app.example"));
    let stats = proxy.admin("/stats?filter=grpc").body;
    for stat in [
        "grpc.pkg.Greeter.Hello.12: 3",
        "grpc-web.pkg.Greeter.Hello.12: 2",
    ] {
        let stat = format!("cluster.backend.{stat}");
        assert!(stats.lines().any(|line| line == stat), "{stat}: {stats}");
    }
}
