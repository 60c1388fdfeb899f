//! What a case file may say. Every struct refuses unknown keys, so a typo is an error and not a silent no-op.

mod frame;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::dns::Zone;
use crate::yaml;

pub(crate) use frame::Frame;

/// One case file: one bootstrap, and the scenarios that share the process it starts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// One sentence for the reader: what is looked at.
    pub about: String,
    /// A file of `conformance/templates/`, without `.yaml`; excludes `config`.
    pub template: Option<String>,
    /// The whole bootstrap as text; excludes `template`.
    pub config: Option<String>,
    /// Values for the block placeholders of the template.
    #[serde(default)]
    pub with: BTreeMap<String, String>,
    /// Nuncio refuses this configuration for now, for this reason; accepting it is a difference.
    pub not_yet: Option<String>,
    /// Files of the run's folder that are there before the proxy starts, by name; with placeholders.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// What the DNS server at `{{dns}}` knows: names with their addresses. Without this it answers nothing.
    pub dns: Option<Zone>,
    /// More command line arguments for the proxy.
    #[serde(default)]
    pub args: Vec<String>,
    /// Globs of stats whose change is compared after each scenario that has no list of its own.
    #[serde(default)]
    pub stats: Vec<String>,
    /// Origin scripts for the scenarios that do not name their own.
    #[serde(default)]
    pub origins: BTreeMap<String, Origin>,
    pub scenarios: Vec<Scenario>,
    /// `area/name`, from the path.
    #[serde(skip)]
    pub name: String,
}

/// One piece of traffic and what is looked at afterwards.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub name: String,
    /// Runs `--mode validate` on this variant of the case's configuration instead of sending traffic.
    pub validate: Option<Variant>,
    #[serde(default)]
    pub origins: BTreeMap<String, Origin>,
    /// Short for a first step with `send`.
    pub send: Option<String>,
    /// Short for a first step with `lines`.
    pub lines: Option<String>,
    /// Short for a first step with `h2`.
    #[serde(default)]
    pub h2: Vec<Frame>,
    /// Short for steps that send these heads one after another, each after the answer to the one before.
    /// `HTTP/1.1` and `Host: a` are added where they are missing.
    #[serde(default)]
    pub requests: Vec<String>,
    #[serde(default)]
    pub steps: Vec<Step>,
    pub stats: Option<Vec<String>>,
    /// The order of header fields is compared too.
    #[serde(default)]
    pub ordered: bool,
    /// On HTTP/2 connections the proxy's settings are compared too.
    #[serde(default)]
    pub settings: bool,
    /// A reset and an orderly close of the client's connection are told apart.
    #[serde(default)]
    pub exact_fate: bool,
    /// The lines of the access log are sorted: streams that end at the same moment end in any order.
    #[serde(default)]
    pub any_log_order: bool,
    /// What the origin received is not compared (used where Envoy itself is not deterministic).
    #[serde(default)]
    pub ignore_origins: bool,
    /// Nuncio differs on purpose.
    pub deviation: Option<Deviation>,
}

impl Scenario {
    /// Turns the short forms into steps.
    fn spell_out(&mut self) {
        let mut steps = Vec::new();
        for request in std::mem::take(&mut self.requests) {
            steps.push(Step {
                lines: Some(whole_head(&request)),
                head: request.starts_with("HEAD "),
                r#await: Some(Await::Response),
                ..Step::default()
            });
        }
        let (send, lines) = (self.send.take(), self.lines.take());
        let h2 = std::mem::take(&mut self.h2);
        if send.is_some() || lines.is_some() || !h2.is_empty() {
            steps.push(Step {
                send,
                lines,
                h2,
                ..Step::default()
            });
        }
        self.steps.splice(0..0, steps);
    }
}

fn whole_head(request: &str) -> String {
    let mut lines: Vec<String> = request.trim_end().lines().map(str::to_owned).collect();
    if let Some(first) = lines.first_mut().filter(|line| !line.contains(" HTTP/")) {
        first.push_str(" HTTP/1.1");
    }
    if !lines
        .iter()
        .any(|line| line.to_ascii_lowercase().starts_with("host:"))
    {
        lines.insert(1, "Host: a".to_owned());
    }
    lines.join("\n") + "\n"
}

