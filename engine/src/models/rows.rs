//! What the exchange deals in: tenants, regions, models, vessels with their manifests, and orders.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Deref;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::kernel::image::{Image, Sink, Source, code, row};
use crate::kernel::units::{
    BerthId, KeySlot, MicroUsd, Micros, Millijoules, ModelId, OrderId, OrderSlot, PicoUsd, Ppm,
    RegionId, TenantId, Tokens, VesselId, clamp,
};
use crate::resilience::rows::{Breaker, Outcomes};

code! {
    /// The service level of an order, most urgent first.
    pub enum Class {
        /// Somebody is waiting for every token.
        Interactive = 0,
        /// Somebody is waiting for the answer.
        Standard = 1,
        /// Nobody is waiting.
        Batch = 2,
    }
}

code! {
    /// What an order asks for.
    pub enum Kind {
        /// One inference request.
        Inference = 0,
        /// A bundle of requests that is served as one.
        Batch = 1,
        /// A training job; it asks for a window, and begins when its berth does.
        Training = 2,
        /// The embedding of a text: a prompt without an answer.
        Embedding = 3,
    }
}

code! {
    /// Which hops of work a vessel takes.
    pub enum Role {
        /// Prefill and decode, on the same vessel.
        Whole = 0,
        /// Prefill alone.
        Prefill = 1,
        /// Decode alone.
        Decode = 2,
    }
}

code! {
    /// Whether a vessel takes work.
    pub enum VesselStatus {
        /// Takes work.
        Up = 0,
        /// Finishes what it has, takes no more.
        Draining = 1,
        /// Has finished draining.
        Drained = 2,
        /// Gone, with whatever it had.
        Lost = 3,
        /// Begun anew, without whatever it had: takes work once that has been failed over.
        Restarting = 4,
        /// Gone for good.
        Retired = 5,
        /// Announced, and on its way: takes work once it has been heard of.
        Joining = 6,
    }
}

impl VesselStatus {
    /// Whether whatever a vessel has aboard is gone.
    pub(crate) fn is_gone(self) -> bool {
        matches!(self, Self::Lost | Self::Restarting)
    }
}

code! {
    /// Where a live order stands.
    pub enum Stage {
        /// Waiting for a vessel with room.
        Queued = 0,
        /// Waiting for the window of its berth.
        Berthed = 1,
        /// On its way: one leg is being worked.
        Running = 2,
        /// Waiting to be tried again.
        Backoff = 3,
    }
}

code! {
    /// The one state in which every order ends.
    pub enum End {
        /// Served.
        Completed = 0,
        /// Never admitted.
        Refused = 1,
        /// Given up after its last attempt.
        Failed = 2,
        /// Its deadline passed.
        Expired = 3,
        /// Withdrawn by its tenant.
        Cancelled = 4,
    }
}

code! {
    /// One hop of work.
    pub enum LegKind {
        /// The way into another region; takes time, holds no capacity.
        Hop = 0,
        /// Prefill and decode in one place.
        Whole = 1,
        /// Prefill alone.
        Prefill = 2,
        /// Decode alone.
        Decode = 3,
    }
}

row! {
    /// How much of something a tenant may ask for over time, and at once.
    pub struct Allowance {
        /// How long a period is.
        pub period: Micros,
        /// So much within a period; zero is no limit.
        pub amount: u64,
        /// So much at once, before that applies.
        pub burst: u64,
    }
}

impl Allowance {
    /// No limit.
    pub const NONE: Self = Self { period: Micros::ZERO, amount: 0, burst: 0 };
    /// The largest amount and the largest burst.
    const MOST: u64 = 1_000_000_000_000;
    /// The longest period: 31 days.
    const LONGEST: Micros = Micros(31 * 86_400 * 1_000_000);

