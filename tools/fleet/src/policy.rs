//! Policy files, and what makes a policy contradict itself.

use std::path::Path;

use serde::Deserialize;
use tensorforge_engine::policy::{DriftRule, Escalation, Policy, RiskWeights, SlaRule};
use tensorforge_engine::queue::{GatherRule, Shares};
use tensorforge_engine::resilience::{BreakerRule, OverloadRule, RetryRule};
use tensorforge_engine::routing::{Choice, Weights};
use tensorforge_engine::telemetry::{Charge, Forecast, IncidentRule};
use tensorforge_engine::units::{Micros, Ppm, Tokens};

use crate::document::{self, DocumentError, Millis};

/// Reads a policy. Whatever the file leaves out is as in `fixtures/policies/balanced.toml`.
pub fn read_policy(path: &Path) -> Result<Policy, DocumentError> {
    parse_policy(&path.display().to_string(), &document::text(path)?)
}

/// Reads the text of a policy; `file` is what errors call it.
pub fn parse_policy(file: &str, text: &str) -> Result<Policy, DocumentError> {
    let policy = document::parse::<PolicyFile>(file, text)?.policy();
    document::sound(file, faults_in_file(&policy))?;
    Ok(policy)
}

/// The policy that a table spells, whether or not its rules contradict themselves.
pub(crate) fn policy_of(table: toml::Table) -> Result<Policy, DocumentError> {
    let read: Result<PolicyFile, _> = toml::Value::Table(table).try_into();
    read.map(PolicyFile::policy).map_err(|error| DocumentError::Invalid {
        file: "policy".to_owned(),
        faults: vec![error.to_string().trim_end().replace('\n', ", ")],
    })
}

/// In what its rules contradict themselves, as a file spells them.
pub(crate) fn faults_in_file(policy: &Policy) -> Vec<String> {
    policy.faults().iter().map(|fault| in_file(fault)).collect()
}

/// A fault with its keys as the file spells them; the engine's bear no units.
fn in_file(fault: &str) -> String {
    let word = |word: &str| match word.trim_end_matches([',', ':']) {
        "stop" => word.replacen("stop", "stop_ms", 1),
        "timeout_percent" => word.replacen('_', ".", 1),
        key => match key.split_once('.') {
            Some((table @ ("patience" | "lifetime"), _)) => {
                word.replacen(table, &format!("{table}_ms"), 1)
            }
            Some(
                ("retry", "backoff" | "backoff_max")
                | ("breaker", "open" | "open_max" | "window")
                | ("gather", "wait")
                | ("overload", "pause" | "pause_max")
                | ("escalation", "dwell" | "review" | "window" | "override_max")
                | ("forecast", "window"),
            ) => word.replacen(key, &format!("{key}_ms"), 1),
            Some(
                ("breaker", "failing" | "slow" | "cut_off")
                | ("retry", "budget")
                | ("charge", _)
                | ("forecast", "prior")
                | ("sla", "hour" | "six_hours" | "three_days" | "clear")
                | ("incidents", _),
            ) => word.replacen(key, &format!("{key}_ppm"), 1),
            Some(("gather", "tokens")) => word.replacen("tokens", "kilotokens", 1),
            Some(("escalation", name))
                if !matches!(name, "calls" | "weights" | "drift.reviews") =>
            {
                word.replacen(key, &format!("{key}_ppm"), 1)
            }
            _ => word.to_owned(),
        },
    };
    fault.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Declares a policy file, or a table of one: its keys, their types and what they are when left out.
macro_rules! table {
    ($name:ident { $($field:ident: $type:ty = $value:expr,)* }) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct $name {
            $($field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $value,)* }
            }
        }
    };
}

