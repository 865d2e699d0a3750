//! Sums by name, and where they end.

use std::collections::BTreeMap;

/// Sums end here: the largest integer that every reader of JSON holds (RFC 8259, section 6). A sum
/// that stops at a bound is still the same in whatever order it is taken.
pub const MAX_SUM: u64 = 9_007_199_254_740_991;

/// Adds to a sum that ends at [`MAX_SUM`].
pub fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more).min(MAX_SUM);
}

/// Counts one under this name.
pub fn count(sums: &mut BTreeMap<String, u64>, name: &str) {
    add(entry(sums, name), 1);
}

/// The value under this name, which is nearly always there: it is not copied then.
pub fn entry<'a, T: Default>(values: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    if !values.contains_key(name) {
        values.insert(name.to_owned(), T::default());
    }
    values.get_mut(name).expect("it was inserted")
}

/// Adds sums by name.
pub fn add_each(sums: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (name, more) in more {
        add(entry(sums, name), *more);
    }
}
