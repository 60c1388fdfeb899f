//! Writes default-format lines to a file, to be measured:
//! `valgrind --tool=callgrind --toggle-collect='lines::log_lines' target/release/examples/lines 100000 /dev/null`

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncio_access_log::{
    AccessLogManager, DEFAULT_FORMAT, Destination, FlushOptions, Formatter, LogFile,
};
use nuncio_event::Instant;
use nuncio_http::HeaderMap;
use nuncio_net::Address;
use nuncio_sdk::{AccessLogType, ConnectionInfo, LogContext, Protocol, StreamInfo};
use nuncio_stats::Store;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let lines: u32 = arguments
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or(1_000_000);
    let path = arguments.next().unwrap_or_else(|| "/dev/null".into());
    let manager = AccessLogManager::new(&Store::new(2), 1, FlushOptions::default());
    let file = manager
        .open(&Destination::File(path.into()))
        .expect("a file that can be written");
    let formatter = Formatter::text(DEFAULT_FORMAT, false).expect("the default format is valid");
    let begin = std::time::Instant::now();
    log_lines(&formatter, &file, lines);
    let spent = begin.elapsed();
    manager.shutdown();
    println!(
        "{} ns per line",
        spent.as_nanos() / u128::from(lines.max(1))
    );
}

#[inline(never)]
fn log_lines(formatter: &Formatter, file: &Arc<LogFile>, lines: u32) {
    let (request, response) = headers();
    let mut info = stream();
    let start = info.start_time();
    for line in 0..lines {
        // 50,000 requests a second.
        info.wall_start = Some(start + Duration::from_micros(20) * line);
        let cx = LogContext {
            request_headers: &request,
            response_headers: &response,
            response_trailers: &response,
            info: &info,
            log_type: AccessLogType::DownstreamEnd,
        };
        file.write_with(|out| formatter.format(&cx, out));
    }
}

fn headers() -> (HeaderMap, HeaderMap) {
    let request = [
        (":authority", "127.0.0.1:10000"),
        (":path", "/"),
        (":method", "GET"),
        (":scheme", "http"),
        ("user-agent", "curl/7.88.1"),
        ("accept", "*/*"),
        ("x-forwarded-proto", "http"),
        ("x-request-id", "540a1728-848e-4cef-bc43-f6387943d5fd"),
    ];
    let response = [
        (":status", "200"),
        ("server", "envoy"),
        ("date", "Sun, 22 Nov 2026 14:09:20 GMT"),
        ("content-length", "32"),
        ("x-envoy-upstream-service-time", "0"),
    ];
    (
        request.into_iter().collect(),
        response.into_iter().collect(),
    )
}

fn stream() -> StreamInfo {
    let address = |text| Rc::new(Address::parse_ip_and_port(text).expect("an address"));
    let start = Instant::now();
    let connection = ConnectionInfo {
        id: 1,
        remote_address: address("127.0.0.1:40000"),
        direct_remote_address: address("127.0.0.1:40000"),
        local_address: address("127.0.0.1:10000"),
        local_address_restored: false,
        listener_name: "listener".into(),
        filter_chain_name: "".into(),
        listener_metadata: None,
        filter_chain_metadata: None,
        tls: false,
        start,
    };
    let mut info = StreamInfo::new(Rc::new(connection), start);
    info.end = Some(start + Duration::from_micros(300));
    info.protocol = Some(Protocol::Http11);
    info.response_code = Some(200);
    info.bytes_sent = 32;
    info
}
