//! Pages of the program's own file. The kernel maps far more of them than are used: whole stretches around each page that
//! start-up touches, most of ten MiB.

use std::fs;
use std::ops::Range;
use std::ptr;

use rustix::mm::{Advice, madvise};

/// Takes pages of the program's file out of memory that the kernel can read again from there (its cache, mostly). What still runs
/// comes back with its next use, what only start-up needed does not.
pub(super) fn drop_clean() {
    // Without /proc they stay.
    let (Ok(program), Ok(smaps)) = (
        fs::read_link("/proc/self/exe"),
        fs::read_to_string("/proc/self/smaps"),
    ) else {
        return;
    };
    for range in clean(&smaps, &program.to_string_lossy()) {
        let start = ptr::with_exposed_provenance_mut(range.start);
        // SAFETY: the range is a mapping of this program's file that cannot be written to and has no page of its own (a page that
        // relocation or a debugger's breakpoint has changed). Each page is as in the file, from where its next use
        // brings it back, whichever thread that is: nothing changes but where the page is.
        let dropped = unsafe { madvise(start, range.len(), Advice::LinuxDontNeed) };
        if let Err(error) = dropped {
            log::debug!("pages of the program stay in memory: {error}");
        }
    }
}

/// Mappings of the file `program` that are as in the file, by `/proc/self/smaps`.
fn clean(smaps: &str, program: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut last = None;
    for line in smaps.lines() {
        if let Some((range, permissions)) = mapping(line) {
            let is_ours = line.ends_with(program) && !permissions.contains('w');
            last = is_ours.then_some(range);
        } else if let Some(pages) = line.strip_prefix("Anonymous:")
            && let Some(range) = last.take()
            && pages.trim() == "0 kB"
        {
            found.push(range);
        }
    }
    found
}

/// The range and the permissions of a line that begins a mapping: `start-end perms offset device inode path`.
fn mapping(line: &str) -> Option<(Range<usize>, &str)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some((address(start)?..address(end)?, rest.split(' ').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0-55d8 r--p 00000000 fe:00 7    /opt/my proxy
Rss:                 100 kB
Anonymous:             0 kB
55d8-55f0 r-xp 00008000 fe:00 7    /opt/my proxy
Anonymous:             0 kB
55f0-55f8 r--p 00020000 fe:00 7    /opt/my proxy
Anonymous:           300 kB
55f8-5600 rw-p 00028000 fe:00 7    /opt/my proxy
Anonymous:             0 kB
7f00-7f08 r-xp 00000000 fe:00 9    /lib/libc.so.6
Anonymous:             0 kB
7f10-7f18 rw-p 00000000 00:00 0
Anonymous:             0 kB
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]
Anonymous:             0 kB
";

    #[test]
    fn what_relocation_has_changed_and_what_is_not_ours_stays() {
        let found = clean(SMAPS, "/opt/my proxy");
        assert_eq!(found, [0x55d0..0x55d8, 0x55d8..0x55f0]);
        assert!(clean("no smaps\n\nAnonymous: 0 kB\n", "/opt/my proxy").is_empty());
    }

    #[test]
    fn the_program_goes_on() {
        let before = clean_of_this_test();
        assert!(!before.is_empty());
        drop_clean();
        assert_eq!(clean_of_this_test(), before);
    }

    fn clean_of_this_test() -> Vec<Range<usize>> {
        let program = fs::read_link("/proc/self/exe").expect("procfs");
        let smaps = fs::read_to_string("/proc/self/smaps").expect("procfs");
        clean(&smaps, &program.to_string_lossy())
    }
}
