//! What is wrong with the exchange: what every review found of every concern, one by one.

use super::*;
use tensorforge_engine::telemetry::{Concern, Incident, Notice, Severity};

/// Severities by their rank, from nothing at all on.
const RANKS: [Option<Severity>; 5] = [
    None,
    Some(Severity::Info),
    Some(Severity::Minor),
    Some(Severity::Major),
    Some(Severity::Critical),
];

const WEEK: u64 = 7 * 24 * 3_600_000_000;

/// What is known of a concern.
#[derive(Default)]
pub(super) struct Story {
    /// The rank that every review since the first has found.
    reviews: Vec<(u64, usize)>,
    /// The rank it is told to have.
    told: usize,
    found: u64,
    raised_at: u64,
    raised: u64,
    group: u64,
    /// The highest rank of it in that outage of which somebody heard.
    heard: usize,
    silenced_until: u64,
}

impl Story {
    fn seen(&self) -> usize {
        self.reviews.last().map_or(0, |(_, rank)| *rank)
    }

    /// Since when all reviews have found this.
    fn since(&self, found: impl Fn(usize) -> bool) -> Option<u64> {
        let alike = self.reviews.iter().rev().take_while(|(_, rank)| found(*rank));
        alike.map(|(at, _)| *at).last()
    }

    /// The rank that it is to be told to have, as far as that is one of those that are known.
    fn due(&self, known: [bool; 5], now: u64, hold: u64, ease: u64) -> usize {
        let worse = (self.told + 1..=4).rev().find(|rank| {
            let since = self.since(|seen| seen >= *rank);
            known[*rank] && since.is_some_and(|since| now - since >= hold)
        });
        let left = || {
            (1..=self.told).rev().find(|rank| {
                let since = self.since(|seen| seen < *rank);
                since.is_none_or(|since| now - since < ease)
            })
        };
        worse.or_else(left).unwrap_or(0)
    }

    pub(super) fn row(&self) -> Incident {
        let since = [1, 2, 3, 4].map(|rank| {
            let since = match (self.told >= rank, self.seen() >= rank) {
                (true, false) => self.since(|seen| seen < rank),
                (false, true) => self.since(|seen| seen >= rank),
                _ => None,
            };
            Micros(since.unwrap_or(u64::MAX))
        });
        Incident {
            severity: RANKS[self.told],
            seen: RANKS[self.seen()],
            since,
            found: Ppm(self.found),
            raised_at: Micros(self.raised_at),
            group: Seq(self.group),
            told: RANKS[self.heard],
            silenced_until: Micros(self.silenced_until),
            raised: self.raised,
        }
    }
}

impl Model {
    pub(super) fn silence(&mut self, concern: Concern, until: u64) -> Decided<()> {
        let silenced = self.incidents.get(&concern).is_some_and(|story| story.silenced_until > 0);
        if until <= self.now {
            if !silenced {
                return Err(telemetry::Refusal::NotSilenced { concern }.into());
            }
            return self.end_silence(concern);
        }
        let (asked, max) = (Micros(until - self.now), Micros(WEEK));
        if asked > max {
            return Err(telemetry::Refusal::SilenceTooLong { asked, max }.into());
        }
        self.incidents.entry(concern).or_default().silenced_until = until;
        self.expect(telemetry::Event::IncidentSilenced { concern, until: Micros(until) })
    }

    fn end_silence(&mut self, concern: Concern) -> Decided<()> {
        let heard = self.outage.map_or(0, |(_, heard)| heard);
        let story = self.incidents.entry(concern).or_default();
        story.silenced_until = 0;
        let (told, group) = (story.told, Seq(story.group));
        let news = told > heard;
        if news {
            story.heard = told;
            self.outage = Some((group.0, told));
        }
        let notice = if news { Notice::Told } else { Notice::Known };
        self.expect(telemetry::Event::SilenceEnded {
            concern,
            severity: RANKS[told],
            group,
            notice,
        })
    }

    /// Silences end, then what is worse or milder is told, and last of all what is over.
    pub(super) fn review_incidents(&mut self) -> Decided<()> {
        let over = |story: &Story, now| story.silenced_until > 0 && story.silenced_until <= now;
        let over: Vec<Concern> = self
            .incidents
            .iter()
            .filter(|(_, story)| over(story, self.now))
            .map(|(concern, _)| *concern)
            .collect();
        over.into_iter().try_for_each(|concern| self.end_silence(concern))?;
        let found = self.troubles();
        for (concern, found) in Concern::ALL.iter().zip(found) {
            self.raise(*concern, found)?;
        }
        for (concern, found) in Concern::ALL.iter().zip(found) {
            self.resolve(*concern, found)?;
        }
        Ok(())
    }

