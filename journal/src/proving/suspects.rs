//! Which tables a fold has got wrong, as far as a recording tells.
//!
//! Behind a record stands a tag, which says that some row is another one, and not which. The digests of
//! the tables stand where its frame ends, and by then other records have been folded on top: a table that
//! differs there and was written by the record may be the one; so may one that is as recorded there, if
//! what the record wrote of it has been written again since. One that was not has been right all along.

use std::ops::ControlFlow;

use tensorforge_engine::units::Seq;
use tensorforge_engine::{State, Tables};

use crate::reading::journal::Journal;
use crate::replaying::replay::{Mode, Replay, ReplayError};

/// What is known about a fold that parts from the recording.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    /// The tables that the record has written and that differ at the end of its frame.
    pub(crate) tables: Vec<String>,
    /// Those that it has written, that others have since, and that are as recorded there.
    pub(crate) healed: Vec<String>,
    /// The one table of the first list, or of the second where the first is empty, if it is but one.
    pub(crate) table: Option<String>,
    /// Its module.
    pub(crate) module: Option<String>,
    /// The row of it that the record has written, if it is but one.
    pub(crate) row: Option<u64>,
}

/// Folds on from record `seq`, the first after which this build is in another state than was recorded, to
/// the end of its frame.
pub(crate) fn suspects(journal: &Journal, seq: u64) -> Result<Suspects, ReplayError> {
    let (mut replay, _) = Replay::from_nearest(journal, Mode::Fold, seq);
    replay.run(seq, |_| ControlFlow::Continue(()))?;
    let before = replay.state().tables.all().map(|table| table.keys());
    let (mut rows, mut differs) = (Vec::new(), None);
    let ran = replay.run(journal.next_seq(), |step| {
        if step.head.seq.0 == seq {
            rows = written(step.state, &before, step.head.seq);
        }
        match step.frame_end {
            Some(header) => {
                differs = Some(differing(&header.digests, step.state));
                ControlFlow::Break(())
            }
            None => ControlFlow::Continue(()),
        }
    });
    match ran {
        // A later record has no place in this build's state: nothing more can be told.
        Ok(()) | Err(ReplayError::Breach(_)) => Ok(judged(seq, &rows, differs, replay.state())),
        Err(error) => Err(error),
    }
}

/// What is known of the tables from the rows that record `seq` has written, and from which tables differ
/// at the end of its frame, if that is known.
fn judged(seq: u64, rows: &[(usize, u64)], differs: Option<Vec<usize>>, state: &State) -> Suspects {
    let tables = state.tables.all();
    let again = |(place, row): &(usize, u64)| tables[*place].writer(*row) != Some(Seq(seq));
    let among = |keep: &dyn Fn(&(usize, u64)) -> bool| {
        let mut places: Vec<usize> =
            rows.iter().filter(|row| keep(row)).map(|(place, _)| *place).collect();
        places.dedup();
        places
    };
    let is_other = |place: &usize| differs.as_ref().is_none_or(|differs| differs.contains(place));
    let mut fault = among(&|(place, _)| is_other(place));
    let healed = among(&|row| !is_other(&row.0) && again(row));
    if fault.is_empty() && healed.is_empty() {
        // What it was to write, and has not.
        fault = differs.unwrap_or_default();
    }
    let names = |places: &[usize]| places.iter().map(|place| name(state, *place)).collect();
    let mut told =
        Suspects { tables: names(&fault), healed: names(&healed), ..Suspects::default() };
    if let ([place], _) | ([], [place]) = (fault.as_slice(), healed.as_slice()) {
        told.table = Some(name(state, *place));
        told.module = tables.get(*place).map(|table| table.module().to_owned());
        let mut of_it = rows.iter().filter(|row| row.0 == *place).map(|row| row.1);
        told.row = of_it.next().filter(|_| of_it.next().is_none());
    }
    told
}

/// The places and rows that record `seq` has written, of those that there are or were before it, by table.
fn written(state: &State, before: &[Vec<u64>; Tables::COUNT], seq: Seq) -> Vec<(usize, u64)> {
    let mut found = Vec::new();
    for (place, (table, before)) in state.tables.all().into_iter().zip(before).enumerate() {
        let mut keys = table.keys();
        keys.extend(before);
        keys.sort_unstable();
        keys.dedup();
        let rows = keys.into_iter().filter(|row| table.writer(*row) == Some(seq));
        found.extend(rows.map(|row| (place, row)));
    }
    found
}

/// The tables whose digests are not those that a frame claims, or that this build does not have.
pub(crate) fn differing(claimed: &[u128], state: &State) -> Vec<usize> {
    let digests = state.digests();
    let count = claimed.len().max(Tables::COUNT);
    (0..count).filter(|place| claimed.get(*place) != digests.get(*place)).collect()
}

/// The name of a table by its place among all.
pub(crate) fn name(state: &State, place: usize) -> String {
    let table = state.tables.all().get(place).map(|table| table.name().to_owned());
    table.unwrap_or_else(|| format!("number {place}"))
}
