//! Running the program in a folder, and reading what it wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tensorforge_journal::format::chain::Chain;
use tensorforge_journal::writing::seal::FrameBuilder;
use tensorforge_journal::writing::writer::{Origin, Writer};
use tensorforge_journal::{Hash, Journal, WriterOptions};

/// The top of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    above.expect("a workspace around this crate").to_path_buf()
}

/// A real trace that is shared beside the workspace, if it is there.
pub(crate) fn shared_data(path: &str) -> Option<PathBuf> {
    let found = workspace().join("../shared/data").join(path);
    if !found.exists() {
        println!("skipped: no shared data");
        return None;
    }
    Some(found)
}

/// A folder of its own, with the fixtures linked into it.
pub(crate) struct Folder {
    dir: TempDir,
}

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(workspace().join("fixtures"), dir.path().join("fixtures"))
            .expect("a link");
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("room for a file");
        path
    }

    /// The program, about to be run in this folder by words apart by spaces.
    pub(crate) fn command(&self, words: &str) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_tensorforge")), words)
    }

    /// The same with another build.
    pub(crate) fn command_of(&self, build: &Path, words: &str) -> Command {
        let mut command = Command::new(build);
        command.args(words.split_whitespace()).current_dir(self.dir.path()).stdin(Stdio::null());
        for name in ["COLUMNS", "CLICOLOR_FORCE", "NO_COLOR"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, words: &str) -> Ran {
        Ran::of(&mut self.command(words))
    }

    /// What the program prints when it does as asked.
    pub(crate) fn ok(&self, words: &str) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, Some(0), "tensorforge {words}\n{}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Its one JSON document.
    pub(crate) fn json(&self, words: &str) -> Value {
        document(&self.ok(&format!("{words} --json")))
    }

    /// The records of a journal.
    pub(crate) fn log(&self, journal: &str) -> Vec<Value> {
        lines(&self.ok(&format!("log --json {journal}")))
    }

    /// A trace long enough for a journal of several blocks.
    pub(crate) fn long_trace(&self, name: &str) {
        self.write("long.gen.toml", LONG);
        self.ok(&format!("generate long.gen.toml --out {name}"));
    }
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let out = command.output().expect("a program that starts");
        let text = |bytes| String::from_utf8(bytes).expect("an answer in UTF-8");
        Self { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) }
    }
}

pub(crate) fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines().map(document).collect()
}

const LONG: &str = "
name = \"long\"
seed = 5
duration_ms = 160_000

[arrivals]
process = \"poisson\"
rate = 22.0

[[tenant]]
name = \"kelp\"
share = 60
class = \"interactive\"
tokens_in = { lognormal = { median = 350.0, sigma = 0.9, min = 8, max = 12_000 } }
tokens_out = { lognormal = { median = 60.0, sigma = 0.7, min = 1, max = 400 } }
prefixes = { count = 12, blocks = 4, zipf = 1.4 }
resend = { share_ppm = 30_000, after_ms = 700 }

[[tenant]]
name = \"atoll\"
share = 40
tokens_in = { quantiles = [[0, 30], [500_000, 1_500], [1_000_000, 7_400]] }
tokens_out = { quantiles = [[0, 4], [500_000, 13], [1_000_000, 300]] }
deadline_ms = 20_000
";

/// What an object of one field holds under which name; a text is a name that holds nothing.
fn only(value: &Value) -> (&str, &Value) {
    match value.as_object().and_then(|fields| fields.iter().next()) {
        Some((name, inner)) => (name, inner),
        None => (value.as_str().expect("a name"), &Value::Null),
    }
}

/// The events of a record: their kinds and fields.
pub(crate) fn events(record: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let events = record["events"].as_array().expect("a list of events");
    events.iter().map(|event| only(only(event).1))
}

/// The module that says each event of a record.
pub(crate) fn modules(record: &Value) -> impl Iterator<Item = &str> {
    record["events"].as_array().expect("a list of events").iter().map(|event| only(event).0)
}

/// A field that is a number.
pub(crate) fn number(fields: &Value, name: &str) -> u64 {
    fields[name].as_u64().unwrap_or_else(|| panic!("{name} in {fields}"))
}

/// A field that is a text.
pub(crate) fn text<'a>(fields: &'a Value, name: &str) -> &'a str {
    fields[name].as_str().unwrap_or_else(|| panic!("{name} in {fields}"))
}

/// What the log says became of the orders, counted without the program's own counting.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// Each order's end.
    pub(crate) ends: BTreeMap<String, String>,
    pub(crate) deduplicated: u64,
    pub(crate) retries: u64,
    /// Sums over settlements, as `SUMS` names them; money in pico-dollars.
    pub(crate) sums: [u64; 6],
}

/// The summands of a settlement, by the names that events and accounts give them.
pub(crate) const SUMS: [&str; 6] = ["tokens_in", "cached", "tokens_out", "energy", "cost", "burnt"];

