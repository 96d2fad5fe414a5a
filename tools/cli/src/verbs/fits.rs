//! `fits`: how many orders of a size could begin at once, and where; when the next one would; and the earliest berth.
//!
//! Packed first fit decreasing, vessels by best fit (Johnson, "Near-optimal bin packing algorithms", MIT, 1973): all are
//! of one size, and the vessel is filled first whose context holds it most tightly. Who does not fit begins as slots come
//! free, one after the other (list scheduling: Graham, "Bounds for certain multiprocessing anomalies", Bell System
//! Technical Journal 45(9), 1966).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde_json::{Value, json};
use tensorforge_engine::models::{Demand, Role, Stage, Window};
use tensorforge_engine::refusal::Refusal;
use tensorforge_engine::routing::{Exclusion, Room, exclusion, room};
use tensorforge_engine::units::{Micros, Tokens, VesselId};
use tensorforge_engine::{Event, allocator, workflow};

use crate::args::FitsArgs;
use crate::asked::Asked;
use crate::failure::{Exit, Failure, Result};
use crate::moment;
use crate::names::Names;
use crate::output::{self, BAD, FAINT, GOOD, NAME, counted, grouped, span};
use crate::text::paint;
use crate::verbs::explain::word;
use crate::verbs::route::told;

pub(crate) fn run(args: &FitsArgs, as_json: bool) -> Result<Exit> {
    let length = args.window.as_deref().map(|text| moment::span("--window", text)).transpose()?;
    let asked = Asked::read(&args.asked, args.tokens_in, args.tokens_out)?;
    let fleet = Fleet::of(&asked);
    let packed = fleet.pack(&asked, args.count.map(u64::from));
    let berth = length.map(|length| berth(&asked, Micros(length))).transpose()?;
    if as_json {
        output::json(&packed.json(&asked, &fleet, berth.as_ref()));
    } else {
        packed.print(&asked, &fleet);
        berth.iter().for_each(|berth| berth.print(&asked));
    }
    let all = packed.fits > 0 && packed.count.is_none_or(|count| packed.fits == count);
    let berthed = berth.is_none_or(|berth| matches!(berth, Berth::Found { .. }));
    Ok(if all && berthed { Exit::AsAsked } else { Exit::Different })
}

/// A vessel that serves the model, takes work and holds such an order.
struct Boat {
    id: VesselId,
    context: Tokens,
    slots: u64,
    room: Room,
    /// What is promised of it: from when, until when, and how many slots.
    berths: Vec<(Micros, Micros, u64)>,
}

impl Boat {
    /// When each of its slots may be had first, as far as that is known: where it is free or comes free, and the berths
    /// that stand in the way are over.
    fn slots(&self, now: Micros) -> Vec<Micros> {
        let (frees, free) = (&self.room.frees, u64::from(self.room.slots));
        let mut slots: Vec<Micros> = frees.iter().map(|at| self.clear((*at).max(now))).collect();
        slots.extend((0..free).map(|_| now));
        // What is free and cannot be had is so until a berth is over.
        let over =
            self.berths.iter().map(|(_, until, _)| *until).filter(|until| *until > now).min();
        let kept = self.slots.saturating_sub(slots.len() as u64);
        slots.extend(over.into_iter().flat_map(|over| (0..kept).map(move |_| self.clear(over))));
        slots
    }

    /// The first moment from this one on from which no berths that take all of its slots begin before an order is done.
    fn clear(&self, mut at: Micros) -> Micros {
        loop {
            let end = at + self.room.lasts;
            let over = self.berths.iter().filter(|(from, until, _)| *from < end && *until > at);
            let taken = over.clone().fold(0u64, |sum, berth| sum.saturating_add(berth.2));
            match over.map(|(_, until, _)| *until).min() {
                Some(until) if taken >= self.slots => at = until,
                _ => return at,
            }
        }
    }
}

/// The vessels of the model: those that may be had now or later by what they do, best fit first, and the others.
struct Fleet {
    /// By role: whole, prefill, decode.
    boats: [Vec<Boat>; 3],
    barred: Vec<(VesselId, Exclusion)>,
}

