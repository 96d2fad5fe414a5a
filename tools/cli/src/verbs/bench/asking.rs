//! Running the program itself, as anybody would, and what that takes.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::machine;

/// One run of a verb.
pub(super) struct Asked {
    /// What it answered in JSON.
    pub(super) answer: Value,
    /// From its start to its exit.
    pub(super) seconds: f64,
    /// The most that it ever had in memory.
    pub(super) peak_bytes: u64,
}

/// Runs a verb in a process of its own and takes its answer in JSON.
pub(super) fn ask<S: AsRef<OsStr>>(words: &[S]) -> Result<Asked> {
    let program = env::current_exe().map_err(Failure::input)?;
    let mut command = Command::new(&program);
    command.args(words).arg("--json").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = Instant::now();
    let running = command.spawn().map_err(|error| Failure::file(&program, &error))?;
    let (process, over) = (running.id(), AtomicBool::new(false));
    // A verb whose answer is a part of the state does not tell what it took, so it is looked at meanwhile.
    let (out, seen) = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = 0;
            while !over.load(Ordering::Relaxed) {
                peak = peak.max(machine::peak_bytes_of(process));
                thread::sleep(Duration::from_millis(2));
            }
            peak
        });
        let out = running.wait_with_output();
        over.store(true, Ordering::Relaxed);
        (out, watch.join().unwrap_or_default())
    });
    let seconds = started.elapsed().as_secs_f64();
    let out = out.map_err(|error| Failure::file(&program, &error))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        let words: Vec<_> = words.iter().map(|word| word.as_ref().to_string_lossy()).collect();
        return Err(Failure::input(format!("tensorforge {}: {}", words.join(" "), said.trim())));
    }
    let answer: Value = serde_json::from_slice(&out.stdout).map_err(Failure::input)?;
    let told = answer.get("peak_bytes").and_then(Value::as_u64).unwrap_or_default();
    Ok(Asked { answer, seconds, peak_bytes: told.max(seen) })
}

/// The fastest of several runs.
pub(super) fn best(rounds: usize, mut run: impl FnMut(usize) -> Result<Asked>) -> Result<Asked> {
    let mut best = Asked::never();
    for round in 0..rounds {
        best.improve(run(round)?);
    }
    Ok(best)
}

/// The fastest of several runs of each verb, in turns: so a slow minute of the machine is nobody's alone.
pub(super) fn best_of_each<S: AsRef<OsStr>, const N: usize>(
    rounds: usize,
    verbs: &[Vec<S>; N],
) -> Result<[Asked; N]> {
    let mut best = std::array::from_fn(|_| Asked::never());
    for _ in 0..rounds {
        for (words, best) in verbs.iter().zip(&mut best) {
            best.improve(ask(words)?);
        }
    }
    Ok(best)
}

impl Asked {
    /// Slower than any.
    fn never() -> Self {
        Self { answer: Value::Null, seconds: f64::INFINITY, peak_bytes: 0 }
    }

    fn improve(&mut self, other: Self) {
        if other.seconds < self.seconds {
            *self = other;
        }
    }

    pub(super) fn number(&self, name: &str) -> u64 {
        self.answer.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    pub(super) fn peak_mib(&self) -> f64 {
        self.peak_bytes as f64 / f64::from(1 << 20)
    }
}
