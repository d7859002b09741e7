//! `cargo xtask test --report <what>`: tests that leave lines behind, and a table of those lines.

use std::collections::BTreeSet;
use std::fs;

use clap::ValueEnum;

use crate::run::{self, Profile, Result, cargo, root, target, with_artifacts};
use crate::{build, contracts};

/// What is reported.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Report {
    /// Every fault of the lab: where it was injected, what the user saw, what was left behind.
    Faults,
    /// Every request and answer of every test against the published schemas of the real systems.
    Contracts,
}

/// Runs the tests of a report and prints it; fails when a line is missing or says that something was unexpected.
pub fn run(report: Report) -> Result {
    build::everything(Profile::Debug)?;
    match report {
        Report::Faults => faults(),
        Report::Contracts => {
            contracts::tests(with_artifacts(cargo().args(["test", "--workspace", "--no-fail-fast"]), Profile::Debug))
        }
    }
}

/// One line of `faults.tsv`, as `agentkube_tests::report` writes it.
struct Line {
    fault: String,
    at: String,
    seen: String,
    left: String,
    test: String,
}

fn faults() -> Result {
    let folder = target().join("reports");
    let file = folder.join("faults.tsv");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    // What an earlier run left is not what this one saw.
    let _ = fs::remove_file(&file);
    let mut command = cargo();
    command.args(["test", "--workspace", "--test", "faults", "--no-fail-fast"]);
    let tests = run::run(with_artifacts(&mut command, Profile::Debug).env("AGENTKUBE_REPORT", &folder));
    let text = fs::read_to_string(&file).unwrap_or_default();
    let mut lines: Vec<Line> = text.lines().filter_map(line).collect();
    lines.sort_by(|one, other| (&one.test, &one.fault).cmp(&(&other.test, &other.fault)));
    table(&lines);

    let page = fs::read_to_string(root().join("docs/faults.md")).unwrap_or_default();
    let listed: BTreeSet<&str> = page.lines().filter_map(listed).collect();
    let met: BTreeSet<&str> = lines.iter().map(|line| line.fault.as_str()).collect();
    let mut unexpected: Vec<String> = listed.difference(&met).map(|fault| format!("{fault}: no test met it")).collect();
    unexpected.extend(met.difference(&listed).map(|fault| format!("{fault}: is not in docs/faults.md")));
    unexpected.extend(
        lines.iter().filter(|line| line.left != "nothing").map(|line| format!("{}: {}", line.fault, line.left)),
    );
    println!("\n{} rows, {} faults, {} unexpected", lines.len(), met.len(), unexpected.len());
    if !unexpected.is_empty() {
        return Err(format!("faults:\n  {}", unexpected.join("\n  ")));
    }
    tests
}

fn line(text: &str) -> Option<Line> {
    let mut fields = text.split('\t').map(str::to_owned);
    let line = Line {
        fault: fields.next()?,
        at: fields.next()?,
        seen: fields.next()?,
        left: fields.next()?,
        test: fields.next()?,
    };
    Some(line)
}

/// The fault of a row of the page's table: the text in its first column, unless that is the head.
fn listed(row: &str) -> Option<&str> {
    let first = row.strip_prefix("| ")?.split(" | ").next()?;
    (first != "fault" && !first.starts_with("---")).then_some(first)
}

/// Widest columns of the table: the texts of failures are long, and stand whole in the file.
const WIDEST: [usize; 4] = [44, 44, 100, 30];

fn table(lines: &[Line]) {
    let rows: Vec<[&str; 4]> = std::iter::once(["fault", "injected at", "what the user saw", "left behind"])
        .chain(lines.iter().map(|line| [&*line.fault, &*line.at, &*line.seen, &*line.left]))
        .collect();
    let width = |column: usize| {
        let longest = rows.iter().map(|row| row.get(column).map_or(0, |text| text.chars().count())).max().unwrap_or(0);
        longest.min(WIDEST.get(column).copied().unwrap_or(longest))
    };
    let widths: Vec<usize> = (0..4).map(width).collect();
    println!();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(text, width)| cell(text, *width)).collect();
        println!("{}", cells.join(" | ").trim_end());
    }
}

fn cell(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return format!("{text:width$}");
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_faults_in_its_first_column() {
        let page = "| fault | test |\n|---|---|\n| claim: answer lost | `x` |\ntext";
        assert_eq!(page.lines().filter_map(listed).collect::<Vec<_>>(), ["claim: answer lost"]);
    }

    #[test]
    fn long_texts_are_cut_in_the_table() {
        assert_eq!(cell("abcdef", 4), "abc…");
        assert_eq!(cell("ab", 4), "ab  ");
    }
}