/// A configuration to be accepted or refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variant {
    /// Replaces the case's values of the same name.
    #[serde(default)]
    pub with: BTreeMap<String, String>,
    /// Replaces the case's configuration.
    pub config: Option<String>,
    /// How the file's name ends, which tells what it is written in: `json`, `pb_text`; `yaml` unless told.
    pub extension: Option<String>,
}

/// An intended difference from Envoy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deviation {
    /// Why; printed in the summary.
    pub reason: String,
    /// Start from what Envoy answers in this other scenario of the case, rather than in this one.
    pub like: Option<String>,
    /// JSON merge patch over the recording; the string `*` matches anything.
    #[serde(default)]
    pub expect: Value,
}

/// What one origin does on each connection it accepts.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Origin {
    /// The same script on every connection.
    Script(Vec<OriginStep>),
    /// The n-th script on the n-th connection, the last one on all further ones.
    PerConnection { connections: Vec<Vec<OriginStep>> },
}

/// One step of an origin's script. A script that ends starts again, unless its last step ends the connection.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum OriginStep {
    /// Waits for a whole request.
    Read,
    /// Waits until the request's head has arrived.
    ReadHead,
    /// Waits until these bytes have arrived since the last read.
    ReadText(String),
    /// Sends these bytes as they are.
    Write(String),
    /// Sends text whose line ends become CRLF; a head without its empty line gets one.
    Lines(String),
    /// `read`, then `lines`.
    Answer(String),
    /// Sends these HTTP/2 frames. The first `h2*` step begins the connection.
    H2(Vec<Frame>),
    /// What the server's first SETTINGS say, in place of nothing. Only at the beginning.
    H2Settings(Vec<(u16, u32)>),
    /// Waits for the head of the next stream.
    H2ReadHead,
    /// Waits for the next stream whose request is complete.
    H2Read,
    /// `h2_read`, then `h2`.
    H2Answer(Vec<Frame>),
    /// Waits until a scenario step `release` names this gate.
    Await(String),
    /// Orderly close.
    Close,
    /// Close with RST.
    Reset,
    /// Does nothing more on this connection; it stays open until the scenario ends.
    Hold,
}

/// One step of a scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// Which connection; opened at its first use.
    #[serde(default = "first_connection")]
    pub on: String,
    /// Which listener that connection goes to (a port placeholder).
    #[serde(default = "first_listener")]
    pub to: String,
    /// Sends these bytes as they are; characters below U+0100 are single bytes.
    pub send: Option<String>,
    /// Sends text whose line ends become CRLF; a head without its empty line gets one.
    pub lines: Option<String>,
    /// Sends these HTTP/2 frames; the first ones begin the connection.
    #[serde(default)]
    pub h2: Vec<Frame>,
    /// Responses on this connection answer HEAD: they carry no body.
    #[serde(default)]
    pub head: bool,
    pub r#await: Option<Await>,
    /// How long `await` waits, in milliseconds.
    pub within: Option<u64>,
    /// Opens an origin's gate.
    pub release: Option<String>,
    /// Moves a file into place, by its name in this run's folder.
    pub put: Option<Put>,
    /// Ends the client's connection: `close`, `half` (only its sending side) or `reset`.
    pub end: Option<End>,
    /// Asks the admin interface and compares the answer.
    pub admin: Option<Admin>,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            on: first_connection(),
            to: first_listener(),
            send: None,
            lines: None,
            h2: Vec::new(),
            head: false,
            r#await: None,
            within: None,
            release: None,
            put: None,
            end: None,
            admin: None,
        }
    }
}

fn first_connection() -> String {
    "client".to_owned()
}

fn first_listener() -> String {
    "listener".to_owned()
}

/// A file of the run's folder, replaced as a whole.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Put {
    pub name: String,
    /// With placeholders.
    pub text: String,
}

