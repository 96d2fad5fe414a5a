//! The first record where something turns: this build parts from the recording, or a judge says so.

use std::ops::ControlFlow;

use tensorforge_engine::{Root, State};

use crate::divergence::Divergence;
use crate::reader::Journal;
use crate::replay::{self, Mode, Replay, ReplayError};
use crate::search::{Search, first_bad};
use crate::verify;

/// Finds where deciding again parts from what is recorded; `None` if it never does.
///
/// No bisection is needed: every record carries its events and the tag of the state after it, so one
/// pass that stops at the first disagreement has found it.
pub fn bisect_build(journal: &Journal) -> Result<Option<Divergence>, ReplayError> {
    let mut replay = Replay::from_genesis(journal, Mode::Decide);
    let end = journal.next_seq();
    let found = verify::first_disagreement(journal, &mut replay, end, |_| ())?;
    found.map(|found| verify::examine(journal, found)).transpose()
}

/// What a judge says of the state after some record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It has not turned yet.
    Good,
    /// It has turned.
    Bad,
    /// It cannot be told here; the neighbours decide.
    Skip,
}

/// Where a judge first said "bad".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many records the first bad state holds; `None` if none was found. With records that
    /// were skipped before it, the state may have turned with any of those.
    pub records: Option<u64>,
    /// The root of the first bad state, or of the last good one if there is none.
    pub root: Root,
    /// How often the judge was asked.
    pub probes: u32,
    /// States in a row just before the first bad one that the judge could not tell.
    pub skipped: u64,
}

/// Finds the first record after which `judge` says bad, given that it keeps saying so from there on.
/// A state that it skips is taken for as bad as the next one that it does not. States are folded from the last good one, so that the whole search folds the journal about once.
pub fn bisect_state<E: From<ReplayError>>(
    journal: &Journal,
    mut judge: impl FnMut(u64, &State) -> Result<Judgement, E>,
) -> Result<Verdict, E> {
    let end = journal.next_seq();
    let mut good = (0, State::genesis(replay::id(journal)));
    let (mut probes, mut bad) = (0, None);
    let Search { first, .. } = first_bad(end, |seq| {
        // A state that cannot be judged is judged by the nearest later one that can; where none can,
        // it is as bad as the last one.
        for records in seq + 1..bad.unwrap_or(end + 1) {
            let state = folded_from(journal, &good, records)?;
            probes += 1;
            match judge(records, &state)? {
                Judgement::Skip => continue,
                Judgement::Bad => {
                    bad = Some(records);
                    return Ok(true);
                }
                Judgement::Good => {
                    good = (records, state);
                    return Ok(false);
                }
            }
        }
        Ok::<bool, E>(true)
    })?;
    let Some((first, bad)) = first.zip(bad) else {
        return Ok(Verdict { records: None, root: good.1.root(), probes, skipped: 0 });
    };
    let root = folded_from(journal, &good, bad)?.root();
    Ok(Verdict { records: Some(bad), root, probes, skipped: bad - (first + 1) })
}

fn folded_from(
    journal: &Journal,
    (records, state): &(u64, State),
    end: u64,
) -> Result<State, ReplayError> {
    let mut replay = Replay::from_state(journal, Mode::Fold, state.clone(), *records);
    replay.run(end, |_| ControlFlow::Continue(()))?;
    Ok(replay.into_exchange().into_state())
}
