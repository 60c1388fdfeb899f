//! How many CPUs this process may use.

/// The default number of workers: hardware threads within this process's affinity and its cgroup's CPU limit
/// (rounded down, at least 1). `ENVOY_CGROUP_CPU_DETECTION=false` leaves the cgroup out, as in Envoy.
pub(crate) fn usable() -> usize {
    let cpus = match std::env::var("ENVOY_CGROUP_CPU_DETECTION").as_deref() {
        Ok("false") => affinity(),
        // The standard library looks at affinity and at both versions of cgroups.
        _ => std::thread::available_parallelism().map_or(1, usize::from),
    };
    cpus.max(1)
}

fn affinity() -> usize {
    rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count() as usize)
}
