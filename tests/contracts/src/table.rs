//! The printed report.

use lab_wire::{Body, Exchange};

use crate::Judge;

/// Longest part of an example, in characters.
const EXAMPLE: usize = 600;

/// The report as text: a row for each interface, then the deviations that were met, then every violation with an example.
pub fn print(judge: &Judge) -> String {
    let mut text = format!(
        "{:<9} {:<9} {:>16} {:>10} {:>14} {:>16} {:>10} {:>11} {:>16}\n",
        "system",
        "version",
        "requests checked",
        "of ours",
        "wrong, refused",
        "answers checked",
        "operations",
        "violations",
        "deviations used",
    );
    for (interface, sums) in &judge.sums {
        let (system, version) = (&interface.system, &interface.version);
        text += &format!(
            "{system:<9} {version:<9} {:>16} {:>10} {:>14} {:>16} {:>10} {:>11} {:>16}\n",
            sums.requests,
            sums.ours,
            sums.refused,
            sums.answers,
            sums.operations.len(),
            sums.violations,
            sums.deviations.len(),
        );
    }
    for (interface, sums) in judge.sums.iter().filter(|(_, sums)| sums.unchecked > 0) {
        let (system, version) = (&interface.system, &interface.version);
        text += &format!("{system} {version}: {} bodies were too long to be checked\n", sums.unchecked);
    }
    for (interface, count) in &judge.strange {
        text += &format!("{} {}: {count} exchanges, no schema at hand\n", interface.system, interface.version);
    }
    text += "\nKnown deviations of the real systems from their schemas, and how often they were met:\n";
    for (at, entry) in judge.known().iter().enumerate() {
        let uses: usize = judge.sums.values().filter_map(|sums| sums.deviations.get(&at)).sum();
        text += &format!(
            "{uses:>7}  {} {}, {} of {}, {} ({})\n         {}\n",
            entry.system,
            entry.versions.join(" "),
            entry.side,
            entry.operation,
            entry.place,
            entry.rule,
            entry.source,
        );
    }
    for violation in judge.violations() {
        let (interface, fault) = (&violation.interface, &violation.fault);
        text += &format!(
            "\nVIOLATION {} {}: {}: {} at {} ({}): {} [{} times]\n{}",
            interface.system,
            interface.version,
            violation.operation,
            fault.side,
            fault.place,
            fault.rule,
            fault.text,
            violation.seen,
            example(&violation.example),
        );
    }
    text
}

fn example(exchange: &Exchange) -> String {
    let mut path = exchange.path.clone();
    for (at, (name, value)) in exchange.query.iter().enumerate() {
        path += &format!("{}{name}={value}", if at == 0 { '?' } else { '&' });
    }
    let mut text = format!("  {} {} by {:?}, {}\n", exchange.method, path, exchange.agent, body(&exchange.body));
    if let Some(answer) = &exchange.answer {
        text += &format!("  {} {}\n", answer.status, body(&answer.body));
    }
    text
}

fn body(body: &Body) -> String {
    match body {
        Body::Text(text) => text.chars().take(EXAMPLE).collect(),
        Body::Upload(parts) => format!("{parts:?}").chars().take(EXAMPLE).collect(),
        Body::Opaque(length) => format!("{length} bytes"),
    }
}
