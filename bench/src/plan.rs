//! What a run measures, of which size: the command line.

use clap::{Parser, ValueEnum};
use harness::Engine;

use crate::family::Family;
use crate::report::Coverage;

/// Measures Devtrail beside its ceilings, with the programs that lie beside this one.
#[derive(Parser)]
#[command(
    name = "devtrail-bench",
    after_long_help = "Examples:
  devtrail-bench --write
  devtrail-bench drain --events 20000 --engine sqlite --rounds 1
  devtrail-bench heavy-hour --events 100000"
)]
pub struct Arguments {
    /// Families of rows to measure [default: all but long]
    #[arg(value_enum, value_name = "ROWS")]
    families: Vec<Family>,
    /// Events of each row whose size is a number of events
    #[arg(long, value_name = "N")]
    events: Option<usize>,
    /// The store, of rows that have one [default: both]
    #[arg(long, value_enum)]
    engine: Option<EngineName>,
    /// Rounds of each figure; the table shows their median and extremes [default: 5, quick: 1]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Small sizes, which --write does not take: the whole table in under three minutes
    #[arg(long, conflicts_with = "write")]
    quick: bool,
    /// Put the rows into docs/benchmarks.md and docs/benchmarks.json
    #[arg(long)]
    pub write: bool,
}

/// A store, as the command line names it.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EngineName {
    Sqlite,
    Postgres,
}

/// What a run measures.
#[derive(Debug, Clone)]
pub struct Plan {
    pub families: Vec<Family>,
    pub engines: Vec<Engine>,
    /// At least 1.
    pub rounds: usize,
    pub quick: bool,
    events: Option<usize>,
}

impl Plan {
    /// The size of a row: as the command line says, else the one of this kind of run.
    #[must_use]
    pub fn events(&self, quick: usize, full: usize) -> usize {
        self.events.unwrap_or(self.size(quick, full))
    }

    /// How much of a family's rows it measures: the stores may be chosen.
    #[must_use]
    pub fn coverage(&self, family: Family) -> Coverage {
        let mut engines = family.engines().iter();
        if engines.all(|engine| self.engines.contains(engine)) {
            Coverage::Whole
        } else {
            Coverage::Part
        }
    }

    /// Another size of this kind of run.
    #[must_use]
    pub fn size<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}

impl From<&Arguments> for Plan {
    fn from(given: &Arguments) -> Self {
        let mut families = given.families.clone();
        if families.is_empty() {
            families = Family::value_variants().to_vec();
            families.retain(|family| *family != Family::Long);
        }
        let engines = match given.engine {
            None => vec![Engine::Sqlite, Engine::Postgres],
            Some(EngineName::Sqlite) => vec![Engine::Sqlite],
            Some(EngineName::Postgres) => vec![Engine::Postgres],
        };
        let rounds = given.rounds.unwrap_or(if given.quick { 1 } else { 5 });
        Self {
            families,
            engines,
            rounds: rounds.max(1),
            quick: given.quick,
            events: given.events.map(|events| events.max(1)),
        }
    }
}

/// A store, as the table names it.
#[must_use]
pub fn name(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "SQLite",
        Engine::Postgres => "Postgres",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> Plan {
        let words = [&["devtrail-bench"], words].concat();
        Plan::from(&Arguments::try_parse_from(words).expect("a command line"))
    }

    #[test]
    fn one_store_is_a_part_of_what_has_two() {
        let all = plan(&[]);
        let sqlite = plan(&["--engine", "sqlite"]);
        let postgres = plan(&["--engine", "postgres"]);
        for &family in Family::value_variants() {
            assert_eq!(all.coverage(family), Coverage::Whole);
        }
        assert_eq!(sqlite.coverage(Family::Drain), Coverage::Part);
        assert_eq!(sqlite.coverage(Family::ScaleOut), Coverage::Part);
        assert_eq!(postgres.coverage(Family::ScaleOut), Coverage::Whole);
        assert_eq!(postgres.coverage(Family::Keys), Coverage::Whole);
    }

    #[test]
    fn small_sizes_are_not_written() {
        assert!(Arguments::try_parse_from(["devtrail-bench", "--quick", "--write"]).is_err());
    }
}
