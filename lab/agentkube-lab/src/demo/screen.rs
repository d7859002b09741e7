//! What the demo prints: headings with the time since its start, facts, tables with aligned columns. Plain lines only, so that it
//! reads the same on a terminal, in a file and in a build's log.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

/// Where the demo prints.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    began: Instant,
}

impl Screen {
    /// Time counts from here.
    pub fn new() -> Self {
        Screen { began: Instant::now() }
    }

    /// Time since the demo began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A new part of the story.
    pub fn heading(&self, text: &str) {
        put(&format!("\n{:>8}  {text}", seconds(self.elapsed())));
    }

    /// A sentence or fact.
    pub fn say(&self, text: impl Display) {
        put(format!("{:10}{text}", "").trim_end());
    }

    /// The heads of the columns that [`Screen::step`] fills.
    pub fn step_header(&self) {
        put(STEP_HEADER);
    }

    /// Something that ended just now, and how long it took.
    pub fn step(&self, took: Option<Duration>, subject: &str, text: &str) {
        put(&step_line(self.elapsed(), took, subject, text));
    }

    /// Rows with aligned columns, the first of them the header.
    pub fn table(&self, rows: &[Vec<String>]) {
        for line in aligned(rows) {
            self.say(line);
        }
    }
}

impl Default for Screen {
    fn default() -> Self {
        Screen::new()
    }
}

/// A reader that went away is no reason to stop.
fn put(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// `12.3 s`.
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Heads of the columns of [`step_line`].
const STEP_HEADER: &str = "      at      took  what                  is done";

fn step_line(at: Duration, took: Option<Duration>, subject: &str, text: &str) -> String {
    let took = took.map(seconds).unwrap_or_default();
    format!("{:>8}  {took:>8}  {subject:<20}  {text}", seconds(at)).trim_end().to_owned()
}

fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["NAME", "READY"], ["k1-workers-01", "yes"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows), ["NAME           READY", "k1-workers-01  yes"]);
    }

    #[test]
    fn a_step_stands_under_its_header() {
        let line = step_line(Duration::from_millis(12_340), Some(Duration::from_millis(700)), "add-ons", "applied");
        assert_eq!(line, "  12.3 s     0.7 s  add-ons               applied");
        assert_eq!(line.find("add-ons"), STEP_HEADER.find("what"));
        assert_eq!(line.find("applied"), STEP_HEADER.find("is done"));
    }
}
