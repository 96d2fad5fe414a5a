//! What a step asks for, as a command.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use tensorforge_engine::command::{ANYWHERE, Command};
use tensorforge_engine::models::{Class, Demand, Kind, Manifest, Mark, Stage, Usage, Window};
use tensorforge_engine::policy::{Policy, PolicyLevel};
use tensorforge_engine::security::Source;
use tensorforge_engine::telemetry::Concern;
use tensorforge_engine::units::{
    Micros, Millijoules, ModelId, OrderId, PolicyVersion, RegionId, TenantId, Tokens, VesselId,
};
use tensorforge_engine::workflow::{Fault, Outcome};
use tensorforge_engine::{State, allocator, config, jobs, models, policy, telemetry, workflow};

use super::{Scenario, Step, job, order};
use crate::document::{DocumentError, Millis, listed};
use crate::fleet::limit;
use crate::policy::{policy_of, read_policy};
use crate::trace::Key;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submit {
    tenant: Option<String>,
    #[serde(default)]
    external: u64,
    model: Option<String>,
    origin: Option<String>,
    class: Option<Class>,
    kind: Option<Kind>,
    tokens_in: u64,
    tokens_out_max: u64,
    #[serde(default)]
    lives_ms: Millis,
    #[serde(default)]
    limit: u32,
    key: Option<Key>,
    #[serde(default)]
    prefix: Vec<(u64, u64)>,
    window_ms: Option<(Millis, Millis)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    tenant: String,
    #[serde(default)]
    whole: bool,
    orders: Vec<Submit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    order: Option<u64>,
    attempt: Option<u16>,
    leg: Option<u8>,
    #[serde(default)]
    tokens_out: u64,
    #[serde(default)]
    cached: u64,
    #[serde(default)]
    first_token_ms: Millis,
    #[serde(default)]
    energy: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failed {
    order: u64,
    leg: Option<u8>,
    fault: Fault,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstToken {
    order: u64,
    attempt: Option<u16>,
    leg: Option<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoppedStep {
    order: u64,
    #[serde(default)]
    tokens_in: u64,
    #[serde(default)]
    cached: u64,
    #[serde(default)]
    tokens_out: u64,
    #[serde(default)]
    energy: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Maintain {
    vessel: String,
    window_ms: (Millis, Millis),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OverrideStep {
    level: PolicyLevel,
    for_ms: Millis,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SilenceStep {
    concern: Concern,
    for_ms: Millis,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alive {
    vessel: String,
    start: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Coming {
    vessel: String,
    /// The vessel of the fleet whose manifest it will have, where that is another one.
    like: Option<String>,
    within_ms: Millis,
}

/// Who is registered: one of a vessel, a region, a model and a tenant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Party {
    vessel: Option<String>,
    /// The vessel of the fleet whose manifest it has, where that is another one.
    like: Option<String>,
    #[serde(default)]
    start: u64,
    slots: Option<u32>,
    region: Option<String>,
    model: Option<String>,
    tenant: Option<String>,
}

/// A policy: the file that it stands in, or what would stand there.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a policy file, or a table of what stands in one")]
pub(super) enum Rules {
    File(String),
    Table(toml::Table),
}

impl Rules {
    /// The policy, whether or not its rules contradict themselves where they do not stand in a file.
    pub(super) fn policy(&self, folder: &Path) -> Result<Policy, DocumentError> {
        match self {
            Self::File(path) => read_policy(&folder.join(path)),
            Self::Table(rules) => policy_of(rules.clone()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTenant {
    tenant: String,
    order: u64,
}

impl Scenario {
    /// What a step asks for; `None` for one that only lets time pass.
    pub(super) fn command(
        &self,
        step: &Step,
        state: &State,
    ) -> Result<Option<(Source, Command)>, String> {
        let mut actions = step.action.iter();
        let Some((name, value)) = actions.next() else { return Ok(None) };
        if let Some((other, _)) = actions.next() {
            return Err(format!("one thing a step, not both `{name}` and `{other}`"));
        }
        let sender = step.by.as_deref();
        let sender = sender.map_or(Ok(Source::OPERATOR), |name| self.tenant(state, name))?;
        let operator = |command| Ok(Some((sender, command)));
        match name.as_str() {
            "submit" => self.submit(read(name, value)?, state, step.at_ms.micros()).map(Some),
            "batch" => {
                let Batch { tenant, whole, orders } = read(name, value)?;
                if orders.iter().any(|order| order.tenant.is_some()) {
                    return Err("batch: its orders are all of its own tenant".to_owned());
                }
                let now = state.now().max(step.at_ms.micros());
                let demands = orders.into_iter().map(|asked| self.demand(asked, now));
                let demands = demands.collect::<Result<_, _>>()?;
                let command = workflow::Command::SubmitBatch { demands, whole };
                Ok(Some((self.tenant(state, &tenant)?, Command::Workflow(command))))
            }
            "done" => {
                let done: Done = read(name, value)?;
                let outcome = Outcome::Done {
                    tokens_out: Tokens(done.tokens_out),
                    cached: Tokens(done.cached),
                    first_token: done.first_token_ms.micros(),
                    energy: Millijoules(done.energy),
                };
                let number = done.order.map_or_else(|| first_worked(state), Ok)?;
                let (order, attempt, leg) = leg_of(state, number, (done.attempt, done.leg))?;
                let report = workflow::Command::ReportLeg { order, attempt, leg, outcome };
                operator(Command::Workflow(report))
            }
            "failed" => {
                let failed: Failed = read(name, value)?;
                let outcome = Outcome::Failed(failed.fault);
                let (order, attempt, leg) = leg_of(state, failed.order, (None, failed.leg))?;
                let report = workflow::Command::ReportLeg { order, attempt, leg, outcome };
                operator(Command::Workflow(report))
            }
            "first_token" => {
                let seen: FirstToken = read(name, value)?;
                let (order, attempt, leg) = leg_of(state, seen.order, (seen.attempt, seen.leg))?;
                let report = workflow::Command::ReportFirstToken { order, attempt, leg };
                operator(Command::Workflow(report))
            }
            "stopped" => {
                let told: StoppedStep = read(name, value)?;
                let mut stops = state.tables.stops.iter().map(|(_, row)| row);
                let row = stops
                    .find(|row| row.order.number() == told.order)
                    .ok_or_else(|| format!("order {} has not been told to stop", told.order))?;
                operator(Command::Workflow(workflow::Command::ReportStop {
                    order: row.order,
                    attempt: row.attempt,
                    leg: row.leg,
                    usage: Usage {
                        tokens_in: Tokens(told.tokens_in),
                        cached: Tokens(told.cached),
                        tokens_out: Tokens(told.tokens_out),
                        energy: Millijoules(told.energy),
                    },
                }))
            }
            "maintain" => {
                let asked: Maintain = read(name, value)?;
                let vessel = self.vessel(state, &asked.vessel)?;
                let (from, until) = asked.window_ms;
                let now = state.now().max(step.at_ms.micros());
                let window = Window { from: now + from.micros(), until: now + until.micros() };
                operator(Command::Allocator(allocator::Command::Maintain { vessel, window }))
            }
            "end_maintenance" => operator(Command::Allocator(allocator::Command::EndMaintenance {
                vessel: self.vessel(state, &read::<String>(name, value)?)?,
            })),
            "cancel" => {
                let asked: OfTenant = read(name, value)?;
                let command = Command::Workflow(workflow::Command::Cancel {
                    order: order(state, asked.order)?,
                });
                Ok(Some((self.tenant(state, &asked.tenant)?, command)))
            }
            "retry" => {
                let asked: OfTenant = read(name, value)?;
                let command = Command::Workflow(workflow::Command::Retry {
                    order: order(state, asked.order)?,
                });
                Ok(Some((self.tenant(state, &asked.tenant)?, command)))
            }
            "heartbeat" => {
                let (vessel, start) = self.alive(state, name, value)?;
                operator(Command::Models(models::Command::Heartbeat { vessel, start }))
            }
            "drain" => operator(Command::Models(models::Command::Drain {
                vessel: self.vessel(state, &read::<String>(name, value)?)?,
            })),
            "lose" => operator(Command::Models(models::Command::Lose {
                vessel: self.vessel(state, &read::<String>(name, value)?)?,
            })),
            "retire" => operator(Command::Models(models::Command::Retire {
                vessel: self.vessel(state, &read::<String>(name, value)?)?,
            })),
            "configure" => operator(self.configuration(read(name, value)?)?),
            "announce" => {
                let Coming { vessel, like, within_ms } = read(name, value)?;
                let manifest = self.manifest_of(like.as_deref().unwrap_or(&vessel))?;
                let within = within_ms.micros();
                operator(Command::Models(models::Command::Announce {
                    name: vessel,
                    manifest,
                    within,
                }))
            }
            "register" => operator(match value {
                toml::Value::String(vessel) => self.registration(vessel, vessel, 0, None)?,
                party => self.party(read(name, party)?)?,
            }),
            "policy" => {
                let rules: Rules = read(name, value)?;
                let policy = rules.policy(&self.folder).map_err(|error| error.to_string())?;
                operator(Command::Policy(policy::Command::SetPolicy(Box::new(policy))))
            }
            "roll_back" => operator(Command::Policy(policy::Command::RollBackPolicy {
                to: PolicyVersion(read(name, value)?),
            })),
            "start_job" => {
                let asked: job::Start = read(name, value)?;
                operator(Command::Jobs(self.start_job(asked, state)?))
            }
            "pause_job" => {
                let job = job::id_of(state, &read::<String>(name, value)?)?;
                operator(Command::Jobs(jobs::Command::PauseJob { job }))
            }
            "resume_job" => {
                let job = job::id_of(state, &read::<String>(name, value)?)?;
                operator(Command::Jobs(jobs::Command::ResumeJob { job }))
            }
            "cancel_job" => {
                let job = job::id_of(state, &read::<String>(name, value)?)?;
                operator(Command::Jobs(jobs::Command::CancelJob { job }))
            }
            "report_step" => operator(Command::Jobs(job::report(state, &read(name, value)?)?)),
            "override" => {
                let asked: OverrideStep = read(name, value)?;
                let now = state.now().max(step.at_ms.micros());
                let (level, until) = (asked.level, now + asked.for_ms.micros());
                operator(Command::Policy(policy::Command::Override { level, until }))
            }
            "end_override" => operator(Command::Policy(policy::Command::EndOverride)),
            "silence" => {
                let asked: SilenceStep = read(name, value)?;
                let now = state.now().max(step.at_ms.micros());
                let (concern, until) = (asked.concern, now + asked.for_ms.micros());
                operator(Command::Telemetry(telemetry::Command::Silence { concern, until }))
            }
            "wait" => Ok(None),
            other => Err(format!(
                "expected one of submit, batch, done, failed, first_token, stopped, cancel, retry, \
                 heartbeat, drain, lose, retire, configure, announce, register, maintain, end_maintenance, \
                 start_job, pause_job, resume_job, cancel_job, report_step, policy, roll_back, \
                 override, end_override, silence and wait, found `{other}`"
            )),
        }
    }

    fn submit(
        &self,
        asked: Submit,
        state: &State,
        at: Micros,
    ) -> Result<(Source, Command), String> {
        let sender = asked.tenant.as_deref();
        let sender = sender.map_or(Ok(Source::OPERATOR), |name| self.tenant(state, name));
        let demand = self.demand(asked, state.now().max(at))?;
        Ok((sender?, Command::Workflow(workflow::Command::Submit(demand))))
    }

    fn demand(&self, asked: Submit, now: Micros) -> Result<Demand, String> {
        let place = |kind: &str, names: Vec<&str>, name: &str| {
            place(names.iter().copied(), name)
                .ok_or_else(|| format!("{kind} {name:?} is not one of {}", listed(names)))
        };
        let models = || self.fleet.models.iter().map(String::as_str).collect();
        let regions = || self.fleet.regions.iter().map(|region| region.name.as_str()).collect();
        let model = asked.model.as_deref().map_or(Ok(0), |name| place("model", models(), name))?;
        let origin = asked.origin.as_deref().map(|name| place("region", regions(), name));
        let deadline = asked.lives_ms.micros();
        Ok(Demand {
            external: asked.external,
            model: ModelId(model),
            origin: origin.transpose()?.map_or(ANYWHERE, RegionId),
            kind: asked.kind.unwrap_or(Kind::Inference),
            class: asked.class.unwrap_or(Class::Standard),
            tokens_in: Tokens(asked.tokens_in),
            tokens_out_max: Tokens(asked.tokens_out_max),
            deadline: if deadline == Micros::ZERO { deadline } else { now + deadline },
            limit: asked.limit,
            idempotency: asked.key.as_ref().map_or(0, Key::number),
            prefix: asked
                .prefix
                .into_iter()
                .map(|(hash, tokens)| Mark { hash, tokens: Tokens(tokens) })
                .collect(),
            window: asked.window_ms.map(|(from, until)| {
                Window { from: now + from.micros(), until: now + until.micros() }.into()
            }),
        })
    }

    /// The bounds that the fleet file has, but for those that are named.
    fn configuration(&self, named: BTreeMap<String, u32>) -> Result<Command, String> {
        let mut limits = self.fleet.limits.clone();
        for (key, value) in named {
            let limit = limit(&mut limits, &key);
            *limit.ok_or_else(|| format!("configure: {key:?} is not a limit"))? = value;
        }
        Ok(Command::Config(config::Command::Configure(limits)))
    }

    /// The registration of whoever is named, as the fleet file has it where it does.
    fn party(&self, party: Party) -> Result<Command, String> {
        let Party { vessel, like, start, slots, region, model, tenant } = party;
        match (vessel, region, model, tenant) {
            (Some(name), None, None, None) => {
                self.registration(&name, like.as_deref().unwrap_or(&name), start, slots)
            }
            (None, Some(name), None, None) => {
                let known = self.fleet.regions.iter().find(|region| region.name == name);
                let [hop, transfer] =
                    known.map_or([Micros::ZERO; 2], |region| [region.hop, region.transfer]);
                Ok(Command::Models(models::Command::RegisterRegion { name, hop, transfer }))
            }
            (None, None, Some(name), None) => {
                Ok(Command::Models(models::Command::RegisterModel { name }))
            }
            (None, None, None, Some(name)) => {
                Ok(Command::Models(models::Command::RegisterTenant(self.fleet.contract(&name))))
            }
            _ => Err("register: expected one of vessel, region, model and tenant".to_owned()),
        }
    }

    /// The registration of a vessel with the manifest that one of the fleet has, but for its slots.
    fn registration(
        &self,
        name: &str,
        like: &str,
        start: u64,
        slots: Option<u32>,
    ) -> Result<Command, String> {
        let mut manifest = self.manifest_of(like)?;
        manifest.slots = slots.unwrap_or(manifest.slots);
        let name = name.to_owned();
        Ok(Command::Models(models::Command::RegisterVessel { name, manifest, start }))
    }

    /// What a vessel carries by the fleet file.
    pub(super) fn manifest_of(&self, name: &str) -> Result<Manifest, String> {
        let known = self.fleet.vessels.iter().find(|vessel| vessel.name == name);
        known.map(|vessel| vessel.manifest.clone()).ok_or_else(|| self.no_vessel(name))
    }

    /// A tenant where it is registered, or would be.
    fn tenant(&self, state: &State, name: &str) -> Result<Source, String> {
        let known = state.tables.tenants.iter().find(|(_, row)| row.name == name);
        let listed = || place(self.tenants.iter().map(String::as_str), name).map(TenantId);
        let id = known.map(|(id, _)| id).or_else(listed);
        id.map(Source::tenant)
            .ok_or_else(|| format!("tenant {name:?} is not one of {:?}", self.tenants))
    }

    /// A vessel and the number of its start: a name alone, or both.
    fn alive(
        &self,
        state: &State,
        key: &str,
        value: &toml::Value,
    ) -> Result<(VesselId, u64), String> {
        match value {
            toml::Value::Table(_) => {
                let Alive { vessel, start } = read(key, value)?;
                Ok((self.vessel(state, &vessel)?, start))
            }
            name => Ok((self.vessel(state, &read::<String>(key, name)?)?, 0)),
        }
    }

    /// A vessel where it is registered, or would be.
    pub(super) fn vessel(&self, state: &State, name: &str) -> Result<VesselId, String> {
        let known = state.tables.vessels.iter().find(|(_, row)| row.name == name);
        let names = self.fleet.vessels.iter().map(|vessel| vessel.name.as_str());
        let id = known.map(|(id, _)| id).or_else(|| place(names, name).map(VesselId));
        id.ok_or_else(|| self.no_vessel(name))
    }

    fn no_vessel(&self, name: &str) -> String {
        let known = listed(self.fleet.vessels.iter().map(|vessel| vessel.name.as_str()));
        format!("vessel {name:?} is not one of {known}")
    }
}

/// Where a name stands among others.
fn place<'a>(mut names: impl Iterator<Item = &'a str>, name: &str) -> Option<u32> {
    names.position(|known| known == name).and_then(|place| u32::try_from(place).ok())
}

fn read<T: serde::de::DeserializeOwned>(key: &str, value: &toml::Value) -> Result<T, String> {
    value
        .clone()
        .try_into()
        .map_err(|error| format!("{key}: {}", error.to_string().trim_end().replace('\n', ", ")))
}

/// Of the orders that are being worked the one that came first.
fn first_worked(state: &State) -> Result<u64, String> {
    let orders = state.tables.orders.iter().map(|(_, order)| order);
    let worked = orders.filter(|order| order.stage == Stage::Running);
    let first = worked.map(|order| order.id.number()).min();
    first.ok_or_else(|| "no order is being worked".to_owned())
}

/// The leg that an order is on, or the attempt and leg of it that are named.
fn leg_of(
    state: &State,
    number: u64,
    (attempt, leg): (Option<u16>, Option<u8>),
) -> Result<(OrderId, u16, u8), String> {
    // Of one that has ended a leg may have been told to stop, and report all the same.
    let mut stops = state.tables.stops.iter().map(|(_, row)| row);
    let (order, present) = match order(state, number) {
        Ok(id) => (id, state.order(id).map(|order| (order.attempt, order.leg))),
        Err(absent) => {
            let stop = stops.find(|row| row.order.number() == number).ok_or(absent)?;
            (stop.order, Some((stop.attempt, stop.leg)))
        }
    };
    let (of_attempt, of_leg) = present.ok_or_else(|| format!("order {number} is not live"))?;
    Ok((order, attempt.unwrap_or(of_attempt), leg.unwrap_or(of_leg)))
}