table! { PolicyFile {
    route_by: Choice = Choice::Score,
    candidates: u8 = 4,
    home_percent: u32 = 100,
    prefix_age_ms: Millis = Millis::new(600_000),
    key_age_ms: Millis = Millis::new(86_400_000),
    berth_grace_ms: Millis = Millis::new(60_000),
    stop_ms: Millis = Millis::new(10_000),
    preempt: bool = false,
    overcommit_percent: u32 = 0,
    price_time: PriceTime = PriceTime::default(),
    gather: GatherEntry = GatherEntry::default(),
    weights: WeightsEntry = WeightsEntry::default(),
    shares: SharesEntry = SharesEntry::default(),
    patience_ms: Patience = Patience::default(),
    lifetime_ms: Lifetime = Lifetime::default(),
    timeout: TimeoutEntry = TimeoutEntry::default(),
    retry: RetryEntry = RetryEntry::default(),
    breaker: BreakerEntry = BreakerEntry::default(),
    hedge_percent: Hedge = Hedge::default(),
    overload: OverloadEntry = OverloadEntry::default(),
    charge: ChargeEntry = ChargeEntry::default(),
    forecast: ForecastEntry = ForecastEntry::default(),
    escalation: EscalationEntry = EscalationEntry::default(),
    sla: SlaEntry = SlaEntry::default(),
    incidents: IncidentsEntry = IncidentsEntry::default(),
} }

table! { WeightsEntry {
    time: u32 = 20,
    cost: u32 = 2,
    energy: u32 = 5,
} }

table! { SharesEntry {
    interactive: u32 = 8,
    standard: u32 = 4,
    batch: u32 = 1,
    overdue: u32 = 2,
} }

table! { Patience {
    interactive: Millis = Millis::new(5_000),
    standard: Millis = Millis::new(20_000),
    batch: Millis = Millis::new(120_000),
} }

table! { Lifetime {
    interactive: Millis = Millis::new(120_000),
    standard: Millis = Millis::new(600_000),
    batch: Millis = Millis::new(3_600_000),
} }

table! { PriceTime {
    interactive: bool = false,
    standard: bool = false,
    batch: bool = false,
} }

table! { GatherEntry {
    kilotokens: u32 = 0,
    wait_ms: Millis = Millis::new(300_000),
} }

table! { Hedge {
    interactive: u32 = 0,
    standard: u32 = 0,
    batch: u32 = 0,
} }

table! { TimeoutEntry {
    percent: u32 = 400,
    min_ms: Millis = Millis::new(30_000),
} }

table! { RetryEntry {
    attempts: u16 = 3,
    backoff_ms: Millis = Millis::new(250),
    backoff_max_ms: Millis = Millis::new(8_000),
    budget_ppm: u64 = 200_000,
    least: u32 = 3,
} }

table! { BreakerEntry {
    failures: u32 = 5,
    failing_ppm: u64 = 400_000,
    slow_ppm: u64 = 500_000,
    slow_percent: u32 = 200,
    calls: u32 = 10,
    window_ms: Millis = Millis::new(30_000),
    open_ms: Millis = Millis::new(15_000),
    open_max_ms: Option<Millis> = None,
    probes: u32 = 1,
    cut_off_ppm: u64 = 500_000,
} }

table! { ChargeEntry {
    failed_ppm: u64 = 0,
    expired_ppm: u64 = 0,
    cancelled_ppm: u64 = 1_000_000,
} }

table! { ForecastEntry {
    samples: u32 = 32,
    prior_ppm: u64 = 500_000,
    legs: u32 = 8,
    window_ms: Millis = Millis::new(60_000),
} }

table! { OverloadEntry {
    pause_ms: Millis = Millis::new(500),
    pause_max_ms: Millis = Millis::new(30_000),
} }

table! { EscalationEntry {
    elevated_ppm: u64 = 300_000,
    restricted_ppm: u64 = 550_000,
    halted_ppm: u64 = 850_000,
    elevated_below_ppm: Option<u64> = None,
    restricted_below_ppm: Option<u64> = None,
    halted_below_ppm: Option<u64> = None,
    weights: RiskEntry = RiskEntry::default(),
    drift: DriftEntry = DriftEntry::default(),
    dwell_ms: Millis = Millis::new(30_000),
    review_ms: Millis = Millis::new(5_000),
    window_ms: Millis = Millis::new(30_000),
    calls: u32 = 20,
    late_ppm: u64 = 500_000,
    override_max_ms: Millis = Millis::new(14_400_000),
} }

