//! CPU time and memory of a running process, from its own accounts in `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// CPU time since the start of a process and its children.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cpu {
    /// All threads, in nanoseconds: the scheduler's own sum, exact.
    nanos: u64,
    /// In clock ticks of 10 ms: how the kernel splits that sum, by samples at each timer interrupt.
    user: u64,
    system: u64,
}

/// CPU time between two readings, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spent {
    pub(crate) total: f64,
    pub(crate) user: f64,
    pub(crate) kernel: f64,
}

impl Cpu {
    /// What the processes `pids` have used so far.
    pub(crate) fn of(pids: &[u32]) -> Result<Self> {
        let mut sum = Self::default();
        for pid in pids {
            let stat = read(&format!("/proc/{pid}/stat"))?;
            let (user, system) = ticks(&stat).with_context(|| format!("odd stat: {stat}"))?;
            sum.user += user;
            sum.system += system;
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                let path = thread?.path().join("schedstat");
                // A thread may end between the listing and the reading.
                let Ok(text) = fs::read_to_string(&path) else {
                    continue;
                };
                sum.nanos += first_number(&text)
                    .with_context(|| format!("odd {}: {text}", path.display()))?;
            }
        }
        Ok(sum)
    }

    /// What those threads of a process have used whose names begin with `name`.
    pub(crate) fn of_threads(pid: u32, name: &str) -> Result<Self> {
        let mut sum = Self::default();
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = thread?.path();
            // A thread may end between the listing and the reading.
            let Ok(its_name) = fs::read_to_string(thread.join("comm")) else {
                continue;
            };
            if its_name.starts_with(name) {
                let text = read(&thread.join("schedstat").to_string_lossy())?;
                sum.nanos +=
                    first_number(&text).with_context(|| format!("odd schedstat: {text}"))?;
            }
        }
        Ok(sum)
    }

    /// What was used since `earlier`: the exact sum, divided by the sampled shares.
    pub(crate) fn since(self, earlier: Self) -> Spent {
        let total = self.nanos.saturating_sub(earlier.nanos) as f64 / 1_000.0;
        let user = self.user.saturating_sub(earlier.user) as f64;
        let system = self.system.saturating_sub(earlier.system) as f64;
        let share = if user + system > 0.0 {
            user / (user + system)
        } else {
            0.0
        };
        Spent {
            total,
            user: total * share,
            kernel: total * (1.0 - share),
        }
    }
}

/// Resident memory of the processes `pids`, in KiB.
pub(crate) fn resident(pids: &[u32]) -> Result<u64> {
    status_sum(pids, "VmRSS:")
}

/// The largest resident memory since [`reset_peak`], in KiB.
pub(crate) fn peak(pids: &[u32]) -> Result<u64> {
    status_sum(pids, "VmHWM:")
}

/// Lets the peak start anew at what is resident now.
pub(crate) fn reset_peak(pids: &[u32]) -> Result<()> {
    for pid in pids {
        let path = format!("/proc/{pid}/clear_refs");
        fs::write(&path, "5").with_context(|| format!("writing {path}"))?;
    }
    Ok(())
}

fn status_sum(pids: &[u32], field: &str) -> Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let status = read(&format!("/proc/{pid}/status"))?;
        sum += status
            .lines()
            .find_map(|line| first_number(line.strip_prefix(field)?))
            .with_context(|| format!("process {pid} has no {field}"))?;
    }
    Ok(sum)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {path}"))
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// `utime` and `stime` of `/proc/PID/stat`: fields 14 and 15, counted behind the program's name, which may hold anything.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_stand_behind_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 17 23 0 0 20 0 1";
        assert_eq!(ticks(stat), Some((17, 23)));
    }

    #[test]
    fn shares_are_applied_to_the_exact_sum() {
        let earlier = Cpu {
            nanos: 1_000,
            user: 5,
            system: 5,
        };
        let later = Cpu {
            nanos: 4_001_000,
            user: 15,
            system: 35,
        };
        let spent = later.since(earlier);
        assert_eq!(
            (spent.total, spent.user, spent.kernel),
            (4_000.0, 1_000.0, 3_000.0)
        );
    }

    #[test]
    fn this_process_has_used_something() {
        let pids = [std::process::id()];
        let spent = Cpu::of(&pids).unwrap().since(Cpu::default());
        assert!(spent.total > 0.0);
        assert!(resident(&pids).unwrap() > 100);
    }
}
