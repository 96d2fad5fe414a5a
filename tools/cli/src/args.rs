//! The words of the command line. Every verb has an example that works as printed, in this order.

#[cfg(feature = "serve")]
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum, ValueHint};
use tensorforge_engine::units::{OrderId, OrderSlot};
use tensorforge_journal::BLOCK_RECORDS;

/// The control plane of a model-serving exchange: capture, replay, verify and explain every decision.
#[derive(Debug, Parser)]
#[command(name = "tensorforge", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "\
Begin with `tensorforge tour`: it captures a small morning at the exchange, proves that it replays
bit for bit, and shows what each verb answers.

Exit codes: 0 as asked; 1 the answer is \"different\", \"not verified\" or \"not at once\"; 2 bad
usage or input; 3 the journal is damaged; 130 interrupted.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// Print one JSON document on standard output (`log`: one a line; not for `completions` and `man`)
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to colour: follows NO_COLOR and the terminal unless told otherwise
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(crate) color: Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show the whole of it in a minute: capture, replay, verify, explain
    #[command(after_help = "\
Examples:
  tensorforge tour
  tensorforge tour --keep toured")]
    Tour(TourArgs),
    /// Serve requests over HTTP, and write every decision to a journal
    #[cfg(feature = "serve")]
    #[command(after_help = "\
Examples:
  tensorforge serve --demo
  tensorforge serve --config fixtures/live/exchange.toml

fixtures/ is in the repository. With --demo two vessels are built in, whose words mean nothing. Then
try it from elsewhere; the headers of the answer say where in the journal it is found:
  curl -i http://127.0.0.1:8120/v1/chat/completions \\
      -d '{\"model\":\"coral-70b\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}'

An interrupt ends it; requests that are under way are answered first. Nobody is asked for a key, and
so only this machine is listened to unless it is told otherwise.")]
    Serve(ServeArgs),
    /// Run a trace over a simulated fleet and write every decision to a journal
    #[command(after_help = "\
Examples:
  tensorforge capture --out morning.tfj
  tensorforge capture --trace fixtures/traces/surge.jsonl --fleet fixtures/fleets/two-regions.toml \\
      --policy fixtures/policies/thrifty.toml --seed 7 --out surge.tfj

Without --trace and --fleet, the ones built in are used; fixtures/ is in the repository. The same arguments give the same journal,
byte for byte. A capture that was interrupted goes on with --resume and the same arguments.")]
    Capture(CaptureArgs),
    /// Play the same demand on the same fleet under several policies, and print what became of it side by side
    #[command(after_help = "\
Example:
  tensorforge compare fixtures/policies/balanced.toml fixtures/policies/least-load.toml

Without --trace and --fleet, the ones built in are used; fixtures/ is in the repository. No journal is left: `capture` under one
of the policies makes it, with the same draws.")]
    Compare(CompareArgs),
    /// Fold a journal to its end, to a record or to a moment, and print the root of the state
    #[command(after_help = "\
Examples:
  tensorforge replay morning.tfj
  tensorforge replay morning.tfj --to 500
  tensorforge replay morning.tfj --to 90s --from genesis

`tensorforge capture --out morning.tfj` makes the journal.")]
    Replay(ReplayArgs),
    /// Prove a journal: its chain, every decision made again, every root computed again
    #[command(after_help = "\
Example:
  tensorforge verify morning.tfj

`tensorforge capture --out morning.tfj` makes the journal.

A journal does not know its trace. Orders that are live at its end say that more was to come, as in
one whose capture was interrupted; so does one that was not closed, as after a kill, or a salvage
that could not keep all of it.")]
    Verify(VerifyArgs),
    /// Find where two journals first part, and what changed between them
    #[command(after_help = "\
Examples:
  tensorforge capture --policy fixtures/policies/thrifty.toml --out thrifty.tfj
  tensorforge diff morning.tfj thrifty.tfj

`tensorforge capture --out morning.tfj` makes the first journal; fixtures/ is in the repository.

Exit code 1 says that they differ. A journal in which orders are still live, or that was not closed,
is of a part of its trace, and sums over it are too; a note says so.

