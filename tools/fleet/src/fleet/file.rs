//! The fleet file: what may stand in it, and everything that can be wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use tensorforge_engine::config::Limits;
use tensorforge_engine::models::Allowance;
use tensorforge_engine::models::{Manifest, Promise, Region, Role, Tenant};
use tensorforge_engine::units::{MicroUsd, Micros, ModelId, Ppm, RegionId, VesselId};
use tensorforge_engine::workflow;

use super::{Fault, FaultKind, Fleet, Vessel};
use crate::document::{self, DocumentError, Millis, listed};
use crate::preset::Preset;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FleetFile {
    name: String,
    #[serde(default)]
    first_tokens: bool,
    #[serde(default)]
    limits: BTreeMap<String, u32>,
    #[serde(default)]
    contract: Contract,
    #[serde(default, rename = "tenant")]
    tenants: Vec<NamedContract>,
    #[serde(default, rename = "region")]
    regions: Vec<RegionEntry>,
    #[serde(default, rename = "model")]
    models: Vec<ModelEntry>,
    #[serde(default)]
    preset: BTreeMap<String, Preset>,
    #[serde(default, rename = "vessel")]
    vessels: Vec<VesselEntry>,
    #[serde(default, rename = "fault")]
    faults: Vec<FaultEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Contract {
    rate: u64,
    rate_period_ms: Millis,
    burst: u64,
    token_rate: u64,
    token_period_ms: Millis,
    token_burst: Option<u64>,
    live_max: u32,
    keys_max: u32,
    queued_max: u32,
    budget_micro_usd: u64,
    budget_period_ms: Millis,
    objective_ppm: u64,
    good_first_token_ms: Millis,
    good_latency_ms: Millis,
}

impl Default for Contract {
    fn default() -> Self {
        Self {
            rate: 0,
            rate_period_ms: second(),
            burst: 1,
            token_rate: 0,
            token_period_ms: minute(),
            token_burst: None,
            live_max: 0,
            keys_max: 0,
            queued_max: 0,
            budget_micro_usd: 0,
            budget_period_ms: Millis::default(),
            objective_ppm: 0,
            good_first_token_ms: Millis::default(),
            good_latency_ms: Millis::default(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedContract {
    name: String,
    #[serde(default)]
    rate: u64,
    #[serde(default = "second")]
    rate_period_ms: Millis,
    #[serde(default = "one")]
    burst: u64,
    #[serde(default)]
    token_rate: u64,
    #[serde(default = "minute")]
    token_period_ms: Millis,
    token_burst: Option<u64>,
    #[serde(default)]
    live_max: u32,
    #[serde(default)]
    keys_max: u32,
    #[serde(default)]
    queued_max: u32,
    #[serde(default)]
    budget_micro_usd: u64,
    #[serde(default)]
    budget_period_ms: Millis,
    #[serde(default)]
    objective_ppm: u64,
    #[serde(default)]
    good_first_token_ms: Millis,
    #[serde(default)]
    good_latency_ms: Millis,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionEntry {
    name: String,
    #[serde(default)]
    hop_ms: Millis,
    #[serde(default)]
    transfer_ms: Millis,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelEntry {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VesselEntry {
    name: String,
    count: Option<u32>,
    preset: String,
    region: String,
    models: Vec<String>,
    #[serde(default = "whole")]
    role: Role,
    slots: Option<u32>,
    domain: Option<String>,
    #[serde(default = "usual_heartbeat")]
    heartbeat_ms: Millis,
    #[serde(default)]
    joins_ms: Millis,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "kind")]
enum FaultEntry {
    Slow {
        vessel: String,
        from_ms: Millis,
        until_ms: Millis,
        percent: u64,
    },
    Failing {
        vessel: String,
        from_ms: Millis,
        until_ms: Millis,
        share_ppm: u64,
        #[serde(default)]
        after_ms: Millis,
        #[serde(default)]
        answer: Answer,
    },
    Flapping {
        vessel: String,
        from_ms: Millis,
        until_ms: Millis,
        down_ms: Millis,
        up_ms: Millis,
    },
    Lost {
        vessel: String,
        from_ms: Millis,
        until_ms: Option<Millis>,
        reported_after_ms: Option<Millis>,
    },
}

/// What a vessel says of a leg that it does not work.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    #[default]
    Error,
    Overloaded,
    Rejected,
}

impl Answer {
    fn fault(self) -> workflow::Fault {
        match self {
            Self::Error => workflow::Fault::Error,
            Self::Overloaded => workflow::Fault::Overloaded,
            Self::Rejected => workflow::Fault::Rejected,
        }
    }
}

fn second() -> Millis {
    Millis::new(1_000)
}

fn minute() -> Millis {
    Millis::new(60_000)
}

fn one() -> u64 {
    1
}

fn whole() -> Role {
    Role::Whole
}

fn usual_heartbeat() -> Millis {
    Millis::new(5_000)
}

/// The most vessels that a fleet may have.
const VESSELS_MAX: u32 = 1 << 20;

pub(super) fn read(file: &str, text: &str) -> Result<Fleet, DocumentError> {
    let entries: FleetFile = document::parse(file, text)?;
    let mut faults = Vec::new();
    let fleet = entries.build(&mut faults);
    document::sound(file, faults)?;
    Ok(fleet)
}

impl FleetFile {
    /// The fleet as far as it can be had; what cannot is a fault.
    fn build(self, faults: &mut Vec<String>) -> Fleet {
        if self.name.is_empty() {
            faults.push("name is empty".to_owned());
        }
        let regions = names("region", self.regions.iter().map(|r| r.name.as_str()), faults);
        let models = names("model", self.models.iter().map(|m| m.name.as_str()), faults);
        names("tenant", self.tenants.iter().map(|t| t.name.as_str()), faults);
        for (name, preset) in &self.preset {
            faults.extend(preset.faults().iter().map(|fault| format!("preset.{name}.{fault}")));
        }
        let limits = limits(&self.limits, faults);
        let vessels = vessels(&self.vessels, self.preset, &regions, &models, faults);
        for (key, entries, count, max) in [
            ("region", self.regions.len(), regions.len(), limits.regions),
            ("model", self.models.len(), models.len(), limits.models),
            ("vessel", self.vessels.len(), vessels.len(), limits.vessels),
        ] {
            if entries == 0 {
                faults.push(format!("{key} is empty; at least one is needed"));
            } else if count as u64 > u64::from(max) {
                faults.push(format!("{key} has {count}, more than the {max} of limits.{key}s"));
            }
        }
        // Of a fleet that could not be built whole, nobody knows who is missing.
        if faults.is_empty() {
            halves(&models, &vessels, faults);
        }
        let plan = plan(&self.faults, &self.vessels, faults);
        Fleet {
            name: self.name,
            first_tokens: self.first_tokens,
            limits,
            contract: contract("", self.contract),
            tenants: self.tenants.into_iter().map(NamedContract::tenant).collect(),
            regions: self.regions.into_iter().map(RegionEntry::region).collect(),
            models,
            vessels,
            faults: plan,
        }
    }
}

fn contract(name: &str, terms: Contract) -> Tenant {
    let allowance = |amount, period: Millis, burst| match amount {
        0 => Allowance::NONE,
        _ => Allowance { period: period.micros(), amount, burst },
    };
    let token_burst = terms.token_burst.unwrap_or(terms.token_rate);
    Tenant {
        name: name.to_owned(),
        orders: allowance(terms.rate, terms.rate_period_ms, terms.burst),
        tokens: allowance(terms.token_rate, terms.token_period_ms, token_burst),
        live_max: terms.live_max,
        keys_max: terms.keys_max,
        queued_max: terms.queued_max,
        budget_period: terms.budget_period_ms.micros(),
        budget: MicroUsd(terms.budget_micro_usd),
        sla: Promise {
            objective: Ppm(terms.objective_ppm),
            first_token: terms.good_first_token_ms.micros(),
            latency: terms.good_latency_ms.micros(),
        },
    }
}

impl NamedContract {
    fn terms(&self) -> Contract {
        Contract {
            rate: self.rate,
            rate_period_ms: self.rate_period_ms,
            burst: self.burst,
            token_rate: self.token_rate,
            token_period_ms: self.token_period_ms,
            token_burst: self.token_burst,
            live_max: self.live_max,
            keys_max: self.keys_max,
            queued_max: self.queued_max,
            budget_micro_usd: self.budget_micro_usd,
            budget_period_ms: self.budget_period_ms,
            objective_ppm: self.objective_ppm,
            good_first_token_ms: self.good_first_token_ms,
            good_latency_ms: self.good_latency_ms,
        }
    }

    fn tenant(self) -> Tenant {
        contract(&self.name, self.terms())
    }
}

impl RegionEntry {
    fn region(self) -> Region {
        Region { name: self.name, hop: self.hop_ms.micros(), transfer: self.transfer_ms.micros() }
    }
}

/// The names of a list; an empty one and one that is taken are faults.
fn names<'a>(
    key: &str,
    names: impl Iterator<Item = &'a str>,
    faults: &mut Vec<String>,
) -> Vec<String> {
    let mut taken = Vec::new();
    for (place, name) in names.enumerate() {
        if name.is_empty() {
            faults.push(format!("{key}[{place}].name is empty"));
        } else if taken.iter().any(|other| other == name) {
            faults.push(format!("{key}[{place}].name is {name:?}, which is taken"));
        }
        taken.push(name.to_owned());
    }
    taken
}

fn limits(given: &BTreeMap<String, u32>, faults: &mut Vec<String>) -> Limits {
    let mut limits = Limits::default();
    for (key, value) in given {
        match limit(&mut limits, key) {
            Some(limit) => *limit = *value,
            None => faults.push(format!("limits.{key} is not a limit")),
        }
    }
    faults.extend(limits.faults().iter().map(|fault| format!("limits.{fault}")));
    limits
}

/// The limit of this name.
pub(crate) fn limit<'a>(limits: &'a mut Limits, name: &str) -> Option<&'a mut u32> {
    Some(match name {
        "tenants" => &mut limits.tenants,
        "regions" => &mut limits.regions,
        "models" => &mut limits.models,
        "vessels" => &mut limits.vessels,
        "orders" => &mut limits.orders,
        "queued" => &mut limits.queued,
        "policies" => &mut limits.policies,
        "berths" => &mut limits.berths,
        "keys" => &mut limits.keys,
        "prefixes" => &mut limits.prefixes,
        "queued_kilotokens" => &mut limits.queued_kilotokens,
        _ => return None,
    })
}

fn vessels(
    entries: &[VesselEntry],
    presets: BTreeMap<String, Preset>,
    regions: &[String],
    models: &[String],
    faults: &mut Vec<String>,
) -> Vec<Vessel> {
    let presets: BTreeMap<_, _> = presets.into_iter().map(|(n, p)| (n, Arc::new(p))).collect();
    let mut vessels: Vec<Vessel> = Vec::new();
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut domains: Vec<&str> = Vec::new();
    let total = entries.iter().fold(0u32, |sum, e| sum.saturating_add(e.count.unwrap_or(1)));
    if total > VESSELS_MAX {
        faults.push(format!("vessel.count adds up to {total}, more than {VESSELS_MAX}"));
        return vessels;
    }
    for (place, entry) in entries.iter().enumerate() {
        let key = format!("vessel[{place}]");
        let mut built = entry.build(&key, &presets, regions, models, faults);
        if let (Some((manifest, _)), Some(domain)) = (&mut built, &entry.domain) {
            manifest.domain = number(&mut domains, domain);
        }
        for name in entry.names() {
            if let Some(other) = taken.insert(name.clone(), place) {
                faults.push(format!("{key}.name is {name:?}, which vessel[{other}] has"));
            }
            if let Some((manifest, preset)) = &built {
                let (manifest, preset) = (manifest.clone(), preset.clone());
                let joins = entry.joins_ms.micros();
                vessels.push(Vessel { name, manifest, joins, preset });
            }
        }
    }
    vessels
}

/// The number of a name: from one on, in the order in which they come.
fn number<'a>(names: &mut Vec<&'a str>, name: &'a str) -> u32 {
    let place = names.iter().position(|other| *other == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    });
    u32::try_from(place + 1).unwrap_or(u32::MAX)
}

/// A model that has halves of one kind alone is served by nobody.
fn halves(models: &[String], vessels: &[Vessel], faults: &mut Vec<String>) {
    for (name, id) in models.iter().zip((0..).map(ModelId)) {
        let serving = vessels.iter().filter(|vessel| vessel.manifest.models.contains(&id));
        let mut roles: Vec<Role> = serving.map(|vessel| vessel.manifest.role).collect();
        roles.sort_unstable();
        roles.dedup();
        let lacking = match roles[..] {
            [Role::Prefill] => "decodes",
            [Role::Decode] => "prefills",
            _ => continue,
        };
        faults.push(format!("model {name:?} has no vessel that {lacking}"));
    }
}

impl VesselEntry {
    /// The name alone, or `name-0`, `name-1`... where there is a count.
    fn names(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.count.unwrap_or(1)).map(|number| match self.count {
            None => self.name.clone(),
            Some(_) => format!("{}-{number}", self.name),
        })
    }

    fn build(
        &self,
        key: &str,
        presets: &BTreeMap<String, Arc<Preset>>,
        regions: &[String],
        models: &[String],
        faults: &mut Vec<String>,
    ) -> Option<(Manifest, Arc<Preset>)> {
        for (field, wrong) in [
            ("name is empty", self.name.is_empty()),
            ("count is 0", self.count == Some(0)),
            ("slots is 0", self.slots == Some(0)),
            (
                "joins_ms needs heartbeat_ms: a vessel joins when it is first heard of",
                self.joins_ms.micros() > Micros::ZERO && self.heartbeat_ms.micros() == Micros::ZERO,
            ),
            ("joins_ms is above half a day", self.joins_ms.micros() > Micros(43_200_000_000)),
            ("domain is empty", self.domain.as_deref() == Some("")),
            ("models is empty; at least one is needed", self.models.is_empty()),
        ] {
            if wrong {
                faults.push(format!("{key}.{field}"));
            }
        }
        let region = place(regions, &self.region);
        if region.is_none() {
            let known = listed(regions.iter().map(String::as_str));
            faults.push(format!("{key}.region is {:?}, not one of {known}", self.region));
        }
        let carried = self.models.iter().filter_map(|model| {
            let id = place(models, model);
            if id.is_none() {
                let known = listed(models.iter().map(String::as_str));
                faults.push(format!("{key}.models has {model:?}, not one of {known}"));
            }
            id.map(ModelId)
        });
        let mut carried: Vec<ModelId> = carried.collect();
        carried.sort();
        carried.dedup();
        let preset = presets.get(&self.preset);
        if preset.is_none() {
            let known = listed(presets.keys().map(String::as_str));
            faults.push(format!("{key}.preset is {:?}, not one of {known}", self.preset));
        }
        let (preset, region) = (preset?, RegionId(region?));
        let mut manifest = preset.manifest(region, self.role, carried);
        manifest.slots = self.slots.unwrap_or(manifest.slots);
        manifest.heartbeat = self.heartbeat_ms.micros();
        Some((manifest, preset.clone()))
    }
}

