//! One scenario: its steps, then everything there is to see.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::admin::{self, Stats};
use crate::case::{Await, Case, End, Scenario, Step};
use crate::client::Client;
use crate::conn::{Conn, Ended, wait_until};
use crate::run::Stage;
use crate::wire;
use crate::{h2, observe, template};

/// How long an `await` without `within` waits.
const AWAIT: Duration = Duration::from_secs(3);
/// The same where the recording has it met: it comes, however busy this machine is.
const PATIENT: Duration = Duration::from_secs(15);
/// How long the close of a connection is waited for when the response announced it or the recording has it.
const CLOSE: Duration = Duration::from_secs(2);
/// "Nothing more arrives" and "stays open" mean: not within this time. It bounds what an idle proxy needs to react on
/// loopback many times over.
const QUIET: Duration = Duration::from_millis(100);
/// The same while recording, when it is not known what to wait for.
const QUIET_RECORDING: Duration = Duration::from_millis(400);
/// How long requests and connections may take to end after their peers are gone.
const SETTLE: Duration = Duration::from_secs(3);
/// How long an expected log line or stat value may take to appear.
const APPEAR: Duration = Duration::from_secs(5);
/// Two equal looks at something this far apart count as stable.
const STABLE: Duration = Duration::from_millis(25);

/// Runs `scenario` and returns what was observed.
pub(crate) fn run(
    case: &Case,
    scenario: &Scenario,
    stage: &Stage,
    expected: Option<&Value>,
) -> Result<Value> {
    for origin in &stage.origins {
        origin.begin(
            scenario
                .origins
                .get(origin.name)
                .or_else(|| case.origins.get(origin.name)),
        );
    }
    let mut play = Play {
        stage,
        clients: BTreeMap::new(),
        log_from: std::fs::metadata(&stage.log).map_or(0, |meta| meta.len()),
        before: admin::stats(stage.admin())?,
        admin: Map::new(),
        unmet: Vec::new(),
        patience: match expected {
            Some(recorded) if recorded.get("unmet").is_none() => PATIENT,
            _ => AWAIT,
        },
    };
    for (index, step) in scenario.steps.iter().enumerate() {
        play.step(step)
            .with_context(|| format!("step {}", index + 1))?;
    }
    play.finish(case, scenario, expected)
}

struct Play<'a> {
    stage: &'a Stage,
    clients: BTreeMap<String, Client>,
    log_from: u64,
    before: Stats,
    admin: Map<String, Value>,
    /// Awaits that ran out of time.
    unmet: Vec<String>,
    /// How long is waited for what comes according to the recording.
    patience: Duration,
}

