//! Money: what a statement says is what was worked, to the micro-dollar.

use std::path::Path;

use serde_json::Value;
use tensorforge_engine::models::{Demand, Manifest, Stage, Tenant, Usage};
use tensorforge_engine::telemetry::Money;
use tensorforge_engine::units::{
    MicroUsd, Micros, Millijoules, OrderSlot, PicoUsd, Ppm, TenantId, Tokens,
};
use tensorforge_engine::workflow::{Fault, Outcome};
use tensorforge_engine::{Event, models, telemetry, workflow};
use tensorforge_tests::desk::{Desk, boat, demand};
use tensorforge_tests::walk::{self, Random};

/// Ten thousand tiny orders under three published price lists (dollars a million tokens, fresh, cached and
/// generated): each is worth about a micro-dollar, and rounding each would be felt in their sum.
#[test]
fn statements_are_exact_whatever_the_price_list() {
    // GPT-4o mini, Gemini 1.5 Flash-8B and DeepSeek-V3, as published in 2024.
    let lists = [["0.15", "0.075", "0.60"], ["0.0375", "0.01", "0.15"], ["0.27", "0.07", "1.10"]];
    for list in lists {
        settle(list.map(micro_dollars), 10_000, &format!("{list:?}"));
    }
}

/// So many tiny orders at these prices for a million tokens, and what their statement says.
fn settle([price_in, price_cached, price_out]: [MicroUsd; 3], orders: u64, list: &str) {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    desk.checks = false;
    let prices = Manifest { price_in, price_cached, price_out, ..boat() };
    desk.vessel("dory", prices);
    let (mut random, mut exact) = (Random(7), 0u128);
    for turn in 0..orders {
        let [tokens_in, tokens_out] = [1 + random.below(6), random.below(4)];
        let cached = random.below(tokens_in + 1);
        let asked = Demand { tokens_in: Tokens(tokens_in), ..demand() };
        desk.submit(10 + turn, asked);
        let (first_token, energy) = (Micros::ZERO, Millijoules::ZERO);
        let (tokens_out, hit) = (Tokens(tokens_out), Tokens(cached));
        desk.report(10 + turn, 0, Outcome::Done { tokens_out, cached: hit, first_token, energy });
        let worth = |tokens: u64, price: MicroUsd| u128::from(tokens * price.0);
        exact += worth(tokens_in - cached, price_in);
        exact += worth(cached, price_cached) + worth(tokens_out.0, price_out);
    }
    let account = desk.state().tables.accounts.get(TenantId(0)).unwrap();
    assert_eq!(account.ended, [orders, 0, 0, 0, 0]);
    let rounded = u128::from(account.charged().rounded().0);
    assert_eq!(rounded, (exact + 500_000) / 1_000_000, "{list}");
    assert_eq!(account.charged().in_picos(), exact, "{list}");
    assert_eq!(account.worth(), account.charged());
}

/// Every model of a public price list whose prices are whole micro-dollars a million tokens, three of them at length.
/// Where the list is not at hand nothing is looked at, and that is said.
#[test]
fn statements_are_exact_for_public_price_lists() {
    let list = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/litellm-prices/model_prices_and_context_window.json.gz");
    let Ok(text) = std::process::Command::new("gzip").arg("-dc").arg(&list).output() else {
        return eprintln!("passed over: no gzip");
    };
    if !text.status.success() {
        return eprintln!("passed over: {} is not there", list.display());
    }
    let models: Value = serde_json::from_slice(&text.stdout).unwrap();
    let mut settled = 0;
    for (name, model) in models.as_object().unwrap() {
        let keys = ["input_cost_per_token", "cache_read_input_token_cost", "output_cost_per_token"];
        let Some(prices) =
            keys.map(|key| a_million(&model[key])).into_iter().collect::<Option<Vec<_>>>()
        else {
            continue;
        };
        let at_length = ["gpt-4o", "claude-sonnet-4-5", "gemini/gemini-2.5-flash"];
        let orders = if at_length.contains(&name.as_str()) { 10_000 } else { 50 };
        settle([prices[0], prices[1], prices[2]], orders, name);
        settled += 1;
    }
    assert!(settled > 1_000, "{settled}");
}

