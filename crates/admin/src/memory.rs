//! How much memory the process uses, as far as the kernel knows.

use std::fs;

/// Bytes of memory. The allocator is not asked: what it holds is what the kernel calls anonymous memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryUsage {
    /// Resident anonymous memory: heap and stacks.
    pub(crate) allocated: u64,
    /// The same, with what was swapped out.
    pub(crate) heap_size: u64,
    /// All resident memory, with the program's text and mapped files.
    pub(crate) physical: u64,
}

impl MemoryUsage {
    /// The present usage; zeros where the kernel does not tell.
    pub(crate) fn now() -> Self {
        Self::parse(&fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    fn parse(status: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.strip_prefix(':')?.split_whitespace().next());
            kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        let allocated = field("RssAnon");
        Self {
            allocated,
            heap_size: allocated + field("VmSwap"),
            physical: field("VmRSS"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernel_s_numbers() {
        let status = "Name:\tx\nVmRSS:\t    3000 kB\nRssAnon:\t    1000 kB\nVmSwap:\t      24 kB\n";
        let usage = MemoryUsage::parse(status);
        assert_eq!(usage.allocated, 1000 * 1024);
        assert_eq!(usage.heap_size, 1024 * 1024);
        assert_eq!(usage.physical, 3000 * 1024);
        assert_eq!(MemoryUsage::parse(""), MemoryUsage::default());
        assert!(MemoryUsage::now().physical > 0);
    }
}