Orders are paired by tenant and the tenant's own number. Where a pair asks for something else, or
more than a tenth of the orders have no partner, the demand is not the same: no flip is told.")]
    Diff(DiffArgs),
    /// Find the first record where something turns
    #[command(after_help = "\
Examples:
  tensorforge bisect morning.tfj              # this build against the recording
  tensorforge bisect morning.tfj thrifty.tfj  # two journals; `diff --help` makes the other
  tensorforge bisect morning.tfj --engine old/tensorforge --engine new/tensorforge  # two builds
  tensorforge bisect morning.tfj --when 'loads[\"0\"].used > 7'
  tensorforge bisect morning.tfj --run 'test $(jq .queue.waiting.queued $TENSORFORGE_STATE) -lt 9'

`tensorforge capture --out morning.tfj` makes the journal; old/ and new/ stand for folders of yours,
and the last example needs jq.

A predicate is an expression of the Common Expression Language over the state, as
`tensorforge state` prints it; `control` and `limits` are single rows, every other table is a map
by key. The first record after which it holds is found, whether or not it goes on holding. Numbers
are signed, so that plain literals go with them: `loads[\"0\"].used * 2 > 16`. What does not fit is
unsigned, and so is a literal that ends in u. `exists`, `all`, `map` and `filter` walk a table in
the order of its keys. An expression has at most 4 096 bytes, nests at most 32 deep, and takes at
most 1 000 000 steps on a state, and 10 more for each value in the tables that it speaks of.

--run bisects, and so takes it that what turns stays turned. Its exit codes are those of
`git bisect run`: 0 good, 1-127 bad, 125 skip. It finds the state in the file $TENSORFORGE_STATE,
its number of records in $TENSORFORGE_RECORDS and the journal in $TENSORFORGE_JOURNAL.

Two builds decide the same commands again. Where one of them cannot fold what it decides, the phase
is `breached`, and what was in its way is that build's answer.

Exit code 1 says that a turning was found.")]
    Bisect(BisectArgs),
    /// Tell the whole story of one order, with the alternatives at each decision
    #[command(after_help = "\
Examples:
  tensorforge explain morning.tfj --order 17
  tensorforge explain morning.tfj --external 16

`tensorforge capture --out morning.tfj` makes the journal.")]
    Explain(ExplainArgs),
    /// Tell what became of all orders: distributions, rates by windows of time, and vessels that are outliers
    #[command(after_help = "\
Examples:
  tensorforge stats morning.tfj
  tensorforge stats morning.tfj --by vessel --window 60s
  tensorforge stats morning.tfj --by tenant --json

`tensorforge capture --out morning.tfj` makes the journal.

Distributions are of the orders that were completed, in which a percentile is a value that was
there (nearest rank) and the deviation (sd) is that of a sample. Waiting is the time until an order
is first handed to a vessel. By vessel, an order is counted at the one that ended its answer.

A window counts what came and what ended in it. Failing is the share of failed and expired ones of
those that were admitted and ended; tokens are those of legs that were done. Windows are counted
from the journal's own zero, and there are 10 000 at most.

A correlation is of all completed orders, from -1 to 1: Pearson's is of the values, Spearman's of
their ranks.

A pool is the vessels that work one hop for one model. Two figures of each that has had 10 calls
are compared with those of at least two more: the median time from being handed an order to its
first token, and the share of calls that failed. One is an outlier whose robust z-score, which is
0.6745 of its distance from the pool's median by the median of all such distances, is above 3.5
either way (Iglewicz and Hoaglin 1993).

Exit codes: 0 as asked; 2 bad usage or input; 3 the journal is damaged.")]
    Stats(StatsArgs),
    /// Tell how well vessels, models and the exchange are after some record, from 0 to 100
    #[command(after_help = "\
Examples:
  tensorforge health morning.tfj
  tensorforge health morning.tfj --at 90s
  tensorforge health morning.tfj --at 500 --json

`tensorforge capture --out morning.tfj` makes the journal.

Each input takes points as it lies between nothing and its worst, there and beyond its whole
weight; what is left of 100 is rounded down. Nothing is decided by it.

Of a vessel: lost 100; failing 40, when a quarter of its calls do; breaker 25 when it is open, half
of that while it is probing; slower 20, when its legs take four times as long as they should (300 %
more); silent 10, when it counts as lost by that, two periods after it should have reported; full 5,
while it is left in peace for having no room. One that was retired is left out.