/// The price of a million tokens, of one token in dollars as JSON spells it; none if it is no whole number of
/// micro-dollars.
fn a_million(price: &Value) -> Option<MicroUsd> {
    let text = price.as_f64().filter(|price| *price > 0.0).map(|price| format!("{price:e}"))?;
    let (digits, exponent) = text.split_once('e')?;
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let number: u64 = format!("{whole}{part}").parse().ok()?;
    let power = exponent.parse::<i32>().ok()? - part.len() as i32 + 12;
    let price = u32::try_from(power).ok().and_then(|power| 10u64.checked_pow(power));
    price.and_then(|power| number.checked_mul(power)).map(MicroUsd)
}

/// A vessel ten times as dear takes up what another one dropped: no more is charged than was set aside when
/// the order came, and what is left of the budget is right.
#[test]
fn nobody_is_charged_more_than_was_set_aside() {
    let mut policy = walk::policy();
    policy.retry.attempts = 2;
    let mut desk = Desk::open(3, &policy, (0, 0, 0));
    desk.vessel("dory", boat());
    let (budget, budget_period) = (MicroUsd(2_000), Micros::ZERO);
    let contract = Tenant { budget_period, budget, ..Tenant::unlimited("alba") };
    desk.tell(5, models::Command::RegisterTenant(contract));
    desk.submit(10, demand());
    let dear =
        Manifest { price_in: MicroUsd(10_000_000), price_out: MicroUsd(20_000_000), ..boat() };
    let yacht = models::Command::RegisterVessel { name: "yacht".into(), manifest: dear, start: 0 };
    desk.tell(15, yacht);
    desk.report(20, 0, Outcome::Failed(Fault::Error));
    let retry = desk.state().next_deadline().unwrap().0;
    desk.tell(retry, workflow::Command::Advance);
    let (tokens_out, cached, first_token) = (Tokens(100), Tokens(0), Micros::ZERO);
    let done = Outcome::Done { tokens_out, cached, first_token, energy: Millijoules(7) };
    let events = desk.report(retry + 1, 0, done);
    let settled = events.iter().find_map(|event| match event {
        Event::Telemetry(telemetry::Event::OrderSettled { cost, burnt, .. }) => {
            Some((cost.0, burnt.0))
        }
        _ => None,
    });
    assert_eq!(settled, Some((1_200_000_000, 12_000_000_000)));
    // What a further order may be charged is now worked out from the dearer one.
    let refused = desk.submit(retry + 2, Demand { tokens_in: Tokens(80), ..demand() });
    let left = telemetry::Refusal::BudgetSpent {
        asked: MicroUsd(2_800),
        left: MicroUsd(800),
        renewed_at: Micros::MAX,
    };
    let refusal = |event: &Event| match event {
        Event::Workflow(workflow::Event::OrderRefused { refusal, .. }) => Some(refusal.clone()),
        _ => None,
    };
    assert_eq!(refused.iter().find_map(refusal), Some(left.into()));
    let small = Demand { tokens_in: Tokens(80), tokens_out_max: Tokens(0), ..demand() };
    assert!(desk.submit(retry + 3, small).iter().find_map(refusal).is_none());
}

