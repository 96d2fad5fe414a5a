//! The engine against the model: the same random commands, and after every record the same decisions, the
//! same state, and nobody who waits for nothing.

use tensorforge_engine::security::Source;
use tensorforge_engine::units::{JournalId, Micros, Seq};
use tensorforge_engine::{Exchange, Stamp};
use tensorforge_tests::model::Model;
use tensorforge_tests::walk::{Random, command, setup};

fn agree(seed: u64, records: u64, pace: u64) {
    let mut exchange = Exchange::genesis(JournalId([seed as u8; 16]));
    let mut model = Model::default();
    let mut random = Random(seed);
    let mut setup = setup().into_iter();
    let mut time = Micros(0);
    for seq in (0..records).map(Seq) {
        let (source, command) = match setup.next() {
            Some(command) => (Source::OPERATOR, command),
            None => command(&mut random, exchange.state()),
        };
        match exchange.state().next_deadline() {
            Some(due) if random.below(4) == 0 => time = time.max(due),
            _ => time += Micros(random.below(pace)),
        }
        let sent = if random.below(200) == 0 { time - Micros(90_000) } else { time };
        let stamp = Stamp { seq, time: sent, source };
        let mut events = Vec::new();
        exchange.decide(stamp, &command, &mut events).unwrap();
        let context = || format!("seed {seed}, record {seq} at {time}: {command:?}\n{events:#?}");
        if let Err(disagreement) = model.step(stamp, &command, &events) {
            panic!("{disagreement}\n{}", context());
        }
        let differences = model.differences(exchange.state());
        assert!(differences.is_empty(), "{}\n{}", differences.join("\n"), context());
        assert_eq!(model.forgotten(), None, "{}", context());
    }
}

#[test]
fn the_engine_decides_as_the_model_does() {
    for seed in 100..112 {
        agree(seed, 3_000, 40_000);
    }
}

/// Time hardly passes: queues fill and bounds are reached.
#[test]
fn they_agree_under_pressure() {
    for seed in 200..206 {
        agree(seed, 3_000, 4_000);
    }
}

/// Time flies: almost everything times out, expires or falls silent.
#[test]
fn they_agree_when_most_things_are_late() {
    for seed in 300..306 {
        agree(seed, 2_000, 900_000);
    }
}
