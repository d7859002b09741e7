//! What a compiler does not see: formatting, lints, dead links, words that do not belong, codes that nobody can look up.

use std::fs;
use std::path::{Path, PathBuf};

use crate::codes;
use crate::run::{self, Result, cargo, root};

/// The host knows no product (invariant 6).
const PRODUCTS: [&str; 5] = ["fulcrum", "kamaji", "proxmox", "vsphere", "maas"];

/// Longest source file, in lines: a file is a concept.
const LONGEST: usize = 500;

/// All of it.
pub fn run() -> Result {
    formatting()?;
    lints()?;
    texts()
}

/// `cargo fmt --check`.
pub fn formatting() -> Result {
    run::run(cargo().args(["fmt", "--all", "--check"]))
}

/// Clippy with warnings denied.
pub fn lints() -> Result {
    run::run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
}

/// What is read from the files themselves.
pub fn texts() -> Result {
    let (files, pages) = (tracked()?, codes::pages());
    let mut problems = Vec::new();
    for path in &files {
        let Ok(text) = fs::read_to_string(root().join(path)) else { continue };
        let name = path.to_string_lossy();
        if name.starts_with("host/") {
            product_names(&name, &text, &mut problems);
        }
        if codes::makes(&name) {
            codes::undocumented(&name, &text, &pages, &mut problems);
        }
        if name.ends_with(".md") {
            dead_links(path, &text, &mut problems);
        }
        if name.ends_with(".rs") && text.lines().count() > LONGEST {
            problems.push(format!(
                "{name}: {} lines, more than {LONGEST}: split what grew two ideas",
                text.lines().count()
            ));
        }
    }
    if problems.is_empty() {
        println!("tidy: {} files, nothing to mend", files.len());
        return Ok(());
    }
    Err(format!("tidy:\n  {}", problems.join("\n  ")))
}

fn tracked() -> std::result::Result<Vec<PathBuf>, String> {
    let output = std::process::Command::new("git")
        .current_dir(root())
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .map_err(|error| format!("cannot run git: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect())
}

fn product_names(name: &str, text: &str, problems: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        let lower = line.to_ascii_lowercase();
        for word in PRODUCTS.iter().filter(|word| has_word(&lower, word)) {
            problems.push(format!("{name}:{}: `{word}`: the host knows no product", number + 1));
        }
    }
}

/// `maas` counts as a whole word only; the others count anywhere.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        word != "maas" || !(letter(line[..at].chars().next_back()) || letter(line[at + word.len()..].chars().next()))
    })
}

fn dead_links(path: &Path, text: &str, problems: &mut Vec<String>) {
    let folder = root().join(path).parent().map(Path::to_path_buf).unwrap_or_default();
    for (number, line) in text.lines().enumerate() {
        for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            let elsewhere = file.is_empty() || link.contains("://") || link.starts_with("mailto:");
            if !elsewhere && !folder.join(file).exists() {
                problems.push(format!("{}:{}: dead link `{link}`", path.display(), number + 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_name_in_the_host_is_found() {
        let mut problems = Vec::new();
        product_names("host/x.rs", "// like Proxmox does\nlet maasai = 1; // a MAAS", &mut problems);
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