fn place(names: &[String], name: &str) -> Option<u32> {
    names.iter().position(|other| other == name).and_then(|place| u32::try_from(place).ok())
}

fn plan(entries: &[FaultEntry], vessels: &[VesselEntry], faults: &mut Vec<String>) -> Vec<Fault> {
    if entries.is_empty() {
        return Vec::new();
    }
    let names: BTreeMap<String, u32> =
        vessels.iter().flat_map(VesselEntry::names).zip(0..VESSELS_MAX).collect();
    let mut plan: Vec<(usize, Fault)> = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let key = format!("fault[{place}]");
        let (vessel, from, until) = entry.window();
        let Some(id) = names.get(vessel) else {
            faults.push(format!("{key}.vessel is {vessel:?}, not a vessel of this fleet"));
            continue;
        };
        faults.extend(entry.faults(from, until).iter().map(|fault| format!("{key}.{fault}")));
        let fault = Fault { vessel: VesselId(*id), from, until, kind: entry.kind() };
        let clash = plan.iter().find(|(_, other)| {
            other.vessel == fault.vessel
                && alike(other.kind, fault.kind)
                && other.from < fault.until
                && fault.from < other.until
        });
        if let Some((other, _)) = clash {
            faults.push(format!("{key} overlaps fault[{other}] of the same vessel"));
        }
        plan.push((place, fault));
    }
    plan.into_iter().map(|(_, fault)| fault).collect()
}

