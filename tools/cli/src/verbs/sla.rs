//! `sla`: how well tenants are served that were promised something.

use serde_json::{Value, json};
use tensorforge_engine::State;
use tensorforge_engine::models::Tenant;
use tensorforge_engine::policy::{BurnWindow, Sla};
use tensorforge_engine::units::{Micros, Ppm, TenantId};
use tensorforge_journal::{Mode, state_at};

use crate::args::SlaArgs;
use crate::failure::{Exit, Result};
use crate::moment;
use crate::output::{self, grouped, span};
use crate::verbs;

/// What people call the windows that are counted.
const WINDOWS: [&str; 5] = ["5 min", "30 min", "1 h", "6 h", "3 d"];

pub(crate) fn run(args: &SlaArgs, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(&args.dir)?;
    let records = match &args.at {
        Some(text) => moment::until(&journal, "--at", text)?,
        None => journal.next_seq(),
    };
    let state = state_at(&journal, Mode::Fold, records)?;
    let now = state.now();
    let promised: Vec<(TenantId, &Sla, &Tenant)> = state
        .tables
        .sla
        .iter()
        .filter_map(|(id, row)| Some((id, row, state.tables.tenants.get(id)?)))
        .collect();
    if as_json {
        let tenants: Vec<Value> =
            promised.iter().map(|(id, row, contract)| told(now, *id, row, contract)).collect();
        output::json(&json!({ "records": records, "time_us": now, "tenants": tenants }));
    } else if promised.is_empty() {
        output::say("no tenant was promised anything");
    } else {
        print(&state, &promised);
    }
    Ok(Exit::AsAsked)
}

fn print(state: &State, promised: &[(TenantId, &Sla, &Tenant)]) {
    let now = state.now();
    let mut header = vec!["tenant", "objective", "good", "bad", "compliance"];
    header.extend(WINDOWS.map(|window| window));
    header.extend(["budget left", "alerts"]);
    let rows: Vec<Vec<String>> = promised
        .iter()
        .map(|(_, row, contract)| {
            let promise = &contract.sla;
            let mut cells = vec![
                contract.name.clone(),
                percent(promise.objective),
                grouped(row.good),
                grouped(row.bad),
                percent(row.compliance()),
            ];
            cells.extend(row.burns(now, promise).map(times));
            cells.extend([percent(row.budget_left(now, promise)), alerts(now, row)]);
            cells
        })
        .collect();
    output::say(format!("after {}; burn by window", span(now.0)));
    output::say(output::table(&header, &rows));
}

/// The alerts that there are, and for how long.
fn alerts(now: Micros, row: &Sla) -> String {
    let alerts = BurnWindow::ALL.iter().zip(row.alerts);
    let told: Vec<String> = alerts
        .filter(|(_, alert)| alert.since != Micros::MAX)
        .map(|(window, alert)| {
            let seen = if alert.raised { "" } else { " seen" };
            format!("{}{seen} for {}", name(*window), span((now - alert.since).0))
        })
        .collect();
    if told.is_empty() { "none".to_owned() } else { told.join(", ") }
}

fn name(window: BurnWindow) -> &'static str {
    match window {
        BurnWindow::Hour => "hour",
        BurnWindow::SixHours => "six hours",
        BurnWindow::ThreeDays => "three days",
    }
}

/// Millionths as a percentage, with the places that there are.
fn percent(Ppm(share): Ppm) -> String {
    format!("{}.{:04} %", share / 10_000, share % 10_000)
}

/// How many times as fast as is allowed, rounded down.
fn times(Ppm(burn): Ppm) -> String {
    format!("{}.{:02} x", grouped(burn / 1_000_000), burn % 1_000_000 / 10_000)
}

fn told(now: Micros, id: TenantId, row: &Sla, contract: &Tenant) -> Value {
    let promise = &contract.sla;
    let windows = Sla::WINDOWS.into_iter().zip(row.counts(now)).zip(row.burns(now, promise));
    let windows = windows.map(|((window, [good, bad]), burn)| {
        json!({ "window_us": window, "good": good, "bad": bad, "burn_ppm": burn })
    });
    let alerts = BurnWindow::ALL.iter().zip(row.alerts);
    let alerts = alerts.filter(|(_, alert)| alert.since != Micros::MAX).map(|(window, alert)| {
        json!({ "window": window, "since_us": alert.since, "raised": alert.raised })
    });
    json!({
        "tenant": id,
        "name": contract.name,
        "promise": promise,
        "good": row.good,
        "bad": row.bad,
        "compliance_ppm": row.compliance(),
        "windows": windows.collect::<Vec<_>>(),
        "budget_left_ppm": row.budget_left(now, promise),
        "alerts": alerts.collect::<Vec<_>>(),
    })
}
