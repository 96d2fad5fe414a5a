//! Tables: all state lives in rows under dense keys, in pages.
//!
//! A table gives every module the same five things: the digest of its rows, exact after every
//! record; the record that last wrote each row; the difference between two tables; the bytes of a
//! snapshot; and the JSON view.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::marker::PhantomData;

use serde::Serialize;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use crate::kernel::bits::Bits;
use crate::kernel::image::{Fault, Fill, Image, Reader};
use crate::kernel::units::{Key, Seq};

/// The key of a table that holds one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Only;

impl Key for Only {
    const SINGLE: bool = true;
    fn index(self) -> u32 {
        0
    }
    fn from_index(_: u32) -> Self {
        Self
    }
}

/// What a table holds.
pub trait Row: Image + Clone + PartialEq + Debug + Serialize {}

impl<T: Image + Clone + PartialEq + Debug + Serialize> Row for T {}

/// The record that writes, and the rows that were written since they were last settled.
#[derive(Clone, Debug)]
pub struct Writer {
    seq: Seq,
    /// The numbers of their tables, and their keys.
    unsettled: Vec<(u8, u32)>,
}

impl Writer {
    /// Record `seq`, which has written nothing yet.
    pub fn new(seq: Seq) -> Self {
        Self { seq, unsettled: Vec::new() }
    }

    /// The record.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// Goes on as another record. What is unsettled remains so.
    pub(crate) fn begin(&mut self, seq: Seq) {
        self.seq = seq;
    }

    /// Whether no row is unsettled.
    pub(crate) fn is_settled(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// Hands out a row that is to be settled, each once.
    pub(crate) fn next_unsettled(&mut self) -> Option<(u8, u32)> {
        self.unsettled.pop()
    }
}

/// Journal and code disagree: an event was folded into a state that has no place for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {seq}: table `{table}` of {module}, row {row}: {problem}")]
pub struct Breach {
    /// The record being folded.
    pub seq: Seq,
    /// The module that the table belongs to.
    pub module: &'static str,
    /// The table.
    pub table: &'static str,
    /// The row.
    pub row: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a row that an event wants to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The event changes it.
    #[error("it is not there")]
    Missing,
    /// The event creates it.
    #[error("it is there already")]
    Occupied,
    /// The table takes none there: its bound is lower, or keys before it have never been used.
    #[error("it lies beyond the table's bound")]
    OutOfBounds,
    /// The event speaks of another stage of the order.
    #[error("its contents contradict the event")]
    Contradiction,
    /// The image is not one of a row.
    #[error("its bytes are not a row")]
    Undecodable,
}

/// One row that two tables disagree about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The module that the table belongs to.
    pub module: Cow<'static, str>,
    /// The table.
    pub table: Cow<'static, str>,
    /// The row's key.
    pub row: u64,
    /// The field, as a path into the row; empty if one side has no such row.
    pub field: String,
    /// Its value on the left; null if the row is not there.
    pub left: Value,
    /// Its value on the right; null if the row is not there.
    pub right: Value,
}

#[derive(Clone, Debug)]
struct Slot<R> {
    row: Option<R>,
    /// The record that wrote it last.
    writer: Seq,
    /// The digest of the row as it last was settled.
    digest: u128,
    /// Whether the row has been written since.
    unsettled: bool,
}

impl<R> Slot<R> {
    /// Notes who writes this row of a table.
    fn written(&mut self, table: u8, index: u32, by: &mut Writer) {
        self.writer = by.seq;
        if !core::mem::replace(&mut self.unsettled, true) {
            by.unsettled.push((table, index));
        }
    }
}

/// No record has this number: a slot that was never written.
const NEVER: Seq = Seq(u64::MAX);

/// Rows whose image is no longer than this are written for their digest without a check a field.
const SCRATCH_BYTES: usize = 512;

/// Where rows are written for their digest; what is in it means nothing between two of them.
#[derive(Clone, Debug)]
pub struct Scratch([u8; SCRATCH_BYTES]);

impl Default for Scratch {
    fn default() -> Self {
        Self([0; SCRATCH_BYTES])
    }
}

const PAGE_BITS: u32 = 8;
const PAGE_ROWS: usize = 1 << PAGE_BITS;

