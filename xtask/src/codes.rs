//! Every code that an error can have stands on a page of the documentation: people look for it, and job sources route by it.

use std::collections::BTreeSet;
use std::fs;

use crate::run::root;

/// Where codes are made.
const MAKERS: [&str; 3] = ["host/", "plugins/", "sdk/src/"];

/// What is written like a code and is none: heads of tables, words of protocols and databases, variables of the environment, beginnings
/// of codes.
const NO_CODES: &str = "ACTION BEGIN BOOKMARK CARGO_PKG_DESCRIPTION CARGO_PKG_VERSION CERTIFICATE CLUSTER CODE COMMIT CONTROL_PLANE \
                        DELETED ERROR FAULT FINDING FULL GET GMT HS256 HTTPS_PROXY HTTP_PROXY JOB JOBS KUBERNETES_SERVICE_HOST \
                        KUBERNETES_SERVICE_PORT NAME NODE NO_PROXY OUTCOME PHASE PLUGIN POST PUT ROLE ROLLBACK SERVICE SEVERITY \
                        SIGINT SIGTERM SOURCE SQLSTATE STATE STEP TRY UPID UTC UUID WAL WHY";

/// The codes in a source file, as far as it ships: whole texts in capitals, at least three letters long.
pub fn made(source: &str) -> BTreeSet<&str> {
    let shipped = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let is_code = |text: &&str| {
        text.len() >= 3
            && text.starts_with(|c: char| c.is_ascii_uppercase())
            && !text.ends_with('_')
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let none = |word: &str| NO_CODES.split_whitespace().any(|known| known == word);
    // Between two quotes stands a text, or what lies between two texts; that is never all capitals.
    shipped.lines().flat_map(|line| line.split('"')).filter(is_code).filter(|word| !none(word)).collect()
}

/// Whether a file's codes can reach anybody.
pub fn makes(name: &str) -> bool {
    let test = ["/tests/", "/tests.rs", "/testing/", "/fake.rs"];
    name.ends_with(".rs")
        && name.contains("/src/")
        && MAKERS.iter().any(|folder| name.starts_with(folder))
        && !test.iter().any(|part| name.contains(part))
}

/// All pages, as one text.
pub fn pages() -> String {
    let entries = fs::read_dir(root().join("docs")).into_iter().flatten().flatten();
    let pages = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "md"));
    pages.filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// Tells the codes of a file that no page has.
pub fn undocumented(name: &str, source: &str, pages: &str, problems: &mut Vec<String>) {
    for code in made(source).into_iter().filter(|code| !pages.contains(&format!("`{code}`"))) {
        problems.push(format!("{name}: the code `{code}` stands on no page of docs/"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_without_a_page_is_found() {
        let source = "fn a() { bad(\"DISK_ON_FIRE\", \"DISK ON FIRE\") }\n// DISK_IN_COMMENT\nconst A: [&str; 2] = [\"KNOWN\", \"GET\"];\n\
                      #[cfg(test)]\nmod tests {\n \"IN_A_TEST\" }";
        let mut problems = Vec::new();
        undocumented("host/x/src/y.rs", source, "| `KNOWN` | a page |", &mut problems);
        assert_eq!(problems, ["host/x/src/y.rs: the code `DISK_ON_FIRE` stands on no page of docs/"]);
    }

    #[test]
    fn tests_and_other_programs_make_none() {
        assert!(makes("host/engine/src/error.rs") && makes("plugins/x/src/api.rs") && makes("sdk/src/wait.rs"));
        assert!(!makes("plugins/x/src/tests/mod.rs") && !makes("lab/core/src/lib.rs") && !makes("host/x/tests/a.rs"));
    }
}
