//! Units and identifiers: every quantity has a type, every type saturates.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::ops::{Add, AddAssign, Sub, SubAssign};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A dense key: a small integer with a name.
pub trait Key: Copy + Ord + fmt::Debug {
    /// Whether there is but one key.
    const SINGLE: bool = false;
    /// The place of the row.
    fn index(self) -> u32;
    /// The key of a place.
    fn from_index(index: u32) -> Self;
}

/// Declares a quantity over `u64`. Addition and subtraction saturate, so no command can overflow one.
macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The neutral element of addition.
            pub const ZERO: Self = Self(0);
            /// The value at which sums stick.
            pub const MAX: Self = Self(u64::MAX);
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 = self.0.saturating_add(other.0);
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                self.0 = self.0.saturating_sub(other.0);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

quantity! {
    /// A moment or a span, in microseconds. Moments count from the journal's own zero.
    Micros
}
quantity! {
    /// A count of tokens.
    Tokens
}
quantity! {
    /// Money, in millionths of a US dollar.
    MicroUsd
}
quantity! {
    /// Money, in millionths of a millionth of a US dollar: a token at a price in micro-dollars a million.
    PicoUsd
}
quantity! {
    /// Energy, in thousandths of a joule.
    Millijoules
}
quantity! {
    /// A share of one, in millionths.
    Ppm
}

impl Micros {
    /// One second.
    pub const SECOND: Self = Self(1_000_000);
}

impl Ppm {
    /// The whole.
    pub const ONE: Self = Self(1_000_000);

    /// `part` of `whole` as a share, rounded down; nothing of nothing is none.
    pub fn ratio(part: u64, whole: u64) -> Self {
        let scaled = u128::from(part).saturating_mul(1_000_000);
        Self(clamp(scaled.checked_div(u128::from(whole)).unwrap_or(0)))
    }

    /// A share of it, rounded down.
    pub fn share(self, share: Self) -> Self {
        Self(clamp(u128::from(self.0).saturating_mul(u128::from(share.0)) / 1_000_000))
    }
}

impl PicoUsd {
    /// A share of it, rounded down.
    pub fn share(self, share: Ppm) -> Self {
        Self(clamp(u128::from(self.0).saturating_mul(u128::from(share.0)) / 1_000_000))
    }
}

impl Tokens {
    /// A share of them, rounded up.
    pub fn share(self, share: Ppm) -> Self {
        Self(clamp(u128::from(self.0).saturating_mul(u128::from(share.0)).div_ceil(1_000_000)))
    }
}

impl Micros {
    /// So many percent of this span, rounded down.
    pub fn percent(self, percent: u16) -> Self {
        match self.0.checked_mul(u64::from(percent)) {
            Some(hundredths) => Self(hundredths / 100),
            None => Self((self.0 / 100).saturating_mul(u64::from(percent))),
        }
    }

    /// The span of which so many percent are this one, rounded down.
    pub fn of_percent(self, percent: u16) -> Self {
        let wide = u128::from(self.0).saturating_mul(100);
        Self(clamp(wide.checked_div(u128::from(percent)).unwrap_or(0)))
    }
}

/// What so many tokens are worth at a price for a million, exactly.
pub(crate) fn worth(Tokens(tokens): Tokens, MicroUsd(price): MicroUsd) -> PicoUsd {
    PicoUsd(tokens.saturating_mul(price))
}

/// The nearest `u64`.
pub(crate) fn clamp(wide: u128) -> u64 {
    u64::try_from(wide).unwrap_or(u64::MAX)
}

/// Declares a dense identifier: an index into the table of its kind.
macro_rules! dense_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// Stands for "no such thing" where a row has nothing to name.
            pub const NONE: Self = Self(u32::MAX);
        }

        // People read null where there is nothing; bytes hold the number.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() && *self == Self::NONE {
                    return serializer.serialize_none();
                }
                serializer.serialize_u32(self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    return Ok(Option::deserialize(deserializer)?.map_or(Self::NONE, Self));
                }
                u32::deserialize(deserializer).map(Self)
            }
        }

        impl Key for $name {
            fn index(self) -> u32 {
                self.0
            }
            fn from_index(index: u32) -> Self {
                Self(index)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

dense_id! {
    /// A tenant: who pays.
    TenantId
}
dense_id! {
    /// A region of the world.
    RegionId
}
dense_id! {
    /// A model that vessels may carry.
    ModelId
}
dense_id! {
    /// A vessel: one serving replica.
    VesselId
}
dense_id! {
    /// A version of the policy; versions count from zero and are never reused.
    PolicyVersion
}
dense_id! {
    /// A berth: capacity of one vessel, reserved for a window of time.
    BerthId
}
dense_id! {
    /// A place among the remembered idempotency keys.
    KeySlot
}
dense_id! {
    /// The place of a tenant among those who take turns in the queues.
    TurnSlot
}
dense_id! {
    /// A place in the direct-mapped table of prefixes.
    PrefixSlot
}
dense_id! {
    /// A place among the stops that have not been answered.
    StopSlot
}
dense_id! {
    /// A place in the table of how long answers are.
    LengthSlot
}
dense_id! {
    /// A place among the jobs that are live.
    JobSlot
}
dense_id! {
    /// The place of a live order in the table of orders; reused once the order has ended.
    OrderSlot
}

/// The position of a record in its journal, from zero.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A job's name for life: the position of the record that started it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The 128-bit random name of a journal; the key of its randomness.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct JournalId(pub [u8; 16]);

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An order's name for life: its number (40 bits, from one, never reused) over its slot (24 bits).
///
/// The number is the generation: a slot that is reused holds another number, so a stale name is refused.
/// People say the number alone, and read `number@slot` where the slot matters, `number@-` where an
/// order was refused and held none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub u64);

impl Serialize for OrderId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_u64(self.0);
        }
        match self.slot() {
            Self::NO_SLOT => serializer.collect_str(&format_args!("{}@-", self.number())),
            slot => serializer.collect_str(&format_args!("{}@{slot}", self.number())),
        }
    }
}

impl<'de> Deserialize<'de> for OrderId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u64::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        let parts = text.split_once('@').and_then(|(number, slot)| {
            let slot = if slot == "-" { Self::NO_SLOT } else { OrderSlot(slot.parse().ok()?) };
            Some(Self::new(number.parse().ok()?, slot))
        });
        parts.ok_or_else(|| D::Error::custom(format!("expected number@slot, found {text:?}")))
    }
}

impl OrderId {
    /// The slot of an order that was refused and so never held one.
    pub const NO_SLOT: OrderSlot = OrderSlot(0x00ff_ffff);

    /// Joins a number and a slot; bits beyond either field are cut off.
    pub const fn new(number: u64, slot: OrderSlot) -> Self {
        Self((number << 24) | (slot.0 as u64 & 0x00ff_ffff))
    }

    /// The number: one for the first order submitted, refused ones included.
    pub const fn number(self) -> u64 {
        self.0 >> 24
    }

    /// Where the order lives while it is live.
    pub const fn slot(self) -> OrderSlot {
        OrderSlot((self.0 & 0x00ff_ffff) as u32)
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// A hash as people and JSON have it: sixteen digits, since a number of 64 bits is not safe with every
/// reader of JSON. Bytes hold the number.
pub(crate) mod hex64 {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(&format_args!("{hash:016x}"));
        }
        serializer.serialize_u64(*hash)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        if !deserializer.is_human_readable() {
            return u64::deserialize(deserializer);
        }
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16)
            .map_err(|error| D::Error::custom(format!("{text:?} is no hash: {error}")))
    }
}
