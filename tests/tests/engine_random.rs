//! Random commands, hostile ones among them: every one is decided, the state stays sound, and folding
//! the events alone leads to the same state as deciding did.

use std::sync::atomic::{AtomicU64, Ordering};

use tensorforge_engine::security::Source;
use tensorforge_engine::table::AnyTable;
use tensorforge_engine::units::{JournalId, Micros, Seq};
use tensorforge_engine::{Event, Exchange, Stamp, State};
use tensorforge_tests::audit::Audit;
use tensorforge_tests::walk::{Random, alike, bounds, command, setup, stays};

/// Runs `records` random records; returns what they decided, and how often each kind of event came.
fn run(seed: u64, records: u64) -> Vec<(Micros, Vec<Event>)> {
    let journal = JournalId([seed as u8; 16]);
    let mut live = Exchange::genesis(journal);
    let mut replica = Exchange::genesis(journal);
    let mut random = Random(seed);
    // Among vessels alike time goes on, and legs last.
    let calm = seed.is_multiple_of(2);
    let setup = if calm { alike(bounds()) } else { setup(bounds()) };
    let pace = if calm { 300_000 } else { 40_000 };
    let mut setup = setup.into_iter();
    let (mut history, mut audit) = (Vec::new(), Audit::default());
    // What was restored decides as what never was.
    let mut twin: Option<Exchange> = None;
    let mut time = Micros(1);
    for seq in (0..records).map(Seq) {
        let (source, command) = match setup.next() {
            Some(command) => (Source::OPERATOR, command),
            None => {
                let mut some = || command(&mut random, live.state());
                let lets = |(_, command): &(Source, _)| !calm || stays(command);
                std::iter::repeat_with(&mut some).find(lets).unwrap()
            }
        };
        match live.state().next_deadline() {
            Some(due) if random.below(4) == 0 => time = time.max(due),
            _ => time += Micros(random.below(pace)),
        }
        // Now and then somebody's clock is behind.
        let sent = if random.below(200) == 0 { time - Micros(90_000) } else { time };
        let mut events = Vec::new();
        live.decide(Stamp { seq, time: sent, source }, &command, &mut events).unwrap();
        assert_eq!(
            live.state().check(),
            Vec::<String>::new(),
            "record {seq}: {command:?} {events:?}"
        );
        if let Some(twin) = &mut twin {
            let mut same = Vec::new();
            twin.decide(Stamp { seq, time: sent, source }, &command, &mut same).unwrap();
            assert_eq!(events, same, "record {seq}, restored before: {command:?}");
        }
        audit.record(&events, live.state());
        replica.fold(seq, sent, &events).unwrap();
        assert_eq!(live.state().tag(), replica.state().tag(), "record {seq}: {events:?}");
        if seq.0 % 97 == 0 {
            replica = Exchange::resume(restored(replica.state()));
            twin = Some(replica.clone());
            assert_eq!(replica.state().check(), Vec::<String>::new(), "restored after {seq}");
            assert_eq!(live.state().root(), replica.state().root());
            assert_eq!(live.state().seq(), replica.state().seq());
            assert_eq!(writers(live.state()), writers(replica.state()), "restored after {seq}");
            assert_eq!(
                live.state().next_deadline(),
                replica.state().next_deadline(),
                "record {seq}"
            );
        }
        history.push((sent, events));
    }
    assert_eq!(live.state().differences(replica.state(), 10), vec![]);
    history
}

/// The state after its rows have been through their images.
fn restored(state: &State) -> State {
    let mut rows = Vec::new();
    for (number, table) in (0u8..).zip(state.tables.all()) {
        table.export(&mut |key, writer, image| rows.push((number, key, writer, image.to_vec())));
    }
    State::restore(state.journal(), state.seq(), rows).unwrap()
}

/// The record that last wrote each row, table by table.
fn writers(state: &State) -> Vec<Vec<Option<Seq>>> {
    let of = |table: &dyn AnyTable| table.keys().into_iter().map(|key| table.writer(key)).collect();
    state.tables.all().into_iter().map(of).collect()
}

#[test]
fn random_histories_are_sound_and_fold_to_the_same_state() {
    let mut kinds = std::collections::BTreeMap::<String, u32>::new();
    for seed in 1..=24 {
        for (_, events) in run(seed, 4_000) {
            for event in events {
                let name = format!("{event:?}");
                let name = name.split([' ', '(', ')', '{']).nth(1).unwrap().to_owned();
                *kinds.entry(name).or_default() += 1;
            }
        }
    }
    // A walk that never comes across some event proves nothing about it.
    assert_eq!(kinds.len(), 75, "{kinds:#?}");
    assert!(kinds.values().all(|count| *count > 3), "{kinds:#?}");
}

/// Not a pico-dollar comes from nowhere or goes there, in ten million random commands.
#[test]
fn money_is_conserved_whatever_is_commanded() {
    const COMMANDS: u64 = 10_000_000;
    const WALK: u64 = 20_000;
    let next = AtomicU64::new(0);
    let audit = || {
        loop {
            let walk = next.fetch_add(1, Ordering::Relaxed);
            if walk * WALK >= COMMANDS {
                return;
            }
            audited(1_000 + walk, WALK);
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(audit))));
}

/// Audits the accounts after every record of a walk.
fn audited(seed: u64, records: u64) {
    let mut exchange = Exchange::genesis(JournalId([seed as u8; 16]));
    let (mut random, mut audit) = (Random(seed), Audit::default());
    let mut setup = setup(bounds()).into_iter();
    let (mut time, mut events) = (Micros(1), Vec::new());
    for seq in (0..records).map(Seq) {
        let (source, command) = match setup.next() {
            Some(command) => (Source::OPERATOR, command),
            None => command(&mut random, exchange.state()),
        };
        match exchange.state().next_deadline() {
            Some(due) if random.below(4) == 0 => time = time.max(due),
            _ => time += Micros(random.below(40_000)),
        }
        events.clear();
        exchange.decide(Stamp { seq, time, source }, &command, &mut events).unwrap();
        audit.record(&events, exchange.state());
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    assert_eq!(run(3, 2_000), run(3, 2_000));
}