    /// How much there is of each concern.
    fn troubles(&self) -> [u64; 7] {
        let [failing, pressure, late, cut_off, drift] = self.signals;
        let own = |ship: &&Ship| !ship.held && ship.status != VesselStatus::Retired;
        let slots = |ship: &Ship| u64::from(ship.manifest.slots);
        let lost = self.ships.values().filter(own);
        let lost = lost.filter(|ship| ship.status == VesselStatus::Lost).map(slots).sum();
        let lost = rules::share(lost, self.ships.values().filter(own).map(slots).sum());
        let level = [0, 333_333, 666_666, 1_000_000][usize::from(self.level)];
        [failing, pressure, late, cut_off, drift, lost, level]
    }

    /// The ranks that the policy knows of, and that which so much is.
    fn rank(&self, concern: Concern, found: u64) -> Decided<([bool; 5], usize)> {
        let rule = self.policy()?.1.incidents;
        let told = self.incidents.get(&concern).map_or(0, |story| story.told);
        let begins = rule.begins[concern as usize].map(|begins| u128::from(begins.0));
        let is = |rank: &usize| {
            let begins = begins[rank - 1];
            let (found, clear) = (u128::from(found) * 1_000_000, u128::from(rule.clear.0));
            let needed = if *rank <= told { begins * clear } else { begins * 1_000_000 };
            begins > 0 && found >= needed
        };
        let [a, b, c, d] = begins.map(|begins| begins > 0);
        Ok(([true, a, b, c, d], (1..=4).rev().find(is).unwrap_or(0)))
    }

    fn raise(&mut self, concern: Concern, found: u64) -> Decided<()> {
        let (rule, now) = (self.policy()?.1.incidents, self.now);
        let (known, rank) = self.rank(concern, found)?;
        if rank == 0 && !self.incidents.contains_key(&concern) {
            return Ok(());
        }
        let story = self.incidents.entry(concern).or_default();
        let before = story.seen();
        story.reviews.push((now, rank));
        if rank != before {
            story.found = found;
            let (severity, found) = (RANKS[rank], Ppm(found));
            self.expect(telemetry::Event::IncidentSeen { concern, severity, found })?;
        }
        let seq = self.seq;
        let (group, heard) = self.outage.unwrap_or((seq, 0));
        let story = self.incidents.entry(concern).or_default();
        let due = story.due(known, now, rule.hold.0, rule.ease.0);
        let Some(severity) = RANKS[due].filter(|_| due != story.told) else { return Ok(()) };
        let notice = match () {
            () if story.silenced_until > 0 => Notice::Silenced,
            () if due > heard => Notice::Told,
            () => Notice::Known,
        };
        let from = RANKS[story.told];
        if story.told == 0 {
            (story.raised_at, story.raised) = (now, story.raised + 1);
        }
        if story.group != group {
            (story.group, story.heard) = (group, 0);
        }
        (story.told, story.found) = (due, found);
        if notice == Notice::Told {
            story.heard = due;
        }
        self.outage = Some((group, if notice == Notice::Told { due } else { heard }));
        let (found, group) = (Ppm(found), Seq(group));
        self.expect(telemetry::Event::IncidentRaised {
            concern,
            from,
            severity,
            found,
            group,
            notice,
        })
    }

    fn resolve(&mut self, concern: Concern, found: u64) -> Decided<()> {
        let (rule, now) = (self.policy()?.1.incidents, self.now);
        let (known, _) = self.rank(concern, found)?;
        let Some(story) = self.incidents.get_mut(&concern) else { return Ok(()) };
        if story.told == 0 || story.due(known, now, rule.hold.0, rule.ease.0) > 0 {
            return Ok(());
        }
        (story.told, story.found) = (0, found);
        let (group, lasted) = (Seq(story.group), Micros(now - story.raised_at));
        let open = self.incidents.values().any(|story| story.told > 0);
        let notice = match self.outage {
            _ if open => Notice::Known,
            Some((_, heard)) if heard > 0 => Notice::Told,
            _ => Notice::Silenced,
        };
        if !open {
            self.outage = None;
        }
        let found = Ppm(found);
        self.expect(telemetry::Event::IncidentResolved { concern, found, group, lasted, notice })
    }
}
