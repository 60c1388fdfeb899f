//! nginx as a proxy and as the origin.

use std::ffi::OsString;
use std::path::Path;

use super::{LONG, Protocol, Setup};

/// The command line for the configuration in `folder`.
pub(crate) fn arguments(folder: &Path) -> Vec<OsString> {
    let mut prefix = folder.as_os_str().to_owned();
    prefix.push("/");
    let config = folder.join("nginx.conf").into_os_string();
    // Without -e the compiled-in error log is opened before the configuration is read.
    [
        "-p".into(),
        prefix,
        "-c".into(),
        config,
        "-e".into(),
        "stderr".into(),
    ]
    .into()
}

/// One worker, upstream connections kept alive. Upstream it speaks HTTP/1.1 only.
pub(crate) fn proxy(setup: &Setup, folder: &Path) -> String {
    let log = match &setup.access_log {
        // Written in blocks, as the other proxies do.
        Some(file) => format!("{} combined buffer=64k flush=10s", file.display()),
        None => "off".to_owned(),
    };
    let Setup {
        listener, origin, ..
    } = setup;
    let http2 = match setup.downstream {
        Protocol::Http1 => "",
        Protocol::Http2 => " http2",
    };
    let server = format!(
        "    upstream origin {{
        server 127.0.0.1:{origin};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout {LONG};
    }}
    server {{
        listen 127.0.0.1:{listener}{http2} reuseport;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_max_temp_file_size 0;
        }}
    }}
"
    );
    // Each downstream connection may need an upstream one.
    whole(folder, setup.connections + 1_024, &log, &server)
}

/// A fixed body at every path, the files `big` and `gib` of `folder` at `/big` and `/gib`.
pub(crate) fn origin(port: u16, folder: &Path, body: &str) -> String {
    let root = folder.display();
    let server = format!(
        "    server {{
        listen 127.0.0.1:{port};
        root {root};
        default_type text/plain;
        location / {{ return 200 \"{body}\"; }}
        location = /big {{ sendfile on; }}
        location = /gib {{ sendfile on; }}
    }}
"
    );
    whole(folder, 16_384, "off", &server)
}

fn whole(folder: &Path, connections: u32, access_log: &str, server: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {connections}; }}
http {{
    access_log {access_log};
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout {LONG};
{server}}}
"
    )
}