table! { SlaEntry {
    hour_ppm: u64 = 14_400_000,
    six_hours_ppm: u64 = 6_000_000,
    three_days_ppm: u64 = 1_000_000,
    clear_ppm: u64 = 900_000,
    hold_ms: Millis = Millis::new(60_000),
    orders: u32 = 50,
} }

table! { IncidentsEntry {
    clear_ppm: u64 = 800_000,
    hold_ms: Millis = Millis::new(60_000),
    ease_ms: Millis = Millis::new(120_000),
    failing: Begins = Begins::at([20_000, 50_000, 150_000, 400_000]),
    pressure: Begins = Begins::at([250_000, 500_000, 750_000, 900_000]),
    late: Begins = Begins::at([100_000, 250_000, 500_000, 750_000]),
    cut_off: Begins = Begins::at([100_000, 250_000, 500_000, 750_000]),
    drift: Begins = Begins::at([1_000_000, 2_000_000, 0, 0]),
    lost: Begins = Begins::at([1, 100_000, 250_000, 500_000]),
    level: Begins = Begins::at([0, 333_333, 666_666, 1_000_000]),
} }

table! { Begins {
    info_ppm: u64 = 0,
    minor_ppm: u64 = 0,
    major_ppm: u64 = 0,
    critical_ppm: u64 = 0,
} }

table! { RiskEntry {
    failing_ppm: u64 = 1_000_000,
    pressure_ppm: u64 = 1_000_000,
    late_ppm: u64 = 1_000_000,
    cut_off_ppm: u64 = 100_000,
    drift_ppm: u64 = 50_000,
} }

table! { DriftEntry {
    slack_ppm: u64 = 20_000,
    threshold_ppm: u64 = 200_000,
    reviews: u32 = 120,
} }

impl EscalationEntry {
    fn rule(self) -> Escalation {
        // A tenth below, or half of it where it is small.
        let below = |stated: Option<u64>, at: u64| {
            Ppm(stated.unwrap_or_else(|| at.saturating_sub(100_000).max(at / 2)))
        };
        let RiskEntry { failing_ppm, pressure_ppm, late_ppm, cut_off_ppm, drift_ppm } =
            self.weights;
        let DriftEntry { slack_ppm, threshold_ppm, reviews } = self.drift;
        Escalation {
            elevated: Ppm(self.elevated_ppm),
            elevated_below: below(self.elevated_below_ppm, self.elevated_ppm),
            restricted: Ppm(self.restricted_ppm),
            restricted_below: below(self.restricted_below_ppm, self.restricted_ppm),
            halted: Ppm(self.halted_ppm),
            halted_below: below(self.halted_below_ppm, self.halted_ppm),
            weights: RiskWeights {
                failing: Ppm(failing_ppm),
                pressure: Ppm(pressure_ppm),
                late: Ppm(late_ppm),
                cut_off: Ppm(cut_off_ppm),
                drift: Ppm(drift_ppm),
            },
            drift: DriftRule { slack: Ppm(slack_ppm), threshold: Ppm(threshold_ppm), reviews },
            dwell: self.dwell_ms.micros(),
            review: self.review_ms.micros(),
            window: self.window_ms.micros(),
            calls: self.calls,
            late: Ppm(self.late_ppm),
            override_max: self.override_max_ms.micros(),
        }
    }
}

impl Begins {
    const fn at([info_ppm, minor_ppm, major_ppm, critical_ppm]: [u64; 4]) -> Self {
        Self { info_ppm, minor_ppm, major_ppm, critical_ppm }
    }

    fn rule(self) -> [Ppm; 4] {
        [self.info_ppm, self.minor_ppm, self.major_ppm, self.critical_ppm].map(Ppm)
    }
}

