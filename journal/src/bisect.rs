//! The first record where something turns: this build parts from the recording, or a judge says so.

use std::ops::ControlFlow;

use tensorforge_engine::{Root, State};

use crate::chain::BLOCK_RECORDS;
use crate::divergence::{Divergence, Phase};
use crate::reader::Journal;
use crate::replay::{self, Mode, Replay, ReplayError};
use crate::search::{Search, first_bad};
use crate::verify;

/// Where this build parts from the recording.
#[derive(Debug)]
pub struct Turning {
    /// The first disagreement; `None` if there is none.
    pub divergence: Option<Divergence>,
    /// How many roots were computed and compared to find its block.
    pub probes: u32,
    /// Blocks that were searched.
    pub blocks: u64,
}

/// Finds where deciding again parts from what is recorded: the first block whose root differs, by
/// bisection, then the first record in it. Each probe goes on from the last state that was good.
///
/// A divergence that heals before the end of its block leaves no trace in the roots; where all roots
/// agree, the records are compared one by one, so that "none" is the truth.
pub fn bisect_build(journal: &Journal) -> Result<Turning, ReplayError> {
    let blocks = journal.blocks().len() as u64;
    let genesis = (0, State::genesis(replay::id(journal)));
    let mut good = genesis.clone();
    let Search { first, probes } = first_bad(blocks, |block| {
        let end = (block + 1) * BLOCK_RECORDS;
        let state = decided_from(journal, &good, end)?;
        let claimed = journal.blocks().get(usize::try_from(block).unwrap_or(usize::MAX));
        let bad = claimed.map(|entry| entry.root) != Some(state.root());
        if !bad {
            good = (end, state);
        }
        Ok::<bool, ReplayError>(bad)
    })?;
    let (start, end) = match first {
        Some(block) => (good, (block + 1) * BLOCK_RECORDS),
        None => (genesis, journal.next_seq()),
    };
    let divergence = first_disagreement(journal, start, end)?;
    Ok(Turning { divergence, probes, blocks })
}

fn decided_from(
    journal: &Journal,
    (records, state): &(u64, State),
    end: u64,
) -> Result<State, ReplayError> {
    let mut replay = Replay::from_state(journal, Mode::Decide, state.clone(), *records);
    replay.run(end, |_| ControlFlow::Continue(()))?;
    Ok(replay.into_exchange().into_state())
}

fn first_disagreement(
    journal: &Journal,
    (start, state): (u64, State),
    end: u64,
) -> Result<Option<Divergence>, ReplayError> {
    let mut found = None;
    let mut replay = Replay::from_state(journal, Mode::Decide, state, start);
    replay.run(end, |step| {
        found = verify::disagreement(journal, &step);
        if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    match found {
        Some(divergence) if divergence.phase <= Phase::Folded => {
            verify::examine(journal, divergence).map(Some)
        }
        other => Ok(other),
    }
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
    /// How many records the first bad state holds; `None` if the last state is good.
    pub records: Option<u64>,
    /// The root of that state.
    pub root: Root,
    /// How often the judge was asked.
    pub probes: u32,
    /// Records in a row before it that the judge could not tell; the turning may be at any of them.
    pub skipped: u64,
}

/// Finds the first record after which `judge` says bad, given that it keeps saying so from there on.
/// States are folded from the last good one, so that the whole search folds the journal about once.
pub fn bisect_state<E: From<ReplayError>>(
    journal: &Journal,
    mut judge: impl FnMut(u64, &State) -> Result<Judgement, E>,
) -> Result<Verdict, E> {
    let mut good = (0, State::genesis(replay::id(journal)));
    let (mut probes, mut skipped) = (0, 0);
    let Search { first, .. } = first_bad(journal.next_seq(), |seq| {
        // A place that cannot be judged is judged by the nearest later one that can.
        for records in seq + 1..=journal.next_seq() {
            let state = folded_from(journal, &good, records)?;
            probes += 1;
            match judge(records, &state)? {
                Judgement::Skip => continue,
                Judgement::Bad => {
                    skipped = records - (seq + 1);
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
    let Some(seq) = first else {
        return Ok(Verdict { records: None, root: good.1.root(), probes, skipped: 0 });
    };
    let root = folded_from(journal, &good, (seq + 1).max(good.0))?.root();
    Ok(Verdict { records: Some(seq + 1), root, probes, skipped })
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