    /// What is wrong with it, naming the field; none if it makes sense.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let limited = self.amount > 0;
        let faults = [
            (self.amount > Self::MOST, "amount is above 10^12"),
            (self.burst > Self::MOST, "burst is above 10^12"),
            (self.period > Self::LONGEST, "period is above 31 days"),
            (limited && self.burst == 0, "burst is 0"),
            (limited && self.period == Micros::ZERO, "period is 0"),
        ];
        faults.iter().find(|(wrong, _)| *wrong).map(|(_, fault)| *fault)
    }

    /// How long it takes until so much more may be asked for, rounded up: rounded down, two of three
    /// microseconds would let half as many again pass. No time without a limit.
    pub(crate) fn span(&self, asked: u64) -> Micros {
        let amount = u128::from(self.amount);
        if amount == 0 { Micros::ZERO } else { Micros(clamp(self.time(asked).div_ceil(amount))) }
    }

    /// The generic cell rate algorithm (ITU-T I.371), for cells of any size: the next theoretical arrival time
    /// if so much passes now, or else when it would. As many of a size pass at once as the burst holds; what is
    /// larger passes once nothing of that is used up, and has to be made up for.
    pub(crate) fn pass(&self, arrival: Micros, asked: u64, now: Micros) -> Result<Micros, Micros> {
        if self.amount == 0 {
            return Ok(arrival);
        }
        let (each, cells) = (self.span(asked), self.burst.checked_div(asked).unwrap_or(0));
        // Each is rounded up by itself, and so all of them are.
        let before = Micros(each.0.saturating_mul(cells.saturating_sub(1)));
        let earliest = arrival - before.max(self.span(self.burst.saturating_sub(asked)));
        if now < earliest { Err(earliest) } else { Ok(arrival.max(now) + each) }
    }

    /// So many periods, in microseconds.
    fn time(&self, periods: u64) -> u128 {
        u128::from(periods).saturating_mul(u128::from(self.period.0))
    }
}

row! {
    /// How well a tenant is to be served.
    pub struct Promise {
        /// The share of its orders that shall be good: served, and in time; zero promises nothing.
        pub objective: Ppm,
        /// The time within which an order has its first token; zero is any.
        pub first_token: Micros,
        /// The time within which it is done; zero is any.
        pub latency: Micros,
    }
}

impl Promise {
    /// Nothing.
    pub const NONE: Self =
        Self { objective: Ppm::ZERO, first_token: Micros::ZERO, latency: Micros::ZERO };

    /// What is wrong with it, naming the field; none if it makes sense.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let timed = self.first_token > Micros::ZERO || self.latency > Micros::ZERO;
        let faults = [
            (self.objective >= Ppm::ONE, "objective is above 999999: nothing may go wrong"),
            (timed && self.objective == Ppm::ZERO, "objective is 0"),
        ];
        faults.iter().find(|(wrong, _)| *wrong).map(|(_, fault)| *fault)
    }

    /// Whether an order that was served has been as it was promised.
    pub(crate) fn kept(&self, first_token: Micros, latency: Micros) -> bool {
        let within = |took: Micros, most: Micros| most == Micros::ZERO || took <= most;
        within(first_token, self.first_token) && within(latency, self.latency)
    }
}

row! {
    /// A tenant's contract with the exchange.
    pub struct Tenant {
        /// Its name, unique among tenants.
        pub name: String,
        /// How many orders it may submit.
        pub orders: Allowance,
        /// How many tokens they may have, prompts and answers together. What an answer may have is counted when
        /// the order comes, and what it did not have is given back when it ends.
        pub tokens: Allowance,
        /// The most live orders it may have; zero is no limit.
        pub live_max: u32,
        /// The most of its idempotency keys that are remembered, from the next one on; zero leaves it to the
        /// exchange.
        pub keys_max: u32,
        /// The most of its orders that wait in the queue before more are refused; zero leaves it to the exchange: then it
        /// has no more of them than there are places left.
        pub queued_max: u32,
        /// How long a period of its budget is; zero is for good.
        pub budget_period: Micros,
        /// The most that it may be charged within a period; zero is no limit. Nothing is set aside for orders
        /// that came when it had none.
        pub budget: MicroUsd,
        /// How well it is to be served.
        pub sla: Promise,
    }
}

impl Tenant {
    /// A contract without any limit.
    pub fn unlimited(name: &str) -> Self {
        Self {
            name: String::from(name),
            orders: Allowance::NONE,
            tokens: Allowance::NONE,
            live_max: 0,
            keys_max: 0,
            queued_max: 0,
            budget_period: Micros::ZERO,
            budget: MicroUsd::ZERO,
            sla: Promise::NONE,
        }
    }
}