Of a model: vessels 50, as far as these lack points on the mean, weighed by their slots; slots 30,
when no work is given to any; waiting 20, when as many orders wait as there are other slots, or
there are none. Vessels that were sent away are left out.

Of the exchange: models 25, as far as these lack points on the mean; failing 20, when a quarter of
all calls do; queue 15, when it is full; late interactive 12, late standard 8 and late batch 5,
when a quarter of such orders wait for too much of their time; level 15 when it is halted, 5 for
each level on the way.

Shares are of what the policy in force counts: of calls and orders of late, where there were enough.

Exit codes: 0 as asked; 2 bad usage or input; 3 the journal is damaged.")]
    Health(HealthArgs),
    /// Tell where an order would go that came after some record, and nothing is written
    #[command(after_help = "\
Examples:
  tensorforge route morning.tfj --at 90s --model coral-70b
  tensorforge route morning.tfj --at 500 --model coral-70b --class batch --tokens-in 2435 \\
      --tokens-out 512 --prefix 73b3179b5e040456:2048

`tensorforge capture --out morning.tfj` makes the journal.

The engine decides it on a copy of the state, as the next record at the time of the last one. What
it considered is listed as `explain` lists it; every other vessel of the model says why it was not.
The margin is told in points: what the next best would have cost in time, price and fuel.

Exit code 1 says that it would not be routed at once.")]
    Route(RouteArgs),
    /// Tell how many orders of a size could begin at once, and where
    #[command(after_help = "\
Examples:
  tensorforge fits morning.tfj --at 90s --model coral-70b --tokens-in 4096 --tokens-out 512
  tensorforge fits morning.tfj --model coral-70b --tokens-in 4096 --tokens-out 512 --count 99
  tensorforge fits morning.tfj --model coral-70b --tokens-in 9000 --tokens-out 512 --window 30m

`tensorforge capture --out morning.tfj` makes the journal.

Orders are packed first fit decreasing, vessels by best fit (Johnson, \"Near-optimal bin packing
algorithms\", MIT, 1973): all are of one size, and the vessel whose context holds it most tightly
is filled first, which leaves the larger ones to larger orders. It is capacity that is asked for:
contracts and budgets are not looked at. With --window the exchange is asked for a berth that long.

Whoever does not fit takes the slot that is expected to come free first, behind those who wait
already (list scheduling: Graham, Bell System Technical Journal 45(9), 1966).

Exit code 1 says that not all of --count, or none, could begin at once, or that no berth is that
long at any time.")]
    Fits(FitsArgs),
    /// Tell how long orders were in each of their states, and where the time of the slowest went
    #[command(after_help = "\
Example:
  tensorforge dwell morning.tfj

`tensorforge capture --out morning.tfj` makes the journal.

Little's law (Little, \"A proof for the queuing formula L = lambda W\", Operations Research 9(3),
1961) is held against the queue and every vessel: the mean number there, counted record by record,
is the rate of arrivals times the mean stay. The stays that had not ended by the end are the rest.")]
    Dwell(DwellArgs),
    /// List what operators and tenants told the exchange besides their orders: who, when, and what was decided
    #[command(after_help = "\
Examples:
  tensorforge audit morning.tfj
  tensorforge audit morning.tfj --who operator --what policy
  tensorforge audit morning.tfj --who kelp --what submit --since 17s --until 17.1s

`tensorforge capture --out morning.tfj` makes the journal.

Submissions, the reports of legs, first tokens and stops, heartbeats and the clock are listed only where --what
names them, or their module.")]
    Audit(AuditArgs),
    /// Tell of jobs: their steps, how long each took, and why they were promoted or rolled back
    #[command(after_help = "\
Examples:
  tensorforge capture --scenario fixtures/scenarios/rollout-undone.toml --out rollout.tfj
  tensorforge jobs rollout.tfj
  tensorforge jobs rollout.tfj --at 30s

fixtures/ is in the repository.")]
    Jobs(JobsArgs),
    /// Print the state, or a part of it, after some record
    #[command(after_help = "\