impl Play<'_> {
    fn step(&mut self, step: &Step) -> Result<()> {
        let limit = step.within.map(Duration::from_millis);
        if step.send.is_some()
            || step.lines.is_some()
            || !step.h2.is_empty()
            || step.end.is_some()
            || step.r#await.is_some()
        {
            self.connect(step)?;
        }
        let text = match (&step.send, &step.lines) {
            (Some(text), _) => Some(self.stage.expand(text)?),
            (None, Some(text)) => Some(template::crlf(&self.stage.expand(text)?)),
            (None, None) => None,
        };
        if let (Some(text), Some(client)) = (text, self.clients.get_mut(&step.on)) {
            client.to_head |= step.head;
            client.pending = true;
            client.conn.send(&template::bytes(&text));
        }
        if !step.h2.is_empty() {
            self.send_frames(step)?;
        }
        if let Some(what) = &step.r#await {
            self.wait(&step.on, what, limit)?;
        }
        if let Some(put) = &step.put {
            self.stage.put(&put.name, &put.text)?;
        }
        if let Some(gate) = &step.release {
            for origin in &self.stage.origins {
                origin.release(gate);
            }
        }
        if let (Some(end), Some(client)) = (step.end, self.clients.get_mut(&step.on)) {
            client.pending = false;
            client.ended_by_client = !matches!(end, End::Half);
            match end {
                End::Close => client.conn.close(),
                End::Half => client.conn.half_close(),
                End::Reset => client.conn.reset(),
            }
        }
        if let Some(admin) = &step.admin {
            let path = self.stage.expand(&admin.path)?;
            let answer = admin::request(self.stage.admin(), &admin.method, &path)?;
            let mut key = format!("{} {}", admin.method, admin.path);
            while self.admin.contains_key(&key) {
                key.push_str(" (again)");
            }
            self.admin
                .insert(key, observe::admin(admin, &answer, &self.stage.normaliser)?);
        }
        Ok(())
    }

    fn send_frames(&mut self, step: &Step) -> Result<()> {
        let stage = self.stage;
        let client = self.clients.get_mut(&step.on).context("no connection")?;
        let mut frames = &step.h2[..];
        if !client.begun {
            client.begun = true;
            let (settings, rest) = h2::first_settings(frames);
            h2::as_client(&client.conn, &settings);
            frames = rest;
        }
        h2::track(frames, &mut client.open);
        client.pending = true;
        client
            .conn
            .send(&h2::bytes(frames, 1, &|text| stage.expand(text))?);
        Ok(())
    }

    fn connect(&mut self, step: &Step) -> Result<()> {
        if self.clients.contains_key(&step.on) {
            return Ok(());
        }
        let waits_elsewhere = matches!(
            step.r#await,
            Some(
                Await::Origin { .. }
                    | Await::OriginHeads { .. }
                    | Await::OriginOver { .. }
                    | Await::Connections { .. }
                    | Await::Stat { .. }
            )
        );
        let sends = step.send.is_some() || step.lines.is_some() || !step.h2.is_empty();
        if waits_elsewhere && !sends && step.end.is_none() {
            return Ok(());
        }
        let port = self
            .stage
            .ports
            .get(&step.to)
            .with_context(|| format!("no port is called {:?}", step.to))?;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("connecting to {:?}", step.to))?;
        let client = Client {
            conn: Conn::new(stream)?,
            to_head: false,
            begun: false,
            open: BTreeSet::new(),
            awaited: 0,
            pending: false,
            ended_by_client: false,
        };
        self.clients.insert(step.on.clone(), client);
        Ok(())
    }

    /// `within`: no longer than that.
    fn wait(&mut self, on: &str, what: &Await, within: Option<Duration>) -> Result<()> {
        let limit = within.unwrap_or(self.patience);
        let stage = self.stage;
        let quiet = self.quiet();
        let origin_named = |name: &str| {
            stage
                .origins
                .iter()
                .find(|origin| origin.name == name)
                .with_context(|| format!("no origin {name:?}"))
        };
        let met = match what {
            Await::Origin { name, text } => {
                let origin = origin_named(name)?;
                let text = template::bytes(text);
                wait_until(limit, || {
                    origin
                        .received()
                        .iter()
                        .any(|bytes| wire::find(bytes, &text).is_some())
                })
            }
            Await::OriginHeads { name, count } => {
                let origin = origin_named(name)?;
                wait_until(limit, || {
                    origin.sum_of_streams(h2::Session::heads) >= *count
                })
            }
            Await::OriginOver { name, count } => {
                let origin = origin_named(name)?;
                wait_until(limit, || origin.sum_of_streams(h2::Session::over) >= *count)
            }
            Await::Connections { name, count } => {
                let origin = origin_named(name)?;
                wait_until(limit, || origin.received().len() >= *count)
            }
            Await::Stat { name, value } => wait_until(limit, || {
                admin::stats(stage.admin())
                    .is_ok_and(|stats| stats.get(name).is_some_and(|now| now == value))
            }),
            _ => {
                let client = self
                    .clients
                    .get_mut(on)
                    .context("nothing was sent on this connection")?;
                client.pending = false;
                match what {
                    Await::Response => client.awaited += 1,
                    Await::Responses(count) => client.awaited = *count,
                    _ => {}
                }
                let client = &*client;
                match what {
                    Await::Text(text) => {
                        let text = template::bytes(text);
                        wait_until(limit, || {
                            wire::find(&client.conn.received().bytes, &text).is_some()
                                || client.ended()
                        })
                    }
                    Await::Headers(stream) => wait_until(limit, || {
                        let has_head = |session: h2::Session| {
                            let stream = session.streams.get(stream);
                            stream.is_some_and(|stream| !stream.heads.is_empty())
                        };
                        client.ended() || client.session().is_some_and(has_head)
                    }),
                    Await::Goaway => wait_until(limit, || {
                        let goes_away = |session: h2::Session| !session.goaways.is_empty();
                        client.ended() || client.session().is_some_and(goes_away)
                    }),
                    Await::Close => wait_until(limit, || client.ended()),
                    Await::Quiet => {
                        wait_until(quiet, || client.ended());
                        true
                    }
                    _ => wait_until(limit, || {
                        client.ended() || client.responses() >= client.awaited
                    }),
                }
            }
        };
        if !met {
            self.unmet.push(format!(
                "{on}: {what:?} within {} ms",
                within.unwrap_or(AWAIT).as_millis()
            ));
        }
        Ok(())
    }

    /// Waits until nothing more comes on these streams, or on the whole connection.
    fn wait_for_streams(&mut self, on: &str, streams: &BTreeSet<u32>) {
        let client = &self.clients[on];
        let met = wait_until(self.patience, || {
            let all_over = |session: h2::Session| {
                let is_over = |id: &u32| session.streams.get(id).is_some_and(h2::Stream::is_over);
                streams.iter().all(is_over)
            };
            client.ended() || client.session().is_some_and(all_over)
        });
        if !met {
            self.unmet
                .push(format!("{on}: the end of streams {streams:?}"));
        }
    }

    fn quiet(&self) -> Duration {
        if self.stage.recording {
            QUIET_RECORDING
        } else {
            QUIET
        }
    }

    fn finish(
        mut self,
        case: &Case,
        scenario: &Scenario,
        expected: Option<&Value>,
    ) -> Result<Value> {
        let names: Vec<String> = self.clients.keys().cloned().collect();
        for name in &names {
            let client = &self.clients[name];
            if client.pending && client.begun {
                let streams = client.open.clone();
                self.wait_for_streams(name, &streams);
            } else if client.pending {
                self.wait(name, &Await::Response, None)?;
            }
        }
        let mut clients = Map::new();
        for (name, client) in &self.clients {
            let closes = expected
                .and_then(|value| value["client"][name]["fate"].as_str())
                .is_some_and(|f| f != "kept");
            let patient = closes || client.close_announced();
            if !client.ended_by_client {
                wait_until(if patient { CLOSE } else { self.quiet() }, || {
                    client.ended()
                });
            }
            let (messages, rest, ended) = client.messages();
            let fate = match ended {
                _ if client.ended_by_client => "ended by the client",
                Some(Ended::Reset) if scenario.exact_fate => "reset",
                Some(_) => "closed",
                None => "kept",
            };
            let normaliser = &self.stage.normaliser;
            let observed = match client.session() {
                Some(session) => h2::session(&session, Some(fate), scenario.settings, normaliser),
                None => observe::exchange(&messages, &rest, Some(fate), normaliser),
            };
            clients.insert(name.clone(), observed);
        }
        // Everything the origins will see has been sent when the clients have their answers.
        let origins = observe::origins(
            &self.stage.origins,
            scenario.settings,
            &self.stage.normaliser,
        );
        for client in self.clients.values() {
            client.conn.close();
        }
        for origin in &self.stage.origins {
            origin.close_all();
        }
        let globs = scenario.stats.as_ref().unwrap_or(&case.stats);
        let after = self.settle(globs, expected)?;
        let mut log = self.log(expected)?;
        if let Some(lines) = log.as_array_mut().filter(|_| scenario.any_log_order) {
            lines.sort_by_key(Value::to_string);
        }

        let mut out = Map::new();
        if !clients.is_empty() {
            out.insert("client".to_owned(), Value::Object(clients));
        }
        if !scenario.ignore_origins && !origins.is_empty() {
            out.insert("origins".to_owned(), Value::Object(origins));
        }
        out.insert("log".to_owned(), log);
        if !globs.is_empty() {
            out.insert(
                "stats".to_owned(),
                observe::stats(&self.before, &after, globs, &self.stage.normaliser),
            );
        }
        if !self.admin.is_empty() {
            out.insert("admin".to_owned(), Value::Object(self.admin));
        }
        if !self.unmet.is_empty() {
            out.insert("unmet".to_owned(), json!(self.unmet));
        }
        Ok(Value::Object(out))
    }

    /// Waits until the proxy is at rest and its stats stand still, or are what is expected.
    fn settle(&self, globs: &[String], expected: Option<&Value>) -> Result<Stats> {
        let port = self.stage.admin();
        let mut last = admin::stats(port)?;
        wait_until(SETTLE, || {
            std::thread::sleep(STABLE);
            let Ok(now) = admin::stats(port) else {
                return false;
            };
            let change = observe::stats(&last, &now, globs, &self.stage.normaliser);
            let rests = admin::at_rest(&now) && change.as_object().is_none_or(Map::is_empty);
            last = now;
            rests
        });
        if let Some(expected) = expected.and_then(|value| value.get("stats")) {
            wait_until(APPEAR, || {
                let same =
                    observe::stats(&self.before, &last, globs, &self.stage.normaliser) == *expected;
                if !same {
                    std::thread::sleep(STABLE);
                    last = admin::stats(port).unwrap_or_else(|_| last.clone());
                }
                same
            });
        }
        Ok(last)
    }

    /// The lines the access log has gained.
    fn log(&self, expected: Option<&Value>) -> Result<Value> {
        let expected = expected
            .and_then(|value| value["log"].as_array())
            .map_or(0, Vec::len);
        let read = || -> Vec<u8> {
            let bytes = std::fs::read(&self.stage.log).unwrap_or_default();
            bytes
                .get(usize::try_from(self.log_from).unwrap_or(usize::MAX)..)
                .unwrap_or_default()
                .to_vec()
        };
        let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
        wait_until(APPEAR, || lines(&read()) >= expected);
        let mut last = read();
        wait_until(APPEAR, || {
            std::thread::sleep(STABLE);
            let now = read();
            // Envoy says how much its log writer holds back; a proxy without that stat is taken at its word.
            let buffered = admin::stats(self.stage.admin())
                .ok()
                .and_then(|stats| stats.get("filesystem.write_total_buffered").copied())
                .unwrap_or(0);
            let stable = now == last && buffered == 0;
            last = now;
            stable
        });
        Ok(observe::log(&last, &self.stage.normaliser))
    }
}
