//! Free ports in the place of those that an example names.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};

const KEY: &str = "port_value: ";

/// The ports of an example, and the free ones that stand for them.
#[derive(Debug, Default)]
pub(crate) struct Ports(BTreeMap<u16, u16>);

impl Ports {
    /// Rewrites every `port_value`. The ports are chosen together, so that no two are the same.
    pub(crate) fn choose(text: &str) -> (String, Ports) {
        let mut held = Vec::new();
        let mut ports = Ports::default();
        let mut rewritten = String::with_capacity(text.len());
        let mut pieces = text.split(KEY);
        rewritten.extend(pieces.next());
        for piece in pieces {
            let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
            // What is no port stays as it is: the program has to refuse it.
            let Ok(original) = piece[..digits].parse() else {
                rewritten.push_str(KEY);
                rewritten.push_str(piece);
                continue;
            };
            let free = *ports.0.entry(original).or_insert_with(|| {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
                let port = listener.local_addr().expect("bound").port();
                held.push(listener);
                port
            });
            rewritten.push_str(&format!("{KEY}{free}{}", &piece[digits..]));
        }
        (rewritten, ports)
    }

    /// The port that stands for this one.
    pub(crate) fn of(&self, original: u16) -> u16 {
        self.0[&original]
    }
}
