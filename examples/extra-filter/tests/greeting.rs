//! The example proxies, and its filter is at work.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Killed when it is dropped.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_filter_greets() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/greeting.yaml");
    let text = fs::read_to_string(example).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("greeting.yaml");
    fs::write(&config, text.replace("10000", &port.to_string())).unwrap();

    let program = env!("CARGO_BIN_EXE_nuncio-example-extra-filter");
    let proxy = Proxy(Command::new(program).arg(&config).spawn().unwrap());
    let end = Instant::now() + Duration::from_secs(20);
    let mut stream = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        thread::sleep(Duration::from_millis(5));
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"Look at the headers.\n") {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece).unwrap();
        assert!(
            count > 0,
            "closed after {:?}",
            String::from_utf8_lossy(&seen)
        );
        seen.extend_from_slice(&piece[..count]);
    }
    let response = String::from_utf8(seen).unwrap();
    assert!(
        response.contains("\r\nx-greeting: good morning\r\n"),
        "{response}"
    );
    drop(proxy);
}