/// Many at once, of which some fail, some are withdrawn and some expire: what was charged in a period and what
/// is set aside is never more than the budget, and so nor is what is charged in the end.
#[test]
fn no_budget_is_overdrawn_by_concurrency() {
    let mut policy = walk::policy();
    policy.escalation.halted = Ppm(1_000_000);
    policy.breaker.failures = 0;
    policy.breaker.failing = Ppm(0);
    let mut desk = Desk::open(4, &policy, (0, 0, 0));
    desk.checks = false;
    desk.vessel("dory", Manifest { slots: 50, ..boat() });
    desk.vessel("punt", Manifest { slots: 50, price_out: MicroUsd(3_000_007), ..boat() });
    let (budget, budget_period) = (MicroUsd(20_000), Micros(1_000_000));
    let contract = Tenant { budget_period, budget, ..Tenant::unlimited("alba") };
    desk.tell(5, models::Command::RegisterTenant(contract));
    let (mut random, mut refused, mut periods) = (Random(3), 0, 0);
    for turn in 0..4_000u64 {
        let at = 1_000 + turn * 1_000;
        desk.settle(at);
        let live: Vec<_> =
            desk.state().tables.orders.iter().map(|(slot, row)| (slot.0, row.id)).collect();
        let running = |slot| desk.state().tables.orders.get(slot).unwrap().stage == Stage::Running;
        match (random.below(5), live.first()) {
            (0 | 1, Some((slot, _))) if running(OrderSlot(*slot)) => {
                let (tokens_out, cached) = (Tokens(random.below(100)), Tokens(random.below(900)));
                let (first_token, energy) = (Micros::ZERO, Millijoules::ZERO);
                desk.report(at, *slot, Outcome::Done { tokens_out, cached, first_token, energy });
            }
            (2, Some((slot, _))) if running(OrderSlot(*slot)) => {
                desk.report(at, *slot, Outcome::Failed(Fault::Error));
            }
            (3, Some((_, order))) => {
                desk.tell(at, workflow::Command::Cancel { order: *order });
            }
            _ => {
                let asked = Demand { tokens_in: Tokens(1 + random.below(1_500)), ..demand() };
                refused += usize::from(desk.submit(at, asked).len() == 1);
            }
        }
        let Some(row) = desk.state().tables.spending.get(TenantId(0)) else { continue };
        let held = row.spent.in_picos() + row.reserved.in_picos();
        assert!(held <= 20_000_000_000, "turn {turn}: {row:?}");
        periods = periods.max(row.since.0 / 1_000_000);
    }
    assert!(refused > 100 && periods >= 3, "{refused} {periods}");
}

/// `"0.0375"` dollars are 37 500 micro-dollars.
fn micro_dollars(dollars: &str) -> MicroUsd {
    let (whole, part) = dollars.split_once('.').unwrap();
    MicroUsd(format!("{whole}{part:0<6}").parse().unwrap())
}

#[test]
fn money_adds_up_beyond_sixty_four_bits() {
    let mut money = Money::default();
    for _ in 0..3 {
        money += PicoUsd::MAX;
    }
    let sum = u128::from(u64::MAX) * 3;
    assert_eq!(u128::from(money.micros.0) * 1_000_000 + u128::from(money.picos), sum);
    assert_eq!(money.in_picos(), sum);
    let mut twice = money;
    twice += money;
    assert_eq!(twice.in_picos(), 2 * sum);
    twice -= PicoUsd(999_999);
    assert_eq!(twice.in_picos(), 2 * sum - 999_999);
    let half = |picos| Money { micros: MicroUsd(7), picos }.rounded().0;
    assert_eq!([half(0), half(499_999), half(500_000), half(999_999)], [7, 7, 8, 8]);
}

/// Ten times as dear since the order came: for what it had worked when it was withdrawn no more is charged than was set
/// aside, and all of it was burnt.
#[test]
fn a_stop_is_not_charged_more_than_was_set_aside() {
    let mut policy = walk::policy();
    policy.charge.cancelled = Ppm::ONE;
    let mut desk = Desk::open(6, &policy, (0, 0, 0));
    let contract = Tenant { budget: MicroUsd(5_000), ..Tenant::unlimited("alba") };
    desk.tell(0, models::Command::RegisterTenant(contract));
    desk.vessel("dory", boat());
    desk.submit(10, demand());
    let (price_in, price_out) = (MicroUsd(10_000_000), MicroUsd(20_000_000));
    let name = "dory".into();
    let manifest = Manifest { price_in, price_out, ..boat() };
    desk.tell(20, models::Command::RegisterVessel { name, manifest, start: 0 });
    let order = desk.order(0);
    desk.tell(30, workflow::Command::Cancel { order });
    let usage = Usage { tokens_in: Tokens(1_000), tokens_out: Tokens(100), ..Usage::NONE };
    desk.tell(40, workflow::Command::ReportStop { order, attempt: 1, leg: 0, usage });
    let account = desk.state().tables.accounts.get(TenantId(0)).unwrap();
    assert_eq!(account.charged().rounded(), MicroUsd(1_200));
    assert_eq!(account.worth().rounded(), MicroUsd(12_000));
    let spending = desk.state().tables.spending.get(TenantId(0)).unwrap();
    assert_eq!((spending.reserved.in_picos(), spending.spent.in_picos()), (0, 1_200_000_000));
}
