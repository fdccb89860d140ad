//! How much memory a run should make do with, as recipes and the command line write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes, such as `4GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemoryBudget(pub u64);

/// A text that is no number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no number of bytes; expected one such as `4GiB`: with B, KB, MB, GB, TB, KiB, MiB, GiB or TiB"
)]
pub struct MemoryBudgetError {
    /// The text.
    pub text: String,
}

impl FromStr for MemoryBudget {
    type Err = MemoryBudgetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_size(text).map(Self).ok_or_else(|| MemoryBudgetError { text: text.to_owned() })
    }
}

impl TryFrom<String> for MemoryBudget {
    type Error = MemoryBudgetError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MemoryBudget> for String {
    fn from(budget: MemoryBudget) -> Self {
        budget.to_string()
    }
}

/// In the largest binary unit that divides it.
impl fmt::Display for MemoryBudget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let whole = units.into_iter().find(|(_, power)| self.0 > 0 && self.0.trailing_zeros() >= *power);
        match whole {
            Some((unit, power)) => write!(formatter, "{}{unit}", self.0 >> power),
            None => write!(formatter, "{}B", self.0),
        }
    }
}

/// The bytes that a text such as `6GB`, `512 MiB` or `1000000` stands for; `None` if it stands for none.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some((number.parse::<f64>().ok()? * factor) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_written_as_they_are_read() {
        for (text, bytes, written) in [
            ("4GiB", 4 << 30, "4GiB"),
            ("1.5 GiB", 3 << 29, "1536MiB"),
            ("2kib", 2048, "2KiB"),
            ("1000", 1000, "1000B"),
            ("6GB", 6_000_000_000, "5859375KiB"),
            ("0", 0, "0B"),
        ] {
            let budget: MemoryBudget = text.parse().unwrap();
            assert_eq!((budget.0, budget.to_string().as_str()), (bytes, written));
            assert_eq!(written.parse(), Ok(budget));
        }
        for text in ["", "GiB", "much", "-1", "1.2.3", "4 PB", "4 GB more"] {
            assert!(text.parse::<MemoryBudget>().is_err(), "{text}");
        }
    }
}