impl IncidentsEntry {
    fn rule(self) -> IncidentRule {
        let Self { failing, pressure, late, cut_off, drift, lost, level, .. } = self;
        IncidentRule {
            begins: [failing, pressure, late, cut_off, drift, lost, level].map(Begins::rule),
            clear: Ppm(self.clear_ppm),
            hold: self.hold_ms.micros(),
            ease: self.ease_ms.micros(),
        }
    }
}

impl BreakerEntry {
    fn rule(self) -> BreakerRule {
        let open = self.open_ms.micros();
        let doubled_four_times = Micros(open.0.saturating_mul(16));
        BreakerRule {
            failures: self.failures,
            failing: Ppm(self.failing_ppm),
            slow: Ppm(self.slow_ppm),
            slow_percent: self.slow_percent,
            calls: self.calls,
            window: self.window_ms.micros(),
            open,
            open_max: self.open_max_ms.map_or(doubled_four_times, Millis::micros),
            probes: self.probes,
            cut_off: Ppm(self.cut_off_ppm),
        }
    }
}

impl PolicyFile {
    fn policy(self) -> Policy {
        let WeightsEntry { time, cost, energy } = self.weights;
        let SharesEntry { interactive, standard, batch, overdue } = self.shares;
        let shares = Shares { classes: [interactive, standard, batch], overdue };
        let Patience { interactive, standard, batch } = self.patience_ms;
        let patience = [interactive, standard, batch].map(Millis::micros);
        let Hedge { interactive, standard, batch } = self.hedge_percent;
        let hedge_percent = [interactive, standard, batch];
        let PriceTime { interactive, standard, batch } = self.price_time;
        let price_time = [interactive, standard, batch];
        let Lifetime { interactive, standard, batch } = self.lifetime_ms;
        Policy {
            hedge_percent,
            preempt: self.preempt,
            overcommit_percent: self.overcommit_percent,
            price_time,
            gather: GatherRule {
                tokens: Tokens(u64::from(self.gather.kilotokens).saturating_mul(1_000)),
                wait: self.gather.wait_ms.micros(),
            },
            route_by: self.route_by,
            weights: Weights { time, cost, energy },
            candidates: self.candidates,
            home_percent: self.home_percent,
            prefix_age: self.prefix_age_ms.micros(),
            key_age: self.key_age_ms.micros(),
            berth_grace: self.berth_grace_ms.micros(),
            stop: self.stop_ms.micros(),
            shares,
            patience,
            lifetime: [interactive, standard, batch].map(Millis::micros),
            timeout_percent: self.timeout.percent,
            timeout_min: self.timeout.min_ms.micros(),
            retry: RetryRule {
                attempts: self.retry.attempts,
                backoff: self.retry.backoff_ms.micros(),
                backoff_max: self.retry.backoff_max_ms.micros(),
                budget: Ppm(self.retry.budget_ppm),
                least: self.retry.least,
            },
            breaker: self.breaker.rule(),
            overload: OverloadRule {
                pause: self.overload.pause_ms.micros(),
                pause_max: self.overload.pause_max_ms.micros(),
            },
            charge: Charge {
                failed: Ppm(self.charge.failed_ppm),
                expired: Ppm(self.charge.expired_ppm),
                cancelled: Ppm(self.charge.cancelled_ppm),
            },
            forecast: Forecast {
                samples: self.forecast.samples,
                prior: Ppm(self.forecast.prior_ppm),
                legs: self.forecast.legs,
                window: self.forecast.window_ms.micros(),
            },
            escalation: self.escalation.rule(),
            sla: SlaRule {
                burns: [self.sla.hour_ppm, self.sla.six_hours_ppm, self.sla.three_days_ppm]
                    .map(Ppm),
                clear: Ppm(self.sla.clear_ppm),
                hold: self.sla.hold_ms.micros(),
                orders: self.sla.orders,
            },
            incidents: self.incidents.rule(),
        }
    }
}
