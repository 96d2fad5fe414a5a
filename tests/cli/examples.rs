//! Every example in the help works as it is printed, in the order in which the help prints them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::*;

/// The verbs, in the order of the help.
fn verbs(folder: &Folder) -> Vec<String> {
    let help = folder.ok("--help");
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let verbs: Vec<String> = listed
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned))
        .filter(|verb| !verb.is_empty() && verb != "help")
        .collect();
    assert!(verbs.len() > 12, "{help}");
    verbs
}

/// The examples of a verb as they are printed, with what is said behind them.
fn examples(help: &str) -> Vec<String> {
    let mut lines = help.lines().skip_while(|line| !line.starts_with("Example"));
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if !line.starts_with("  tensorforge ") {
            continue;
        }
        let mut example = line.to_owned();
        while let Some(begun) = example.strip_suffix('\\') {
            example =
                format!("{begun}{}", lines.next().expect("the rest of an example").trim_start());
        }
        found.push(example.trim().to_owned());
    }
    found
}

/// What the examples take to be there: a damaged journal, two builds, and scenarios of one's own.
fn prepare(folder: &Folder) {
    for build in ["old", "new"] {
        fs::create_dir(folder.path(build)).expect("room");
        let name = folder.path(build).join("tensorforge");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tensorforge"), name).expect("a link");
    }
    folder.ok("capture --out damaged.tfj");
    let segment = folder.path("damaged.tfj/segments/0000000000.seg");
    let mut bytes = fs::read(&segment).expect("a segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&segment, bytes).expect("room");
    fs::create_dir(folder.path("my-scenarios")).expect("room");
    let story = "story = \"An order is served.\"\nfleet = \"../fixtures/fleets/four-vessels.toml\"\n\
        tenants = [\"kelp\"]\n[[step]]\nat_ms = 0\nwait = {}\n";
    folder.write("my-scenarios/quiet.toml", story);
    std::os::unix::fs::symlink(workspace().join("snapshots"), folder.path("snapshots"))
        .expect("a link");
}

#[test]
fn every_example_works_as_printed() {
    let folder = Folder::new();
    prepare(&folder);
    let program = Path::new(env!("CARGO_BIN_EXE_tensorforge"));
    let path = std::env::var("PATH").expect("a path");
    let path = format!("{}:{path}", program.parent().expect("a folder").display());
    let mut count = 0;
    for verb in verbs(&folder) {
        let help = folder.ok(&format!("{verb} --help"));
        let found = examples(&help);
        assert!(!found.is_empty(), "{verb} has no example:\n{help}");
        // What stands for something of one's own is said to; what is made, by what.
        for name in ["morning.tfj", "damaged.tfj", "my-scenarios", "old/", "fixtures/"] {
            let named = found.iter().any(|line| line.contains(name) && !line.contains("--out m"));
            let told = help.lines().any(|line| !line.starts_with("  ") && line.contains(name));
            assert!(!named || told, "{verb}: nothing is said of {name}");
        }
        for line in found {
            if line.contains("fixtures/scenarios") && !folder.path("fixtures/scenarios").exists() {
                println!("skipped: no scenarios");
                continue;
            }
            // One that goes on until it is told to stop is told so once it says that it serves.
            let line = match line.contains("tensorforge serve ") {
                true => format!(
                    "{line} --data served.tfj --listen 127.0.0.1:0 > served.txt & \
                    for _ in $(seq 600); do grep -q serving served.txt && break; sleep 0.05; done; \
                    kill -INT $!; wait $! && grep closed served.txt && rm -r served.tfj"
                ),
                false => line,
            };
            let mut command = Command::new("bash");
            command.args(["-c", &line]).current_dir(folder.path("")).env("PATH", &path);
            let ran = Ran::of(&mut command);
            // A verb that answers "different" by its exit code says so in its help.
            let fine =
                ran.code == Some(0) || (ran.code == Some(1) && help.contains("Exit code 1 says"));
            assert!(fine, "{line}: {:?}\n{}{}", ran.code, ran.stdout, ran.stderr);
            assert_eq!(ran.stderr, "", "{line}");
            count += 1;
        }
    }
    assert!(count >= 25, "{count} examples");
}

#[test]
fn no_line_of_the_help_is_broken_twice() {
    let folder = Folder::new();
    for verb in verbs(&folder) {
        let help = folder.ok(&format!("{verb} --help"));
        // What clap breaks has few words; its own lines are indented or begin a paragraph.
        let (_, after) = help.split_once("Print version\n").expect(&help);
        let mut before = "";
        for line in after.lines() {
            let broken = before.len() > 80 && !line.is_empty() && line.len() < 12;
            assert!(!broken && line.len() <= 100, "{verb}: {before}\n{line}");
            before = line;
        }
    }
}

#[test]
fn the_tour_is_one_document_and_its_commands_work_again() {
    let folder = Folder::new();
    let passing = folder.ok("tour");
    assert!(passing.contains("$ tensorforge verify morning.tfj\nverified "), "{passing}");
    assert!(passing.contains(" into morning.tfj: "), "{passing}");
    assert!(passing.contains("`tensorforge tour --keep DIR` keeps them"), "{passing}");
    assert!(!folder.path("morning.tfj").exists());

    let kept = folder.json("tour --keep toured");
    let stops = kept["stops"].as_array().expect("stops");
    assert_eq!((stops.len(), &kept["kept"]), (6, &serde_json::json!("toured")));
    let plain = |stop: &serde_json::Value| {
        let mut answer = stop.clone();
        for measured in ["seconds", "peak_bytes"] {
            answer.as_object_mut().map(|answer| answer.remove(measured));
        }
        answer
    };
    for stop in stops {
        let words = text(stop, "command").strip_prefix("tensorforge ").expect("a command");
        if words.starts_with("capture") {
            assert_eq!(folder.run(words).code, Some(2), "{words}: it is there already");
            continue;
        }
        let ran = folder.run(&format!("{words} --json"));
        assert_eq!(plain(&document(&ran.stdout)), plain(&stop["answer"]), "{words}");
    }
}

#[test]
fn what_a_verb_takes_is_told() {
    let folder = Folder::new();
    for words in [
        "capture --out j.tfj",
        "replay j.tfj",
        "replay j.tfj --decide",
        "verify j.tfj",
        "explain j.tfj --order 17",
    ] {
        let answer = folder.json(words);
        let seconds = answer["seconds"].as_f64().unwrap_or_default();
        assert!(seconds > 0.0 && seconds < 600.0, "{words}: {seconds} s");
        let peak = number(&answer, "peak_bytes");
        // It holds its own code at least; none of them holds a journal of a megabyte a hundred times.
        assert!((1 << 20..100 << 20).contains(&peak), "{words}: {peak} bytes");
    }
}

#[test]
fn every_figure_says_what_it_includes() {
    let folder = Folder::new();
    let told = folder.json("bench --quick --only storm,open,verbs");
    let figures = told["figures"].as_array().expect("figures");
    assert!(figures.len() >= 20, "{} figures", figures.len());
    for figure in figures {
        let what = text(figure, "what");
        let value = figure["value"].as_f64().unwrap_or(f64::NAN);
        assert!(value.is_finite() && value >= 0.0, "{what}: {value}");
        assert!(figure["holds"].is_null(), "{what} is judged by a tenth of the work");
        let includes = figure["includes"].as_array().expect("a list");
        let on_records = !what.contains("memory") && !what.starts_with("open ");
        assert_eq!(!includes.is_empty(), on_records, "{what}: {includes:?}");
    }
}

#[test]
fn what_is_generated_is_told() {
    let folder = Folder::new();
    let words = "generate fixtures/traces/surge.gen.toml --out s.jsonl";
    let said = "generated surge into s.jsonl: 306 orders, the last at 119.906 s\n";
    assert_eq!(folder.ok(words), said);
    let told = serde_json::json!({
        "trace": "surge", "path": "s.jsonl", "rows": 306, "tenants": ["kelp", "tern"],
        "last_us": 119_905_538,
    });
    assert_eq!(folder.json(words), told);
    let rows = fs::read_to_string(folder.path("s.jsonl")).expect("a trace").lines().count();
    assert_eq!(rows, 307);
}

#[test]
fn completions_and_manuals_name_every_verb() {
    let folder = Folder::new();
    let verbs = verbs(&folder);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = folder.ok(&format!("completions {shell}"));
        for verb in &verbs {
            assert!(script.contains(verb.as_str()), "{shell}: {verb}");
        }
    }
    folder.write("tensorforge.bash", folder.ok("completions bash"));
    let parsed = Command::new("bash").arg("-n").arg(folder.path("tensorforge.bash")).status();
    assert!(parsed.map_or(true, |status| status.success()), "bash does not read the script");

    folder.ok("man --out man1");
    let pages = files(&folder.path("man1"));
    let page = |name: &str| {
        let bytes = pages.get(Path::new(name)).unwrap_or_else(|| panic!("no {name}"));
        // Roff writes a hyphen with a backslash before it.
        String::from_utf8(bytes.clone()).expect("a page in UTF-8").replace('\\', "")
    };
    let first = page("tensorforge.1");
    for verb in &verbs {
        assert!(first.contains(&format!("tensorforge-{verb}(1)")), "tensorforge.1: {verb}");
        let own = page(&format!("tensorforge-{verb}.1"));
        assert!(own.contains(".SH SYNOPSIS") && own.contains("Example"), "{verb}: {own}");
    }
}
