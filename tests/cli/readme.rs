//! The README tells the truth: what it shows of the program is what the program prints.
//!
//! With TENSORFORGE_ACCEPT=1 the outputs in the README are written anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a line of the README in `folder`; what it printed.
fn run(line: &str, folder: &Path) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_tensorforge"));
    let path =
        format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let out = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(out.stderr.is_empty(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Without what a clock has measured: times and rates in a parenthesis at the end of a line.
fn timeless(text: &str) -> String {
    let measured = |part: &str| {
        let number = part.strip_suffix(" s").or(part.strip_suffix(" records/s"));
        number.is_some_and(|n| n.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ' '))
    };
    let line = |line: &str| match line.strip_suffix(')').and_then(|line| line.rsplit_once(" (")) {
        Some((head, inside)) => {
            let kept: Vec<&str> = inside.split(", ").filter(|part| !measured(part)).collect();
            format!("{head} ({})\n", kept.join(", "))
        }
        None => format!("{}\n", line.trim_end()),
    };
    text.lines().map(line).collect()
}

#[test]
fn all_but_times_and_rates_is_compared() {
    for (text, kept) in [
        ("a (0.02 s, 172 552 records/s)", "a ()"),
        ("a (1 span, 0.019 s)", "a (1 span)"),
        ("a at record 778 (742 probes)", "a at record 778 (742 probes)"),
        ("a (12 s of it)", "a (12 s of it)"),
        ("latency p50   1.715 s", "latency p50   1.715 s"),
    ] {
        assert_eq!(timeless(text), format!("{kept}\n"));
    }
}

/// Whether a line of the README is run: the two commands at its head build and test, and two builds
/// are not at hand.
fn runs(line: &str) -> bool {
    line.starts_with("$ tensorforge ") && !line.contains("--engine")
}

#[test]
fn the_three_minutes_are_as_printed() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().join("fixtures"), folder.path().join("fixtures")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (mut rewritten, mut shown, mut printed) = (String::new(), String::new(), String::new());
    let (mut inside, mut count) = (false, 0);
    // A command prints what follows it up to the next command or the end of the block.
    for line in readme.lines() {
        let fence = line.starts_with("```");
        if inside && (fence || line.starts_with("$ ")) && count > 0 {
            let expected = std::mem::take(&mut printed);
            let found = std::mem::take(&mut shown);
            rewritten.push_str(&expected);
            if std::env::var_os("TENSORFORGE_ACCEPT").is_none() {
                assert_eq!(timeless(&found), timeless(&expected), "before {line:?}");
            }
        }
        if fence {
            inside = line == "```console";
        }
        if inside && runs(line) {
            count += 1;
            let all = run(line.trim_start_matches("$ "), folder.path());
            // The second capture alone is run for what follows it; its output is not shown.
            printed = if line.contains("--policy") { String::new() } else { all };
            rewritten.push_str(&format!("{line}\n"));
        } else if inside && count > 0 && !fence && !line.starts_with("$ ") {
            shown.push_str(&format!("{line}\n"));
        } else {
            rewritten.push_str(&format!("{line}\n"));
        }
    }
    assert_eq!(count, 10, "the README shows ten commands");
    if std::env::var_os("TENSORFORGE_ACCEPT").is_some() {
        fs::write(root().join("README.md"), rewritten).unwrap();
    }
}
