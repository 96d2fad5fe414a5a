//! Signed numbers with 32 binary places, for what neither whole numbers nor millionths can say: means,
//! deviations, roots, powers and logarithms.

use core::iter;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// A number from -2^95 to 2^95, in steps of 2^-32.
///
/// What lies beyond the range is taken for its nearest end; nothing panics. Sums are exact, all else is
/// rounded to the nearest step, halves away from zero, unless a function says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fixed(i128);

/// Binary places.
const PLACES: u32 = 32;

/// One half, as a magnitude.
const HALF: u128 = 1 << (PLACES - 1);

/// The 2^k-th roots of two for k from 1 to 32, with 63 binary places, rounded down: each is the square root of
/// the one before, and so off by less than 2^-62 of itself.
const ROOTS: [u64; PLACES as usize] = {
    let mut roots = [0; PLACES as usize];
    let mut root = 1u128 << 64;
    let mut rest = roots.as_mut_slice();
    while let Some((place, behind)) = rest.split_first_mut() {
        root = (root << 63).isqrt();
        *place = root as u64;
        rest = behind;
    }
    roots
};

impl Fixed {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One.
    pub const ONE: Self = Self(1 << PLACES);
    /// The largest number.
    pub const MAX: Self = Self(i128::MAX);
    /// The smallest number.
    pub const MIN: Self = Self(-i128::MAX);
    /// The smallest step.
    pub const STEP: Self = Self(1);

    /// A number of so many steps.
    pub const fn from_steps(steps: i128) -> Self {
        Self(if steps < Self::MIN.0 { Self::MIN.0 } else { steps })
    }

    /// How many steps it is.
    pub const fn steps(self) -> i128 {
        self.0
    }

    /// `part` by `whole`; nothing of nothing is none, and anything of nothing the largest number.
    pub fn ratio(part: u128, whole: u128) -> Self {
        Self::signed(false, if part == 0 { Some(0) } else { quotient(part, whole) })
    }

    /// So many wholes' parts of it: `self * part / whole`, rounded but once.
    pub fn scaled(self, part: u64, whole: u64) -> Self {
        let (own, part, whole) = (self.0.unsigned_abs(), u128::from(part), u128::from(whole));
        let magnitude = || {
            let (times, rest) = (own.checked_div(whole)?, own.checked_rem(whole)?);
            let rest = divided(rest.checked_mul(part)?, whole)?;
            times.checked_mul(part)?.checked_add(rest)
        };
        if own == 0 || part == 0 { Self::ZERO } else { Self::signed(self.0 < 0, magnitude()) }
    }

    /// As a whole number of so many to one: of 1 000, in thousandths.
    pub fn in_parts(self, of_one: u32) -> i128 {
        let wide = self * Self::from(u64::from(of_one));
        let whole = (wide.0.unsigned_abs() >> PLACES)
            .saturating_add(wide.0.unsigned_abs() >> (PLACES - 1) & 1);
        let whole = i128::try_from(whole).unwrap_or(i128::MAX);
        if wide.0 < 0 { whole.saturating_neg() } else { whole }
    }

    /// The nearest whole number from 0 to 2^64 - 1.
    pub fn rounded(self) -> u64 {
        u64::try_from(self.in_parts(1).max(0)).unwrap_or(u64::MAX)
    }

    /// Without its sign.
    pub fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    /// Its square root, off by less than a step below 2^63 and by less than a 2^47th of itself above; none of
    /// what is below zero.
    pub fn sqrt(self) -> Self {
        let Ok(steps) = u128::try_from(self.0) else { return Self::ZERO };
        // Shifted by an even number of bits as far as there is room, and by no more than makes steps of steps.
        let spare = (steps.leading_zeros() & !1).min(PLACES);
        let wide = steps << spare;
        let root = wide.isqrt();
        let up = u128::from(wide.saturating_sub(root.saturating_mul(root)) > root);
        Self::signed(false, Some(root.saturating_add(up) << (PLACES.saturating_sub(spare) / 2)))
    }

    /// Two to its power, off by at most a step, or by a 2^56th of itself where that is more.
    ///
    /// Each binary place of the exponent multiplies by a root of two (Knuth, TAOCP 1, 1.2.2, exercise 28).
    pub fn exp2(self) -> Self {
        let whole = self.0 >> PLACES;
        if whole >= 95 {
            return Self::MAX;
        }
        if whole < -34 {
            return Self::ZERO;
        }
        let mut mantissa = 1u128 << 63;
        for (root, place) in ROOTS.iter().zip((0..PLACES).rev()) {
            if self.0 >> place & 1 == 1 {
                mantissa = mantissa.saturating_mul(u128::from(*root)) >> 63;
            }
        }
        // 63 places become 32, and two to the whole part is so many more.
        let steps = match u32::try_from(whole.saturating_sub(31)) {
            Ok(up) => mantissa << up,
            Err(_) => {
                let down = 31i128.saturating_sub(whole).clamp(1, 127) as u32;
                (mantissa >> down).saturating_add(mantissa >> down.saturating_sub(1) & 1)
            }
        };
        Self::signed(false, Some(steps))
    }