/// What a step waits for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Await {
    /// One more complete response (HTTP/2: or stream reset), or the end of the connection.
    Response,
    /// So many complete responses (HTTP/2: or streams reset) in all, or the end of the connection.
    Responses(usize),
    /// The end of the connection.
    Close,
    /// These bytes, anywhere in what was received.
    Text(String),
    /// These bytes at an origin, anywhere in what its connections received.
    Origin { name: String, text: String },
    /// Headers on this HTTP/2 stream.
    Headers(u32),
    /// A GOAWAY, or the end of the connection.
    Goaway,
    /// Heads of so many requests at an origin that speaks HTTP/2, over all its connections.
    OriginHeads { name: String, count: usize },
    /// So many requests that are complete or reset.
    OriginOver { name: String, count: usize },
    /// So many connections accepted by an origin.
    Connections { name: String, count: usize },
    /// A stat of the proxy has this value.
    Stat { name: String, value: i64 },
    /// Nothing more: a short quiet period.
    Quiet,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    Close,
    Half,
    Reset,
}

/// A request to the admin interface and how its answer is reduced before it is compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    pub path: String,
    #[serde(default = "get")]
    pub method: String,
    /// Keep only the lines of the body that match one of these globs.
    #[serde(default)]
    pub lines: Vec<String>,
    /// Replace the numbers at the ends of the lines.
    #[serde(default)]
    pub names_only: bool,
    /// Sort the lines of the body; of a JSON body, arrays of named objects.
    #[serde(default)]
    pub sorted: bool,
    /// Compare the body as JSON: only its keys and types.
    #[serde(default)]
    pub shape: bool,
    /// Compare the body as JSON.
    #[serde(default)]
    pub json: bool,
    /// Of a JSON body, only the part at this JSON pointer (RFC 6901).
    pub pointer: Option<String>,
    /// Compare all headers of the answer, not only the content type.
    #[serde(default)]
    pub headers: bool,
    /// Only the status and the content type are compared.
    #[serde(default)]
    pub no_body: bool,
}

fn get() -> String {
    "GET".to_owned()
}

/// Loads every case file below `cases/` whose `area/name` contains one of the filters.
pub(crate) fn load_all(root: &Path, filters: &[String]) -> Result<Vec<Case>> {
    let mut files = Vec::new();
    collect(&root.join("cases"), &mut files)?;
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let name = file
            .strip_prefix(root.join("cases"))?
            .with_extension("")
            .to_string_lossy()
            .into_owned();
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        cases.push(load(&file, name).with_context(|| format!("in {}", file.display()))?);
    }
    Ok(cases)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|ext| ext == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}

fn load(file: &Path, name: String) -> Result<Case> {
    from_value(yaml::load(&std::fs::read_to_string(file)?)?, name)
}

/// A case from what its file says.
pub(crate) fn from_value(value: Value, name: String) -> Result<Case> {
    let mut case: Case = serde_json::from_value(value)?;
    case.name = name;
    if case.template.is_some() == case.config.is_some() {
        bail!("exactly one of `template` and `config` is needed");
    }
    case.scenarios.iter_mut().for_each(Scenario::spell_out);
    for (index, scenario) in case.scenarios.iter().enumerate() {
        if case.scenarios[..index]
            .iter()
            .any(|other| other.name == scenario.name)
        {
            bail!("two scenarios are named {:?}", scenario.name);
        }
        let like = scenario
            .deviation
            .as_ref()
            .and_then(|deviation| deviation.like.as_ref());
        if let Some(name) =
            like.filter(|name| !case.scenarios.iter().any(|other| other.name == **name))
        {
            bail!(
                "{:?} deviates like {name:?}, which this case does not have",
                scenario.name
            );
        }
    }
    Ok(case)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_completed() {
        assert_eq!(whole_head("GET /x"), "GET /x HTTP/1.1\nHost: a\n");
        assert_eq!(
            whole_head("GET / HTTP/1.0\nhost: b\nx: y"),
            "GET / HTTP/1.0\nhost: b\nx: y\n"
        );
    }

    #[test]
    fn every_scenario_is_readable_and_recorded() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for case in load_all(root, &[]).unwrap() {
            let file = root
                .join("recorded")
                .join(&case.name)
                .with_extension("json");
            let recorded: Value =
                serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
            for scenario in &case.scenarios {
                assert!(
                    recorded["scenarios"].get(&scenario.name).is_some(),
                    "{}: {}",
                    case.name,
                    scenario.name
                );
            }
        }
    }
}