Examples:
  tensorforge state morning.tfj control
  tensorforge state morning.tfj --at 500 vessels.0.manifest.slots
  tensorforge state morning.tfj --at 90s loads

`tensorforge capture --out morning.tfj` makes the journal.")]
    State(StateArgs),
    /// Print records
    #[command(after_help = "\
Examples:
  tensorforge log morning.tfj --from 20 --to 25
  tensorforge log morning.tfj --from 90s --to 91.5s
  tensorforge log morning.tfj --json | head -n 1

`tensorforge capture --out morning.tfj` makes the journal.")]
    Log(LogArgs),
    /// Show how well tenants are served that were promised something, and how fast errors use up what is allowed
    #[command(after_help = "\
Examples:
  tensorforge capture --scenario fixtures/scenarios/promise.toml --out promise.tfj
  tensorforge sla promise.tfj
  tensorforge sla promise.tfj --at 10m

fixtures/ is in the repository. A tenant is promised something by its contract, objective_ppm in a
fleet file. Everything is as it was at the time of the last record.")]
    Sla(SlaArgs),
    /// Show what was wrong, outage by outage: how severe, for how long, and of what somebody was told
    #[command(after_help = "\
Examples:
  tensorforge capture --scenario fixtures/scenarios/one-page.toml --out outage.tfj
  tensorforge incidents outage.tfj
  tensorforge incidents outage.tfj --at 20s

fixtures/ is in the repository. What counts as an incident is the policy's to say. Whatever is open
at the same time is one outage, by the number of the record that raised the first of it.")]
    Incidents(IncidentsArgs),
    /// Try a policy on the state of a journal, and print what would be different under it
    #[command(after_help = "\
Examples:
  tensorforge policy-check fixtures/policies/thrifty.toml morning.tfj --at 90s
  tensorforge policy-check fixtures/policies/cautious.toml morning.tfj --at 500

`tensorforge capture --out morning.tfj` makes the journal; fixtures/ is in the repository.

Both policies, the present one and the proposed one, are put in force on copies of the state. Then
time passes until each has reviewed the risk, and nothing is heard of any vessel meanwhile. The
journal is left as it is.

Exit code 1 says that something would be different, or that the policy has faults.")]
    PolicyCheck(PolicyCheckArgs),
    /// Take, list and check snapshots
    #[command(after_help = "\
Examples:
  tensorforge snapshot take morning.tfj
  tensorforge snapshot list morning.tfj
  tensorforge snapshot check morning.tfj

`tensorforge capture --out morning.tfj` makes the journal.")]
    Snapshot(SnapshotArgs),
    /// Run scenarios and hold the state that they lead to against what was accepted
    #[command(after_help = "\
Examples:
  tensorforge snapshot-test fixtures/scenarios --snapshots snapshots/scenarios
  tensorforge snapshot-test my-scenarios --accept

fixtures/ and snapshots/ are in the repository; my-scenarios stands for a folder of yours.")]
    SnapshotTest(SnapshotTestArgs),
    /// List every command, event, refusal and setting with the scenarios that reach it
    #[command(after_help = "\
Example:
  tensorforge rules fixtures/scenarios

fixtures/ is in the repository. A setting is reached where a scenario's policy, bounds or contracts set it otherwise
than the default. Exit code 1 says that something is reached by no scenario.")]
    Rules(RulesArgs),
    /// Copy what verifies of a damaged journal into a new one
    #[command(after_help = "\
Example:
  tensorforge salvage damaged.tfj --out saved.tfj

damaged.tfj stands for a journal of yours. The copy grows in saved.tfj.part and has its name once it
is done; it is closed only if nothing was lost.

What a crash left unfinished is no damage: `tensorforge capture --resume` goes on by itself. After
damage it makes the lost records again, from the journal that was saved.")]
    Salvage(SalvageArgs),
    /// Make a trace from a description of its demand
    #[command(after_help = "\
Example:
  tensorforge generate fixtures/traces/surge.gen.toml --out surge.jsonl

