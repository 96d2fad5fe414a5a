//! What the events of a journal say of its orders, one after the other.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tensorforge_engine::models::{Class, End, LegKind};
use tensorforge_engine::units::{Micros, ModelId, OrderId, PicoUsd, TenantId, Tokens, VesselId};
use tensorforge_engine::workflow::{self, Fault};
use tensorforge_engine::{Event, telemetry};
use tensorforge_journal::{Journal, read_records};

use crate::args::StatsBy;
use crate::failure::Result;
use crate::names::Names;
use crate::tally::Tally;
use crate::verbs::stats::distribution::MEASURES;
use crate::verbs::stats::pools::Pools;
use crate::verbs::stats::windows::Windows;

/// Everything that is told of a journal.
pub(super) struct Gathered {
    by: StatsBy,
    live: BTreeMap<OrderId, Live>,
    pub(super) names: Names,
    pub(super) tally: Tally,
    /// Of the orders of each group that were completed, their measures in the order of `MEASURES`.
    pub(super) groups: BTreeMap<u32, [Vec<u64>; MEASURES.len()]>,
    /// Of completed orders, the tokens of the prompt and the time to the first token.
    pub(super) prompts: Vec<(u64, u64)>,
    /// Of completed orders, the tokens of the answer and the latency.
    pub(super) answers: Vec<(u64, u64)>,
    pub(super) windows: Windows,
    pub(super) pools: Pools,
}

/// What is remembered of an order until it ends.
struct Live {
    tenant: TenantId,
    class: Class,
    model: ModelId,
    tokens_in: Tokens,
    arrived: Micros,
    /// When it was first handed to a vessel.
    begun: Option<Micros>,
    /// What it is on, or was on last, since when and where; a hop holds no vessel.
    leg: Option<(LegKind, Micros, VesselId)>,
    tokens_out: Tokens,
    charge: PicoUsd,
}

impl Gathered {
    pub(super) fn read(journal: &Journal, by: StatsBy, window: Option<u64>) -> Result<Self> {
        let mut gathered = Self {
            by,
            live: BTreeMap::new(),
            names: Names::default(),
            tally: Tally::default(),
            groups: BTreeMap::new(),
            prompts: Vec::new(),
            answers: Vec::new(),
            windows: Windows::new(window),
            pools: Pools::default(),
        };
        let mut refused = None;
        read_records(journal, 0, journal.next_seq(), |record| {
            gathered.tally.count(&record.events);
            if let Err(failure) = gathered.windows.enter(record.stamp.time) {
                refused = Some(failure);
                return ControlFlow::Break(());
            }
            for event in &record.events {
                gathered.names.learn(event);
                gathered.count(event);
            }
            ControlFlow::Continue(())
        })?;
        refused.map_or(Ok(gathered), Err)
    }

    fn count(&mut self, event: &Event) {
        let now = self.windows.now();
        match event {
            Event::Workflow(event) => self.count_work(now, event),
            Event::Telemetry(telemetry::Event::OrderSettled {
                order, tokens_out, cost, ..
            }) => {
                if let Some(live) = self.live.get_mut(order) {
                    (live.tokens_out, live.charge) = (*tokens_out, *cost);
                }
            }
            _ => {}
        }
    }

    fn count_work(&mut self, now: Micros, event: &workflow::Event) {
        match event {
            workflow::Event::OrderRefused { .. } => {
                let window = self.windows.present();
                window.arrived = window.arrived.saturating_add(1);
                window.refused = window.refused.saturating_add(1);
            }
            workflow::Event::OrderAdmitted { order, tenant, demand, .. } => {
                let window = self.windows.present();
                window.arrived = window.arrived.saturating_add(1);
                let live = Live {
                    tenant: *tenant,
                    class: demand.class,
                    model: demand.model,
                    tokens_in: demand.tokens_in,
                    arrived: now,
                    begun: None,
                    leg: None,
                    tokens_out: Tokens::ZERO,
                    charge: PicoUsd::ZERO,
                };
                self.live.insert(*order, live);
            }
            workflow::Event::LegDispatched { order, kind, vessel, .. } => {
                if let Some(live) = self.live.get_mut(order) {
                    live.begun.get_or_insert(now);
                    live.leg = Some((*kind, now, *vessel));
                }
            }
            workflow::Event::LegCompleted { order, tokens_out, first_token, .. } => {
                let window = self.windows.present();
                window.tokens = window.tokens.saturating_add(tokens_out.0);
                self.count_call(*order, false, *first_token);
            }
            workflow::Event::LegFailed { order, fault, .. } => {
                // A vessel that is full, or is asked for what nobody could do, has not failed.
                if matches!(fault, Fault::Error | Fault::Timeout | Fault::VesselLost) {
                    self.count_call(*order, true, Micros::ZERO);
                }
            }
            workflow::Event::OrderEnded { order, end, first_token, latency, .. } => {
                self.end(*order, *end, *first_token, *latency);
            }
            _ => {}
        }
    }

    /// Counts what became of the leg that an order is on, at its vessel.
    fn count_call(&mut self, order: OrderId, failed: bool, first_token: Micros) {
        let Some(live) = self.live.get(&order) else { return };
        let Some((kind, since, vessel)) = live.leg.filter(|leg| leg.0 != LegKind::Hop) else {
            return;
        };
        // What came before the vessel was asked is not its doing.
        let own = first_token - (since - live.arrived);
        self.pools.count(live.model, kind, vessel, failed, own);
    }

    fn end(&mut self, order: OrderId, end: End, first_token: Micros, latency: Micros) {
        let Some(live) = self.live.remove(&order) else { return };
        let window = self.windows.present();
        match end {
            End::Completed => window.completed = window.completed.saturating_add(1),
            End::Failed | End::Expired => window.failed = window.failed.saturating_add(1),
            End::Refused | End::Cancelled => window.withdrawn = window.withdrawn.saturating_add(1),
        }
        if end != End::Completed {
            return;
        }
        let vessel = live.leg.map_or(VesselId::NONE, |(.., vessel)| vessel);
        let key = match self.by {
            StatsBy::Class => live.class as u32,
            StatsBy::Tenant => live.tenant.0,
            StatsBy::Vessel => vessel.0,
            StatsBy::Model => live.model.0,
        };
        // An answer without a token has no first one.
        let first = Some(first_token.0).filter(|span| *span > 0);
        let waited = live.begun.map(|begun| (begun - live.arrived).0);
        let measured =
            [Some(latency.0), first, waited, Some(live.tokens_out.0), Some(live.charge.0)];
        for (values, value) in self.groups.entry(key).or_default().iter_mut().zip(measured) {
            values.extend(value);
        }
        self.prompts.extend(first.map(|first| (live.tokens_in.0, first)));
        self.answers.push((live.tokens_out.0, latency.0));
    }
}