/// Rows under dense keys.
#[derive(Clone, Debug)]
pub struct Table<K, R> {
    number: u8,
    module: &'static str,
    name: &'static str,
    /// Keys are below this.
    bound: u32,
    /// Keys are at most this, which is beyond every row that there was: decisions take the lowest key
    /// that is free. None where keys are scattered.
    end: Option<u32>,
    /// A page is empty until one of its rows is written.
    pages: Vec<Vec<Slot<R>>>,
    occupied: Bits,
    digest: u128,
    key: PhantomData<K>,
}

impl<K: Key, R: Row> Table<K, R> {
    /// An empty table of a module. `number` sets its rows apart from those of other tables in every
    /// digest. It takes no row before [`bound`](Self::bound), unless it is the table of a single one.
    pub fn new(number: u8, module: &'static str, name: &'static str) -> Self {
        Self {
            number,
            module,
            name,
            bound: u32::from(K::SINGLE),
            end: Some(0),
            pages: Vec::new(),
            occupied: Bits::default(),
            digest: 0,
            key: PhantomData,
        }
    }

    /// Has it take rows under keys below `keys`, none of them left out: so memory follows the rows.
    pub fn bound(&mut self, keys: u32) {
        self.bound = keys;
    }

    /// Has it take rows under any key below `keys`.
    pub fn bound_scattered(&mut self, keys: u32) {
        self.bound = keys;
        self.end = None;
    }

    /// How many rows there may be.
    pub fn bounded(&self) -> u32 {
        self.bound
    }

    /// How many rows there are.
    pub fn len(&self) -> u32 {
        self.occupied.count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row under `key`.
    pub fn get(&self, key: K) -> Option<&R> {
        self.slot(key.index())?.row.as_ref()
    }

    /// The rows in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (K, &R)> {
        self.slots().filter_map(|(index, slot)| Some((K::from_index(index), slot.row.as_ref()?)))
    }

    /// The lowest key without a row.
    pub fn vacancy(&self) -> K {
        K::from_index(self.occupied.first_absent())
    }

    /// The row under `key`, to be changed.
    pub fn edit(&mut self, key: K, by: &mut Writer) -> Result<&mut R, Breach> {
        let index = key.index();
        if let Some(slot) = slot_mut(&mut self.pages, index).filter(|slot| slot.row.is_some()) {
            slot.written(self.number, index, by);
            if let Some(row) = &mut slot.row {
                return Ok(row);
            }
        }
        Err(breach(self.module, self.name, index, by.seq, Problem::Missing))
    }

    /// Puts a row where there is none.
    pub fn insert(&mut self, key: K, row: R, by: &mut Writer) -> Result<(), Breach> {
        if self.get(key).is_some() {
            return Err(self.breach(key.index(), by.seq, Problem::Occupied));
        }
        self.put(key, row, by)
    }

    /// Puts a row, whether or not there is one.
    pub fn put(&mut self, key: K, row: R, by: &mut Writer) -> Result<(), Breach> {
        let index = key.index();
        if index >= self.bound || self.end.is_some_and(|end| index > end) {
            return Err(self.breach(index, by.seq, Problem::OutOfBounds));
        }
        self.raise_end(index);
        self.grow(index);
        if let Some(slot) = slot_mut(&mut self.pages, index) {
            slot.row = Some(row);
            slot.written(self.number, index, by);
        }
        self.occupied.insert(index);
        Ok(())
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: K, by: &mut Writer) -> Result<(), Breach> {
        let index = key.index();
        let slot = slot_mut(&mut self.pages, index).filter(|slot| slot.row.is_some());
        let Some(slot) = slot else {
            return Err(self.breach(index, by.seq, Problem::Missing));
        };
        slot.row = None;
        slot.written(self.number, index, by);
        self.occupied.remove(index);
        Ok(())
    }

    /// A breach of this table, for a fold that finds a row it cannot apply its event to.
    pub fn breach(&self, index: u32, seq: Seq, problem: Problem) -> Breach {
        breach(self.module, self.name, index, seq, problem)
    }

    fn slot(&self, index: u32) -> Option<&Slot<R>> {
        let (page, place) = split(index);
        self.pages.get(page)?.get(place)
    }

    fn slots(&self) -> impl Iterator<Item = (u32, &Slot<R>)> {
        let pages = (0u32..).step_by(PAGE_ROWS).zip(&self.pages);
        pages.flat_map(|(first, rows)| (first..).zip(rows))
    }

    fn raise_end(&mut self, index: u32) {
        self.end = self.end.map(|end| end.max(index.saturating_add(1)));
    }

