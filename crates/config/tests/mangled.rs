//! Mangled configurations never make the loader panic. The same body runs under the fuzzer (`config_load`); this is its quick
//! cousin, with more rounds when `NUNCIO_MANGLE_ROUNDS` asks for them.

use std::{env, fs, path::Path};

use nuncio_config::{Sources, fuzz_one, load_bootstrap};

/// xorshift64*: the same sequence in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap_or(0)
            % limit.max(1)
    }
}

fn mangle(random: &mut Random, text: &mut Vec<u8>) {
    const SPICE: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b"\n",
        b"  ",
        b"- ",
        b"&a ",
        b"*a",
        b"!ignore ",
        b"\"",
        b"'",
        b"|\n",
        b"\\",
        b"\0",
        b"\xff",
        b"1e999",
        b"-1",
        b"99999999999999999999",
        b"null",
        b"@type",
        b"0x",
        b"---\n",
        b"? ",
        b"<<: ",
        b"#",
        b"\xf0\x9f\x98\x80",
    ];
    for _ in 0..=random.below(4) {
        let at = random.below(text.len());
        let end = (at + random.below(40)).min(text.len());
        match random.below(4) {
            0 => drop(text.splice(at..at, SPICE[random.below(SPICE.len())].iter().copied())),
            1 => drop(text.drain(at..end)),
            2 => {
                let copy = text[at..end].to_vec();
                let to = random.below(text.len());
                text.splice(to..to, copy);
            }
            _ => {
                if let Some(byte) = text.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
}

#[test]
fn nothing_panics() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let rounds = env::var("NUNCIO_MANGLE_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(8);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut files: Vec<_> = fs::read_dir(folder.join("corpus/bootstrap"))
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.push(folder.join("mutations/base.yaml"));
    files.push(folder.join("text/base.pb_text"));
    files.sort();
    for file in files {
        let text = fs::read(&file).unwrap();
        let kind = if file.extension().is_some_and(|e| e == "pb_text") {
            2
        } else {
            1
        };
        let mut seeds = vec![(kind, text)];
        if let Ok(loaded) = load_bootstrap(&Sources {
            config_path: Some(file),
            ..Sources::default()
        }) {
            let style = nuncio_config::json::Style {
                pretty: true,
                ..Default::default()
            };
            seeds.push((
                0,
                nuncio_config::json::print_message(&loaded.whole(), style).into_bytes(),
            ));
            seeds.push((3, loaded.raw.into()));
        }
        for (kind, seed) in seeds {
            for _ in 0..rounds {
                let mut input = seed.clone();
                mangle(&mut random, &mut input);
                input.insert(0, kind);
                fuzz_one(&input);
            }
        }
    }
}
