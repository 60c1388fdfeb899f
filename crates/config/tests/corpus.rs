//! Bootstraps from Envoy's own documentation and tests, with Envoy 1.40's verdict on each: what Envoy refuses is
//! refused, and what it accepts is accepted or refused only for what is named as unsupported.
//!
//! A few of them are kept in `tests/corpus`; a larger collection of the same form is checked too when `NUNCIO_CORPUS` names it.

use std::{env, fs, path::Path};

use nuncio_config::{Sources, load_bootstrap};

/// What only the server can judge, once everything is loaded; `process.rs` of the crate `nuncio` sees that it does.
const JUDGED_LATER: [&str; 2] = [
    "test__server__config_validation__test_data__json_application_logs_forbidden_flagv.yaml",
    "test__server__test_data__server__json_application_log_forbidden_flagv.yaml",
];

/// Judges every file that `folder/envoy-1.40.tsv` names; gives the disagreements.
fn judge(folder: &Path) -> Vec<String> {
    let verdicts = fs::read_to_string(folder.join("envoy-1.40.tsv")).expect("a table of verdicts");
    let mut disagreements = Vec::new();
    for line in verdicts.lines() {
        let mut columns = line.split('\t');
        let (Some(verdict), Some(name)) = (columns.next(), columns.next()) else {
            continue;
        };
        let config_path = Some(folder.join("bootstrap").join(name));
        let result = load_bootstrap(&Sources {
            config_path,
            ..Sources::default()
        });
        match (verdict, result) {
            ("refused", Ok(_)) if !JUDGED_LATER.contains(&name) => {
                disagreements.push(format!(
                    "{name}: accepted, but Envoy says: {}",
                    columns.next().unwrap_or_default()
                ));
            }
            ("accepted", Err(errors)) => {
                let real = errors
                    .iter()
                    .filter(|e| !e.message.starts_with("unsupported: "));
                disagreements.extend(real.map(|e| format!("{name}: {e}")));
            }
            _ => {}
        }
    }
    disagreements
}

#[test]
fn envoys_verdicts() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    assert_eq!(judge(&kept), [""; 0]);
}

#[test]
fn envoys_verdicts_on_the_whole_collection() {
    if let Some(folder) = env::var_os("NUNCIO_CORPUS") {
        let disagreements = judge(Path::new(&folder));
        assert!(disagreements.is_empty(), "{}", disagreements.join("\n\n"));
    }
}
