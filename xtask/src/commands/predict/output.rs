//! The forms in which predictions are told: a table for people, comma-separated values for spreadsheets, JSON lines for
//! programs.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::table::Table;

/// Form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for people
    Table,
    /// Comma-separated values with a heading; cells that a spreadsheet would run begin with '
    Csv,
    /// One JSON object per line
    Jsonl,
}

/// The likeliest classes with their probabilities, at most `count`, the likeliest first; of equals the first class.
///
/// # Shapes
/// - `logits`: `[classes]`, finite
pub fn top(logits: &[f32], count: usize) -> Vec<(usize, f64)> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights = logits.iter().map(|logit| f64::from(logit - largest).exp());
    let mut ranked: Vec<(usize, f64)> = weights.enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    // Summed in this order, so that the order of the classes changes no bit.
    let sum: f64 = ranked.iter().map(|(_, weight)| weight).sum();
    ranked.truncate(count);
    ranked.into_iter().map(|(class, weight)| (class, weight / sum)).collect()
}

/// Standard output in one of the forms.
pub enum Output {
    Table(Table),
    Csv(io::BufWriter<io::Stdout>, Vec<String>),
    JsonLines(io::BufWriter<io::Stdout>),
}

#[derive(Serialize)]
struct Line<'a> {
    image: Cow<'a, str>,
    predictions: Vec<Prediction<'a>>,
}

#[derive(Serialize)]
struct Prediction<'a> {
    class: &'a str,
    probability: f64,
}

impl Output {
    /// For `shown` classes of each image.
    pub fn start(format: Format, shown: usize) -> Self {
        let places = 1..=shown;
        match format {
            Format::Table => {
                let headings = places.map(|place| place.to_string());
                Self::Table(Table::of_words(std::iter::once("image".to_owned()).chain(headings)))
            }
            Format::Csv => {
                let headings =
                    places.flat_map(|place| [format!("class_{place}"), format!("probability_{place}")]);
                let headings = std::iter::once("image".to_owned()).chain(headings);
                Self::Csv(io::BufWriter::new(io::stdout()), headings.collect())
            }
            Format::Jsonl => Self::JsonLines(io::BufWriter::new(io::stdout())),
        }
    }

    /// Tells of one image. What of its path is not Unicode is shown as a replacement character.
    pub fn row(&mut self, path: &Path, top: &[(usize, f64)], class_names: &[String]) -> io::Result<()> {
        let image = path.to_string_lossy();
        let named = top.iter().map(|&(class, share)| (class_names[class].as_str(), share));
        match self {
            Self::Table(table) => {
                let cells = named.map(|(class, share)| format!("{} {:.1} %", visible(class), 100.0 * share));
                table.row(std::iter::once(visible(&image)).chain(cells));
                Ok(())
            }
            Self::Csv(writer, headings) => {
                heading(writer, headings)?;
                let cells = named.flat_map(|(class, share)| [cell(class), format!("{share:.6}")]);
                record(writer, std::iter::once(cell(&image)).chain(cells))
            }
            Self::JsonLines(writer) => {
                let predictions = named.map(|(class, probability)| Prediction { class, probability });
                serde_json::to_writer(&mut *writer, &Line { image, predictions: predictions.collect() })?;
                writer.write_all(b"\n")
            }
        }
    }

    /// Hands on what has been told so far.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Table(_) => Ok(()),
            Self::Csv(writer, _) => writer.flush(),
            Self::JsonLines(writer) => writer.flush(),
        }
    }

    /// Ends the answer.
    pub fn finish(mut self) -> io::Result<()> {
        match &mut self {
            Self::Table(table) => return writeln!(io::stdout(), "{table}"),
            Self::Csv(writer, headings) => heading(writer, headings)?,
            Self::JsonLines(_) => {}
        }
        self.flush()
    }
}

/// Writes the headings unless they have been written.
fn heading(writer: &mut impl Write, headings: &mut Vec<String>) -> io::Result<()> {
    match std::mem::take(headings) {
        written if written.is_empty() => Ok(()),
        headings => record(writer, headings.into_iter()),
    }
}

fn record(writer: &mut impl Write, cells: impl Iterator<Item = String>) -> io::Result<()> {
    writeln!(writer, "{}", cells.collect::<Vec<_>>().join(","))
}

/// A cell in quotes where it needs them (RFC 4180) that a spreadsheet takes for text: one that it would run as a formula
/// begins with an apostrophe.
fn cell(text: &str) -> String {
    let apostrophe = if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { "'" } else { "" };
    let text = format!("{apostrophe}{text}");
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

/// A name without characters that would steer a terminal.
fn visible(name: &str) -> String {
    name.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_by_hand() {
        let ranked = top(&[0.0, 1000.0, 1000.0 + 2f32.ln()], 2);
        assert_eq!(ranked.iter().map(|(class, _)| *class).collect::<Vec<_>>(), [2, 1]);
        assert!((ranked[0].1 - 2.0 / 3.0).abs() < 1e-4 && (ranked[1].1 - 1.0 / 3.0).abs() < 1e-4);
        let equal = top(&[1.0; 3], 9);
        assert_eq!(equal.iter().map(|(class, _)| *class).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn formulas_are_text() {
        for text in ["=1+1", "+x", "-x", "@x", "\t=1"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        assert_eq!(cell("\r=1"), "\"'\r=1\"");
        assert_eq!(cell("a=1"), "a=1");
        assert_eq!(cell("=a,\"b\""), "\"'=a,\"\"b\"\"\"");
        assert_eq!(visible("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
    }
}