row! {
    /// A region, and what it takes to get there.
    pub struct Region {
        /// Its name, unique among regions.
        pub name: String,
        /// The time that a hop into this region from any other takes.
        pub hop: Micros,
        /// The time that what a vessel has made of a thousand prompt tokens takes into this region from any other.
        pub transfer: Micros,
    }
}

row! {
    /// A model that orders may ask for.
    pub struct Model {
        /// Its name, unique among models.
        pub name: String,
        /// How many routes have been chosen for it by turns.
        pub turns: u64,
    }
}

row! {
    /// What a vessel carries and what its work takes, as its operator declares it.
    pub struct Manifest {
        /// Where it lies.
        pub region: RegionId,
        /// What it would be lost with, such as a rack or a power feed: all vessels of the same number. Zero is nothing.
        pub domain: u32,
        /// Which hops of work it takes.
        pub role: Role,
        /// The models that it serves.
        pub models: Vec<ModelId>,
        /// How many orders it works on at once.
        pub slots: u32,
        /// The largest order it takes: prompt and answer together.
        pub context_max: Tokens,
        /// The tokens that it has memory for, those of all orders aboard together; zero is as many as its slots take.
        pub cache_tokens: Tokens,
        /// Time for a thousand prompt tokens.
        pub prefill_per_kilotoken: Micros,
        /// Time for one generated token.
        pub decode_per_token: Micros,
        /// Price of a million prompt tokens.
        pub price_in: MicroUsd,
        /// Price of a million prompt tokens found in the prefix cache.
        pub price_cached: MicroUsd,
        /// Price of a million generated tokens.
        pub price_out: MicroUsd,
        /// Fuel for a thousand prompt tokens.
        pub fuel_in: Millijoules,
        /// Fuel for a thousand generated tokens.
        pub fuel_out: Millijoules,
        /// How often it reports; three silent periods and it counts as lost. Zero is never.
        pub heartbeat: Micros,
    }
}

row! {
    /// A vessel, as far as it seldom changes.
    pub struct Vessel {
        /// Its name, unique among vessels.
        pub name: String,
        /// Whether it takes work.
        pub status: VesselStatus,
        /// Whether it was sent away: it takes no work until it is registered anew, lost or not.
        pub held: bool,
        /// The number of its present start; zero where none was told.
        pub start: u64,
        /// By when it has to have been heard of, while it is joining; else zero.
        pub joins: Micros,
        /// What it carries.
        pub manifest: Manifest,
    }
}

row! {
    /// How long a vessel's legs took lately, beside how long they should have taken by its manifest. With every
    /// span of time that passes what is counted so far weighs half.
    #[derive(Copy, Default)]
    pub struct Pace {
        /// When the present span began.
        pub since: Micros,
        /// How long legs took.
        pub took: Micros,
        /// How long they should have taken, had they been alone.
        pub predicted: Micros,
        /// How many there were.
        pub legs: u32,
    }
}

impl Pace {
    /// That of a vessel that takes as long as its manifest says, in percent.
    pub(crate) const AS_DECLARED: u16 = 100;
    /// A vessel is not taken to be faster than this, nor slower: it may have recovered.
    const BOUNDS: [u64; 2] = [25, Self::SLOWEST as u64];
    /// The slowest, in percent.
    pub(crate) const SLOWEST: u16 = 1_600;

    /// Counts a leg.
    pub(crate) fn note(&mut self, now: Micros, window: Micros, took: Micros, predicted: Micros) {
        *self = self.at(now, window);
        self.legs = self.legs.saturating_add(1);
        self.took += took;
        self.predicted += predicted;
    }

    /// How long legs take for what they should, in percent, rounded down; all of it where there were fewer
    /// than `least`.
    pub(crate) fn percent(&self, now: Micros, least: u32, window: Micros) -> u16 {
        if self.legs < least {
            return Self::AS_DECLARED;
        }
        let lately = self.at(now, window);
        if lately.legs < least || lately.predicted == Micros::ZERO {
            return Self::AS_DECLARED;
        }
        let [least, most] = Self::BOUNDS;
        let share = Ppm::ratio(lately.took.0, lately.predicted.0).0 / 10_000;
        share.clamp(least, most) as u16
    }

