//! One row of the table: what was measured, its unit, our figure, the ceiling's, their ratio, what to reach.

use serde::{Deserialize, Serialize};

use crate::stats::Spread;

/// What a row is to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    AtMost(f64),
    RatioAtLeast(f64),
    RatioAtMost(f64),
}

impl Reach {
    /// As the table shows it.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {}", figure(limit)),
            Self::RatioAtLeast(limit) => format!("ratio ≥ {}", figure(limit)),
            Self::RatioAtMost(limit) => format!("ratio ≤ {}", figure(limit)),
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchRow {
    pub what: String,
    pub unit: String,
    pub ours: Spread,
    /// Measured in the same run.
    pub ceiling: Option<Spread>,
    /// Ours divided by the ceiling, round by round.
    pub ratio: Option<Spread>,
    pub reach: Option<Reach>,
}

impl BenchRow {
    /// A row with a figure of ours alone.
    #[must_use]
    pub fn new(what: impl Into<String>, unit: &str, ours: Spread) -> Self {
        Self {
            what: what.into(),
            unit: unit.to_owned(),
            ours,
            ceiling: None,
            ratio: None,
            reach: None,
        }
    }

    /// The same with the ceiling beside it.
    #[must_use]
    pub fn beside(mut self, ceiling: Spread, ratio: Spread) -> Self {
        (self.ceiling, self.ratio) = (Some(ceiling), Some(ratio));
        self
    }

    /// The same with a target.
    #[must_use]
    pub fn reach(mut self, reach: Reach) -> Self {
        self.reach = Some(reach);
        self
    }

    /// Whether the median is where it should be; nothing without a target.
    #[must_use]
    pub fn is_reached(&self) -> Option<bool> {
        let ratio = self.ratio.map_or(f64::NAN, |ratio| ratio.median);
        self.reach.map(|reach| match reach {
            Reach::AtMost(limit) => self.ours.median <= limit,
            Reach::RatioAtLeast(limit) => ratio >= limit,
            Reach::RatioAtMost(limit) => ratio <= limit,
        })
    }
}

/// A figure with about three digits, and commas between thousands.
#[must_use]
pub fn figure(value: f64) -> String {
    let size = value.abs();
    if size < 10.0 {
        let text = format!("{value:.2}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    if size < 100.0 {
        return format!("{value:.1}").trim_end_matches(".0").to_owned();
    }
    let digits = format!("{:.0}", size);
    let sign = if value < 0.0 { "-" } else { "" };
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    format!("{sign}{}", groups.join(","))
}

/// The median, with the extremes if there were several rounds.
#[must_use]
pub fn spread(spread: Spread) -> String {
    let median = figure(spread.median);
    if spread.min == spread.max {
        return median;
    }
    format!("{median} ({}–{})", figure(spread.min), figure(spread.max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: f64) -> Spread {
        Spread::of([value])
    }

    #[test]
    fn figures_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.654, "0.65"),
            (1.5, "1.5"),
            (9.0, "9"),
            (45.04, "45"),
            (45.36, "45.4"),
            (780.4, "780"),
            (22_345.6, "22,346"),
            (1_000_000.0, "1,000,000"),
            (-1234.0, "-1,234"),
        ] {
            assert_eq!(figure(value), text);
        }
        assert_eq!(spread(Spread::of([3.0, 1.0, 2.0])), "2 (1–3)");
        assert_eq!(spread(one(2.0)), "2");
    }

    #[test]
    fn a_row_is_held_to_its_target() {
        let row = BenchRow::new("CPU", "µs", one(45.0));
        assert_eq!(row.is_reached(), None);
        let at = |reach| row.clone().beside(one(90.0), one(0.5)).reach(reach);
        assert_eq!(at(Reach::AtMost(45.0)).is_reached(), Some(true));
        assert_eq!(at(Reach::AtMost(44.0)).is_reached(), Some(false));
        assert_eq!(at(Reach::RatioAtLeast(0.65)).is_reached(), Some(false));
        assert_eq!(at(Reach::RatioAtMost(0.65)).is_reached(), Some(true));
        // Without its ceiling a ratio is not reached.
        let alone = row.reach(Reach::RatioAtLeast(0.1));
        assert_eq!(alone.is_reached(), Some(false));
    }
}
