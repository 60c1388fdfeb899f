//! What the system says about names: `/etc/resolv.conf` and `/etc/hosts`, read again when they change.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The port of DNS.
const PORT: u16 = 53;

/// `resolv.conf(5)`, as far as it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ResolvConf {
    /// `nameserver`; this machine's own if there is none.
    pub(super) servers: Vec<SocketAddr>,
    /// Whether there is a `nameserver`.
    pub(super) names_servers: bool,
    /// `search`, or `domain`
    pub(super) search: Vec<String>,
    /// `options ndots`: a name with as many dots is tried as it is first. 1 unless told.
    pub(super) ndots: usize,
    /// `options rotate`
    pub(super) rotate: bool,
}

impl ResolvConf {
    pub(super) fn parse(text: &str) -> Self {
        let mut conf = Self {
            ndots: 1,
            ..Self::default()
        };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // A zone of a link-local address is not asked for.
                    let server = words.next().and_then(|word| word.parse().ok());
                    conf.servers
                        .extend(server.map(|ip: IpAddr| SocketAddr::new(ip, PORT)));
                }
                Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    for option in words {
                        if let Some(ndots) = option.strip_prefix("ndots:") {
                            conf.ndots = ndots.parse().unwrap_or(conf.ndots).min(15);
                        }
                        conf.rotate |= option == "rotate";
                    }
                }
                _ => {}
            }
        }
        conf.names_servers = !conf.servers.is_empty();
        if !conf.names_servers {
            conf.servers
                .push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        conf
    }
}

/// `hosts(5)`
#[derive(Debug, Default)]
pub(super) struct HostsFile(Vec<(IpAddr, Vec<String>)>);

impl HostsFile {
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            let address = words.next()?.parse().ok()?;
            Some((address, words.map(str::to_ascii_lowercase).collect()))
        });
        Self(lines.collect())
    }

    /// The addresses of `name`; `localhost` has some even if the file does not say so (RFC 6761 section 6.3).
    pub(super) fn find(&self, name: &str) -> Vec<IpAddr> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let mut found = Vec::new();
        for (address, names) in &self.0 {
            if names.contains(&name) && !found.contains(address) {
                found.push(*address);
            }
        }
        if found.is_empty() && (name == "localhost" || name.ends_with(".localhost")) {
            found.extend([
                IpAddr::from(Ipv4Addr::LOCALHOST),
                Ipv6Addr::LOCALHOST.into(),
            ]);
        }
        found
    }
}

/// A file that is read anew when it has changed; what cannot be read is empty.
#[derive(Debug)]
pub(super) struct Watched<T> {
    path: PathBuf,
    parse: fn(&str) -> T,
    last: Mutex<Option<(Option<SystemTime>, Arc<T>)>>,
}

impl<T> Watched<T> {
    pub(super) fn new(path: impl AsRef<Path>, parse: fn(&str) -> T) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            parse,
            last: Mutex::default(),
        }
    }

    pub(super) fn get(&self) -> Arc<T> {
        let changed = std::fs::metadata(&self.path).and_then(|file| file.modified());
        let changed = changed.ok();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, known)) = &*last
            && *when == changed
        {
            return known.clone();
        }
        let text = std::fs::read(&self.path).unwrap_or_default();
        let new = Arc::new((self.parse)(&String::from_utf8_lossy(&text)));
        *last = Some((changed, new.clone()));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf() {
        let conf = ResolvConf::parse(
            "# c\nnameserver 10.0.0.1 ; x\nnameserver ::1\nnameserver junk\ndomain d\n\
             search a.test b.test\noptions ndots:5 rotate junk\n",
        );
        assert_eq!(
            conf.servers,
            ["10.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]
        );
        assert_eq!(conf.search, ["a.test", "b.test"]);
        assert_eq!((conf.ndots, conf.rotate), (5, true));
        let empty = ResolvConf::parse("");
        assert_eq!(empty.servers, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!(empty.ndots, 1);
    }

    #[test]
    fn hosts() {
        let hosts = HostsFile::parse("10.0.0.1 a B # c\n::1 a\njunk a\n10.0.0.1 a\n");
        assert_eq!(
            hosts.find("A."),
            [
                "10.0.0.1".parse::<IpAddr>().unwrap(),
                "::1".parse().unwrap()
            ]
        );
        assert_eq!(hosts.find("b").len(), 1);
        assert!(hosts.find("c").is_empty());
        assert_eq!(hosts.find("x.localhost").len(), 2);
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hosts");
        let file = Watched::new(&path, |text| text.len());
        assert_eq!(*file.get(), 0);
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(*file.get(), 3);
        assert_eq!(*file.get(), 3);
    }
}