fixtures/ is in the repository.")]
    Generate(GenerateArgs),
    /// Measure what the budgets promise
    #[command(after_help = "Example:\n  tensorforge bench --quick --only replay,decide")]
    Bench(BenchArgs),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  tensorforge completions bash > tensorforge.bash")]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    #[command(after_help = "Example:\n  tensorforge man --out man1")]
    Man {
        /// Where
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TourArgs {
    /// Keep what the tour makes here; its commands then work again as printed
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) keep: Option<PathBuf>,
}

#[cfg(feature = "serve")]
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// What is served where, and under which rules, as TOML; see fixtures/live
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(required_unless_present = "demo")]
    pub(crate) config: Option<PathBuf>,
    /// Serve with two vessels that are built in
    #[arg(long, conflicts_with = "config")]
    pub(crate) demo: bool,
    /// Where the journal is, which goes on where it stopped [default: as configured, or demo.tfj]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
    /// Where clients are heard [default: as configured, or 127.0.0.1:8120]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct CaptureArgs {
    /// The demand: Azure CSV, Mooncake JSONL or our own JSONL, told apart by their contents
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) trace: Option<PathBuf>,
    /// The vessels, as TOML
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) fleet: Option<PathBuf>,
    /// The rules, as TOML
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) policy: Option<PathBuf>,
    /// A scenario instead of a trace, a fleet and a policy: what it tells, step by step, becomes the journal
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["trace", "fleet", "policy", "seed", "journal_id", "resume", "check"])]
    pub(crate) scenario: Option<PathBuf>,
    /// Seeds the simulated fleet's faults
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Names the journal and keys its draws, up to 32 hexadecimal digits; by default a hash of
    /// what trace, fleet (but for its faults) and seed say, so that policies are compared under the same draws;
    /// to compare fleets so, give both captures the same
    #[arg(long, value_name = "HEX", value_parser = journal_id)]
    pub(crate) journal_id: Option<[u8; 16]>,
    /// Where the journal is written; must not exist, or be empty
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) out: PathBuf,
    /// Go on with a capture that was interrupted, after checking that what is there is the same
    #[arg(long)]
    pub(crate) resume: bool,
    /// Records committed together
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) frame_records: u32,
    /// Take a snapshot every so many records, a multiple of 1024; 0 takes none
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = blocks)]
    pub(crate) snapshot_every: u64,
    /// Do not wait for the disk: faster, but a crash of the machine may lose the journal
    #[arg(long)]
    pub(crate) no_sync: bool,
    /// Check every invariant of the state after every record: slow
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The policies, as TOML
    #[arg(required = true, value_name = "POLICY", value_hint = ValueHint::FilePath)]
    pub(crate) policies: Vec<PathBuf>,
    /// The demand: Azure CSV, Mooncake JSONL or our own JSONL, told apart by their contents
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) trace: Option<PathBuf>,
    /// The vessels, as TOML
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) fleet: Option<PathBuf>,
    /// Seeds the simulated fleet's faults
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Stop after so many records, or at a moment: a whole or decimal number of us, ms, s, m or h,
    /// such as 90s, 1.5s or 2m
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) to: Option<String>,
    /// Begin at `genesis`, or at the snapshot of so many records; by default at the nearest one
    #[arg(long, value_name = "genesis|SEQ")]
    pub(crate) from: Option<String>,
    /// Decide the commands again instead of folding the recorded events
    #[arg(long)]
    pub(crate) decide: bool,
    /// With 1, read and fold in turns; else a second thread reads ahead. By default one a processor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Spans verified side by side, and reading ahead where there are fewer spans; by default one a
    /// processor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// One journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) left: PathBuf,
    /// The other
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) right: PathBuf,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("judge").args(["other", "when", "engines", "run"]))]
pub(crate) struct BisectArgs {
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Another journal, to be compared with the first
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) other: Option<PathBuf>,
    /// An expression over the state: find where it turns true
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    pub(crate) when: Option<String>,
    /// A build of tensorforge; given twice, the two are compared
    #[arg(long = "engine", value_name = "PATH", value_hint = ValueHint::ExecutablePath)]
    pub(crate) engines: Vec<PathBuf>,
    /// A command that judges a state by its exit code
    #[arg(long, value_name = "CMD", value_hint = ValueHint::CommandString)]
    pub(crate) run: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["order", "external"]))]
