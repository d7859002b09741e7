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
    Version,
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
    Check {
        #[command(flatten)]
        config: ConfigFile,
    },
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
