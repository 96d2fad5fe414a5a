//! The state: every table, and the indexes that are derived from them.

pub(crate) mod index;
mod restore;
pub mod tables;
mod timers;
mod view;

use alloc::vec::Vec;

use crate::config::rows::Limits;
use crate::kernel::table::{AnyTable as _, Breach, Difference, Only, Problem, Scratch, Writer};
use crate::kernel::units::{JournalId, Micros, OrderId, PolicyVersion, Ppm, Seq, Tokens};
use crate::models::rows::Order;
use crate::policy::rows::{Drift, Policy, PolicyLevel, Stance};
use crate::queue::rows::{Flow, Waiting};
use crate::resilience::rows::Outcomes;
use crate::state::index::Index;
use crate::state::tables::Tables;
use crate::workflow::rows::Control;

/// The hash of a whole state.
pub type Root = [u8; 32];

/// The state of an exchange after some record.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) journal: JournalId,
    /// Everything that is hashed.
    pub tables: Tables,
    pub(crate) index: Index,
    pub(crate) writer: Writer,
    pub(crate) now: Micros,
    /// The sum of the digests of all tables, modulo 2^128.
    sum: u128,
    scratch: Scratch,
}

impl State {
    /// The state before the first record.
    pub fn genesis(journal: JournalId) -> Self {
        let mut state = Self::empty(journal, Seq(0));
        let control = Control { now: Micros::ZERO, orders: 0 };
        let stance = Stance {
            policy: PolicyVersion::NONE,
            level: PolicyLevel::Normal,
            level_since: Micros::ZERO,
            risk: Ppm::ZERO,
            review_at: Micros::ZERO,
            override_until: Micros::ZERO,
            reviews: 0,
            drift: Drift::default(),
        };
        let waiting =
            Waiting { tickets: 0, queued: 0, tokens: Tokens::ZERO, serve_at: Micros::MAX };
        // The one row of each of these tables is always within its bound.
        let _ = state.tables.control.put(Only, control, &mut state.writer);
        let _ = state.tables.stance.put(Only, stance, &mut state.writer);
        let _ = state.tables.waiting.put(Only, waiting, &mut state.writer);
        let _ = state.tables.flow.put(Only, Flow::default(), &mut state.writer);
        let _ = state.tables.calls.put(Only, Outcomes::default(), &mut state.writer);
        state.settle();
        state
    }

    fn empty(journal: JournalId, seq: Seq) -> Self {
        Self {
            journal,
            tables: Tables::new(),
            index: Index::default(),
            writer: Writer::new(seq),
            now: Micros::ZERO,
            sum: 0,
            scratch: Scratch::default(),
        }
    }

    /// The journal whose state this is; the key of its draws.
    pub fn journal(&self) -> JournalId {
        self.journal
    }

    /// The time of the last record.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// The record being decided or folded, or the last one.
    pub fn seq(&self) -> Seq {
        self.writer.seq()
    }

    /// What the exchange as a whole has counted.
    pub fn control(&self) -> Option<&Control> {
        self.tables.control.get(Only)
    }

    /// The level in force, and which policy is.
    pub fn stance(&self) -> Option<&Stance> {
        self.tables.stance.get(Only)
    }

    /// What the queue has counted.
    pub fn waiting(&self) -> Option<&Waiting> {
        self.tables.waiting.get(Only)
    }

    /// What was routed lately.
    pub fn flow(&self) -> Option<&Flow> {
        self.tables.flow.get(Only)
    }

    /// What became of calls lately.
    pub fn calls(&self) -> Option<&Outcomes> {
        self.tables.calls.get(Only)
    }

    /// The bounds, once they are set.
    pub fn limits(&self) -> Option<&Limits> {
        self.tables.limits.get(Only)
    }

    /// The policy in force, and its version.
    pub fn policy(&self) -> Option<(PolicyVersion, &Policy)> {
        let version = self.stance()?.policy;
        Some((version, self.tables.policies.get(version)?))
    }