pub(crate) struct ExplainArgs {
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// The order's number, or number@slot as `log` and `state` show it; a refused one is 5@-
    #[arg(long, value_name = "ID", value_parser = order_name)]
    pub(crate) order: Option<OrderName>,
    /// The submitter's own number, such as the row of the trace
    #[arg(long, value_name = "N")]
    pub(crate) external: Option<u64>,
}

/// A state, and what is asked of it.
#[derive(Debug, Args)]
pub(crate) struct AskedArgs {
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// After so many records, or at a moment such as 90s, as in `replay --to`; by default all of them
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) at: Option<String>,
    /// The model that shall answer, by its name
    #[arg(long, value_name = "NAME")]
    pub(crate) model: String,
    /// Who asks, by name; by default the tenant that was registered first
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// How urgent it is
    #[arg(long, value_enum, default_value_t = AskedClass::Standard, value_name = "CLASS")]
    pub(crate) class: AskedClass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AskedClass {
    Interactive,
    Standard,
    Batch,
}

#[derive(Debug, Args)]
pub(crate) struct RouteArgs {
    #[command(flatten)]
    pub(crate) asked: AskedArgs,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 1_024)]
    pub(crate) tokens_in: u64,
    /// The most tokens that the answer may have
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) tokens_out: u64,
    /// The most that it may be expected to cost, in micro-dollars; by default any price
    #[arg(long, value_name = "MICRO-DOLLARS", default_value_t = 0, hide_default_value = true)]
    pub(crate) limit: u32,
    /// The region in which it arises, by name; by default none
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: Option<String>,
    /// A point of the prompt: the hash of what lies before it, in hexadecimal, and its tokens, as `log` shows them
    #[arg(long = "prefix", value_name = "HASH:TOKENS", value_parser = mark)]
    pub(crate) prefixes: Vec<(u64, u64)>,
}

#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// By what orders are told apart
    #[arg(long, value_enum, default_value_t = StatsBy::Class, value_name = "WHAT")]
    pub(crate) by: StatsBy,
    /// Tell arrivals, ends and tokens for each such span of time, such as 60s, 1.5s or 2m
    #[arg(long, value_name = "TIME")]
    pub(crate) window: Option<String>,
}

/// By what `stats` tells orders apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatsBy {
    Class,
    Tenant,
    Vessel,
    Model,
}

