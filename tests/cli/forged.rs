//! Journals that were written anew around one change, every hash above it computed again: whatever goes on
//! from what they claim compares it first.

use std::fs;

use tensorforge_engine::units::JournalId;
use tensorforge_journal::replaying::snapshot::{SNAPSHOTS, Unwritten};
use tensorforge_journal::{Journal, Mode, binding, state_at};

use crate::support::*;

const RESUME: &str = "capture --frame-records 100 --resume --out f.tfj";

/// A capture of several blocks, and what is made of it; a frame ends at 1 600.
fn forged(forgery: &Forgery<'_>) -> Folder {
    let folder = Folder::new();
    folder.ok("capture --frame-records 100 --out j.tfj");
    forgery.write(&folder.path("j.tfj"), &folder.path("f.tfj"));
    Journal::open(folder.path("f.tfj"))
        .and_then(|forged| forged.verify())
        .expect("its bytes verify");
    folder
}

/// A run that tells of a record and writes nothing.
fn refuses(folder: &Folder, words: &str, said: &str) {
    let before = files(&folder.path("f.tfj"));
    let ran = folder.run(words);
    let wanted = format!("error: this build does not reproduce the journal: record 1599 is {said}");
    assert_eq!(ran.code, Some(1), "{words}: {}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.starts_with(&wanted), "{words}: {}", ran.stderr);
    assert!(files(&folder.path("f.tfj")) == before, "{words}: something was written");
}

#[test]
fn what_is_only_written_anew_goes_on() {
    let folder = forged(&Forgery::NONE);
    folder.ok("snapshot take f.tfj");
    folder.ok("snapshot check f.tfj");
    folder.ok(RESUME);
}

#[test]
fn whoever_goes_on_from_a_history_compares_all_that_it_claims() {
    type Claim<'a> = (&'a str, Forgery<'a>);
    let claims: [Claim<'_>; 3] = [
        (
            "folded differently: recorded ",
            Forgery {
                record: &|seq, record| {
                    if seq == 1_599 {
                        *record.last_mut().expect("a tag") ^= 1;
                    }
                },
                ..Forgery::NONE
            },
        ),
        (
            "digested differently: recorded ",
            Forgery {
                end: &|records, root, _| root[0] ^= u8::from(records == 1_600),
                ..Forgery::NONE
            },
        ),
        (
            "digested differently: tables limits",
            Forgery {
                end: &|records, _, digests| digests[1] ^= u128::from(records == 1_600),
                ..Forgery::NONE
            },
        ),
    ];
    for (said, forgery) in &claims {
        let folder = forged(forgery);
        let found = folder.run("verify f.tfj --json");
        assert_eq!(number(&document(&found.stdout)["divergence"], "seq"), 1_599);
        refuses(&folder, RESUME, said);
        refuses(&folder, "snapshot take f.tfj", said);
        // What precedes it is as it was.
        folder.ok("snapshot take f.tfj --at 1024");
        folder.ok("snapshot check f.tfj");

        // A snapshot that was made with it vouches for it, and is not enough.
        let journal = Journal::open(folder.path("f.tfj")).expect("a journal");
        let state = state_at(&journal, Mode::Fold, 2_048).expect("a state");
        assert_eq!(state.journal(), JournalId(journal.id()));
        let binding = binding(&journal, 2_048).expect("a block");
        let unwritten = Unwritten::of(&state, &binding).expect("a snapshot");
        unwritten.write(&folder.path("f.tfj").join(SNAPSHOTS)).expect("room");
        refuses(&folder, RESUME, said);
        let checked = folder.run("snapshot check f.tfj");
        assert_eq!(checked.code, Some(1), "{}", checked.stdout);
        let lines: Vec<&str> = checked.stdout.lines().collect();
        assert!(lines[0].ends_with("  usable"), "{lines:?}");
        let fault = "  passed over: this build does not reproduce the journal: record 1599 is ";
        assert!(lines[1].contains(fault) && lines.len() == 2, "{lines:?}");
        fs::remove_dir_all(folder.path("f.tfj")).expect("a folder");
    }
}
