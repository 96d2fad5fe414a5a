//! `incidents`: what was wrong, outage by outage, read from the events; and what is open at some moment.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde_json::{Value, json};
use tensorforge_engine::telemetry::{Concern, Event as Telemetry, Incident, Notice, Severity};
use tensorforge_engine::units::{Micros, Ppm, Seq};
use tensorforge_engine::{Event, State};
use tensorforge_journal::{Mode, read_records, state_at};

use crate::args::IncidentsArgs;
use crate::failure::{Exit, Result};
use crate::moment;
use crate::output::{self, BAD, FAINT, GOOD, NAME, counted, span};
use crate::text::{Text, paint};
use crate::verbs;
use crate::verbs::explain::word;

pub(crate) fn run(args: &IncidentsArgs, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(&args.dir)?;
    let records = match &args.at {
        Some(text) => moment::until(&journal, "--at", text)?,
        None => journal.next_seq(),
    };
    let mut outages = BTreeMap::<Seq, Outage>::new();
    read_records(&journal, 0, records, |record| {
        let (seq, time) = (record.stamp.seq, record.stamp.time);
        for event in record.events {
            let Event::Telemetry(event) = event else { continue };
            if let Some((group, concern, change)) = Change::of(seq, time, event, &outages) {
                let outage = outages.entry(group).or_insert_with(|| Outage::new(time));
                outage.learn(concern, change);
            }
        }
        ControlFlow::Continue(())
    })?;
    let state = state_at(&journal, Mode::Fold, records)?;
    if as_json {
        let told: Vec<Value> = outages.iter().map(|(id, outage)| outage.json(*id)).collect();
        let rows = state.tables.incidents.iter();
        let present: Vec<Value> = rows.map(|(concern, row)| row_json(concern, row)).collect();
        let now = state.now();
        output::json(
            &json!({ "records": records, "time_us": now, "outages": told, "present": present }),
        );
    } else {
        if outages.is_empty() {
            output::say("nothing was wrong for long enough to be told");
        }
        outages.iter().for_each(|(id, outage)| outage.print(*id, state.now()));
        print_present(&state);
    }
    Ok(Exit::AsAsked)
}

/// What happened to an incident.
enum What {
    /// It is so severe from then on, and so much was found.
    Is(Severity, Ppm),
    /// It was over.
    Over(Ppm),
    /// Nobody is told of it until then.
    Silenced(Micros),
    /// It is silenced no more.
    Heard,
}

struct Change {
    seq: Seq,
    time: Micros,
    what: What,
    /// Whether somebody was told; nothing where there was nothing to tell.
    notice: Option<Notice>,
}

impl Change {
    /// What an event says of an outage; nothing where it is about what is not open.
    fn of(
        seq: Seq,
        time: Micros,
        event: Telemetry,
        outages: &BTreeMap<Seq, Outage>,
    ) -> Option<(Seq, Concern, Self)> {
        let (group, concern, what, notice) = match event {
            Telemetry::IncidentRaised { concern, severity, found, group, notice, .. } => {
                (group, concern, What::Is(severity, found), Some(notice))
            }
            Telemetry::IncidentResolved { concern, found, group, notice, .. } => {
                (group, concern, What::Over(found), Some(notice))
            }
            Telemetry::IncidentSilenced { concern, until } => {
                let (group, _) = outages.last_key_value().filter(|(_, last)| last.is(concern))?;
                (*group, concern, What::Silenced(until), None)
            }
            Telemetry::SilenceEnded { concern, severity, group, notice } => {
                severity?;
                (group, concern, What::Heard, Some(notice))
            }
            Telemetry::IncidentSeen { .. } | Telemetry::OrderSettled { .. } => return None,
        };
        Some((group, concern, Self { seq, time, what, notice }))
    }

    fn json(&self) -> Value {
        let (severity, found) = match self.what {
            What::Is(severity, found) => (Some(severity), Some(found)),
            What::Over(found) => (None, Some(found)),
            What::Silenced(_) | What::Heard => (None, None),
        };
        let (what, until) = match self.what {
            What::Is(..) => ("raised", None),
            What::Over(_) => ("resolved", None),
            What::Silenced(until) => ("silenced", Some(until)),
            What::Heard => ("silence_ended", None),
        };
        json!({
            "seq": self.seq,
            "time_us": self.time,
            "what": what,
            "severity": severity,
            "found_ppm": found,
            "until_us": until,
            "notice": self.notice,
        })
    }
}

/// What was wrong at the same time.
struct Outage {
    since: Micros,
    changes: Vec<(Concern, Change)>,
    /// Since when what is open is, and how severe that is.
    open: BTreeMap<Concern, (Micros, Severity)>,
    most: Severity,
    ended: Option<Micros>,
}

impl Outage {
    fn new(since: Micros) -> Self {
        let (changes, open) = (Vec::new(), BTreeMap::new());
        Self { since, changes, open, most: Severity::Info, ended: None }
    }

