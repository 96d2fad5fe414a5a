//! The machine that the program runs on, as far as the system tells.

use std::{env, fs, thread};

/// Bytes of this process in memory; zero where the system does not tell.
pub(crate) fn resident_bytes() -> u64 {
    status_bytes("VmRSS:")
}

/// The most bytes of this process that were ever in memory; zero where the system does not tell.
pub(crate) fn peak_bytes() -> u64 {
    status_bytes("VmHWM:")
}

/// A line of this process's status, as Linux has it; zero elsewhere.
fn status_bytes(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map_or(0, |kib| kib << 10)
}

/// Processor and system in a few words.
pub(crate) fn description() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or(env::consts::ARCH, |(_, name)| name.trim());
    let count = thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {count} processors, {}", env::consts::OS)
}
