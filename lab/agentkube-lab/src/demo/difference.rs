//! What two configurations differ in: the lines, and the tables that they stand in.

use std::collections::BTreeSet;

/// A line that only one of two texts has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Only the second text has it; otherwise only the first.
    pub added: bool,
    /// The TOML table that it stands in.
    pub table: String,
    /// The line.
    pub line: String,
}

/// The lines that differ, in order.
pub fn between(first: &str, second: &str) -> Vec<Change> {
    let (old, new) = (numbered(first), numbered(second));
    let common = common_lengths(&old, &new);
    let length = |i: usize, j: usize| common.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0);
    let mut changes = Vec::new();
    let (mut i, mut j) = (0, 0);
    loop {
        match (old.get(i), new.get(j)) {
            (None, None) => return changes,
            (Some(a), Some(b)) if a == b => {
                i += 1;
                j += 1;
            }
            (Some(a), b) if b.is_none() || length(i + 1, j) >= length(i, j + 1) => {
                changes.push(Change { added: false, table: a.0.clone(), line: a.1.clone() });
                i += 1;
            }
            (_, Some(b)) => {
                changes.push(Change { added: true, table: b.0.clone(), line: b.1.clone() });
                j += 1;
            }
            (Some(_), None) => i += 1,
        }
    }
}

/// The tables in which something differs.
pub fn tables(changes: &[Change]) -> BTreeSet<&str> {
    changes.iter().filter(|change| !change.line.is_empty()).map(|change| change.table.as_str()).collect()
}

/// Every line with the table that it stands in.
fn numbered(text: &str) -> Vec<(String, String)> {
    let mut table = String::new();
    text.lines()
        .map(|line| {
            if line.starts_with('[') {
                table = line.trim_matches(['[', ']']).to_owned();
            }
            (table.clone(), line.to_owned())
        })
        .collect()
}

/// Longest common subsequence of what is left from each pair of positions on.
fn common_lengths<T: PartialEq>(old: &[T], new: &[T]) -> Vec<Vec<usize>> {
    let mut lengths = vec![vec![0; new.len() + 1]; old.len() + 1];
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            let at = |i: usize, j: usize| lengths.get(i).and_then(|row: &Vec<usize>| row.get(j)).copied().unwrap_or(0);
            let best = if a == b { at(i + 1, j + 1) + 1 } else { at(i + 1, j).max(at(i, j + 1)) };
            if let Some(cell) = lengths.get_mut(i).and_then(|row| row.get_mut(j)) {
                *cell = best;
            }
        }
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told_with_its_table() {
        let first = "a = 1\n[connections.pve]\nkind = \"http\"\n[plugins.machines]\nfile = \"p\"\nrole = \"r\"\n[engine]\nb = 2";
        let second = "a = 1\n[connections.toy]\nkind = \"http\"\n[plugins.machines]\nfile = \"t\"\nrole = \"r\"\n[engine]\nb = 2";
        let changes = between(first, second);
        assert_eq!(tables(&changes), BTreeSet::from(["connections.pve", "connections.toy", "plugins.machines"]));
        let lines: Vec<(bool, &str)> =
            changes.iter().filter(|c| c.table == "plugins.machines").map(|c| (c.added, c.line.as_str())).collect();
        assert_eq!(lines, [(false, "file = \"p\""), (true, "file = \"t\"")]);
        assert!(between(first, first).is_empty());
        assert_eq!(between("", "x").len(), 1);
    }
}
