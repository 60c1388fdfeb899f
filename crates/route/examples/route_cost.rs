//! What finding a route costs: the first, the middle and the last of 10,000, of each kind.
//!
//! For instruction counts run it under callgrind, once per route, and compare:
//! `valgrind --tool=callgrind --toggle-collect='*find_many*' target/release/examples/route_cost prefix 9999`.
//! Without arguments it prints times, and the memory of 10,000 virtual hosts with one route each.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::time::Instant;

use nuncio_http::HeaderMap;
use nuncio_route::WorkerRouteTable;
use nuncio_sdk::StreamInfo;

const ROUTES: usize = 10_000;
const LOOK_UPS: u32 = 1_000;

/// Route `number` of a table: every kind in turn, or all of one kind.
fn specifier(kind: &str, number: usize) -> nuncio_config::api::route::route_match::PathSpecifier {
    match kind {
        "prefix" => common::prefix(&format!("/prefix/{number:05}/")),
        "exact" => common::exact(&format!("/exact/{number:05}/item")),
        "regex" => common::regex(&format!("/regex/{number:05}/[a-z]+")),
        // No literal tells these apart.
        "hidden" => common::regex(&format!("/[a-z]+/{number:05}/[a-z]+")),
        _ => specifier(["prefix", "exact", "regex"][number % 3], number),
    }
}

/// A path that route `number` matches.
fn path(kind: &str, number: usize) -> String {
    match kind {
        "mixed" => path(["prefix", "exact", "regex"][number % 3], number),
        kind => format!("/{kind}/{number:05}/item"),
    }
}

#[inline(never)]
fn find_many(table: &WorkerRouteTable, headers: &HeaderMap, info: &StreamInfo) {
    for _ in 0..LOOK_UPS {
        black_box(table.find(black_box(headers), info, 0)).expect("the route is there");
    }
}

/// Bytes of resident memory of this process.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("linux");
    let pages: usize = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("a number of pages");
    pages * 4096
}

fn virtual_host_memory() {
    let host = |number: usize| {
        let route = common::route_to(common::prefix("/"), &format!("cluster_{number}"));
        let domain = format!("host-{number}.example.com");
        common::virtual_host(&format!("virtual_host_{number}"), &[&domain], vec![route])
    };
    let server = common::server();
    let config = common::config((0..ROUTES).map(host).collect());
    let compile = || common::compile(&config, &server).expect("valid");
    // The first one warms the allocator up.
    let _kept = compile();
    let before = resident();
    let tables = [compile(), compile(), compile()];
    let bytes = (resident() - before) / tables.len() / ROUTES;
    println!("a virtual host with one route: {bytes} bytes");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kinds, numbers) = match arguments.as_slice() {
        [kind, number] => (vec![kind.as_str()], vec![number.parse().expect("a number")]),
        _ => (
            vec!["mixed", "prefix", "exact", "regex", "hidden"],
            vec![0, ROUTES / 2, ROUTES - 3, ROUTES - 2, ROUTES - 1],
        ),
    };
    if arguments.is_empty() {
        virtual_host_memory();
    }
    let info = common::info();
    for kind in kinds {
        let routes = (0..ROUTES)
            .map(|number| common::route(specifier(kind, number)))
            .collect();
        let started = Instant::now();
        let table = common::worker(&common::routes(routes));
        let compiled = started.elapsed();
        print!("{kind:>7}: compiled in {compiled:.1?};");
        for &number in &numbers {
            let headers = common::get(&path(kind, number));
            // The worker's entry and the states of its regexes are made by the first look-up.
            table.find(&headers, &info, 0).expect("the route is there");
            let started = Instant::now();
            find_many(&table, &headers, &info);
            print!(
                " route {number}: {:.0} ns",
                started.elapsed().as_nanos() as f64 / f64::from(LOOK_UPS)
            );
        }
        println!();
    }
}
