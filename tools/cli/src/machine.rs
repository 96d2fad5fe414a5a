//! The machine that the program runs on, as far as the system tells.

use std::{env, fs, thread};

/// The most bytes of this process that were ever in memory; zero where the system does not tell.
pub(crate) fn peak_bytes() -> u64 {
    status_bytes("self", "VmHWM:")
}

/// The same of another process, by its number; zero once it is over.
pub(crate) fn peak_bytes_of(process: u32) -> u64 {
    status_bytes(&process.to_string(), "VmHWM:")
}

/// A line of a process's status, as Linux has it; zero elsewhere.
fn status_bytes(process: &str, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map_or(0, |kib| kib << 10)
}

/// So many threads as were asked for; by default one a processor.
pub(crate) fn threads(asked: Option<u16>) -> usize {
    asked.map_or_else(|| thread::available_parallelism().map_or(1, Into::into), usize::from)
}

/// Processor and system in a few words.
pub(crate) fn description() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or(env::consts::ARCH, |(_, name)| name.trim());
    let count = threads(None);
    format!("{model}, {count} processors, {}", env::consts::OS)
}
