//! Clients of other makes, where they are installed: curl, nghttp and h2load. (Python's h2 and grpcio are in `whole/grpc.rs`.)

use std::process::Command;

use nuncio_testing::{Config, Origin, Proxy};

use crate::start;

fn proxy() -> (Origin, Proxy) {
    let origin = Origin::start(|peer, _| {
        loop {
            let request = peer.request()?;
            peer.answer(&request.body.len().to_string())?;
        }
    });
    let proxy = start(&Config::to(origin.address));
    (origin, proxy)
}

/// The program's output; `None` where it is not installed.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn curl_is_served_where_it_is_installed_and_speaks_http2() {
    if !output("curl", &["--version"]).is_some_and(|version| version.contains("HTTP2")) {
        return;
    }
    let (_origin, proxy) = proxy();
    let url = format!("http://{}/", proxy.address);
    let body = "x".repeat(300_000);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &body).unwrap();
    let data = format!("@{}", file.path().display());
    let curl = |more: &[&str]| {
        let mut arguments = vec!["-sS", "--max-time", "20", "--http2-prior-knowledge"];
        arguments.extend(["-w", " %{http_version} %{http_code}"]);
        arguments.extend(more);
        arguments.push(&url);
        output("curl", &arguments).unwrap()
    };
    assert_eq!(curl(&[]), "0 2 200");
    assert_eq!(curl(&["--data-binary", &data]), "300000 2 200");
}

#[test]
fn nghttp_and_h2load_are_served_where_they_are_installed() {
    let (_origin, proxy) = proxy();
    let url = format!("http://{}/", proxy.address);
    if let Some(shown) = output("nghttp", &["-nv", "--timeout=20", &url]) {
        assert!(shown.contains(":status: 200"), "{shown}");
    }
    let load = ["-n", "200", "-c", "4", "-m", "5", &url];
    if let Some(shown) = output("h2load", &load) {
        assert!(shown.contains("200 2xx"), "{shown}");
    }
}