    fn is(&self, concern: Concern) -> bool {
        self.open.contains_key(&concern)
    }

    fn learn(&mut self, concern: Concern, change: Change) {
        match change.what {
            What::Is(severity, _) => {
                self.open.entry(concern).or_insert((change.time, severity)).1 = severity;
                self.most = self.most.max(severity);
            }
            What::Over(_) => {
                self.open.remove(&concern);
            }
            What::Silenced(_) | What::Heard => {}
        }
        self.ended = Some(change.time).filter(|_| self.open.is_empty());
        self.changes.push((concern, change));
    }

    /// How often somebody was told of it.
    fn notices(&self) -> u64 {
        let told = self.changes.iter().filter(|(_, change)| change.notice == Some(Notice::Told));
        told.count() as u64
    }

    fn json(&self, id: Seq) -> Value {
        let incidents = Concern::ALL.iter().filter_map(|concern| {
            let own = self.changes.iter().filter(|(of, _)| of == concern);
            let changes: Vec<Value> = own.map(|(_, change)| change.json()).collect();
            let open = self.open.get(concern);
            (!changes.is_empty()).then(|| {
                json!({
                    "concern": concern,
                    "severity": open.map(|(_, severity)| severity),
                    "changes": changes,
                })
            })
        });
        json!({
            "group": id,
            "since_us": self.since,
            "ended_us": self.ended,
            "most_severe": self.most,
            "notices": self.notices(),
            "incidents": incidents.collect::<Vec<_>>(),
        })
    }

    fn print(&self, id: Seq, now: Micros) {
        let end = match self.ended {
            Some(at) => paint(GOOD, "over") + format!(" after {}", span((at - self.since).0)),
            None => paint(BAD, "open") + format!(" for {}", span((now - self.since).0)),
        };
        let head = paint(NAME, format!("outage {id}")) + format!(", {}: ", span(self.since.0));
        let (most, notices) = (word(self.most), counted(self.notices(), "notice"));
        output::say(head + end + format!(", {most} at most, {notices}"));
        let mut since = BTreeMap::new();
        for (concern, change) in &self.changes {
            let what = match change.what {
                What::Is(severity, found) => {
                    since.entry(*concern).or_insert(change.time);
                    format!("{:<9} found {}", word(severity), percent(found))
                }
                What::Over(found) => {
                    let began = since.remove(concern).unwrap_or(change.time);
                    let lasted = span((change.time - began).0);
                    format!("over      found {}, after {lasted}", percent(found))
                }
                What::Silenced(until) => {
                    format!("silenced  for {}", span((until - change.time).0))
                }
                What::Heard => "heard     its silence is over".to_owned(),
            };
            let notice = match change.notice {
                Some(Notice::Told) => Text::from(", ") + paint(BAD, "told"),
                Some(Notice::Silenced) => Text::from(", silenced"),
                Some(Notice::Known) | None => Text::from(""),
            };
            let at = format!("+{}", span((change.time - self.since).0));
            let line = format!("  {at:>12}  {:<9} {what}", plain(*concern));
            let record = paint(FAINT, format!("record {}", change.seq));
            output::say(Text::from(line) + notice + "  " + record);
        }
    }
}

/// What is open, is about to be, or is silenced.
fn print_present(state: &State) {
    let now = state.now();
    for (concern, row) in state.tables.incidents.iter() {
        let name = plain(concern);
        if let Some(severity) = row.severity {
            let (severity, since) = (word(severity), span((now - row.raised_at).0));
            output::say(format!("{name} is {severity}, for {since}"));
        }
        if row.seen != row.severity {
            let turned = row.since.iter().filter(|since| **since != Micros::MAX);
            let since = turned.min().copied().unwrap_or(now);
            let seen = row.seen.map_or_else(|| "none".to_owned(), word);
            let since = span((now - since).0);
            output::say(format!("{name} is found to be {seen}, for {since}: not told yet"));
        }
        if row.is_silenced() {
            let left = span((row.silenced_until - now).0);
            output::say(format!("{name} is silenced, for another {left}"));
        }
    }
}

fn row_json(concern: Concern, row: &Incident) -> Value {
    let raised = row.raised > 0;
    json!({
        "concern": concern,
        "severity": row.severity,
        "seen": row.seen,
        "found_ppm": row.found,
        "raised": row.raised,
        "raised_at_us": raised.then_some(row.raised_at),
        "group": raised.then_some(row.group),
        "silenced_until_us": row.is_silenced().then_some(row.silenced_until),
    })
}

fn plain(concern: Concern) -> String {
    word(concern).replace('_', " ")
}

/// All four places, since a ten-thousandth of a percent decides.
fn percent(Ppm(share): Ppm) -> String {
    format!("{}.{:04} %", share / 10_000, share % 10_000)
}
