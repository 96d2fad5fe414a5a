//! The first disagreement of two journals, found by their block hashes and then record by record.

use serde_json::{Value, json};
use tensorforge_engine::Exchange;
use tensorforge_engine::units::Seq;

use crate::comparing::divergence::{Divergence, Phase};
use crate::comparing::search::{Search, first_bad};
use crate::format::block::BLOCK_RECORDS;
use crate::reading::journal::Journal;
use crate::reading::records::Record;
use crate::replaying::replay::{self, Mode, ReplayError};

/// Where two journals part.
#[derive(Debug)]
pub struct Parting {
    /// The first disagreement; `None` if one journal is the other.
    pub divergence: Option<Divergence>,
    /// How many block hashes were compared to find it.
    pub probes: u32,
}

/// Compares two journals: the block hashes by bisection, since the chain makes every block after a
/// difference different too; then the records of one block.
pub fn diff(left: &Journal, right: &Journal) -> Result<Parting, ReplayError> {
    let common = left.blocks().len().min(right.blocks().len()) as u64;
    let Search { first, probes } = first_bad(common, |block| {
        let at = usize::try_from(block).unwrap_or(usize::MAX);
        Ok::<bool, ReplayError>(left.blocks().get(at) != right.blocks().get(at))
    })?;
    // Where every common block agrees, the journals part in the block that one of them has not ended.
    let block = first.unwrap_or(common);
    let start = block * BLOCK_RECORDS;
    let end = (start + BLOCK_RECORDS).min(left.next_seq().max(right.next_seq()));
    let mut sides = (left.records(start, end)?, right.records(start, end)?);
    for seq in (start..end).map(Seq) {
        let pair = (sides.0.next().transpose()?, sides.1.next().transpose()?);
        if let Some(divergence) = compare(left, right, seq, pair)? {
            return Ok(Parting { divergence: Some(divergence), probes });
        }
    }
    // Headers alone have said so: whether the records are what the headers say is another question.
    left.verify()?;
    right.verify()?;
    Ok(Parting { divergence: None, probes })
}

fn compare(
    left: &Journal,
    right: &Journal,
    seq: Seq,
    pair: (Option<Record>, Option<Record>),
) -> Result<Option<Divergence>, ReplayError> {
    let (a, b) = match pair {
        (Some(a), Some(b)) if a.bytes == b.bytes => return Ok(root_difference(left, right, seq)),
        (Some(a), Some(b)) => (a, b),
        (None, None) => return Ok(None),
        (a, b) => {
            let ends = |side: &Option<Record>| Value::from(side.as_ref().map(|_| "goes on"));
            return Ok(Some(Divergence::new(seq.0, Phase::Length, ends(&a), ends(&b))));
        }
    };
    if let Some(divergence) = Divergence::of_input(seq.0, &input(&a), &input(&b)) {
        return Ok(Some(divergence));
    }
    if let Some(divergence) = Divergence::of_events(seq.0, &a.events, &b.events) {
        let before = replay::state_at(left, Mode::Fold, seq.0)?;
        let after = |record: &Record| {
            let mut exchange = Exchange::resume(before.clone());
            exchange.fold(seq, record.stamp.time, &record.events)?;
            Ok::<_, ReplayError>(exchange)
        };
        return Ok(Some(divergence.with_states(after(&a)?.state(), after(&b)?.state())));
    }
    if a.tag != b.tag {
        let tag = |tag: u64| Value::from(format!("{tag:016x}"));
        return Ok(Some(Divergence::new(seq.0, Phase::Folded, tag(a.tag), tag(b.tag))));
    }
    Ok(Some(Divergence::new(seq.0, Phase::Bytes, Value::Null, Value::Null)))
}

/// Equal records that end a block under different roots.
fn root_difference(left: &Journal, right: &Journal, seq: Seq) -> Option<Divergence> {
    if seq.0 % BLOCK_RECORDS != BLOCK_RECORDS - 1 {
        return None;
    }
    let root = |journal: &Journal| {
        let block = usize::try_from(seq.0 / BLOCK_RECORDS).ok()?;
        journal.blocks().get(block).map(|entry| crate::replaying::snapshot::hex(&entry.root))
    };
    let (a, b) = (root(left), root(right));
    (a != b).then(|| Divergence::new(seq.0, Phase::Digested, a.into(), b.into()))
}

/// What a record was sent, as JSON.
fn input(record: &Record) -> Value {
    json!({
        "time": record.stamp.time,
        "source": record.stamp.source,
        "command": record.command,
    })
}
