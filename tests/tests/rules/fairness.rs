//! What those who wait are served, at every event.

use super::*;

/// What each party has been served, as the events tell it: charged when it is chosen, and less what was
/// spared once it is done.
#[derive(Default)]
struct Served {
    by: [f64; 2],
    most: f64,
    /// By how much the second was ahead of the first at most, and the first of the second.
    ahead: [f64; 2],
    running: Vec<(OrderId, usize, Demand)>,
}

/// Two parties of which orders wait all the while, worked by vessels of three slots; in no span of time does what
/// they are served for their shares differ by more than the bound.
fn share(parties: [(u32, Class, f64, Demand); 2], spared: bool) {
    let mut desk = Desk::open(1, &walk::policy(), (0, 0, 0));
    let contract = Tenant::unlimited("brae");
    desk.tell(0, models::Command::RegisterTenant(contract));
    desk.vessel("dory", Manifest { slots: 3, context_max: Tokens(100_000), ..boat() });
    let mut random = Random(7);
    let mut served = Served::default();
    let (mut orders, mut chosen) = (std::collections::BTreeMap::new(), [0; 2]);
    for time in 1..2_000u64 {
        let waiting = |party: usize| {
            let queued = desk.state().tables.orders.iter();
            let (tenant, class, ..) = parties[party];
            queued
                .filter(|(_, row)| row.stage == Stage::Queued)
                .filter(|(_, row)| (row.tenant.0, row.demand.class) == (tenant, class))
                .count()
        };
        let short = (0..2).find(|party| waiting(*party) < 4);
        let events = match (short, served.running.is_empty()) {
            (Some(party), _) => {
                let (tenant, class, _, demand) = &parties[party];
                desk.tenant = TenantId(*tenant);
                let deadline = Micros(1_000_000_000 + random.below(1_000));
                let tokens_in = Tokens(1 + random.below(2 * demand.tokens_in.0));
                let demand = Demand { class: *class, deadline, tokens_in, ..demand.clone() };
                let events = desk.submit(time, demand.clone());
                let Event::Workflow(workflow::Event::OrderAdmitted { order, .. }) = &events[0]
                else {
                    panic!("{events:?}");
                };
                orders.insert(*order, (party, demand));
                // Whoever comes first finds room, and is not counted.
                if let Some(Event::Routing(_)) = events.get(1) {
                    served.running.push((*order, 2, orders[order].1.clone()));
                }
                events
            }
            (None, _) => {
                let place = random.below(served.running.len() as u64) as usize;
                let (order, party, demand) = served.running.swap_remove(place);
                let most = demand.tokens_out_max.0;
                let tokens_out = if spared { random.below(most + 1) } else { most };
                if party < 2 {
                    served.by[party] -= 2.0 * (most - tokens_out) as f64 / parties[party].2;
                }
                let done = Outcome::Done {
                    tokens_out: Tokens(tokens_out),
                    cached: Tokens::ZERO,
                    first_token: Micros::ZERO,
                    energy: Millijoules::ZERO,
                };
                desk.report(time, order.slot().0, done)
            }
        };
        for event in &events {
            let Event::Queue(queue::Event::OrderChosen { order, tokens, .. }) = event else {
                continue;
            };
            let (party, demand) = orders[order].clone();
            let amount = *tokens as f64 / parties[party].2;
            served.by[party] += amount;
            served.most = served.most.max(amount);
            chosen[party] += 1;
            served.running.push((*order, party, demand));
        }
        // What is spared comes back late: of as many orders as are worked at once.
        let bound = if spared { 5.0 } else { 2.0 } * served.most;
        let apart = served.by[0] - served.by[1];
        served.ahead = [served.ahead[0].min(apart), served.ahead[1].max(apart)];
        // Of any span of time: by so much one was ahead at its beginning, and the other at its end.
        let most = served.ahead[1] - served.ahead[0];
        assert!(most <= bound + 1.0, "{most} in some span, of {bound}, after {:?}", served.by);
    }
    assert!(chosen.iter().all(|count| *count > 10), "{chosen:?}");
}

/// The bound of Sheng et al. (OSDI 2024), from any event to any other, whichever of the two is ahead.
#[test]
fn turns_and_shares_are_kept_within_the_bound() {
    let small = Demand { tokens_in: Tokens(100), tokens_out_max: Tokens(20), ..demand() };
    let large = Demand { tokens_in: Tokens(1_500), tokens_out_max: Tokens(300), ..demand() };
    for spared in [false, true] {
        let one = |tenant, demand: &Demand| (tenant, Class::Standard, 1.0, demand.clone());
        share([one(0, &small), one(1, &large)], spared);
        share([one(0, &large), one(1, &large)], spared);
        // Shares of eight, four and one. Nothing here waits beyond its patience.
        let of = |class, share, demand: &Demand| (0, class, share, demand.clone());
        share([of(Class::Standard, 4.0, &small), of(Class::Batch, 1.0, &large)], spared);
        share([of(Class::Standard, 4.0, &large), of(Class::Batch, 1.0, &small)], spared);
    }
}
