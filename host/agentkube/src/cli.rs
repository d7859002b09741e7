//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::telemetry::LogFormat;

/// Turns jobs from a queue into running Kubernetes clusters.
#[derive(Debug, Parser)]
#[command(name = "agentkube", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon.
    Run {
        #[command(flatten)]
        config: ConfigFile,
        /// Form of the log on standard error.
        #[arg(long, value_enum, default_value_t)]
        log_format: LogFormat,
    },
    /// Show what a job would do, without doing it.
    Plan {
        #[command(flatten)]
        config: ConfigFile,
        /// A pending job's id, or a file with a cluster description (JSON).
        subject: String,
        #[command(flatten)]
        output: Output,
    },
    /// Look into plugins and make them.
    Plugin {
        /// What to do.
        #[command(subcommand)]
        command: PluginCommand,
    },
    /// Check a configuration without running anything.
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// How the daemon is.
    Status(Ask),
    /// Check everything that work depends on, and say what to do: exit code 1 when errors were found, 2 when nothing could be
    /// looked at.
    Doctor(Ask),
    /// The jobs that the daemon knows.
    Jobs(Ask),
    /// The clusters that the daemon keeps.
    Clusters(Ask),
    /// Print the kubeconfig of a cluster.
    Kubeconfig {
        /// Cluster name, service id or display name.
        cluster: String,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Print the version.
    Version(Output),
}

/// Commands about plugins.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Print role, version, digest, imports and, in plain sentences, what the plugin asks for.
    Inspect {
        /// The component.
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Turn a core module or a component into a plugin that carries its manifest.
    Pack {
        /// The core module or component.
        file: PathBuf,
        /// The manifest, JSON.
        #[arg(long)]
        manifest: PathBuf,
        /// Where to write the plugin.
        #[arg(long)]
        output: PathBuf,
    },
}

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the configuration and every plugin's section of it, and say what is wrong.
    Check(Ask),
}

/// Which configuration.
#[derive(Clone, Debug, Args)]
pub struct ConfigFile {
    /// The configuration file.
    #[arg(short, long, env = "AGENTKUBE_CONFIG", default_value = "/etc/agentkube/agentkube.toml")]
    pub config: PathBuf,
}

/// A question to a running daemon.
#[derive(Clone, Debug, Args)]
pub struct Ask {
    /// Which daemon.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Form of the answer.
    #[command(flatten)]
    pub output: Output,
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, Args)]
pub struct Output {
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Form,
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;

    /// Every command below one, with all its words, and every long option of it.
    fn walk(command: &clap::Command, words: &str, commands: &mut BTreeSet<String>, options: &mut BTreeSet<String>) {
        let words = format!("{words} {}", command.get_name()).trim().to_owned();
        options
            .extend(command.get_arguments().filter_map(|argument| argument.get_long()).map(|long| format!("--{long}")));
        if command.get_subcommands().next().is_none() {
            commands.insert(words.clone());
        }
        command.get_subcommands().for_each(|below| walk(below, &words, commands, options));
    }

    // Checklist 134.
    #[test]
    fn the_page_of_the_command_line_has_every_command_and_option_and_no_other() {
        let page = include_str!("../../../docs/cli.md");
        let mut cli = Cli::command();
        cli.build();
        let (mut commands, mut options) = (BTreeSet::new(), BTreeSet::new());
        walk(&cli, "", &mut commands, &mut options);
        assert!(
            commands.contains("agentkube plugin pack") && options.contains("--log-format"),
            "{commands:?} {options:?}"
        );
        for command in &commands {
            assert!(page.contains(&format!("| `{command}")), "{command} is missing in docs/cli.md");
        }
        let letters = |c: char| c.is_ascii_lowercase() || c == '-';
        let word = |text: &str| text.chars().take_while(|c| letters(*c)).collect::<String>();
        let named: BTreeSet<String> = page
            .split("--")
            .skip(1)
            .map(word)
            .filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
            .map(|name| format!("--{name}"))
            .collect();
        assert_eq!(named, options, "options on the page, and those that there are");
        let rows =
            page.lines().filter_map(|line| line.strip_prefix("| `agentkube ")).map(|row| format!("agentkube {row}"));
        for row in rows {
            assert!(commands.iter().any(|command| row.starts_with(command.as_str())), "there is no {row}");
        }
    }
}
