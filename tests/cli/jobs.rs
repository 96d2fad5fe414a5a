//! `jobs`: what was done to the fleet step by step, at its end and on the way there.

use serde_json::{Value, json};

use super::support::{Folder, workspace};

fn played(folder: &Folder, scenario: &str) {
    let path = workspace().join(format!("fixtures/scenarios/{scenario}.toml"));
    folder.ok(&format!("capture --scenario {} --out j.tfj", path.display()));
}

/// The steps and verdicts of a rollout that is undone, as they came; nothing is left out on the way.
#[test]
fn a_rollout_that_is_undone_is_told() {
    let folder = Folder::new();
    played(&folder, "rollout-undone");
    let told = folder.ok("jobs j.tfj");
    let job: Vec<&str> = told.lines().take_while(|line| !line.contains("\"empty\"")).collect();
    assert_eq!(
        job,
        [
            "job 10 \"new-build\", rollout to 2 vessels, started at 2.000 s: rolled back after 10.000 s",
            "         +0 us  step   0  drain      dory             done       took 0 us, 1 attempt, undone",
            "         +0 us  step   1  install    dory             done       took 3.000 s, 2 attempts, undone",
            "      +1.000 s  step 1 failed, tried again at +2.000 s, after 1 attempt  record 11",
            "      +3.000 s  step   2  watch                       unsound    took 5.000 s, 1 attempt",
            "      +8.000 s  rolled back by step 2, failing: 3 calls, 66.6666 % failed (too much is 50.0000 %), \
             0.0000 % slow (too much is never), from 3 calls on  record 23",
            "      +8.000 s  step   6  drain      dory             done       took 0 us, 1 attempt",
            "      +8.000 s  step   7  restore    dory             done       took 2.000 s, 1 attempt",
            "     +10.000 s  rolled back: 2 steps done, 1 failed, 2 undone, 3 not begun  record 28",
        ]
    );
    // Eight seconds in, the verdict has not been passed.
    let told = folder.ok("jobs j.tfj --at 9.9s");
    assert!(told.contains("live for 7.900 s") && !told.contains("rolled back"), "{told}");
    let waits = "  waits for a step that is being done, looked at again in 100.00 ms";
    assert_eq!(told.lines().last(), Some(waits));
    // The job is the eleventh record.
    assert_eq!(folder.ok("jobs j.tfj --at 10"), "no job was started\n");
}

/// The same as a document: how long each step took, and the numbers that decided.
#[test]
fn jobs_are_told_as_json() {
    let folder = Folder::new();
    played(&folder, "rollout-undone");
    let told = folder.json("jobs j.tfj");
    let ends: Vec<&Value> = told["jobs"].as_array().unwrap().iter().map(|j| &j["end"]).collect();
    assert_eq!(ends, ["rolled_back", "completed", "cancelled"]);
    let job = &told["jobs"][0];
    let step = |place: usize| job["steps"][place].clone();
    assert_eq!(
        step(1),
        json!({
            "step": 1,
            "task": "install",
            "vessel": 0,
            "order": null,
            "attempts": 2,
            "outcome": "done",
            "began_us": 2_000_000,
            "took_us": 3_000_000,
            "undone": true,
        })
    );
    let verdict = &job["verdicts"][1];
    assert_eq!(verdict["seq"], 23);
    assert_eq!(
        verdict["event"],
        json!({ "job_rolled_back": {
            "job": 10,
            "cause": "failing",
            "step": 2,
            "vessel": null,
            "calls": 3,
            "failing": 666_666,
            "slow": 0,
        } })
    );
    let live = folder.json("jobs j.tfj --at 9.9s");
    let job = &live["jobs"][0];
    assert_eq!(job["waits"], json!({ "for": "step", "until_us": 10_000_000 }));
    assert_eq!((&job["end"], &job["steps"][2]["took_us"]), (&Value::Null, &json!(4_900_000)));
}
