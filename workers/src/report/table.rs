//! The table behind a plot: the same numbers for those who do not see the plot, and for those who want them exactly.

use maud::{Markup, Render, html};

/// A table with a header for each column and each row.
#[derive(Debug)]
pub struct DataTable {
    pub caption: String,
    /// The first one is of the rows' own headers.
    pub columns: Vec<String>,
    pub rows: Vec<DataRow>,
    /// A sum or the like below the rows.
    pub last: Option<DataRow>,
    /// What the table does not say by itself.
    pub note: Option<String>,
}

/// A row: its header and a text for each other column.
#[derive(Debug, Clone)]
pub struct DataRow {
    pub header: String,
    pub cells: Vec<String>,
}

/// What stands in place of a number on a day without events.
pub const NOTHING: &str = "–";

impl DataTable {
    /// The table, folded up until somebody opens it, and open on paper. `id` is unique on the page.
    pub fn behind(&self, id: &str) -> Markup {
        let caption = format!("{id}-table");
        html! {
            details {
                summary { "Table: " (self.caption) }
                // What is scrolled must be reached with the keyboard, and have a name.
                div class="scroll" role="region" aria-labelledby=(caption) tabindex="0" {
                    (self.markup(&caption))
                }
                @if let Some(note) = &self.note {
                    p class="note" { (note) }
                }
            }
        }
    }

    fn markup(&self, caption: &str) -> Markup {
        html! {
            table {
                caption id=(caption) { (self.caption) }
                thead {
                    tr {
                        @for column in &self.columns { th scope="col" { (column) } }
                    }
                }
                tbody {
                    @for row in &self.rows { (row) }
                }
                @if let Some(last) = &self.last {
                    tfoot { (last) }
                }
            }
        }
    }
}

impl Render for DataRow {
    fn render(&self) -> Markup {
        html! {
            tr {
                // A name may be written from right to left: it must not turn what follows it.
                th scope="row" { bdi { (self.header) } }
                @for cell in &self.cells { td { bdi { (cell) } } }
            }
        }
    }
}
