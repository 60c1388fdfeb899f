//! A DNS server that knows what a test has told it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// What becomes of questions about a name.
#[derive(Clone, Debug)]
pub enum DnsReply {
    /// It has these addresses, for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// No answer.
    Silence,
    /// An answer with this code and no records: 2 is `SERVFAIL`, 3 `NXDOMAIN`.
    Code(u8),
    /// Bytes that are no answer.
    Junk,
}

type Zone = Arc<Mutex<HashMap<String, DnsReply>>>;

/// Answers by UDP on a loopback address, until the process ends. Other names do not exist.
#[derive(Debug)]
pub struct DnsServer {
    /// Where it listens.
    pub address: SocketAddr,
    zone: Zone,
}

impl DnsServer {
    /// Starts one that knows no name.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start() -> DnsServer {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("an address");
        let zone = Zone::default();
        let known = zone.clone();
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if let Some(answer) = answer(&known, &buffer[..length]) {
                    // Whoever asked may be gone.
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        DnsServer { address, zone }
    }

    /// From now on questions about `name` are answered like this.
    ///
    /// # Panics
    /// Never.
    pub fn set(&self, name: &str, reply: DnsReply) {
        self.zone.lock().unwrap().insert(name.to_owned(), reply);
    }

    /// Fields of a cluster that asks this server: a fragment as in [`Config`](crate::Config).
    #[must_use]
    pub fn resolver(&self) -> String {
        let port = self.address.port();
        format!(
            "typed_dns_resolver_config: {{name: envoy.network.dns_resolver.cares, typed_config: {{\
             '@type': type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig, \
             resolvers: [{{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}], \
             dns_resolver_options: {{no_default_search_domain: true}}, \
             query_timeout_seconds: 1, query_tries: 1}}}}, "
        )
    }
}

fn answer(zone: &Zone, question: &[u8]) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), 12);
    while *question.get(at)? > 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(question.get(at + 1..end)?).into_owned());
        at = end;
    }
    let wants_v6 = question.get(at + 2)? == &28;
    let mut message = question.get(..at + 5)?.to_vec();
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    message[11] = 0;
    let reply = zone.lock().unwrap().get(&labels.join(".")).cloned();
    match reply.unwrap_or(DnsReply::Code(3)) {
        DnsReply::Silence => return None,
        DnsReply::Junk => message.truncate(9),
        DnsReply::Code(code) => message[3] |= code,
        DnsReply::Addresses(all, ttl) => {
            for ip in all.iter().filter(|ip| ip.is_ipv6() == wants_v6) {
                message[7] += 1;
                message.extend([0xc0, 12, 0, if wants_v6 { 28 } else { 1 }, 0, 1]);
                message.extend(ttl.to_be_bytes());
                let bytes = match ip {
                    IpAddr::V4(ip) => ip.octets().to_vec(),
                    IpAddr::V6(ip) => ip.octets().to_vec(),
                };
                message.extend((bytes.len() as u16).to_be_bytes());
                message.extend(bytes);
            }
        }
    }
    Some(message)
}