    /// The same at this moment: what is older weighs less.
    fn at(&self, now: Micros, window: Micros) -> Self {
        if now < self.since + window {
            return *self;
        }
        let spans = (now - self.since).0.checked_div(window.0).unwrap_or(0);
        let halvings = u32::try_from(spans).unwrap_or(u32::MAX);
        let halved = |amount: Micros| Micros(amount.0.checked_shr(halvings).unwrap_or(0));
        Self {
            since: self.since + Micros(spans.saturating_mul(window.0)),
            took: halved(self.took),
            predicted: halved(self.predicted),
            legs: self.legs.checked_shr(halvings).unwrap_or(0),
        }
    }
}

row! {
    /// What a vessel has aboard, as far as it changes with every order.
    pub struct Load {
        /// The predicted time of all the work aboard.
        pub backlog: Micros,
        /// When the prompts that it was handed should have been worked, one after the other.
        pub prompts: Micros,
        /// When it was last heard of.
        pub seen: Micros,
        /// When an open breaker lets a probe pass.
        pub retry_at: Micros,
        /// Until when it is left in peace, having said that it had no room; zero where it has not.
        pub paused: Micros,
        /// When the exchange has to look at it again.
        pub wake: Micros,
        /// When its breaker last changed.
        pub turned: Micros,
        /// What became of its legs lately.
        pub outcomes: Outcomes,
        /// How long its legs took lately.
        pub pace: Pace,
        /// Legs completed.
        pub completed: u64,
        /// Legs failed.
        pub failed: u64,
        /// What those aboard may come to at most, prompts and longest answers together.
        pub held: Tokens,
        /// The order that it keeps itself for until it has memory enough, and takes no other one; none where it does not.
        pub keeps_for: OrderSlot,
        /// Slots in use.
        pub used: u32,
        /// Slots that are kept for berths whose windows have begun.
        pub kept: u32,
        /// How often it has been lost or begun anew, and with that whatever its cache held.
        pub starts: u32,
        /// Failures since the last success.
        pub failures: u32,
        /// Probes that still have to succeed before its breaker closes.
        pub probes: u32,
        /// How often its breaker has been opened soon after it was last.
        pub trips: u32,
        /// How often it has been left in peace since it last completed a leg.
        pub pauses: u32,
        /// The circuit breaker before it.
        pub breaker: Breaker,
    }
}

row! {
    /// A point in a prompt up to which its content is named by a hash.
    pub struct Mark {
        /// The hash of everything before this point.
        #[serde(with = "crate::kernel::units::hex64")] pub hash: u64,
        /// How many tokens lie before this point.
        pub tokens: Tokens,
    }
}

/// The most marks an order carries.
pub const MARKS_MAX: usize = 8;

row! {
    /// One hop of an order's route.
    pub struct Leg {
        /// What is done.
        pub kind: LegKind,
        /// Where.
        pub vessel: VesselId,
        /// How long it should take there.
        pub work: Micros,
    }
}

/// How many vessels an order remembers to have failed it.
pub(crate) const TRIED_MAX: usize = 4;

/// The vessels that failed an order, the last one last; no more than four are remembered. Most orders have
/// none, so what they are kept in is made for the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ArrayVec<VesselId, TRIED_MAX>", into = "ArrayVec<VesselId, TRIED_MAX>")]
pub struct Tried(Option<Box<ArrayVec<VesselId, TRIED_MAX>>>);

impl Tried {
    /// Remembers one more.
    pub(crate) fn note(&mut self, vessel: VesselId) {
        if self.contains(&vessel) {
            return;
        }
        let tried = self.0.get_or_insert_default();
        if tried.is_full() {
            tried.remove(0);
        }
        tried.push(vessel);
    }
}

impl Deref for Tried {
    type Target = [VesselId];

    fn deref(&self) -> &[VesselId] {
        self.0.as_ref().map_or(&[], |tried| tried.as_slice())
    }
}