/// Pico-dollars to the nearest micro-dollar.
pub(crate) fn micro_dollars(picos: u64) -> u64 {
    (picos + 500_000) / 1_000_000
}

impl Audit {
    /// Counts; every order must end once and in one way.
    pub(crate) fn of(log: &[Value]) -> Self {
        let mut audit = Self::default();
        let mut admitted = BTreeSet::new();
        for (kind, fields) in log.iter().flat_map(events) {
            match kind {
                "order_admitted" => {
                    let order = text(fields, "order").to_owned();
                    assert!(admitted.insert(order.clone()), "{order} is admitted twice");
                }
                "order_refused" => audit.end(fields, "refused"),
                "order_ended" => {
                    let order = text(fields, "order");
                    assert!(admitted.contains(order), "{order} ends and was not admitted");
                    audit.end(fields, text(fields, "end"));
                }
                "order_deduplicated" => audit.deduplicated += 1,
                "retry_scheduled" => audit.retries += 1,
                "order_settled" => {
                    for (sum, name) in audit.sums.iter_mut().zip(SUMS) {
                        *sum += number(fields, name);
                    }
                }
                "stop_settled" => {
                    // The tokens of a leg that failed are nobody's; what was burnt and charged is its tenant's.
                    let usage = &fields["usage"];
                    let ended = fields["ended"].as_bool().expect("whether it ended");
                    for (sum, name) in audit.sums.iter_mut().zip(SUMS) {
                        *sum += match name {
                            "cost" | "burnt" => number(fields, name),
                            "energy" => number(usage, name),
                            _ if ended => number(usage, name),
                            _ => 0,
                        };
                    }
                }
                _ => {}
            }
        }
        let open: Vec<_> =
            admitted.iter().filter(|order| !audit.ends.contains_key(*order)).collect();
        assert!(open.is_empty(), "these never end: {open:?}");
        audit
    }

    fn end(&mut self, fields: &Value, end: &str) {
        let order = text(fields, "order").to_owned();
        let before = self.ends.insert(order.clone(), end.to_owned());
        assert_eq!(before, None, "{order} ends twice");
    }

    pub(crate) fn ended(&self, end: &str) -> u64 {
        self.ends.values().filter(|found| *found == end).count() as u64
    }
}

/// The files below a folder.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry"))
        {
            if entry.file_type().expect("a type").is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                let name = path.strip_prefix(dir).expect("a file below").to_path_buf();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

/// A generator for judges that draw (SplitMix64).
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }
}

/// Holds a text against the accepted one in `snapshots/cli`.
pub(crate) fn accept(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "../../snapshots/cli",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

/// Writes the history of a journal anew with other records, or other digests behind them, and every hash
/// above them computed again: what somebody makes who can write all of its files.
pub(crate) struct Forgery<'a> {
    pub(crate) record: &'a dyn Fn(u64, &mut Vec<u8>),
    /// The root and the digests of the tables after so many records, where a frame ends.
    pub(crate) end: &'a dyn Fn(u64, &mut Hash, &mut Vec<u128>),
}

impl Forgery<'_> {
    pub(crate) const NONE: Forgery<'static> = Forgery { record: &|_, _| (), end: &|_, _, _| () };

    pub(crate) fn write(&self, source: &Path, target: &Path) {
        let source = Journal::open(source).expect("a journal");
        let origin = Origin { schema: source.schema(), build: source.build().to_owned() };
        let options = WriterOptions { sync: false, ..WriterOptions::default() };
        let mut writer = Writer::create(target, source.id(), origin, options).expect("a writer");
        let mut chain = Chain::genesis();
        for frame in source.frames_from(0).expect("frames") {
            let frame = frame.expect("a frame");
            let mut rest: &[u8] = &frame.body;
            let mut forged = FrameBuilder::new(frame.header.first_seq, Vec::new());
            let mut roots = frame.header.blocks.iter().map(|block| block.root);
            for seq in frame.header.first_seq..frame.header.next_seq() {
                // A record begins with its length.
                let length = rest.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
                let (record, behind) = rest.split_at(length as usize);
                let mut record = record.to_vec();
                rest = behind;
                (self.record)(seq, &mut record);
                assert!(forged.push_encoded(&record), "record {seq} is none any more");
                if forged.block_is_full() {
                    forged.end_block(roots.next().expect("a root"));
                }
            }
            let (mut root, mut digests) = (frame.header.state_root, frame.header.digests);
            (self.end)(
                frame.header.first_seq + u64::from(frame.header.record_count),
                &mut root,
                &mut digests,
            );
            let mut sealed = forged.seal(&mut chain, root, &digests).expect("a frame");
            writer.append(&mut sealed).expect("room");
        }
        writer.close().expect("room");
    }
}
