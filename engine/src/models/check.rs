//! What is true of those who take part, and of every order.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::kernel::bits::Bits;
use crate::kernel::table::{Row, Table};
use crate::kernel::units::{BerthId, Key, MicroUsd, Micros, ModelId, Tokens, VesselId, worth};
use crate::models::rows::{Manifest, Role, Stage, VesselStatus};
use crate::state::State;

pub(crate) fn check(state: &State, faults: &mut Vec<String>) {
    check_orders(state, faults);
    check_open(state, faults);
    check_names(state, faults);
}

fn check_orders(state: &State, faults: &mut Vec<String>) {
    for (slot, order) in state.tables.orders.iter() {
        let berthed = order.stage == Stage::Berthed;
        let since = state.now - order.submitted;
        let on_its_way = usize::from(order.leg) < order.route.len() && order.attempt > 0;
        let wrong = [
            (order.id.slot() != slot, "holds an order of another slot"),
            (order.wake > order.deadline, "nothing wakes it before its deadline"),
            (berthed != (order.berth != BerthId::NONE), "stage and berth contradict each other"),
            (order.stage == Stage::Running && !on_its_way, "runs, but has no leg to work"),
            (order.tokens_out > order.demand.tokens_out_max, "has more tokens than it may"),
            (order.cached > order.demand.tokens_in, "found more in caches than its prompt"),
            (order.first_token > since.max(Micros(1)), "has a token from the future"),
        ];
        let wrong = wrong.iter().filter(|(wrong, _)| *wrong);
        faults.extend(wrong.map(|(_, what)| format!("orders.{slot}: {what}")));
    }
}

