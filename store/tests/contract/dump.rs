//! Everything a store holds, read past the store's own code.

use std::collections::BTreeMap;
use std::fmt;

use types::audit::{Personal, Skeleton, Step, personal_hash, row_hash};
use types::id::{BatchRef, EventRef};
use uuid::Uuid;

/// One value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// One row: its columns in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row(pub Vec<(String, Cell)>);

/// Every table and view with its rows in their order, so that equal stores have equal dumps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump(BTreeMap<String, Vec<Row>>);

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
        }
    }
}

impl Row {
    /// The value of `column`.
    pub fn cell(&self, column: &str) -> &Cell {
        let found = self.0.iter().find(|(name, _)| name == column);
        &found
            .unwrap_or_else(|| panic!("there is no column {column} in {self:?}"))
            .1
    }

    /// A column that holds a number.
    pub fn int(&self, column: &str) -> i64 {
        let Cell::Int(number) = self.cell(column) else {
            panic!("{column} of {self:?} is no number")
        };
        *number
    }

    /// A column that holds text.
    pub fn text(&self, column: &str) -> &str {
        self.optional(column)
            .unwrap_or_else(|| panic!("{column} of {self:?} is null"))
    }

    /// A column that may hold text.
    pub fn optional(&self, column: &str) -> Option<&str> {
        match self.cell(column) {
            Cell::Null => None,
            Cell::Text(text) => Some(text),
            other => panic!("{column} is {other:?}, no text"),
        }
    }

    /// A column that holds bytes.
    pub fn bytes(&self, column: &str) -> &[u8] {
        let Cell::Bytes(bytes) = self.cell(column) else {
            panic!("{column} of {self:?} is no bytes")
        };
        bytes
    }

    /// The event that the row is about.
    pub fn at(&self) -> EventRef {
        self.reference("")
    }

    /// A reference in three columns with a prefix.
    pub fn reference(&self, prefix: &str) -> EventRef {
        let int = |name: &str| self.int(&format!("{prefix}{name}"));
        EventRef {
            src: int("src"),
            seq: int("seq") as u64,
            ordinal: int("ordinal") as u32,
        }
    }
}

impl Dump {
    /// The dump of these tables.
    pub fn new(tables: impl Iterator<Item = (String, Vec<Row>)>) -> Self {
        let sorted = |(name, mut rows): (String, Vec<Row>)| {
            rows.sort();
            (name, rows)
        };
        Self(tables.map(sorted).collect())
    }

    /// The rows of a table or view.
    pub fn rows(&self, table: &str) -> &[Row] {
        self.0
            .get(table)
            .unwrap_or_else(|| panic!("there is no table {table}"))
    }

    /// The rows of a table without a column, for what depends on the moment.
    pub fn rows_without(&self, table: &str, column: &str) -> Vec<Row> {
        let rows = self.rows(table).iter().map(|row| {
            Row(row
                .0
                .iter()
                .filter(|(name, _)| name != column)
                .cloned()
                .collect())
        });
        rows.collect()
    }

    /// The batch's row.
    pub fn batch(&self, at: BatchRef) -> &Row {
        let its = |row: &&Row| (row.int("src"), row.int("seq")) == (at.src, at.seq as i64);
        self.rows("batches")
            .iter()
            .find(its)
            .unwrap_or_else(|| panic!("batch {at} has no row"))
    }

    /// Tables and views that have rows.
    pub fn filled(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(name, _)| name.as_str())
    }

    /// What must not depend on the order of arrival: where each event is, and what it is there.
    pub fn of_events(&self) -> BTreeMap<&str, &[Row]> {
        let tables = [
            "events",
            "refused",
            "duplicates",
            "duplicates_with_originals",
        ];
        tables
            .into_iter()
            .map(|table| (table, self.rows(table)))
            .collect()
    }

    /// The rows of `table` that came of one event.
    pub fn of_event<'a>(&'a self, table: &str, at: EventRef) -> Vec<&'a Row> {
        self.rows(table)
            .iter()
            .filter(|row| row.at() == at)
            .collect()
    }

    /// The generations of the developer's hours.
    pub fn hours(&self, developer: &str) -> BTreeMap<i64, i64> {
        let rows = self
            .rows("hours")
            .iter()
            .filter(|row| row.text("developer") == developer);
        rows.map(|row| (row.int("hour"), row.int("gen"))).collect()
    }

    /// What the audit tells of one sequence and step, whatever row it is in, as (skeleton, personal part).
    pub fn audit(&self, seq: u64, step: Step) -> Vec<(Skeleton, Personal)> {
        self.checked_audit();
        let steps = self.rows("audit_steps").iter();
        let steps = steps.map(|row| (skeleton(row, None), person(row)));
        steps
            .filter(|(skeleton, _)| skeleton.seq == seq && skeleton.step == step)
            .collect()
    }

    /// The rows of the audit as they were written; fails where a hash is not that of its row.
    pub fn checked_audit(&self) -> Vec<(Skeleton, Personal)> {
        let personal: BTreeMap<_, _> = self
            .rows("audit_personal")
            .iter()
            .map(|row| (row.bytes("id"), row))
            .collect();
        assert_eq!(
            personal.len(),
            self.rows("audit").len(),
            "each row of the audit has its personal part"
        );
        let rows = self.rows("audit").iter().map(|row| {
            let skeleton = skeleton(row, row.optional("shared"));
            let personal = personal[row.bytes("id")];
            let person = person(personal);
            let salt = personal.bytes("salt").try_into().unwrap();
            let inner = personal_hash(&salt, &person);
            assert_eq!(
                row.bytes("personal_hash"),
                inner,
                "the personal hash of {person:?}"
            );
            assert_eq!(
                row.bytes("hash"),
                row_hash(&skeleton, &inner),
                "the hash of {skeleton:?}"
            );
            (skeleton, person)
        });
        rows.collect()
    }
}

fn skeleton(row: &Row, shared: Option<&str>) -> Skeleton {
    Skeleton {
        id: Uuid::from_slice(row.bytes("id")).unwrap(),
        time: row.int("time"),
        step: Step::ALL
            .into_iter()
            .find(|step| step.as_str() == row.text("step"))
            .unwrap(),
        outcome: row.text("outcome").to_owned(),
        actor: row.text("actor").to_owned(),
        src: row.int("src"),
        seq: row.int("seq") as u64,
        replay_id: row.optional("replay_id").map(str::to_owned),
        shared: shared.map(str::to_owned),
    }
}

fn person(row: &Row) -> Personal {
    Personal {
        developer: row.text("developer").to_owned(),
        batch_id: row.text("batch_id").to_owned(),
        event_id: row.optional("event_id").map(str::to_owned),
        correlation_id: row.text("correlation_id").to_owned(),
        detail: row.optional("detail").map(str::to_owned),
    }
}