    /// A live order; `None` if there is none of that very number.
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.tables.orders.get(id.slot()).filter(|order| order.id == id)
    }

    /// The digest of every table, in the order of their numbers.
    pub fn digests(&self) -> [u128; Tables::COUNT] {
        debug_assert!(self.writer.is_settled(), "digests read before they were settled");
        self.tables.digests()
    }

    /// 64 bits of the sum of all digests: equal states have equal tags.
    pub fn tag(&self) -> u64 {
        (self.sum ^ (self.sum >> 64)) as u64
    }

    /// The hash of the whole state: BLAKE3 over every table's number, count of rows and digest.
    pub fn root(&self) -> Root {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"tensorforge state root 1\n");
        for ((table, digest), number) in self.tables.all().iter().zip(self.digests()).zip(0u8..) {
            hasher.update(&[number]);
            hasher.update(&table.rows().to_le_bytes());
            hasher.update(&digest.to_le_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// Every row and field in which two states differ; at most about `limit` of them.
    pub fn differences(&self, other: &Self, limit: usize) -> Vec<Difference> {
        let mut found = Vec::new();
        for (left, right) in self.tables.all().into_iter().zip(other.tables.all()) {
            if left.digest() != right.digest() && found.len() < limit {
                left.differences(right, limit, &mut found);
            }
        }
        found
    }

    /// Whether the digests of the tables add up to the sum that tags are made of.
    pub(crate) fn sum_is_right(&self) -> bool {
        self.digests().into_iter().fold(0, u128::wrapping_add) == self.sum
    }

    /// Starts a record: time moves, and nothing else.
    pub(crate) fn begin(&mut self, seq: Seq, time: Micros) -> Result<(), Breach> {
        self.writer.begin(seq);
        self.now = self.now.max(time);
        self.edit_control()?.now = self.now;
        Ok(())
    }

    /// Brings digests and their sum up to date. Looks at the rows that were written, however many
    /// tables there are besides.
    pub(crate) fn settle(&mut self) {
        while let Some((table, key)) = self.writer.next_unsettled() {
            self.sum = self.sum.wrapping_add(self.tables.settle(table, key, &mut self.scratch));
        }
    }

    /// The row of what the exchange as a whole has counted, to be changed.
    pub(crate) fn edit_control(&mut self) -> Result<&mut Control, Breach> {
        self.tables.control.edit(Only, &mut self.writer)
    }

    /// The row of what the queue has counted, to be changed.
    pub(crate) fn edit_waiting(&mut self) -> Result<&mut Waiting, Breach> {
        self.tables.waiting.edit(Only, &mut self.writer)
    }

    /// The row of the level and the policy in force, to be changed.
    pub(crate) fn edit_stance(&mut self) -> Result<&mut Stance, Breach> {
        self.tables.stance.edit(Only, &mut self.writer)
    }

    /// The row of what was routed lately, to be changed.
    pub(crate) fn edit_flow(&mut self) -> Result<&mut Flow, Breach> {
        self.tables.flow.edit(Only, &mut self.writer)
    }

    /// A live order, to be changed; a breach if the slot holds another one.
    pub(crate) fn edit_order(&mut self, id: OrderId) -> Result<&mut Order, Breach> {
        let (seq, row) = (self.seq(), u64::from(id.slot().0));
        let (module, table) = (self.tables.orders.module(), self.tables.orders.name());
        let order = self.tables.orders.edit(id.slot(), &mut self.writer)?;
        if order.id == id {
            return Ok(order);
        }
        Err(Breach { seq, module, table, row, problem: Problem::Contradiction })
    }

    /// Has every table take as many rows as the limits say.
    pub(crate) fn bound(&mut self) -> Result<(), Breach> {
        match self.limits().filter(|limits| limits.faults().is_empty()).cloned() {
            Some(limits) => {
                self.tables.bound_by(&limits);
                Ok(())
            }
            None => Err(self.tables.limits.breach(0, self.seq(), Problem::Contradiction)),
        }
    }
}