/// The sets of vessels that are up and open are what the rows say, for every model.
fn check_open(state: &State, faults: &mut Vec<String>) {
    let mut open = BTreeSet::new();
    for (id, vessel) in state.tables.vessels.iter() {
        let Some(load) = state.tables.loads.get(id) else {
            faults.push(format!("vessels.{id}: has no load"));
            continue;
        };
        if load.used < vessel.room(load) {
            open.insert(id.0);
        }
        let aboard = vessel.status.is_gone() && load.used > 0;
        if (aboard || vessel.status == VesselStatus::Restarting) && load.wake > state.now {
            faults
                .push(format!("vessels.{id}: is gone, and nothing fails over what it has aboard"));
        }
        let joining = vessel.status == VesselStatus::Joining;
        if joining != (vessel.joins != Micros::ZERO) || (joining && load.used > 0) {
            faults.push(format!("vessels.{id}: is on its way or is not"));
        }
        if vessel.status == VesselStatus::Draining && load.used == 0 {
            faults.push(format!("vessels.{id}: drains, but has nothing aboard"));
        }
    }
    if !state.index.parties.open.iter().eq(open.iter().copied()) {
        faults.push("open: not the vessels that have room".into());
    }
    for (model, serving) in (0..).map(ModelId).zip(&state.index.parties.serving) {
        let serves = |id: &VesselId| {
            state.tables.vessels.get(*id).filter(|row| row.manifest.models.contains(&model))
        };
        for (role, set) in Role::ALL.iter().zip(&serving.open) {
            let expected = open.iter().copied().filter(|id| {
                serves(&VesselId(*id)).is_some_and(|vessel| vessel.manifest.role == *role)
            });
            if !set.iter().eq(expected) {
                faults.push(format!("models.{model}: not the {role:?} vessels with room"));
            }
            let held: BTreeSet<u32> =
                serving.holding(*role, Tokens::ZERO, VesselId(0)).map(|id| id.0).collect();
            if !held.iter().copied().eq(set.iter()) {
                faults.push(format!("models.{model}: not the {role:?} vessels by what they hold"));
            }
        }
        let up = |id: &VesselId| serves(id).is_some_and(|row| row.status == VesselStatus::Up);
        let up: Vec<VesselId> = state.tables.vessels.iter().map(|(id, _)| id).filter(up).collect();
        if !serving.up.iter().eq(up.iter().map(|id| id.0)) {
            faults.push(format!("models.{model}: not the vessels that are up"));
        }
        // Those that are up or on their way.
        let coming = || {
            let there = |status| matches!(status, VesselStatus::Up | VesselStatus::Joining);
            let vessels = state.tables.vessels.iter().filter(|(id, _)| serves(id).is_some());
            vessels.map(|(_, row)| row).filter(move |row| there(row.status))
        };
        let most = |role: Role| {
            let of_role = coming().filter(|row| row.manifest.role == role);
            of_role.map(|row| row.manifest.context_max).max().unwrap_or(Tokens::ZERO)
        };
        let room = |set: &Bits| {
            let vessels = set.iter().filter_map(|id| state.tables.vessels.get(VesselId(id)));
            vessels.map(|row| row.manifest.context_max).max().unwrap_or(Tokens::ZERO)
        };
        let [whole, prefill, decode] = serving.open.each_ref().map(room);
        let (room, for_prompts) = (whole.max(prefill.min(decode)), whole.max(prefill));
        if [true, false].map(|answers| serving.room(answers)) != [room, for_prompts] {
            faults.push(format!("models.{model}: not the largest order for which there is room"));
        }
        let there = state.tables.vessels.iter().filter(|(id, _)| serves(id).is_some());
        let there = there.filter(|(_, row)| row.status != VesselStatus::Retired);
        let prices = there.fold([MicroUsd::ZERO; 2], |[prompt, answer], (_, row)| {
            let Manifest { price_in, price_cached, price_out, .. } = row.manifest;
            [prompt.max(price_in).max(price_cached), answer.max(price_out)]
        });
        let [prompt, answer] = prices.map(|price| worth(Tokens(1), price));
        let (one, none) = (Tokens(1), Tokens::ZERO);
        if serving.dearest(one, none) != prompt || serving.dearest(none, one) != answer {
            faults.push(format!("models.{model}: not what the dearest of its vessels ask"));
        }
        let prompts = coming().map(|row| &row.manifest).filter(|of| of.role != Role::Decode);
        let least = prompts.map(|of| (of.price_in, of.price_cached));
        let least = least.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1))).unwrap_or_default();
        let least = [least.0, least.0.min(least.1)].map(|price| worth(Tokens(1), price));
        if [none, one].map(|named| serving.cheapest(one, named)) != least {
            faults.push(format!("models.{model}: not what the cheapest of its vessels ask"));
        }
        let [whole, prefill, decode] = [Role::Whole, Role::Prefill, Role::Decode].map(most);
        let held = [whole.max(prefill.min(decode)), whole.max(prefill)];
        if [true, false].map(|answers| serving.context_max(answers)) != held {
            faults.push(format!("models.{model}: not the largest order that can be held"));
        }
    }
    if state.index.parties.serving.len() != state.tables.models.len() as usize {
        faults.push("serving: not one entry a model".into());
    }
}

fn check_names(state: &State, faults: &mut Vec<String>) {
    fn same<K: Key, R: Row>(
        index: &BTreeMap<String, K>,
        table: &Table<K, R>,
        name: impl Fn(&R) -> &String,
    ) -> bool {
        index.len() == table.len() as usize
            && table.iter().all(|(id, row)| index.get(name(row)) == Some(&id))
    }
    let (index, tables) = (&state.index.parties, &state.tables);
    let known = [
        (same(&index.tenants, &tables.tenants, |row| &row.name), "tenants"),
        (same(&index.regions, &tables.regions, |row| &row.name), "regions"),
        (same(&index.models, &tables.models, |row| &row.name), "models"),
        (same(&index.vessels, &tables.vessels, |row| &row.name), "vessels"),
    ];
    let wrong = known.iter().filter(|(same, _)| !*same);
    faults.extend(wrong.map(|(_, table)| format!("{table}: not found by their names")));
}
