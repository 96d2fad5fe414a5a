//! Whether tenants are served as they were promised.

use alloc::vec::Vec;

use crate::event::Event as Any;
use crate::kernel::units::{Micros, Ppm, TenantId};
use crate::policy::rows::{Burn, BurnAlert, BurnWindow, SlaRule};
use crate::policy::words::Event;
use crate::state::State;
use crate::telemetry::decide::incidents;
use crate::transaction::Transaction;

/// The most tenants that are looked at by one review; who is left is by those after it, in turns.
const TENANTS: u32 = 32;

/// A review is one unit of work.
const _: () = assert!(
    (TENANTS as usize * BurnWindow::ALL.len() + 4) * Any::BYTES_MAX + incidents::BYTES
        <= Transaction::UNIT_BYTES
);

/// Looks at the next tenants that were promised something, and tells of whoever is served so badly for long that too
/// little would be left of what may go wrong; and of whoever is not any more.
pub(crate) fn look(tx: &mut Transaction) {
    let state = tx.state();
    let Some((_, policy)) = state.policy() else { return };
    let rule = policy.sla.clone();
    let told: Vec<Event> =
        turn(state).into_iter().flat_map(|tenant| of_tenant(state, &rule, tenant)).collect();
    told.into_iter().for_each(|event| tx.emit(event));
}

/// Those whose turn it is.
fn turn(state: &State) -> Vec<TenantId> {
    let sla = &state.tables.sla;
    let reviews = state.stance().map_or(0, |stance| stance.reviews);
    let first = reviews.wrapping_mul(u64::from(TENANTS)).checked_rem(u64::from(sla.len()));
    let first = first.and_then(|first| usize::try_from(first).ok()).unwrap_or(0);
    let count = sla.len().min(TENANTS) as usize;
    let tenants = || sla.iter().map(|(tenant, _)| tenant);
    tenants().skip(first).chain(tenants()).take(count).collect()
}

fn of_tenant(state: &State, rule: &SlaRule, tenant: TenantId) -> Vec<Event> {
    let tables = &state.tables;
    let found = tables.sla.get(tenant).zip(tables.tenants.get(tenant));
    let Some((row, contract)) = found else { return Vec::new() };
    let (now, promise) = (state.now(), &contract.sla);
    let budget_left = row.budget_left(now, promise);
    let burns = row.alerted(now, promise).into_iter().zip(row.alerts).zip(rule.burns);
    let told = BurnWindow::ALL.iter().zip(burns).filter_map(|(window, ((found, alert), at))| {
        let (window, burn) = (*window, found.long);
        match verdict(now, rule, &found, &alert, at)? {
            Verdict::Seen => Some(Event::BurnSeen { tenant, window, burn }),
            Verdict::Raised => Some(Event::BurnRaised { tenant, window, burn, budget_left }),
            Verdict::Cleared => {
                let raised = alert.raised;
                Some(Event::BurnCleared { tenant, window, burn, raised })
            }
        }
    });
    told.collect()
}

enum Verdict {
    Seen,
    Raised,
    Cleared,
}

/// What becomes of an alert that errors have reached which use up what is allowed `at` times as fast.
fn verdict(
    now: Micros,
    rule: &SlaRule,
    found: &Burn,
    alert: &BurnAlert,
    at: Ppm,
) -> Option<Verdict> {
    let enough = found.orders >= u64::from(rule.orders);
    let high = enough && found.long >= at && found.short >= at;
    let begun = alert.since != Micros::MAX;
    if alert.raised {
        return (found.short < at.share(rule.clear)).then_some(Verdict::Cleared);
    }
    match (begun, high) {
        (false, true) if rule.hold == Micros::ZERO => Some(Verdict::Raised),
        (false, true) => Some(Verdict::Seen),
        (true, true) => (now >= alert.since + rule.hold).then_some(Verdict::Raised),
        (true, false) => Some(Verdict::Cleared),
        (false, false) => None,
    }
}
