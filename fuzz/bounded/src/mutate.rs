//! Inputs made from seeds.

/// The longest input.
const LONGEST: usize = 8 * 1024;

/// Bytes that parsers take a special interest in.
const SPICE: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"\0",
    b"\xff",
    b"\x7f",
    b"%",
    b"/",
    b"?",
    b"#",
    b"=",
    b"&",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"- ",
    b"  ",
    b"0",
    b"-1",
    b"ffffffffffffffff",
    b"18446744073709551616",
    b"\r\n\r\n",
    b"chunked",
    b"..",
];

/// Makes inputs without end, the same ones in every run.
pub(crate) struct Mutator {
    seeds: Vec<Vec<u8>>,
    input: Vec<u8>,
    state: u64,
}

impl Mutator {
    pub(crate) fn new(seeds: Vec<Vec<u8>>) -> Mutator {
        Mutator {
            seeds,
            input: Vec::new(),
            state: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// The next input.
    pub(crate) fn next(&mut self) -> &[u8] {
        let seed = self.below(self.seeds.len());
        self.input.clear();
        if let Some(seed) = self.seeds.get(seed) {
            self.input.extend_from_slice(seed);
        }
        for _ in 0..=self.below(6) {
            self.mutate();
        }
        self.input.truncate(LONGEST);
        &self.input
    }

    fn mutate(&mut self) {
        let length = self.input.len();
        let at = self.below(length + 1);
        let end = (at + 1 + self.below(16)).min(length).max(at);
        match self.below(7) {
            0 => {
                let spice = SPICE[self.below(SPICE.len())];
                self.input.splice(at..at, spice.iter().copied());
            }
            1 => drop(self.input.drain(at..end)),
            2 => {
                let piece = self.input[at..end].to_vec();
                let to = self.below(length + 1);
                self.input.splice(to..to, piece);
            }
            3 => {
                // A piece of another seed.
                let other = self.below(self.seeds.len());
                let Some(other) = self.seeds.get(other).cloned() else {
                    return;
                };
                let from = self.below(other.len() + 1);
                let to = (from + self.below(64)).min(other.len());
                self.input.splice(at..end, other[from..to].iter().copied());
            }
            4 => {
                let byte = self.random().to_le_bytes()[0];
                self.input.insert(at, byte);
            }
            5 => self.input.truncate(at),
            _ => {
                let bit = 1 << self.below(8);
                if let Some(byte) = self.input.get_mut(at) {
                    *byte ^= bit;
                }
            }
        }
    }

    /// Less than `limit`, or 0.
    fn below(&mut self, limit: usize) -> usize {
        // The lowest bits of xorshift64* are its weakest.
        (self.random() >> 16) as usize % limit.max(1)
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_differ_and_repeat_from_run_to_run() {
        let make = || {
            let mut mutator = Mutator::new(vec![b"GET / HTTP/1.1\r\n\r\n".to_vec(), Vec::new()]);
            (0..1000)
                .map(|_| mutator.next().to_vec())
                .collect::<Vec<_>>()
        };
        let mut inputs = make();
        assert_eq!(inputs, make());
        inputs.sort();
        inputs.dedup();
        assert!(inputs.len() > 500, "{}", inputs.len());
    }

    #[test]
    fn no_seed_is_no_mishap() {
        let mut mutator = Mutator::new(Vec::new());
        for _ in 0..1000 {
            assert!(mutator.next().len() <= LONGEST);
        }
    }
}
