//! How many, what in the middle, and how far apart: value by value, and put together.

use crate::kernel::fixed::Fixed;

/// The mean of values and their squared distances from it, kept up value by value (Welford, "Note on a Method
/// for Calculating Corrected Sums of Squares and Products", Technometrics 4(3), 1962).
///
/// Each value adds at most a step of error to the mean. Squares that add up to more than 2^95 stick there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moments {
    count: u64,
    mean: Fixed,
    squares: Fixed,
}

impl Moments {
    /// Counts a value.
    pub fn add(&mut self, value: Fixed) {
        self.count = self.count.saturating_add(1);
        let before = value - self.mean;
        self.mean = self.mean + before.scaled(1, self.count);
        self.squares = self.squares + before * (value - self.mean);
    }

    /// Counts all that another has counted (Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm
    /// for Computing Sample Variances", 1979).
    pub fn merge(&mut self, other: &Self) {
        let count = self.count.saturating_add(other.count);
        if count == 0 {
            return;
        }
        let apart = other.mean - self.mean;
        let part = apart.scaled(other.count, count);
        self.squares = self.squares + other.squares + apart * part * Fixed::from(self.count);
        self.mean = self.mean + part;
        self.count = count;
    }

    /// How many values are counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their mean; none of none.
    pub fn mean(&self) -> Option<Fixed> {
        (self.count > 0).then_some(self.mean)
    }

    /// The variance of what they are a sample of: their squared distances by one less than there are. None of
    /// fewer than two.
    pub fn variance(&self) -> Option<Fixed> {
        let freedom = self.count.checked_sub(1).filter(|freedom| *freedom > 0)?;
        Some(self.squares.max(Fixed::ZERO).scaled(1, freedom))
    }

    /// The square root of the variance.
    pub fn deviation(&self) -> Option<Fixed> {
        self.variance().map(Fixed::sqrt)
    }
}

impl FromIterator<Fixed> for Moments {
    fn from_iter<I: IntoIterator<Item = Fixed>>(values: I) -> Self {
        let mut moments = Self::default();
        values.into_iter().for_each(|value| moments.add(value));
        moments
    }
}
