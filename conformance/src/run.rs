//! One case through one proxy: start, scenarios in order, stop. The result is a JSON document of observations.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail};
use serde_json::{Map, Value, json};

use crate::case::{Case, Variant};
use crate::dns::DnsServer;
use crate::normalise::Normaliser;
use crate::origin::OriginServer;
use crate::ports::Ports;
use crate::process::{self, Process, Started};
use crate::scenario;
use crate::template;

/// How often a case starts over when another process has taken one of its ports.
const PORT_ATTEMPTS: usize = 3;
/// Scenarios that begin later than this after the start of their case are not run.
const CASE_LIMIT: Duration = Duration::from_secs(60);

/// What all scenarios of a running case share: its ports, origins and files.
pub(crate) struct Stage {
    pub ports: Ports,
    pub origins: Vec<OriginServer>,
    pub normaliser: Normaliser,
    pub log: PathBuf,
    pub folder: PathBuf,
    /// A recording is made: nothing is known to wait for, so quiet periods are longer.
    pub recording: bool,
}

impl Stage {
    /// Replaces placeholders in text of the case.
    pub(crate) fn expand(&self, text: &str) -> Result<String> {
        template::expand(text, &|name| match name {
            "log" => Some(self.log.display().to_string()),
            "folder" => Some(self.folder.display().to_string()),
            _ => self.ports.get(name).map(|port| port.to_string()),
        })
    }

    /// Writes a file of this run's folder anew, by moving it into place.
    pub(crate) fn put(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let new = path.with_extension("new");
        std::fs::write(&new, template::bytes(&self.expand(text)?))?;
        std::fs::rename(&new, &path)
            .with_context(|| format!("moving {} into place", path.display()))
    }

    /// The admin interface's port.
    pub(crate) fn admin(&self) -> u16 {
        self.ports.get("admin").unwrap_or_default()
    }
}

/// The proxy ended by itself instead of becoming ready.
#[derive(Debug)]
pub(crate) struct Refused {
    status: ExitStatus,
    stderr: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the proxy did not start ({}):\n{}",
            self.status, self.stderr
        )
    }
}

impl std::error::Error for Refused {}

/// Which proxy is run, and where.
pub(crate) struct Runner<'a> {
    pub binary: &'a Path,
    /// `conformance/`.
    pub root: &'a Path,
    /// A folder for this run's files.
    pub scratch: &'a Path,
    pub recording: bool,
}

impl Runner<'_> {
    /// Runs `case`; `expected` is what the observations will be compared with, so that waiting can end early.
    pub(crate) fn run(&self, case: &Case, expected: Option<&Value>) -> Result<Value> {
        for _ in 1..PORT_ATTEMPTS {
            if let Some(observed) = self.attempt(case, expected)? {
                return Ok(observed);
            }
        }
        self.attempt(case, expected)?.context("no free ports")
    }

    /// `None`: a port was taken by another process.
    fn attempt(&self, case: &Case, expected: Option<&Value>) -> Result<Option<Value>> {
        let began = Instant::now();
        let folder = self.scratch.join(case.name.replace('/', "-"));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let mut ports = Ports::allocate()?;
        let mut origins = Vec::new();
        for (name, listener) in std::mem::take(&mut ports.origins) {
            origins.push(OriginServer::start(name, listener)?);
        }
        let dns = ports.dns.take().zip(case.dns.clone());
        let _dns = dns
            .map(|(socket, zone)| DnsServer::start(socket, zone))
            .transpose()?;
        let context = Stage {
            normaliser: Normaliser::new(&ports, &folder),
            log: folder.join("access.log"),
            recording: self.recording,
            folder,
            ports,
            origins,
        };
        for (name, text) in &case.files {
            context.put(name, text)?;
        }
        let mut proxy = None;
        let mut results = Map::new();
        for scenario in &case.scenarios {
            if began.elapsed() > CASE_LIMIT {
                let late = format!("not run: the case takes longer than {CASE_LIMIT:?}");
                results.insert(scenario.name.clone(), self.failure(anyhow!(late))?);
                continue;
            }
            let result = if let Some(variant) = &scenario.validate {
                self.validate(case, variant, &context)?
            } else {
                if proxy.is_none() {
                    match self.start(case, &context)? {
                        Some(process) => proxy = Some(process),
                        None => return Ok(None),
                    }
                }
                let expected =
                    expected.and_then(|value| value.get("scenarios")?.get(&scenario.name));
                let result = scenario::run(case, scenario, &context, expected);
                if proxy.as_mut().is_some_and(Process::alive) {
                    result
                        .with_context(|| format!("scenario {:?}", scenario.name))
                        .or_else(|error| self.failure(error))?
                } else {
                    // The scenarios that follow get a new process, so that one crash hides nothing else.
                    proxy = None;
                    json!({ "died": std::fs::read_to_string(context.folder.join("stderr")).unwrap_or_default() })
                }
            };
            results.insert(scenario.name.clone(), result);
        }
        let mut observed = Map::new();
        observed.insert("scenarios".to_owned(), Value::Object(results));
        if let Some(process) = proxy {
            observed.insert("exit".to_owned(), process.stop()?.into());
        }
        Ok(Some(Value::Object(observed)))
    }

    /// What is observed of a scenario that cannot be played: it must not hide the other scenarios, but it is no recording.
    fn failure(&self, error: Error) -> Result<Value> {
        if self.recording {
            Err(error)
        } else {
            Ok(json!({ "error": format!("{error:#}") }))
        }
    }

    /// `None`: a port was taken by another process.
    fn start(&self, case: &Case, context: &Stage) -> Result<Option<Process>> {
        let config = self.write_config(case, None, context, "config.yaml")?;
        let args = self.args(case, context)?;
        match Process::start(self.binary, &config, context.admin(), &args)? {
            Started::Ready(process) => Ok(Some(process)),
            Started::Exited { stderr, .. } if stderr.contains("in use") => Ok(None),
            Started::Exited { status, stderr } => Err(Refused { status, stderr }.into()),
        }
    }

    fn validate(&self, case: &Case, variant: &Variant, context: &Stage) -> Result<Value> {
        let name = format!("variant.{}", variant.extension.as_deref().unwrap_or("yaml"));
        let config = self.write_config(case, Some(variant), context, &name)?;
        let code = process::validate(self.binary, &config, &self.args(case, context)?)?;
        let verdict = if code == 0 { "accepted" } else { "refused" };
        Ok(json!({ "validate": verdict, "exit": code }))
    }

    fn args(&self, case: &Case, context: &Stage) -> Result<Vec<String>> {
        case.args.iter().map(|arg| context.expand(arg)).collect()
    }

    fn write_config(
        &self,
        case: &Case,
        variant: Option<&Variant>,
        context: &Stage,
        name: &str,
    ) -> Result<PathBuf> {
        let own = variant
            .and_then(|variant| variant.config.as_ref())
            .or(case.config.as_ref());
        let text = match (own, &case.template) {
            (Some(text), _) => text.clone(),
            (None, Some(template)) => {
                let file = self
                    .root
                    .join("templates")
                    .join(template)
                    .with_extension("yaml");
                let text = std::fs::read_to_string(&file)
                    .with_context(|| format!("reading {}", file.display()))?;
                let mut blocks = case.with.clone();
                if let Some(variant) = variant {
                    blocks.extend(variant.with.clone());
                }
                template::fill(&text, &blocks)?
            }
            (None, None) => bail!("no configuration"),
        };
        let path = context.folder.join(name);
        std::fs::write(&path, template::bytes(&context.expand(&text)?))?;
        Ok(path)
    }
}
