//! Of several rows with one key in one transaction, the one that would be left if they were written one
//! after the other: a statement takes each key once. Pure.

use std::collections::BTreeMap;

/// The rows that are left, by key. `replaces(new, old)` is the guard of the statement.
pub fn newest<'a, R, K: Ord>(
    rows: &'a [R],
    key: impl Fn(&'a R) -> K,
    replaces: impl Fn(&R, &R) -> bool,
) -> Vec<&'a R> {
    let mut kept: BTreeMap<K, &R> = BTreeMap::new();
    for row in rows {
        kept.entry(key(row))
            .and_modify(|old| *old = if replaces(row, old) { row } else { old })
            .or_insert(row);
    }
    kept.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_left_once_with_the_row_that_replaced_the_others() {
        let rows = [("b", 1), ("a", 2), ("b", 3), ("a", 1), ("b", 3)];
        let left = newest(&rows, |(key, _)| *key, |new, old| new.1 > old.1);
        assert_eq!(left, [&("a", 2), &("b", 3)]);
    }
}
