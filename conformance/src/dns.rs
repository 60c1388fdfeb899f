//! The scripted DNS server `{{dns}}`: what a case resolves must not depend on the resolver of the machine it runs on.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;

/// Names without a final dot, and their addresses.
pub(crate) type Zone = BTreeMap<String, Vec<IpAddr>>;

const HEADER: usize = 12;
/// Seconds that records may be kept: longer than any case.
const TTL: u32 = 600;
const A: u16 = 1;
const AAAA: u16 = 28;
const IN: u16 = 1;
/// Response code of a name that does not exist (RFC 1035 section 4.1.1).
const NAME_ERROR: u8 = 3;
/// How long the server may take to notice that its case is over.
const POLL: Duration = Duration::from_millis(100);

/// Answers by UDP until it is dropped.
pub(crate) struct DnsServer {
    stopped: Arc<AtomicBool>,
}

impl DnsServer {
    /// Starts to answer on `socket`: names of `zone` with their addresses of the asked kind, others with NXDOMAIN.
    pub(crate) fn start(socket: UdpSocket, zone: Zone) -> Result<Self> {
        socket.set_read_timeout(Some(POLL))?;
        let stopped = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stopped);
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while !ended.load(Ordering::Acquire) {
                let Ok((length, from)) = socket.recv_from(&mut question) else {
                    continue;
                };
                if let Some(answer) = answer(&zone, &question[..length]) {
                    // One who no longer waits for the answer is no error.
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Ok(Self { stopped })
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
    }
}

/// The answer to a message with one question; `None` for what is none.
fn answer(zone: &Zone, message: &[u8]) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(std::str::from_utf8(message.get(at..at + length)?).ok()?);
        at += length;
    }
    let name = labels.join(".").to_ascii_lowercase();
    let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
    let end = at + 4;
    let addresses = zone.get(&name);
    let records: Vec<Vec<u8>> = addresses
        .into_iter()
        .flatten()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(v4), A) => Some(v4.octets().to_vec()),
            (IpAddr::V6(v6), AAAA) => Some(v6.octets().to_vec()),
            _ => None,
        })
        .collect();
    let code = if addresses.is_some() { 0 } else { NAME_ERROR };
    let mut out = message.get(..2)?.to_vec();
    // An answer, recursion desired and available.
    out.extend([0x81, 0x80 | code]);
    out.extend([0, 1, 0, u8::try_from(records.len()).ok()?, 0, 0, 0, 0]);
    out.extend(message.get(HEADER..end)?);
    for record in records {
        // The name of the question, by its place.
        out.extend([0xc0, HEADER as u8]);
        out.extend(kind.to_be_bytes());
        out.extend(IN.to_be_bytes());
        out.extend(TTL.to_be_bytes());
        out.extend([0, u8::try_from(record.len()).ok()?]);
        out.extend(record);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.bytes());
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        message.extend(IN.to_be_bytes());
        message
    }

    #[test]
    fn names_of_the_zone_have_addresses_of_the_asked_kind() {
        let zone = Zone::from([("a.test".to_owned(), vec!["127.0.0.9".parse().unwrap()])]);
        let v4 = answer(&zone, &question("A.test", A)).unwrap();
        assert_eq!(v4[..4], [7, 9, 0x81, 0x80]);
        assert!(v4.ends_with(&[0, 4, 127, 0, 0, 9]));
        let v6 = answer(&zone, &question("a.test", AAAA)).unwrap();
        assert_eq!(v6[3..8], [0x80, 0, 1, 0, 0]);
    }

    #[test]
    fn other_names_do_not_exist() {
        let none = answer(&Zone::new(), &question("b.test", A)).unwrap();
        assert_eq!(none[3], 0x83);
        assert_eq!(answer(&Zone::new(), &[0; 5]), None);
    }
}
