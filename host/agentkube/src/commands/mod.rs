//! The commands of the command line, one file each.

mod ask;
mod check;
mod doctor;
mod plan;
mod plugin;

pub use ask::{clusters, jobs, kubeconfig, status};
pub use check::check;
pub use doctor::doctor;
pub use plan::plan;
pub use plugin::{inspect, pack};

use std::time::{Duration, Instant};

use crate::admin::{self, NO_DAEMON, Question, Refusal};
use crate::cli::{ConfigFile, Form, Output};
use crate::config::{Config, Places};
use crate::daemon::ground;

/// Asks the daemon that the configuration names. Only the socket's place is taken from the file, so that a daemon can be asked
/// also while its configuration is being changed.
async fn ask(config: &ConfigFile, question: &Question) -> miette::Result<serde_json::Value> {
    let places = Config::places(&config.config)?;
    reach(&places, question).await.map_err(|refusal| report(&refusal))
}

/// Time for a daemon that has just been started to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the daemon. One that holds its data directory already and does not answer yet is being started, and is waited for.
async fn reach(places: &Places, question: &Question) -> Result<serde_json::Value, Refusal> {
    let began = Instant::now();
    loop {
        match admin::ask(&places.socket, question).await {
            Err(refusal)
                if refusal.code == NO_DAEMON && ground::held(&places.data_dir) && began.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answer => return answer,
        }
    }
}

/// Prints the version.
pub fn version(output: Output) {
    let version = env!("CARGO_PKG_VERSION");
    if !printed(&serde_json::json!({ "version": version }), output) {
        say(format_args!("agentkube {version}"));
    }
}

fn report(refusal: &Refusal) -> miette::Report {
    miette::miette!(code = refusal.code.clone(), "{}", refusal.message)
}

/// Prints a line. Whoever reads may stop in the middle, as `head` does: then there is nothing left to say.
fn say(line: impl std::fmt::Display) {
    use std::io::Write;
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Prints an answer as JSON when that was asked for; gives whether it did.
fn printed(value: &serde_json::Value, output: Output) -> bool {
    if output.output == Form::Json {
        say(format_args!("{value:#}"));
    }
    output.output == Form::Json
}

/// Widest cell: what customers name must not break what operators see.
const WIDEST: usize = 60;

/// A cell without control characters, such as a terminal would obey, and of bounded width.
fn cell(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if plain.chars().count() <= WIDEST {
        return plain;
    }
    plain.chars().take(WIDEST - 1).chain(['…']).collect()
}

/// A table with aligned columns.
fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|text| cell(text)).collect()).collect();
    let widths: Vec<usize> = heads
        .iter()
        .enumerate()
        .map(|(column, head)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([head.len()]).max().unwrap_or_default()
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut text = line(&mut heads.iter().copied());
    for row in &rows {
        text.push('\n');
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["kabc".to_owned(), "Ready".to_owned()], vec!["k".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["NAME", "PHASE"], &rows), "NAME  PHASE\nkabc  Ready\nk     x");
    }

    #[test]
    fn what_customers_name_cannot_command_the_terminal() {
        let shown = table(&["NAME"], &[vec![format!("k\u{1b}[31m\n{}", "x".repeat(300))]]);
        assert!(
            !shown.contains('\u{1b}')
                && shown.lines().count() == 2
                && shown.lines().all(|line| line.chars().count() <= 60)
        );
    }
}
