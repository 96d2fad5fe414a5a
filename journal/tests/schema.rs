//! The schema text is what the types are: a variant, a field or a type that moves is seen here first.
//!
//! With TENSORFORGE_ACCEPT=1 the text is written anew. That makes journals of earlier builds
//! unreadable for this one, so it is done only together with a decoder for the earlier schema.

use std::fmt::Write as _;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_reflection::{ContainerFormat, Samples, Tracer, TracerConfig, VariantFormat};
use tensorforge_engine::config::Bound;
use tensorforge_engine::jobs::{Cause, JobEnd, Reported, Standing, StepEnd, Task, Wait, Work};
use tensorforge_engine::models::{
    Class, End, Kind, LegKind, LossCause, Role, Stage, Thing, VesselStatus,
};
use tensorforge_engine::policy::{BurnWindow, OverrideEnd, PolicyLevel, Signal};
use tensorforge_engine::refusal::Refusal;
use tensorforge_engine::resilience::Breaker;
use tensorforge_engine::routing::{Choice, Verdict};
use tensorforge_engine::security::{Scope, Source};
use tensorforge_engine::table::{AnyTable, Row, Table};
use tensorforge_engine::telemetry::{Concern, Notice, Severity};
use tensorforge_engine::units::{JournalId, Key};
use tensorforge_engine::workflow::{Fault, Outcome, Withheld};
use tensorforge_engine::{
    Command, Event, State, Tables, allocator, config, jobs, models, policy, queue, resilience,
    routing, security, telemetry, workflow,
};

/// The schema as text, a line for every variant and field.
fn traced() -> String {
    let mut tracer = Tracer::new(TracerConfig::default());
    let samples = Samples::new();
    macro_rules! trace {
        ($($name:ty),* $(,)?) => {$(
            tracer.trace_type::<$name>(&samples).map_err(|error| format!("{}: {error:?}", stringify!($name))).unwrap();
        )*};
    }
    // Enums first: whatever holds one is traced with all of its variants known.
    trace!(
        Class,
        Kind,
        Role,
        VesselStatus,
        Breaker,
        Stage,
        End,
        LegKind,
        PolicyLevel,
        Signal,
        OverrideEnd,
        BurnWindow,
        Scope,
        Fault,
        Withheld,
        LossCause,
        Outcome,
        Verdict,
        Choice,
        Thing,
        Bound,
        Task,
        Standing,
        Wait,
        Cause,
        JobEnd,
        Work,
        Reported,
        StepEnd,
        Concern,
        Severity,
        Notice,
    );
    // Then what the modules say, those first that others hold.
    trace!(
        config::Refusal,
        models::Refusal,
        queue::Refusal,
        allocator::Refusal,
        policy::Refusal,
        security::Refusal,
        telemetry::Refusal,
        workflow::Refusal,
        jobs::Refusal,
        Refusal,
        allocator::Command,
        config::Command,
        models::Command,
        policy::Command,
        workflow::Command,
        jobs::Command,
        telemetry::Command,
        Command,
        config::Event,
        models::Event,
        queue::Event,
        allocator::Event,
        routing::Event,
        policy::Event,
        resilience::Event,
        workflow::Event,
        telemetry::Event,
        jobs::Event,
        Event,
        Source,
    );
    // Taken apart by name, so that a table more does not compile without a place here.
    let state = State::genesis(JournalId::default());
    let mut tables = String::new();
    macro_rules! trace_rows {
        ($($name:ident),* $(,)?) => {
            let Tables { $($name),* } = &state.tables;
            $(trace_row($name, &mut tracer, &samples, &mut tables);)*
        };
    }
    trace_rows!(
        control, limits, stance, policies, waiting, tenants, accounts, regions, models, vessels,
        loads, orders, berths, keys, prefixes, lines, turns, flow, calls, spending, reserves,
        lengths, stops, hedges, sla, jobs, incidents,
    );
    let registry = tracer.registry().unwrap();
    let mut text = "numbers of commands and events packed, of rows not\n".to_owned();
    text.push_str(&tables);
    for (name, format) in registry {
        match format {
            ContainerFormat::Struct(fields) => {
                writeln!(text, "struct {name}").unwrap();
                for field in fields {
                    writeln!(text, "  {}: {}", field.name, flat(&field.value)).unwrap();
                }
            }
            ContainerFormat::Enum(variants) => {
                writeln!(text, "enum {name}").unwrap();
                for (number, variant) in variants {
                    write!(text, "  {number} {}", variant.name).unwrap();
                    match variant.value {
                        VariantFormat::Unit => writeln!(text).unwrap(),
                        VariantFormat::NewType(inner) => {
                            writeln!(text, " {}", flat(&*inner)).unwrap()
                        }
                        VariantFormat::Struct(fields) => {
                            writeln!(text).unwrap();
                            for field in fields {
                                writeln!(text, "    {}: {}", field.name, flat(&field.value))
                                    .unwrap();
                            }
                        }
                        other => panic!("no variant of the wire has this shape: {other:?}"),
                    }
                }
            }
            other => writeln!(text, "other {name} {}", flat(&other)).unwrap(),
        }
    }
    text
}

/// Traces a table's row, and tells of which type it is.
fn trace_row<K: Key, R: Row + DeserializeOwned>(
    table: &Table<K, R>,
    tracer: &mut Tracer,
    samples: &Samples,
    tables: &mut String,
) {
    tracer.trace_type::<R>(samples).unwrap_or_else(|error| panic!("{}: {error:?}", table.name()));
    let row = std::any::type_name::<R>().rsplit("::").next().unwrap_or_default();
    writeln!(tables, "table {}.{} {row}", table.module(), table.name()).unwrap();
}

fn flat(format: &impl std::fmt::Debug) -> String {
    format!("{format:?}")
}

#[test]
fn the_schema_is_that_of_the_types() {
    let text = traced();
    if std::env::var_os("TENSORFORGE_ACCEPT").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.txt");
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, tensorforge_journal::reading::schema::TEXT, "the wire types have changed");
}
