//! The first record where something turns: this build parts from the recording, or a judge says so.

use std::ops::ControlFlow;

use tensorforge_engine::{Root, State};

use crate::comparing::divergence::Divergence;
use crate::proving::verify;
use crate::reading::journal::Journal;
use crate::replaying::replay::{self, Mode, Replay, ReplayError};

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
///
/// A state that it skips is taken for as bad as the next one that it does not. Every probe folds from
/// the last good state, so that without skips the whole search folds the journal about once.
pub fn bisect_state<E: From<ReplayError>>(
    journal: &Journal,
    mut judge: impl FnMut(u64, &State) -> Result<Judgement, E>,
) -> Result<Verdict, E> {
    let mut search = StateSearch {
        journal,
        good: (0, State::genesis(replay::id(journal))),
        first_bad: None,
        untold: journal.next_seq() + 1,
        probes: 0,
    };
    // The last state first, since most runs are good throughout.
    let mut probe = Some(journal.next_seq()).filter(|end| *end > 0);
    while let Some(records) = probe {
        search.probe(records, &mut judge)?;
        let left = search.untold - (search.good.0 + 1);
        probe = search.first_bad.filter(|_| left > 0).map(|_| search.good.0 + 1 + left / 2);
    }
    let StateSearch { good, first_bad, untold, probes, .. } = search;
    Ok(match first_bad {
        Some((records, root)) => {
            Verdict { records: Some(records), root, probes, skipped: records - untold }
        }
        None => Verdict { records: None, root: good.1.root(), probes, skipped: 0 },
    })
}

/// What a search for a bad state knows: the states between the last good one and `untold` are still to
/// be asked about; those from there to the first bad one could not be told.
struct StateSearch<'j> {
    journal: &'j Journal,
    good: (u64, State),
    first_bad: Option<(u64, Root)>,
    untold: u64,
    probes: u32,
}

impl StateSearch<'_> {
    /// Judges the state that holds `records`; where it cannot be told, the next one that can.
    fn probe<E: From<ReplayError>>(
        &mut self,
        records: u64,
        judge: &mut impl FnMut(u64, &State) -> Result<Judgement, E>,
    ) -> Result<(), E> {
        let (held, state) = self.good.clone();
        let mut replay = Replay::from_state(self.journal, Mode::Fold, state, held);
        for at in records..self.untold {
            replay.run(at, |_| ControlFlow::Continue(()))?;
            self.probes += 1;
            match judge(at, replay.state())? {
                Judgement::Skip => {}
                Judgement::Good => {
                    self.good = (at, replay.into_exchange().into_state());
                    return Ok(());
                }
                Judgement::Bad => {
                    self.first_bad = Some((at, replay.state().root()));
                    break;
                }
            }
        }
        self.untold = records;
        Ok(())
    }
}