    /// Makes the page that a row lies on.
    fn grow(&mut self, index: u32) {
        let (page, _) = split(index);
        if self.pages.len() <= page {
            self.pages.resize_with(page.saturating_add(1), Vec::new);
        }
        if let Some(rows) = self.pages.get_mut(page).filter(|rows| rows.is_empty()) {
            let empty = || Slot { row: None, writer: NEVER, digest: 0, unsettled: false };
            rows.resize_with(PAGE_ROWS, empty);
        }
    }
}

#[cold]
fn breach(
    module: &'static str,
    table: &'static str,
    index: u32,
    seq: Seq,
    problem: Problem,
) -> Breach {
    Breach { seq, module, table, row: u64::from(index), problem }
}

fn split(index: u32) -> (usize, usize) {
    let index = index as usize;
    (index >> PAGE_BITS, index & (PAGE_ROWS - 1))
}

// A free function, so that a slot can be borrowed beside the list of what is unsettled.
fn slot_mut<R>(pages: &mut [Vec<Slot<R>>], index: u32) -> Option<&mut Slot<R>> {
    let (page, place) = split(index);
    pages.get_mut(page)?.get_mut(place)
}

/// A table seen without its types: what snapshots, differences and views need.
pub trait AnyTable {
    /// The module that it belongs to.
    fn module(&self) -> &'static str;
    /// Its name, which no other table has.
    fn name(&self) -> &'static str;
    /// How many rows there are.
    fn rows(&self) -> u32;
    /// Whether there can be but one.
    fn is_single(&self) -> bool;
    /// The sum of the digests of its rows, modulo 2^128.
    fn digest(&self) -> u128;
    /// Brings the digest up to date with a row that was written; by how much it has grown, modulo 2^128.
    fn settle(&mut self, key: u32, scratch: &mut Scratch) -> u128;
    /// The digest computed anew from the rows, to check the one that is kept.
    fn recomputed_digest(&self) -> u128;
    /// One row as JSON.
    fn view_row(&self, row: u64) -> Option<Value>;
    /// The keys of all rows, in order.
    fn keys(&self) -> Vec<u64>;
    /// The record that last wrote a row, or took it out. A state from a snapshot does not know about
    /// rows that were taken out before it.
    fn writer(&self, row: u64) -> Option<Seq>;
    /// Hands over every row as key, last writer and image, in the order of the keys.
    fn export(&self, each: &mut dyn FnMut(u32, Seq, &[u8]));
    /// Takes a row as `export` handed it over, as its last writer.
    fn import(&mut self, key: u32, image: &[u8], by: &mut Writer) -> Result<(), Breach>;
    /// Appends to `found` every field of every row that `other` has otherwise; ends with the row by
    /// which `limit` is reached.
    fn differences(&self, other: &dyn AnyTable, limit: usize, found: &mut Vec<Difference>);
}

impl<K: Key, R: Row> AnyTable for Table<K, R> {
    fn module(&self) -> &'static str {
        self.module
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn rows(&self) -> u32 {
        self.len()
    }

    fn is_single(&self) -> bool {
        K::SINGLE
    }

    fn digest(&self) -> u128 {
        self.digest
    }

    fn settle(&mut self, key: u32, scratch: &mut Scratch) -> u128 {
        let Some(slot) = slot_mut(&mut self.pages, key) else { return 0 };
        let fresh = match &slot.row {
            Some(row) => row_digest(self.number, key, row, scratch),
            None => 0,
        };
        let grown = fresh.wrapping_sub(slot.digest);
        slot.digest = fresh;
        slot.unsettled = false;
        self.digest = self.digest.wrapping_add(grown);
        grown
    }

    fn recomputed_digest(&self) -> u128 {
        let mut scratch = Scratch::default();
        self.iter().fold(0, |sum: u128, (key, row)| {
            sum.wrapping_add(row_digest(self.number, key.index(), row, &mut scratch))
        })
    }

    fn view_row(&self, row: u64) -> Option<Value> {
        let row = self.slot(u32::try_from(row).ok()?)?.row.as_ref()?;
        serde_json::to_value(row).ok()
    }

    fn keys(&self) -> Vec<u64> {
        self.iter().map(|(key, _)| u64::from(key.index())).collect()
    }