impl Fleet {
    fn of(asked: &Asked) -> Self {
        let (state, demand) = (asked.state(), &asked.demand);
        let mut fleet = Self { boats: [Vec::new(), Vec::new(), Vec::new()], barred: Vec::new() };
        for (id, row) in state.tables.vessels.iter() {
            if !row.manifest.models.contains(&demand.model) {
                continue;
            }
            let why = exclusion(state, id, asked.tenant, demand);
            fleet.barred.extend(why.map(|why| (id, why)));
            // Time alone makes room where one of these stands in the way.
            let waits = matches!(
                why,
                None | Some(
                    Exclusion::Full { .. }
                        | Exclusion::Probing { .. }
                        | Exclusion::KeptForBerths { .. }
                        | Exclusion::Crowded { .. }
                        | Exclusion::KeptForOrder { .. }
                        | Exclusion::Promised { .. }
                )
            );
            let Some(room) = room(state, id, asked.tenant, demand).filter(|_| waits) else {
                continue;
            };
            let [whole, prefill, decode] = &mut fleet.boats;
            let of_role = match row.manifest.role {
                Role::Whole => whole,
                Role::Prefill => prefill,
                Role::Decode => decode,
            };
            let held =
                state.tables.berths.iter().map(|(_, row)| row).filter(|row| row.vessel == id);
            let berths = held.map(|row| (row.window.from, row.window.until, row.slots.into()));
            of_role.push(Boat {
                id,
                context: row.manifest.context_max,
                slots: row.manifest.slots.into(),
                room,
                berths: berths.collect(),
            });
        }
        for boats in &mut fleet.boats {
            boats.sort_by_key(|boat| (boat.context, boat.room.slots, boat.id));
        }
        fleet
    }

    /// Puts so many orders aboard, or as many as there is room for.
    fn pack(&self, asked: &Asked, count: Option<u64>) -> Packed {
        let state = asked.state();
        let [whole, prefill, decode] = &self.boats;
        let slots =
            |boats: &[Boat]| boats.iter().map(|boat| u64::from(boat.room.slots)).sum::<u64>();
        let free = slots(whole) + slots(prefill).min(slots(decode));
        let fits = count.unwrap_or(free).min(free);
        let mut berths = Vec::new();
        let mut left = fits;
        for boat in whole {
            let taken = left.min(boat.room.slots.into());
            left -= taken;
            berths.extend((taken > 0).then_some((boat.id, VesselId::NONE, taken)));
        }
        let mut halves = decode.iter().map(|boat| (boat.id, u64::from(boat.room.slots)));
        let mut half = halves.next();
        for boat in prefill {
            let mut of_boat = left.min(boat.room.slots.into());
            while let Some((id, slots)) = half.filter(|_| of_boat > 0) {
                let taken = of_boat.min(slots);
                berths.extend((taken > 0).then_some((boat.id, id, taken)));
                (of_boat, left) = (of_boat - taken, left - taken);
                half = if slots > taken { Some((id, slots - taken)) } else { halves.next() };
            }
        }
        let rest = count.unwrap_or(free) - fits;
        let queued = state.waiting().map_or(0, |waiting| waiting.queued);
        let places = state.limits().map_or(0, |limits| u64::from(limits.queued));
        let waits = rest.min(places.saturating_sub(queued));
        let orders = state.tables.orders.iter().map(|(_, row)| row);
        let before = orders
            .filter(|row| row.stage == Stage::Queued && row.demand.model == asked.demand.model);
        let ahead = before.count() as u64;
        let begins = (waits > 0).then(|| self.begins(state.now(), fits, ahead)).flatten();
        Packed { fits, berths, count, waits, refused: rest - waits, ahead, begins }
    }

