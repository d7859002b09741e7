//! Which numbers make sense. Any other is a mistake, told with its place and with what would be right.
//!
//! They are judged as they stand in the file, so that also what no field could hold, such as a negative number, is told this way.

use std::ops::RangeInclusive;

use toml_edit::{Document, Item};

use super::{Problem, Source};

/// One number of the configuration.
struct Number {
    /// Its keys; `NAME` stands for any name.
    path: &'static str,
    /// What it may be.
    range: RangeInclusive<i64>,
    /// Whether it may also be 0, for "not at all".
    none: bool,
}

const fn number(path: &'static str, range: RangeInclusive<i64>) -> Number {
    Number { path, range, none: false }
}

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// More at the same time than any machine bears.
const MANY: i64 = 100_000;

const NUMBERS: &[Number] = &[
    number("permits.NAME", 1..=MANY),
    number("connections.NAME.limits.timeout-ms", 100..=HOUR),
    number("connections.NAME.limits.connect-timeout-ms", 100..=10 * MINUTE),
    number("connections.NAME.limits.request-bytes", 1024..=1 << 30),
    number("connections.NAME.limits.response-bytes", 1024..=1 << 30),
    number("connections.NAME.limits.concurrent", 1..=MANY),
    number("bootstrap.join-attempts", 1..=10_000),
    number("bootstrap.join-pause-seconds", 1..=3600),
    number("tenants.connect-timeout-ms", 100..=10 * MINUTE),
    number("tenants.request-timeout-ms", 100..=HOUR),
    number("tenants.poll-ms", 10..=10 * MINUTE),
    number("tenants.signature-settle-ms", 10..=10 * MINUTE),
    number("tenants.cached", 1..=MANY),
    number("engine.poll-ms", 10..=HOUR),
    number("engine.heartbeat-ms", 100..=HOUR),
    number("engine.preflight-ms", 100..=DAY),
    Number { none: true, ..number("engine.measure-ms", 100..=DAY) },
    number("engine.control-plane-ms", SECOND..=7 * DAY),
    number("engine.machine-ms", SECOND..=7 * DAY),
    number("engine.node-ms", SECOND..=7 * DAY),
    number("engine.addons-ms", SECOND..=7 * DAY),
    number("engine.create-ms", SECOND..=7 * DAY),
    number("engine.token-ms", MINUTE..=7 * DAY),
    number("engine.retry-base-ms", 10..=10 * MINUTE),
    number("engine.retry-cap-ms", 10..=HOUR),
    number("engine.steps", 1..=MANY),
    number("engine.per-provider", 1..=MANY),
    number("engine.services", 1..=MANY),
    number("sandbox.memory-mib", 1..=4096),
    number("sandbox.concurrent", 1..=MANY),
    number("sandbox.call-timeout-ms", 100..=HOUR),
];

impl Number {
    fn allows(&self, value: i64) -> bool {
        self.range.contains(&value) || self.none && value == 0
    }

    /// What it may be, in words.
    fn allowed(&self) -> String {
        let none = if self.none { ", or 0 for none" } else { "" };
        format!("{} to {}{none}", self.range.start(), self.range.end())
    }
}

/// Whether a number that came from elsewhere may stand at this path.
pub fn allowed(path: &str, value: u64) -> bool {
    let number = NUMBERS.iter().find(|number| number.path == path);
    number.is_none_or(|number| i64::try_from(value).is_ok_and(|value| number.allows(value)))
}

/// Everything that is wrong with the numbers in a file. A file that cannot be read is told of elsewhere.
pub(super) fn check(source: &Source) -> Result<(), Problem> {
    let Ok(document) = Document::parse(source.text.as_str()) else { return Ok(()) };
    let mut problems = Vec::new();
    for number in NUMBERS {
        let path: Vec<&str> = number.path.split('.').collect();
        for (keys, value) in found(document.as_item(), &path) {
            if let Some(value) = value.as_integer().filter(|value| !number.allows(*value)) {
                let message = format!("`{}` is {value}; it can be {}", keys.join("."), number.allowed());
                problems.push(source.problem("CONFIG_INVALID", &keys, message));
            }
        }
    }
    problems.into_iter().reduce(Problem::also).map_or(Ok(()), Err)
}

/// What stands at a path, each with its keys.
fn found<'d>(item: &'d Item, path: &[&'d str]) -> Vec<(Vec<&'d str>, &'d Item)> {
    let Some((first, rest)) = path.split_first() else { return vec![(Vec::new(), item)] };
    let Some(table) = item.as_table_like() else { return Vec::new() };
    let entries = table.iter().filter(|(key, _)| first == key || *first == "NAME");
    let below = entries.flat_map(|(key, item)| found(item, rest).into_iter().map(move |found| (key, found)));
    below.map(|(key, (keys, item))| ([vec![key], keys].concat(), item)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let source = Source { file: "agentkube.toml".into(), text: text.to_owned() };
        check(&source).err().map(|problem| problem.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_number_without_sense_is_told_with_its_place_and_what_it_can_be() {
        assert_eq!(said("[engine]\npoll-ms = 250\nmeasure-ms = 0\n[permits]\n\"a/b\" = 4\n"), "");
        assert_eq!(
            said(
                "[engine]\npoll-ms = 0\nmeasure-ms = 5\n\n[permits]\n\"a/b\" = 0\n[connections.x]\nlimits = { concurrent = -1 }\n"
            ),
            "agentkube.toml:6:1: `permits.a/b` is 0; it can be 1 to 100000\n\
             agentkube.toml:8:12: `connections.x.limits.concurrent` is -1; it can be 1 to 100000\n\
             agentkube.toml:2:1: `engine.poll-ms` is 0; it can be 10 to 3600000\n\
             agentkube.toml:3:1: `engine.measure-ms` is 5; it can be 100 to 86400000, or 0 for none"
        );
    }

    #[test]
    fn what_came_from_elsewhere_is_judged_alike() {
        assert!(allowed("engine.poll-ms", 250) && !allowed("engine.poll-ms", 0));
        assert!(!allowed("engine.heartbeat-ms", u64::MAX));
    }

    /// Every field of the configuration that holds a number, found in the sources, so that none is forgotten.
    #[test]
    fn every_number_has_a_range_and_stands_in_the_documentation() {
        let sources = [
            include_str!("tuning.rs"),
            include_str!("../../../kubernetes/src/settings.rs"),
            include_str!("../../../kubernetes/src/bootstrap/settings.rs"),
            include_str!("../../../sandbox/src/connections/config.rs"),
        ];
        let fields = sources.iter().flat_map(|text| text.lines()).filter_map(|line| {
            let (name, kind) = line.trim().strip_prefix("pub ")?.split_once(": ")?;
            let kind = kind.trim_end_matches(',').trim_start_matches("Option<").trim_end_matches('>');
            ["u16", "u32", "u64", "usize", "i64"].contains(&kind).then(|| name.replace('_', "-"))
        });
        let fields: Vec<String> = fields.collect();
        assert!(fields.len() > 25, "{fields:?}");
        for field in fields {
            assert!(NUMBERS.iter().any(|number| number.path.ends_with(&format!(".{field}"))), "{field} has no range");
        }
        let page = include_str!("../../../../docs/configuration.md");
        for number in NUMBERS {
            let (path, allowed) = (number.path, number.allowed());
            let row = page.lines().find(|line| line.starts_with(&format!("| `{path}` |")));
            assert!(row.is_some_and(|row| row.contains(&format!("| {allowed} |"))), "`{path}` | {allowed}: {row:?}");
        }
    }
}