    fn writer(&self, row: u64) -> Option<Seq> {
        let slot = self.slot(u32::try_from(row).ok()?)?;
        (slot.writer != NEVER).then_some(slot.writer)
    }

    fn export(&self, each: &mut dyn FnMut(u32, Seq, &[u8])) {
        let mut image = Vec::new();
        for (index, slot) in self.slots() {
            if let Some(row) = &slot.row {
                image.clear();
                row.write(&mut image);
                each(index, slot.writer, &image);
            }
        }
    }

    fn import(&mut self, key: u32, image: &[u8], by: &mut Writer) -> Result<(), Breach> {
        let fault = Fault::default();
        let mut source: Reader = Reader::new(image, &fault);
        let row = R::read(&mut source);
        if fault.get().is_some() || !source.left().is_empty() {
            return Err(self.breach(key, by.seq, Problem::Undecodable));
        }
        let place = K::from_index(key);
        if place.index() != key {
            return Err(self.breach(key, by.seq, Problem::OutOfBounds));
        }
        // Rows that were there between those of a snapshot are gone.
        self.end = self.end.map(|end| end.max(key));
        self.insert(place, row, by)
    }

    fn differences(&self, other: &dyn AnyTable, limit: usize, found: &mut Vec<Difference>) {
        let mut rows = self.keys();
        rows.extend(other.keys());
        rows.sort_unstable();
        rows.dedup();
        for row in rows {
            if found.len() >= limit {
                return;
            }
            let (left, right) = (self.view_row(row), other.view_row(row));
            if left != right {
                row_differences((self.module, self.name), row, left, right, found);
            }
        }
    }
}

/// The digest of one row: XXH3-128 of the table's number, the key and the row's image. The first two
/// take eight bytes, and rows have their widest fields first: so what is hashed is what was written,
/// word by word, and need not come back from memory.
fn row_digest(number: u8, index: u32, row: &impl Image, scratch: &mut Scratch) -> u128 {
    let Scratch(scratch) = scratch;
    let place = u64::from(number) | u64::from(index) << u32::BITS;
    let mut fill = Fill::new(scratch);
    place.write(&mut fill);
    row.write(&mut fill);
    if let Some(left) = fill.left() {
        let length = SCRATCH_BYTES.saturating_sub(left);
        return xxh3_128(scratch.get(..length).unwrap_or_default());
    }
    let mut image = Vec::new();
    place.write(&mut image);
    row.write(&mut image);
    xxh3_128(&image)
}

fn row_differences(
    (module, table): (&'static str, &'static str),
    row: u64,
    left: Option<Value>,
    right: Option<Value>,
    found: &mut Vec<Difference>,
) {
    let (module, table) = (Cow::Borrowed(module), Cow::Borrowed(table));
    let difference = |field, left, right| {
        let (module, table) = (module.clone(), table.clone());
        Difference { module, table, row, field, left, right }
    };
    match (left, right) {
        (Some(left), Some(right)) => {
            let fields = value_differences("", &left, &right).into_iter();
            found.extend(fields.map(|(field, left, right)| difference(field, left, right)));
        }
        (left, right) => found.push(difference(
            String::new(),
            left.unwrap_or(Value::Null),
            right.unwrap_or(Value::Null),
        )),
    }
}

/// The deepest fields in which two JSON values differ, as dotted path, left and right value.
pub fn value_differences(path: &str, left: &Value, right: &Value) -> Vec<(String, Value, Value)> {
    if left == right {
        return Vec::new();
    }
    let join = |field: &str| {
        if path.is_empty() { String::from(field) } else { alloc::format!("{path}.{field}") }
    };
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            let mut fields: Vec<&String> = a.keys().chain(b.keys()).collect();
            fields.sort_unstable();
            fields.dedup();
            let of = |side: &serde_json::Map<String, Value>, field: &str| {
                side.get(field).cloned().unwrap_or(Value::Null)
            };
            fields
                .into_iter()
                .flat_map(|field| value_differences(&join(field), &of(a, field), &of(b, field)))
                .collect()
        }
        (Value::Array(a), Value::Array(b)) => (0..a.len().max(b.len()))
            .flat_map(|place| {
                let of = |side: &[Value]| side.get(place).cloned().unwrap_or(Value::Null);
                value_differences(&join(&alloc::format!("{place}")), &of(a), &of(b))
            })
            .collect(),
        _ => alloc::vec![(String::from(path), left.clone(), right.clone())],
    }
}