    /// When the first one begins that does not fit, where so many have begun and so many wait before it: each takes the
    /// slot that comes free first, and all last as long as this one.
    fn begins(&self, now: Micros, begun: u64, ahead: u64) -> Option<Micros> {
        let mut slots: [BinaryHeap<Reverse<(Micros, usize)>>; 3] = Default::default();
        for (boats, slots) in self.boats.iter().zip(&mut slots) {
            for (place, boat) in boats.iter().enumerate() {
                slots.extend(boat.slots(now).into_iter().map(|at| Reverse((at, place))));
            }
        }
        let [whole, prefill, decode] = &mut slots;
        let [boats, prompts, answers] = &self.boats;
        let mut begins = None;
        for _ in 0..=begun.saturating_add(ahead) {
            let at = whole.peek().map(|slot| slot.0.0);
            let pair = prefill.peek().zip(decode.peek()).map(|(p, d)| p.0.0.max(d.0.0));
            begins = match (at, pair) {
                (Some(at), pair) if pair.is_none_or(|pair| at <= pair) => {
                    take(whole, boats, at, Micros::ZERO);
                    Some(at)
                }
                (_, Some(pair)) => {
                    let prompt = take(prefill, prompts, pair, Micros::ZERO);
                    take(decode, answers, pair, prompt);
                    Some(pair)
                }
                (Some(_) | None, None) => return None,
            };
        }
        begins
    }
}

/// Takes the slot that comes free first, from a moment on, for so long and for the order's own time there, which it
/// answers with.
fn take(
    slots: &mut BinaryHeap<Reverse<(Micros, usize)>>,
    boats: &[Boat],
    at: Micros,
    before: Micros,
) -> Micros {
    let Some(Reverse((_, place))) = slots.pop() else { return Micros::ZERO };
    let Some(boat) = boats.get(place) else { return Micros::ZERO };
    let lasts = boat.room.lasts;
    slots.push(Reverse((boat.clear(at + before + lasts), place)));
    lasts
}

/// Where orders would begin, and what becomes of the rest.
struct Packed {
    fits: u64,
    /// Where: a vessel, the one that generates if it is another, and how many.
    berths: Vec<(VesselId, VesselId, u64)>,
    /// How many were asked for.
    count: Option<u64>,
    waits: u64,
    refused: u64,
    /// Those who wait for the model already.
    ahead: u64,
    /// When the first of those who wait is expected to begin.
    begins: Option<Micros>,
}

impl Packed {
    fn print(&self, asked: &Asked, fleet: &Fleet) {
        let (state, names, demand) = (asked.state(), Names::of(asked.state()), &asked.demand);
        let now = state.now();
        output::say(format!(
            "after {}, at {}: {}, {} and at most {} generated",
            counted(asked.records, "record"),
            span(now.0),
            names.models.get(&demand.model.0).cloned().unwrap_or_default(),
            counted(demand.tokens_in.0, "prompt token"),
            grouped(demand.tokens_out_max.0),
        ));
        let style = if self.count.is_some_and(|count| count > self.fits) { BAD } else { GOOD };
        let of = self.count.map_or(String::new(), |count| format!(" of {}", grouped(count)));
        output::say(paint(style, format!("{}{of} could begin at once", grouped(self.fits))));
        for (vessel, decode, taken) in &self.berths {
            let of = |id: &VesselId| fleet.boats.iter().flatten().find(|boat| boat.id == *id);
            let (first, second) = (of(vessel), of(decode));
            let lasts = [first, second].into_iter().flatten().map(|boat| boat.room.lasts.0);
            let name = place(&names, *vessel, *decode);
            output::say(format!(
                "         {name:<24} {:>6}  holds {:>9}  lasts {:>11}",
                grouped(*taken),
                grouped(first.map_or(0, |boat| boat.context.0)),
                span(lasts.sum()),
            ));
        }
        if self.waits > 0 {
            let begins = match self.begins {
                // Whoever should have been gone by now is expected to be in a moment.
                Some(at) if at <= now + Micros(1) => "the first may begin at any moment".to_owned(),
                Some(at) => format!("the first is expected to begin in {}", span((at - now).0)),
                None => "nobody is there who could ever take one".to_owned(),
            };
            output::say(
                paint(NAME, format!("{} would wait", grouped(self.waits)))
                    + format!(", behind {} already: {begins}", counted(self.ahead, "order")),
            );
        }
        if self.refused > 0 {
            let refused = paint(BAD, format!("{} would be refused", grouped(self.refused)));
            output::say(refused + ": the queue has no more places");
        }
        for (id, why) in &fleet.barred {
            let name = format!("  not    {:<24} ", names.vessel(*id));
            output::say(paint(FAINT, name) + told(*why, now));
        }
    }

