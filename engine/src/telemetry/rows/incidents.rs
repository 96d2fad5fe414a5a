//! What may be wrong with the exchange, how bad it is, and who is told.
//!
//! Something is told once it has lasted, and is over only well below where it began, once that has lasted (the `for` and
//! `keep_firing_for` of Prometheus' alerting rules; Schmitt, J. Sci. Instrum. 15, 1938). Whatever is open at the same time
//! is one outage, and a silence keeps what is known already from whoever is on call (groups and silences of its Alertmanager).

use alloc::format;

use crate::kernel::image::{code, row};
use crate::kernel::units::{Key, Micros, Ppm, Seq};

code! {
    /// What an incident is about.
    pub enum Concern {
        /// Legs that fail.
        Failing = 0,
        /// The queue that fills.
        Pressure = 1,
        /// Orders that wait for too much of the time they have, of the class of which most do.
        Late = 2,
        /// Slots behind open breakers.
        CutOff = 3,
        /// More legs that fail than usually do: what exceeds that, as a share of the threshold of its alarm.
        Drift = 4,
        /// Slots of vessels that are lost, and were not sent away.
        Lost = 5,
        /// Who is turned away: a third of all for each step of the level.
        Level = 6,
    }
}

impl Key for Concern {
    fn index(self) -> u32 {
        self as u32
    }

    fn from_index(index: u32) -> Self {
        let known = Self::ALL.iter().find(|concern| concern.index() == index);
        known.copied().unwrap_or(Self::Failing)
    }
}

impl Concern {
    /// How many there are.
    pub(crate) const COUNT: u32 = Self::ALL.len() as u32;

    fn name(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Pressure => "pressure",
            Self::Late => "late",
            Self::CutOff => "cut_off",
            Self::Drift => "drift",
            Self::Lost => "lost",
            Self::Level => "level",
        }
    }
}

code! {
    /// How bad an incident is, mildest first.
    pub enum Severity {
        /// Worth knowing.
        Info = 0,
        /// Somebody should look at it in working hours.
        Minor = 1,
        /// Somebody should look at it now.
        Major = 2,
        /// Nobody sleeps.
        Critical = 3,
    }
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Critical => "critical",
        }
    }
}

code! {
    /// Whether somebody is told of an incident.
    pub enum Notice {
        /// Somebody is.
        Told = 0,
        /// Nobody is: it is nothing new to whoever was told of the outage.
        Known = 1,
        /// Nobody is: it is silenced, or all of the outage was.
        Silenced = 2,
    }
}

row! {
    /// When an incident is told, and how severe it is.
    pub struct IncidentRule {
        /// What has to be found of each concern for it to be an info, minor, major and critical; zero is never.
        pub begins: [[Ppm; 4]; 7],
        /// It is so severe no more below this share of that.
        pub clear: Ppm,
        /// How long it has to be at least so severe before that is told.
        pub hold: Micros,
        /// How long it has to be so severe no more before that is told.
        pub ease: Micros,
    }
}

impl IncidentRule {
    /// What has to be found for a severity; nothing where there is none such.
    fn begins(&self, concern: Concern, severity: Severity) -> Option<Ppm> {
        let begins = self.begins.get(concern as usize)?.get(severity as usize).copied();
        begins.filter(|begins| *begins > Ppm::ZERO)
    }

    /// How severe it is that so much is found, where that is told to be so severe already.
    pub(crate) fn severity(
        &self,
        concern: Concern,
        found: Ppm,
        told: Option<Severity>,
    ) -> Option<Severity> {
        let reached = |severity: Severity| {
            let begins = self.begins(concern, severity)?;
            let clear = if Some(severity) <= told { self.clear } else { Ppm::ONE };
            // Not rounded, so that nothing found is always below.
            let wide = |a: Ppm, b: Ppm| u128::from(a.0).saturating_mul(u128::from(b.0));
            (wide(found, Ppm::ONE) >= wide(begins, clear)).then_some(severity)
        };
        Severity::ALL.iter().rev().find_map(|severity| reached(*severity))
    }

    /// What is wrong with it.
    pub(crate) fn faults(&self, fault: &mut impl FnMut(bool, &str)) {
        for concern in Concern::ALL {
            let mut before = Ppm::ZERO;
            for severity in Severity::ALL {
                let Some(begins) = self.begins(*concern, *severity) else { continue };
                let (concern, severity) = (concern.name(), severity.name());
                let text = format!("incidents.{concern}.{severity} is not above what is milder");
                fault(begins <= before, &text);
                before = begins;
            }
        }
        let clear = self.clear;
        fault(clear == Ppm::ZERO || clear > Ppm::ONE, "incidents.clear is 0 or above 1000000");
    }
}

row! {
    /// What is known of a concern that was seen once, or silenced.
    #[derive(Copy)]
    pub struct Incident {
        /// How severe it is told to be; nothing where it is not open.
        pub severity: Option<Severity>,
        /// How severe it was found to be at the last review.
        pub seen: Option<Severity>,
        /// For each severity, since when it is found to be so severe and is not told to be, or the other way round;
        /// never where both are the same.
        pub since: [Micros; 4],
        /// What was found when it was last told of.
        pub found: Ppm,
        /// When it was last raised.
        pub raised_at: Micros,
        /// The outage that it is part of, or was last: the record that raised the first incident of it.
        pub group: Seq,
        /// How severe it was at most when somebody was told of it in that outage.
        pub told: Option<Severity>,
        /// Until when nobody is told of it; zero where somebody is.
        pub silenced_until: Micros,
        /// How often it was raised.
        pub raised: u64,
    }
}

impl Incident {
    /// Of what was never seen.
    pub(crate) const NONE: Self = Self {
        severity: None,
        seen: None,
        since: [Micros::MAX; 4],
        found: Ppm::ZERO,
        raised_at: Micros::ZERO,
        group: Seq(0),
        told: None,
        silenced_until: Micros::ZERO,
        raised: 0,
    };

    /// Whether nobody is told of it.
    pub fn is_silenced(&self) -> bool {
        self.silenced_until != Micros::ZERO
    }

    /// Whether it is found to be at least so severe and not told to be, or the other way round.
    pub(crate) fn differs(&self, severity: Severity) -> bool {
        let severity = Some(severity);
        (severity <= self.severity) != (severity <= self.seen)
    }

    /// Notes since when what is found differs from what is told.
    pub(crate) fn turn(&mut self, now: Micros) {
        for (place, severity) in Severity::ALL.iter().enumerate() {
            let differs = self.differs(*severity);
            if let Some(since) = self.since.get_mut(place) {
                *since = if differs { now.min(*since) } else { Micros::MAX };
            }
        }
    }

    /// How severe it is to be told to be: the worst that has lasted for long enough, or else what is left once all that
    /// has been over for long enough is gone.
    pub(crate) fn lasting(
        &self,
        rule: &IncidentRule,
        concern: Concern,
        now: Micros,
    ) -> Option<Severity> {
        let lasts = |severity: Severity, span: Micros| {
            let since = self.since.get(severity as usize).copied().unwrap_or(Micros::MAX);
            since != Micros::MAX && now >= since + span
        };
        let mut worse = Severity::ALL.iter().rev().copied().filter(|s| Some(*s) > self.severity);
        let mut left = Severity::ALL.iter().rev().copied().filter(|s| Some(*s) <= self.severity);
        let known = |severity: &Severity| rule.begins(concern, *severity).is_some();
        let worse = worse.find(|severity| known(severity) && lasts(*severity, rule.hold));
        worse.or_else(|| left.find(|severity| !lasts(*severity, rule.ease)))
    }
}