    /// Its logarithm to base two, off by less than a step; none of what is not above zero.
    ///
    /// The mantissa is squared again and again; each time that it passes two is a binary place (Turner, "A Fast
    /// Binary Logarithm Algorithm", IEEE Signal Processing Magazine 27(5), 2010).
    pub fn log2(self) -> Option<Self> {
        let steps = u128::try_from(self.0).ok().filter(|steps| *steps > 0)?;
        let spare = steps.leading_zeros();
        let mut mantissa = (steps << spare) >> 64;
        let mut fraction = 0i128;
        for _ in 0..=PLACES {
            let square = mantissa.saturating_mul(mantissa) >> 63;
            let passed = square >> 64;
            mantissa = square >> passed;
            fraction = fraction << 1 | i128::from(passed > 0);
        }
        let whole = 95i128.saturating_sub(i128::from(spare));
        let fraction = fraction.saturating_add(1) >> 1;
        Some(Self((whole << PLACES).saturating_add(fraction)))
    }

    /// A number of this sign and magnitude, or the end of the range where there is none.
    fn signed(negative: bool, magnitude: Option<u128>) -> Self {
        let magnitude = magnitude.and_then(|steps| i128::try_from(steps).ok());
        let magnitude = magnitude.unwrap_or(i128::MAX);
        Self(if negative { magnitude.saturating_neg() } else { magnitude })
    }
}

/// `part` by `whole` in steps; none where there is no such number.
fn quotient(part: u128, whole: u128) -> Option<u128> {
    let mut steps = part.checked_div(whole)?;
    let mut rest = part.checked_rem(whole)?;
    if steps >> (127 - PLACES) > 0 {
        return None;
    }
    // Long division, a binary place at a time; twice the rest is never written down, for it may not fit.
    for _ in 0..PLACES {
        let lacking = whole.saturating_sub(rest);
        let fits = rest >= lacking;
        rest = if fits { rest.saturating_sub(lacking) } else { rest.saturating_add(rest) };
        steps = steps << 1 | u128::from(fits);
    }
    steps.checked_add(u128::from(rest >= whole.saturating_sub(rest)))
}

/// `part` by `whole` as a whole number, halves up.
fn divided(part: u128, whole: u128) -> Option<u128> {
    let rest = part.checked_rem(whole)?;
    part.checked_div(whole)?.checked_add(u128::from(rest >= whole.saturating_sub(rest)))
}

/// A product of two numbers of steps in steps; none where it does not fit.
fn product(left: u128, right: u128) -> Option<u128> {
    let halves = |steps: u128| (steps >> 64, steps & u128::from(u64::MAX));
    let ((left_high, left_low), (right_high, right_low)) = (halves(left), halves(right));
    let high = left_high.checked_mul(right_high)?.checked_mul(1 << (128 - PLACES))?;
    let across =
        left_high.checked_mul(right_low)?.checked_add(left_low.checked_mul(right_high)?)?;
    let low = left_low.checked_mul(right_low)?.checked_add(HALF)? >> PLACES;
    high.checked_add(across.checked_mul(1 << (64 - PLACES))?)?.checked_add(low)
}

impl From<u64> for Fixed {
    fn from(whole: u64) -> Self {
        Self(i128::from(whole) << PLACES)
    }
}

impl Add for Fixed {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::from_steps(self.0.saturating_add(other.0))
    }
}

impl Sub for Fixed {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::from_steps(self.0.saturating_sub(other.0))
    }
}

impl Neg for Fixed {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl Mul for Fixed {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let negative = (self.0 < 0) != (other.0 < 0);
        Self::signed(negative, product(self.0.unsigned_abs(), other.0.unsigned_abs()))
    }
}

/// Nothing by nothing is none; anything else by nothing is the end of the range on its side.
impl Div for Fixed {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let negative = (self.0 < 0) != (other.0 < 0);
        let ratio = Self::ratio(self.0.unsigned_abs(), other.0.unsigned_abs());
        if negative { -ratio } else { ratio }
    }
}

impl iter::Sum for Fixed {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::ZERO, Add::add)
    }
}
