//! Plain tables for the terminal, and the same rows as Markdown for reports.

use std::fmt;

/// Rows of text under headings.
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Whether all columns but the first hold numbers, and are aligned to the right.
    numbers: bool,
}

impl Table {
    /// A table of numbers: the first column names the row.
    pub fn new(headings: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { headings: headings.into_iter().map(Into::into).collect(), rows: Vec::new(), numbers: true }
    }

    /// A table of words.
    pub fn of_words(headings: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { numbers: false, ..Self::new(headings) }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table in Markdown.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = line(&self.headings);
        let rule: Vec<String> = (0..self.headings.len())
            .map(|column| if column > 0 && self.numbers { "---:".into() } else { "---".into() })
            .collect();
        text += &line(&rule);
        self.rows.iter().for_each(|row| text += &line(row));
        text
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        use comfy_table::{CellAlignment, ContentArrangement, presets};
        let mut table = comfy_table::Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_header(&self.headings);
        self.rows.iter().for_each(|row| {
            table.add_row(row);
        });
        if let Some((_, columns)) = console::Term::stdout().size_checked() {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
        }
        for column in table.column_iter_mut().skip(1).filter(|_| self.numbers) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(formatter, "{table}")
    }
}