/// Whether two faults cannot befall a vessel at once.
fn alike(one: FaultKind, other: FaultKind) -> bool {
    (one.sinks() && other.sinks()) || std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

impl FaultEntry {
    fn window(&self) -> (&str, Micros, Micros) {
        match self {
            Self::Slow { vessel, from_ms, until_ms, .. }
            | Self::Failing { vessel, from_ms, until_ms, .. }
            | Self::Flapping { vessel, from_ms, until_ms, .. } => {
                (vessel, from_ms.micros(), until_ms.micros())
            }
            Self::Lost { vessel, from_ms, until_ms, .. } => {
                (vessel, from_ms.micros(), until_ms.map_or(Micros::MAX, Millis::micros))
            }
        }
    }

    fn kind(&self) -> FaultKind {
        match self {
            Self::Slow { percent, .. } => FaultKind::Slow { percent: *percent },
            Self::Failing { share_ppm, after_ms, answer, .. } => FaultKind::Failing {
                share: Ppm(*share_ppm),
                after: after_ms.micros(),
                answer: answer.fault(),
            },
            Self::Flapping { down_ms, up_ms, .. } => {
                FaultKind::Flapping { down: down_ms.micros(), up: up_ms.micros() }
            }
            Self::Lost { reported_after_ms, .. } => {
                FaultKind::Lost { reported: reported_after_ms.map(Millis::micros) }
            }
        }
    }

    fn faults(&self, from: Micros, until: Micros) -> Vec<String> {
        let mut faults = Vec::new();
        if from >= until {
            faults.push("until_ms is not after from_ms".to_owned());
        }
        match self.kind() {
            FaultKind::Slow { percent } if !(101..=10_000).contains(&percent) => {
                faults.push(format!("percent is {percent}, not in 101..=10000"));
            }
            FaultKind::Failing { share, .. } if !(1..=1_000_000).contains(&share.0) => {
                faults.push(format!("share_ppm is {share}, not in 1..=1000000"));
            }
            FaultKind::Flapping { down, up } => {
                for (key, span) in [("down_ms", down), ("up_ms", up)] {
                    if span == Micros::ZERO {
                        faults.push(format!("{key} is 0"));
                    }
                }
            }
            FaultKind::Lost { reported: Some(after) } if from + after >= until => {
                faults.push("reported_after_ms is not before until_ms".to_owned());
            }
            _ => {}
        }
        faults
    }
}