#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// After so many records, or at a moment such as 90s, as in `replay --to`; by default all of them
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) at: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FitsArgs {
    #[command(flatten)]
    pub(crate) asked: AskedArgs,
    /// Tokens of the prompt
    #[arg(long, value_name = "N")]
    pub(crate) tokens_in: u64,
    /// The most tokens that the answer may have
    #[arg(long, value_name = "N")]
    pub(crate) tokens_out: u64,
    /// So many of them; by default as many as fit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: Option<u32>,
    /// Find the earliest berth of this length too, such as 30m
    #[arg(long, value_name = "SPAN")]
    pub(crate) window: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DwellArgs {
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Only what this sender said: a tenant by its name, or `operator`
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) who: Option<String>,
    /// Only commands of this module, or of this name: `policy`, `drain`, `models.drain`
    #[arg(long, value_name = "MODULE|COMMAND")]
    pub(crate) what: Option<String>,
    /// The first record, or the moment of the first, such as 90s, as in `replay --to`
    #[arg(long, value_name = "SEQ|TIME", default_value = "0")]
    pub(crate) since: String,
    /// The record to stop before, or the moment of the last; by default the end
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) until: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// After so many records, or at a moment such as 90s, as in `replay --to`; by default all of them
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) at: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct IncidentsArgs {
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// After so many records, or at a moment such as 90s, as in `replay --to`; by default all of them
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) at: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// A dotted path: table, key, field and so on; the whole state without one
    pub(crate) path: Option<String>,
    /// After so many records, or at a moment such as 90s, as in `replay --to`; by default all of them
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) at: Option<String>,
    /// Decide the commands again instead of folding the recorded events
    #[arg(long)]
    pub(crate) decide: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// The first record, or the moment of the first, such as 90s, as in `replay --to`
    #[arg(long, value_name = "SEQ|TIME", default_value = "0")]
    pub(crate) from: String,
    /// The record to stop before, or the moment of the last; by default the end
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) to: Option<String>,
    /// Decide the commands again and print what this build decides
    #[arg(long)]
    pub(crate) decide: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    #[command(subcommand)]
    pub(crate) action: SnapshotAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotAction {
    /// Take a snapshot at the end of the last complete block, or of an earlier one
    Take {
        /// The journal
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
        /// After so many records, rounded down to the end of a block
        #[arg(long, value_name = "SEQ")]
        at: Option<u64>,
    },
    /// List the snapshots of a journal
    List {
        /// The journal
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
    /// Fold the journal again and compare every snapshot with it
    Check {
        /// The journal
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SlaArgs {
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// After so many records, or at a moment, such as 90s; by default at the end
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) at: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyCheckArgs {
    /// The policy, as TOML
    #[arg(value_name = "POLICY", value_hint = ValueHint::FilePath)]
    pub(crate) policy: PathBuf,
    /// The journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// After so many records, or at a moment, such as 90s; by default at the end
    #[arg(long, value_name = "SEQ|TIME")]
    pub(crate) at: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    /// The folder of the scenarios
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Name only what no scenario reaches
    #[arg(long)]
    pub(crate) unreached: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotTestArgs {
    /// The directory of the scenarios: *.toml files
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Where the accepted states are; by default `snapshots` inside of the scenarios' directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) snapshots: Option<PathBuf>,
    /// Accept the states as they are now
    #[arg(long)]
    pub(crate) accept: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SalvageArgs {
    /// The damaged journal
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Where the new one is written
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// The description
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) description: PathBuf,
    /// Where the trace is written; by default standard output, which leaves no room for --json
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// A tenth of the work: for a look, not for figures to quote, so nothing holds or misses
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    pub(crate) only: Vec<BenchPart>,
    /// Where journals are written while measuring; by default the system's temporary directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchPart {
    /// Reading a journal, part of the work by part of the work
    Replay,
    /// What the verbs take on a million records
    Verbs,
    /// A dispatch among fleets of several sizes
    Decide,
    /// Much at one moment: a fleet that is lost, a wave that expires, idle vessels
    Storm,
    /// Durable writing
    Append,
    /// Opening a journal with a large state
    Open,
    /// Making journals of traces
    Capture,
}

/// A mark of a prompt.
fn mark(text: &str) -> Result<(u64, u64), String> {
    let parsed = text.split_once(':').and_then(|(hash, tokens)| {
        let digits = !hash.is_empty() && hash.chars().all(|digit| digit.is_ascii_hexdigit());
        let hash = u64::from_str_radix(hash, 16).ok().filter(|_| digits)?;
        Some((hash, tokens.parse().ok()?))
    });
    parsed.ok_or_else(|| "expected HASH:TOKENS, such as 7e1ee45fc1090ac6:512".into())
}

/// A number of records that ends a block.
fn blocks(text: &str) -> Result<u64, String> {
    let records: u64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    let multiple = records.is_multiple_of(BLOCK_RECORDS);
    multiple.then_some(records).ok_or_else(|| format!("expected a multiple of {BLOCK_RECORDS}"))
}

fn journal_id(text: &str) -> Result<[u8; 16], String> {
    let digits = text.len();
    if digits == 0 || digits > 32 || !text.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err("expected 1 to 32 hexadecimal digits".into());
    }
    let number = u128::from_str_radix(text, 16).map_err(|error| error.to_string())?;
    Ok(number.to_be_bytes())
}

/// An order as people name it: by its number, or by its number and slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderName {
    pub(crate) number: u64,
    /// `NO_SLOT` for `-`: an order that was refused never held one.
    pub(crate) slot: Option<OrderSlot>,
}

fn order_name(text: &str) -> Result<OrderName, String> {
    let parse = || {
        let (number, slot) = text.split_once('@').map_or((text, None), |(n, s)| (n, Some(s)));
        let slot = match slot {
            None => None,
            Some("-") => Some(OrderId::NO_SLOT),
            Some(slot) => Some(OrderSlot(slot.parse().ok()?)),
        };
        Some(OrderName { number: number.parse().ok()?, slot })
    };
    parse().ok_or_else(|| "expected a number such as 17, or 17@4 as `log` shows it".into())
}