impl From<ArrayVec<VesselId, TRIED_MAX>> for Tried {
    fn from(tried: ArrayVec<VesselId, TRIED_MAX>) -> Self {
        Self((!tried.is_empty()).then(|| Box::new(tried)))
    }
}

impl From<Tried> for ArrayVec<VesselId, TRIED_MAX> {
    fn from(tried: Tried) -> Self {
        tried.iter().copied().collect()
    }
}

impl Image for Tried {
    fn write(&self, sink: &mut impl Sink) {
        match &self.0 {
            Some(tried) => tried.write(sink),
            None => sink.array(0u32.to_le_bytes()),
        }
    }

    fn read(source: &mut impl Source) -> Self {
        ArrayVec::read(source).into()
    }
}

/// The hops of one order, in the order in which they are worked.
pub type Route = ArrayVec<Leg, 3>;

row! {
    /// A window of time that an order asks to hold capacity for.
    pub struct Window {
        /// When it begins.
        pub from: Micros,
        /// When it ends.
        pub until: Micros,
    }
}

impl Window {
    /// What is wrong with one that is asked for at this moment.
    pub(crate) fn fault(&self, now: Micros) -> Option<&'static str> {
        if self.from >= self.until {
            Some("window is empty")
        } else if self.from < now {
            Some("window has begun")
        } else {
            None
        }
    }
}

row! {
    /// What a tenant asks for.
    pub struct Demand {
        /// The submitter's own number for it, such as a row of a trace.
        pub external: u64,
        /// Tokens of the prompt.
        pub tokens_in: Tokens,
        /// The most tokens the answer may have.
        pub tokens_out_max: Tokens,
        /// When it is worth nothing any more; zero leaves it to the policy.
        pub deadline: Micros,
        /// The most that it may be expected to cost, in micro-dollars; zero is any price.
        pub limit: u32,
        /// Names the demand, so that sending it twice orders it once (`key_of`); zero names nothing.
        #[serde(with = "crate::kernel::units::hex64")] pub idempotency: u64,
        /// The model that shall answer.
        pub model: ModelId,
        /// Where the demand arises.
        pub origin: RegionId,
        /// What is asked for.
        pub kind: Kind,
        /// How urgent it is.
        pub class: Class,
        /// The window it needs capacity for, if it does not want to be served at once.
        pub window: Option<Box<Window>>,
        /// Content marks of the prompt, shallowest first; at most `MARKS_MAX`.
        pub prefix: Vec<Mark>,
    }
}

row! {
    /// What was worked on a leg.
    #[derive(Default)]
    pub struct Usage {
        /// Prompt tokens, those found in a cache included.
        pub tokens_in: Tokens,
        /// Those found in a cache.
        pub cached: Tokens,
        /// Tokens generated.
        pub tokens_out: Tokens,
        /// What it burnt.
        pub energy: Millijoules,
    }
}

impl Usage {
    /// Nothing.
    pub const NONE: Self = Self {
        tokens_in: Tokens::ZERO,
        cached: Tokens::ZERO,
        tokens_out: Tokens::ZERO,
        energy: Millijoules::ZERO,
    };
}

row! {
    /// A live order.
    pub struct Order {
        /// Its name for life.
        pub id: OrderId,
        /// Its place in the queue, while it waits there and in the attempt that follows; else zero.
        pub ticket: u64,
        /// When it came.
        pub submitted: Micros,
        /// When it began to wait in the queue.
        pub queued: Micros,
        /// When its present leg was handed to its vessel.
        pub dispatched: Micros,
        /// How long that should take at most, behind all that was aboard.
        pub within: Micros,
        /// When it expires.
        pub deadline: Micros,
        /// When the exchange has to look at it again: a timeout, a retry, a berth or the deadline.
        pub wake: Micros,
        /// Prompt tokens found in prefix caches in this attempt.
        pub cached: Tokens,
        /// Tokens generated in this attempt.
        pub tokens_out: Tokens,
        /// Time from submission to the first token; zero until there is one.
        pub first_token: Micros,
        /// What was worked for it in this attempt is worth.
        pub cost: PicoUsd,
        /// What was worked for it in the attempts before is worth.
        pub wasted: PicoUsd,
        /// The fuel that all of its attempts took so far.
        pub energy: Millijoules,
        /// Who pays.
        pub tenant: TenantId,
        /// The berth it holds.
        pub berth: BerthId,
        /// Where its idempotency key is remembered.
        pub key: KeySlot,
        /// How often it has been routed, this time included.
        pub attempt: u16,
        /// How often a vessel that it was routed to had no room for it.
        pub bounced: u16,
        /// Where it stands.
        pub stage: Stage,
        /// Which leg is being worked.
        pub leg: u8,
        /// Whether its present attempt, or the next one, is made because a call for it has failed.
        pub retry: bool,
        /// Whether it gathered with others when it began to wait in the queue, or still does.
        pub gathers: bool,
        /// What was asked for.
        pub demand: Demand,
        /// The vessels that failed it.
        pub tried: Tried,
        /// The hops of the present attempt.
        pub route: Route,
    }
}

