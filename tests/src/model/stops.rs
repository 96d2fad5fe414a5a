//! Legs that were told to stop, and what is charged for them.

use super::*;
use tensorforge_engine::models::Usage;
use tensorforge_engine::workflow::{Outcome, Stop as Row};

impl Model {
    /// What a stopped leg has worked is awaited, unless its vessel is gone.
    pub(super) fn await_stop(
        &mut self,
        order: &Live,
        end: Option<End>,
        charged: u64,
        by: Option<OrderId>,
    ) -> Decided<()> {
        let (_, policy) = self.policy()?;
        let Some(leg) = order.route.get(order.leg).filter(|leg| leg.kind != LegKind::Hop).cloned()
        else {
            return Ok(());
        };
        let ship = self.ship(leg.vessel)?;
        if !matches!(ship.status, VesselStatus::Up | VesselStatus::Draining | VesselStatus::Drained)
        {
            return Ok(());
        }
        let manifest = ship.manifest.clone();
        let most = order.demand.tokens_out_max.0 - order.tokens_out;
        let reserved = self.reserves.get(&order.id.slot().0).filter(|_| end.is_some());
        let estimate = match end {
            Some(_) => self.estimate(order, &leg, &manifest, most),
            None => Usage::NONE,
        };
        let row = Row {
            until: Micros(self.now + policy.stop.0),
            reserved: reserved.map(|amount| PicoUsd(amount - charged)),
            order: order.id,
            estimate,
            share: match end {
                Some(End::Cancelled) => policy.charge.cancelled,
                Some(End::Expired) => policy.charge.expired,
                _ => Ppm(0),
            },
            tokens_in: order.demand.tokens_in,
            tokens_out_max: Tokens(most),
            by: by.unwrap_or(OrderId(0)),
            tenant: TenantId(order.tenant),
            vessel: leg.vessel,
            attempt: order.attempt,
            kind: leg.kind,
            leg: order.leg as u8,
            ended: end.is_some(),
        };
        let bound = self.limits.as_ref().map_or(0, |limits| limits.orders as usize);
        if self.stops.len() >= bound {
            let usage = row.estimate.clone();
            return self.settle_stop(StopSlot::NONE, row, usage, true);
        }
        let slot = (0..).find(|slot| !self.stops.contains_key(slot)).unwrap_or(0);
        if let Some(amount) = row.reserved {
            self.spend(order.tenant, 0, i128::from(amount.0));
        }
        let ship = self.ship(leg.vessel)?;
        ship.used += 1;
        ship.tokens += row.tokens_in.0 + row.tokens_out_max.0;
        self.stops.insert(slot, row.clone());
        let (stop, awaited) = (StopSlot(slot), Box::new(row));
        self.expect(workflow::Event::StopAwaited { stop, awaited })
    }

    /// What a leg would have worked in the time, at the pace of its vessel: first its prompt, then token by token.
    fn estimate(&self, order: &Live, leg: &Leg, manifest: &Manifest, most: u64) -> Usage {
        let pace = u128::from(self.pace_of(leg.vessel.0));
        let alone = (self.now - order.dispatched).saturating_sub(self.fetched(order, leg));
        let elapsed = u128::from(alone) * 100 / pace;
        let asked = order.demand.tokens_in.0;
        let reads = leg.kind == LegKind::Whole || leg.kind == LegKind::Prefill;
        let writes = leg.kind == LegKind::Whole || leg.kind == LegKind::Decode;
        let reading = u128::from(if reads { rules::prompt_time(manifest, asked) } else { 0 });
        let read = match reads {
            false => 0,
            true if elapsed >= reading => asked,
            true => {
                let share = rules::share(rules::narrow(elapsed), rules::narrow(reading));
                rules::narrow(rules::charge(asked, share, 1_000_000))
            }
        };
        let each = u128::from(manifest.decode_per_token.0);
        let made = if writes && each > 0 { elapsed.saturating_sub(reading) / each } else { 0 };
        let made = rules::narrow(made).min(most);
        let fuel = rules::charge(read, manifest.fuel_in.0, 1_000)
            + rules::charge(made, manifest.fuel_out.0, 1_000);
        Usage {
            tokens_in: Tokens(read),
            cached: Tokens(0),
            tokens_out: Tokens(made),
            energy: Millijoules(rules::narrow(fuel)),
        }
    }

