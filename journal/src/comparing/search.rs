//! Bisection: the first bad place of a run that is good up to it and bad from it on.

/// What a bisection found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// The first bad place; `None` if the last one is good.
    pub first: Option<u64>,
    /// How many places were tried: at most the binary logarithm of their number, rounded up, plus one.
    pub probes: u32,
}

/// Finds the first of `0..count` for which `bad` holds, given that it holds for all after it.
/// The last place is tried first, since most runs are good throughout.
pub fn first_bad<E>(count: u64, mut bad: impl FnMut(u64) -> Result<bool, E>) -> Result<Search, E> {
    let Some(last) = count.checked_sub(1) else { return Ok(Search { first: None, probes: 0 }) };
    let mut probes = 1;
    if !bad(last)? {
        return Ok(Search { first: None, probes });
    }
    let (mut low, mut high) = (0, last);
    while low < high {
        let middle = low + (high - low) / 2;
        probes += 1;
        if bad(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(Search { first: Some(high), probes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_every_length_is_found_in_few_probes() {
        for count in 0..130u64 {
            for place in 0..=count {
                let mut tried = 0;
                let found = first_bad(count, |at| {
                    tried += 1;
                    Ok::<bool, ()>(at >= place)
                });
                let found = found.unwrap();
                assert_eq!(found.first, (place < count).then_some(place));
                assert_eq!(found.probes, tried);
                assert!(
                    u64::from(tried) <= 1 + u64::from(count.max(1).next_power_of_two().ilog2())
                );
            }
        }
    }
}