impl Demand {
    /// The number of an idempotency key: the first eight bytes of BLAKE3 of its text, little-endian. It is
    /// never zero, which names nothing.
    pub fn key_of(text: &str) -> u64 {
        let hash = blake3::hash(text.as_bytes());
        let number = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        number.max(1)
    }

    /// Prompt and longest answer together.
    pub(crate) fn size(&self) -> Tokens {
        self.tokens_in + self.tokens_out_max
    }

    /// Whether it wants an answer, and not only its prompt worked.
    pub(crate) fn answers(&self) -> bool {
        self.kind != Kind::Embedding
    }

    /// Whether it may be expected to cost so much.
    pub(crate) fn may_cost(&self, cost: MicroUsd) -> bool {
        self.limit == 0 || cost <= MicroUsd(u64::from(self.limit))
    }

    /// A hash of what is asked for, whoever counts it by which number, wherever it arises, however long it
    /// is waited for and whatever it may cost: XXH3-64 of the images of model, kind, class, tokens_in, tokens_out_max, window and prefix.
    pub fn fingerprint(&self) -> u64 {
        let mut image = Vec::new();
        self.model.write(&mut image);
        self.kind.write(&mut image);
        self.class.write(&mut image);
        self.tokens_in.write(&mut image);
        self.tokens_out_max.write(&mut image);
        self.window.write(&mut image);
        self.prefix.write(&mut image);
        xxh3_64(&image)
    }

    /// What a turn of it is charged for in the queue: a generated token counts two.
    pub(crate) fn turn(&self) -> u64 {
        served(self.tokens_in, self.tokens_out_max)
    }
}

/// What it is to have been served so many tokens; those that are generated count two.
pub(crate) fn served(tokens_in: Tokens, tokens_out: Tokens) -> u64 {
    (tokens_in + tokens_out + tokens_out).0
}

impl Vessel {
    /// How many orders it takes, those aboard included, without what is kept for others.
    pub(crate) fn room(&self, load: &Load) -> u32 {
        self.slots(load).saturating_sub(load.kept)
    }

    /// How many orders it takes, those aboard included and those for whom it is kept. A breaker that is probing
    /// lets no more pass than still have to succeed.
    pub(crate) fn slots(&self, load: &Load) -> u32 {
        match (self.status, load.breaker) {
            _ if load.paused != Micros::ZERO => 0,
            (VesselStatus::Up, Breaker::Closed) => self.manifest.slots,
            (VesselStatus::Up, Breaker::Probing) => load.probes.min(self.manifest.slots),
            _ => 0,
        }
    }
}

impl Order {
    /// The legs of its route that are still to be worked.
    pub(crate) fn held(&self) -> &[Leg] {
        let rest = self.route.get(usize::from(self.leg)..).unwrap_or_default();
        if self.stage == Stage::Running { rest } else { &[] }
    }
}

/// The legs that hold capacity.
pub(crate) fn capacity_legs(route: &[Leg]) -> impl Iterator<Item = &Leg> {
    route.iter().filter(|leg| leg.kind != LegKind::Hop)
}

const _: () = assert!(size_of::<Order>() <= 288, "a row that is longer costs a tenth of a replay");
