//! One good configuration, nearly two hundred changes to it, and Envoy 1.40's verdict on each.
//!
//! `tests/mutations/envoy-1.40.tsv` holds, separated by tabs: the verdict, the file's extension, the kind of change,
//! and the change with `\n`, `\t`, `\r` and `\\` escaped. Kinds: `sub` replaces the first text by the second in
//! `base.yaml`, `add` appends the second, `all` is the whole file. Run with `NUNCIO_ENVOY=<path of the envoy program>`
//! to ask Envoy itself again.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use nuncio_config::{Sources, load_bootstrap};

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                other => other.expect("a character after a backslash"),
            },
            c => c,
        });
    }
    out
}

fn envoys_verdict(program: &Path, file: &Path) -> bool {
    let mut command = Command::new(program);
    command
        .args(["--mode", "validate", "--disable-hot-restart", "-c"])
        .arg(file);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("envoy runs")
        .success()
}

#[test]
fn every_change_is_judged_as_envoy_judges_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mutations");
    let base = fs::read_to_string(folder.join("base.yaml")).unwrap();
    let table = fs::read_to_string(folder.join("envoy-1.40.tsv")).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let envoy = env::var_os("NUNCIO_ENVOY");
    let mut disagreements = Vec::new();
    for line in table.lines() {
        let [verdict, extension, kind, before, after] = line.split('\t').collect::<Vec<_>>()[..]
        else {
            panic!("{line}");
        };
        let (before, after) = (unescape(before), unescape(after));
        let text = match kind {
            "sub" => base.replacen(&before, &after, 1),
            "add" => format!("{base}{after}"),
            _ => after.clone(),
        };
        let file = scratch.path().join(format!("config.{extension}"));
        fs::write(&file, text).unwrap();
        let accepted = envoy.as_ref().map_or(verdict == "accepted", |program| {
            envoys_verdict(program.as_ref(), &file)
        });
        if envoy.is_some() && accepted != (verdict == "accepted") {
            disagreements.push(format!(
                "{after:?}: Envoy has changed its mind: accepted = {accepted}"
            ));
        }
        match load_bootstrap(&Sources {
            config_path: Some(file),
            ..Sources::default()
        }) {
            Ok(_) if !accepted => disagreements.push(format!("{after:?}: Envoy refuses it")),
            Err(errors)
                if accepted
                    && !errors
                        .iter()
                        .all(|e| e.message.starts_with("unsupported: ")) =>
            {
                disagreements.push(format!("{after:?}: Envoy accepts it, but: {}", errors[0]));
            }
            _ => {}
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
}