    /// The stop of a leg.
    pub(super) fn stop_of(&self, order: OrderId, attempt: u16, leg: u8) -> Option<u32> {
        let mut of = self.stops.iter();
        of.find(|(_, row)| (row.order, row.attempt, row.leg) == (order, attempt, leg))
            .map(|(slot, _)| *slot)
    }

    pub(super) fn report_stop(
        &mut self,
        order: OrderId,
        attempt: u16,
        leg: u8,
        usage: &Usage,
    ) -> Decided<()> {
        let slot = self.stop_of(order, attempt, leg).ok_or(workflow::Refusal::Stale)?;
        self.answered(slot, Some(usage.clone()))
    }

    /// A leg reports as if it had not been stopped.
    pub(super) fn report_late(&mut self, slot: u32, outcome: &Outcome) -> Decided<()> {
        let usage = match outcome {
            Outcome::Done { tokens_out, cached, energy, .. } => Usage {
                tokens_in: self.stops[&slot].tokens_in,
                cached: *cached,
                tokens_out: *tokens_out,
                energy: *energy,
            },
            Outcome::Failed(_) => Usage::NONE,
        };
        self.answered(slot, Some(usage))
    }

    /// There is an answer, or there is none and will be none.
    pub(super) fn answered(&mut self, slot: u32, usage: Option<Usage>) -> Decided<()> {
        let Some(row) = self.stops.remove(&slot) else { return wrong("no such stop") };
        if let Some(amount) = row.reserved {
            self.spend(row.tenant.0, 0, -i128::from(amount.0));
        }
        let vessel = row.vessel;
        let ship = self.ship(vessel)?;
        ship.used -= 1;
        ship.tokens -= row.tokens_in.0 + row.tokens_out_max.0;
        let (estimated, usage) = (usage.is_none(), usage.unwrap_or(row.estimate.clone()));
        self.wanting.push(row.by);
        self.settle_stop(StopSlot(slot), row, usage, estimated)?;
        self.drained(vessel)?;
        self.noted_ships.insert(vessel.0);
        Ok(())
    }

    fn settle_stop(
        &mut self,
        stop: StopSlot,
        row: Row,
        usage: Usage,
        estimated: bool,
    ) -> Decided<()> {
        let read = match row.kind {
            LegKind::Whole | LegKind::Prefill => usage.tokens_in.min(row.tokens_in),
            LegKind::Hop | LegKind::Decode => Tokens(0),
        };
        let (cached, made) = (usage.cached.min(read), usage.tokens_out.min(row.tokens_out_max));
        let manifest = &self.ships[&row.vessel.0].manifest;
        let burnt = rules::leg_price(manifest, row.kind, [read.0, cached.0, made.0]);
        let charged = u128::from(burnt) * u128::from(row.share.0) / 1_000_000;
        let most = row.reserved.map_or(u128::MAX, |amount| u128::from(amount.0));
        let charged = charged.min(most);
        let (_, account) = &mut self.tenants[row.tenant.0 as usize];
        if row.ended {
            account.tokens_in.0 += read.0;
            account.cached.0 += cached.0;
            account.tokens_out.0 += made.0;
        }
        (account.cost, account.cost_picos) =
            rules::plus((account.cost, account.cost_picos), charged);
        (account.burnt, account.burnt_picos) =
            rules::plus((account.burnt, account.burnt_picos), burnt.into());
        account.energy.0 += usage.energy.0;
        if self.spending.contains_key(&row.tenant.0) {
            self.spend(row.tenant.0, charged, 0);
        }
        let usage = Usage { tokens_in: read, cached, tokens_out: made, energy: usage.energy };
        self.expect(workflow::Event::StopSettled {
            stop,
            order: row.order,
            tenant: row.tenant,
            usage,
            cost: PicoUsd(rules::narrow(charged)),
            burnt: PicoUsd(burnt),
            estimated,
            ended: row.ended,
        })
    }
}
