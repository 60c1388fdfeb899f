//! Turns the descriptor set that the `envoy-types` package ships into the schema blob that
//! `src/schema` reads at run time.
//!
//! The blob replaces a descriptor pool: it is position-independent, needs no allocation and no parsing, and
//! only the pages that a configuration touches become resident. Layout: see `build/blob.rs`.

#[path = "build/blob.rs"]
mod blob;
#[path = "build/descriptors.rs"]
mod descriptors;
#[path = "build/extra.rs"]
mod extra;
#[path = "src/wire.rs"]
#[expect(dead_code, reason = "shared with the library, which uses more of it")]
mod wire;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    for input in ["build.rs", "build", "src/wire.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
    let set = descriptor_set();
    println!("cargo::rerun-if-changed={}", set.display());
    let bytes = fs::read(&set).unwrap_or_else(|e| panic!("{}: {e}", set.display()));

    let mut model = descriptors::Model::default();
    model.add_set(&bytes);
    extra::add(&mut model);
    let blob = blob::write(&model);

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("schema.bin");
    fs::write(&out, blob).unwrap_or_else(|e| panic!("{}: {e}", out.display()));
}

/// `types.bin` of the `envoy-types` package that this build uses.
fn descriptor_set() -> PathBuf {
    let manifest =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"))
            .join("Cargo.toml");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    // Without a platform filter, cargo wants the packages of every platform to be on disk; offline first,
    // so that a build never waits for a network.
    let attempts: [&[&str]; 2] = [
        &["--offline", "--filter-platform", &target],
        &["--filter-platform", &target],
    ];
    let mut problem = String::new();
    for extra in attempts {
        match metadata(&manifest, extra) {
            Ok(package) => {
                let set = package.with_file_name("src").join("generated/types.bin");
                assert!(
                    set.is_file(),
                    "envoy-types no longer ships {}",
                    set.display()
                );
                return set;
            }
            Err(e) => problem.push_str(&e),
        }
    }
    panic!("cannot find the package envoy-types:\n{problem}");
}

/// The manifest path of `envoy-types`, from `cargo metadata`.
fn metadata(manifest: &Path, extra: &[&str]) -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .args(extra)
        .output()
        .map_err(|e| format!("cargo metadata: {e}\n"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}\n"))?;
    metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "envoy-types")
        .and_then(|package| package["manifest_path"].as_str())
        .map(PathBuf::from)
        .ok_or_else(|| "cargo metadata does not list envoy-types\n".into())
}
