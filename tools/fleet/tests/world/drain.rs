//! Whole traces over whole fleets: everything ends, nothing is lost or made up, and the same again.

use std::path::PathBuf;
use std::time::Instant;

use tensorforge_fleet::{Fleet, Trace};
use xxhash_rust::xxh3::xxh3_64;

use super::exchange::Exchange;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn fleet(name: &str) -> Fleet {
    Fleet::open(&root().join(format!("fixtures/fleets/{name}.toml"))).unwrap()
}

/// Everything completes, with the tokens that the trace says; the log hashes to `pinned`.
fn check(fleet: &Fleet, trace: &Trace, pinned: u64) {
    let began = Instant::now();
    let run = Exchange::new(fleet, trace, 7).patience(3_600_000_000, 8).run();
    println!(
        "{} over {}: {} rows, {} found in caches, {:?}, hash {:#018x}",
        trace.name,
        fleet.name,
        run.completed,
        run.tokens.1,
        began.elapsed(),
        xxh3_64(run.log.join("\n").as_bytes()),
    );
    assert_eq!(run.completed, trace.rows.len() as u64);
    let tokens: u64 = trace.rows.iter().map(|row| row.tokens_out.0).sum();
    assert_eq!(run.tokens.0, tokens);
    assert_eq!(xxh3_64(run.log.join("\n").as_bytes()), pinned, "{} / {}", trace.name, fleet.name);
}

#[test]
fn the_traces_that_ship_over_the_fleets_that_ship() {
    let pinned = [
        ("harbour-morning", [0x0766276c6227a546, 0xc7b8696e55e3edac, 0x8ef7ff77f6c92e9d]),
        ("surge", [0x90f428b1f2c62e30, 0x762ced3fbcedc924, 0x2df8ccc823a1dd2b]),
        ("long-tail", [0x4f9940a03421620f, 0x40a5c8db4cc95585, 0x73b200c09c1d2614]),
    ];
    for (name, hashes) in pinned {
        let path = root().join(format!("fixtures/traces/{name}.jsonl"));
        let trace = Trace::open(&path, None).unwrap();
        for (name, hash) in ["four-vessels", "two-regions", "prefill-decode"].iter().zip(hashes) {
            check(&fleet(name), &trace, hash);
        }
    }
}

#[test]
fn rough_seas_end_too() {
    let trace = Trace::open(&root().join("fixtures/traces/harbour-morning.jsonl"), None).unwrap();
    let fleet = fleet("rough-seas");
    let run = Exchange::new(&fleet, &trace, 7).patience(30_000_000, 8).run();
    let said = |what: &str| run.log.iter().filter(|line| line.contains(what)).count();
    assert_eq!(run.completed, trace.rows.len() as u64);
    assert_eq!(said("lose"), 1);
    assert!(said("Error") > 0 && said("timeout") > 0);
}

/// Recorded traces lie beside the project and are no part of it.
fn recorded(path: &str) -> Option<Trace> {
    let path = root().join("../shared/data").join(path);
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(Trace::open(&path, None).unwrap())
}

#[test]
fn an_hour_of_code_completion() {
    let Some(trace) = recorded("azure-llm-2023/AzureLLMInferenceTrace_code.csv") else { return };
    assert_eq!(trace.rows.len(), 8_819);
    check(&fleet("four-vessels"), &trace, 0xb213ea90e681c03a);
}

#[test]
fn a_quarter_of_an_hour_of_long_documents() {
    let Some(trace) = recorded("mooncake/synthetic_trace.jsonl") else { return };
    assert_eq!(trace.rows.len(), 3_993);
    check(&fleet("four-vessels"), &trace, 0x023db065eaac6d4b);
}