    fn json(&self, asked: &Asked, fleet: &Fleet, berth: Option<&Berth>) -> Value {
        let names = Names::of(asked.state());
        let decode = |id: VesselId| (id != VesselId::NONE).then_some(id);
        let berths = self.berths.iter().map(|(vessel, second, taken)| {
            json!({
                "vessel": vessel,
                "decode": decode(*second),
                "name": place(&names, *vessel, *second),
                "orders": taken,
            })
        });
        let others = fleet.barred.iter().map(|(id, why)| {
            let mut value = serde_json::to_value(why).unwrap_or_default();
            value["vessel"] = json!(id);
            value["name"] = names.vessel(*id).into();
            value
        });
        json!({
            "records": asked.records,
            "time_us": asked.state().now(),
            "demand": asked.demand,
            "fits": self.fits,
            "where": berths.collect::<Vec<_>>(),
            "count": self.count,
            "waits": self.waits,
            "refused": self.refused,
            "ahead": self.ahead,
            "first_begins_us": self.begins,
            "others": others.collect::<Vec<_>>(),
            "berth": berth.map(Berth::json),
        })
    }
}

fn place(names: &Names, vessel: VesselId, decode: VesselId) -> String {
    match decode {
        VesselId::NONE => names.vessel(vessel),
        decode => format!("{} then {}", names.vessel(vessel), names.vessel(decode)),
    }
}

/// What the exchange says when it is asked for a berth.
enum Berth {
    Found { vessel: VesselId, window: Window },
    Refused(Refusal),
}

/// The earliest berth of this length: the exchange is asked for one from now on, and then from when it says.
fn berth(asked: &Asked, length: Micros) -> Result<Berth> {
    let mut from = asked.state().now();
    // The second answer is about the moment that the first one named.
    for _ in 0..2 {
        let window = Window { from, until: from + length };
        let demand = Demand { window: Some(window.into()), ..asked.demand.clone() };
        for event in asked.decide(&demand)? {
            match event {
                Event::Allocator(allocator::Event::OrderBerthed { vessel, window, .. }) => {
                    return Ok(Berth::Found { vessel, window });
                }
                Event::Workflow(workflow::Event::OrderRefused { refusal, .. }) => match refusal {
                    Refusal::Allocator(allocator::Refusal::NoBerth { earliest })
                        if earliest != Micros::MAX && earliest > from =>
                    {
                        from = earliest;
                        break;
                    }
                    refusal => return Ok(Berth::Refused(refusal)),
                },
                _ => {}
            }
        }
    }
    Err(Failure::input("the exchange has named a moment at which it has no berth either"))
}

impl Berth {
    fn print(&self, asked: &Asked) {
        let (names, now) = (Names::of(asked.state()), asked.state().now());
        match self {
            Self::Found { vessel, window } => {
                let head =
                    paint(GOOD, format!("berth of {}", span((window.until - window.from).0)));
                let from = match window.from - now {
                    Micros::ZERO => "at once".to_owned(),
                    wait => format!("in {}, at {}", span(wait.0), span(window.from.0)),
                };
                output::say(head + format!(": {from}, on {}", names.vessel(*vessel)));
            }
            Self::Refused(refusal) => {
                output::say(paint(BAD, "no berth") + format!(": {}", word(refusal)));
            }
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Found { vessel, window } => {
                json!({ "vessel": vessel, "from_us": window.from, "until_us": window.until })
            }
            Self::Refused(refusal) => json!({ "refusal": refusal }),
        }
    }
}
