//! The daemon and its command line.
//!
//! - [`cli`]: what can be typed. [`commands`]: what it does.
//! - [`config`]: the configuration file.
//! - [`daemon`]: what `agentkube run` runs. [`doctor`]: what can be checked.
//! - [`admin`]: the socket between the two.

mod admin;
mod cli;
mod commands;
mod config;
mod daemon;
mod doctor;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, ConfigCommand, PluginCommand};
use crate::config::{Config, Problem};
use crate::telemetry::LogFormat;

/// Exit code when a configuration cannot be used.
const BAD_CONFIG: u8 = 3;
/// Exit code of a doctor who could not look.
const COULD_NOT_LOOK: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Lines that can be pasted must not be broken. Fails only where a hook was set before.
    let _ = miette::set_hook(Box::new(|_| Box::new(miette::MietteHandlerOpts::new().wrap_lines(false).build())));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("agentkube: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let doctor = matches!(cli.command, Command::Doctor(_));
    let logs_json = matches!(cli.command, Command::Run { log_format: LogFormat::Json, .. });
    let result = runtime.block_on(dispatch(cli.command));
    // Calls that still run are resumed at the next start; nothing waits for them.
    runtime.shutdown_background();
    match result {
        Ok(code) => ExitCode::from(code),
        Err(report) => {
            let problem = report.downcast_ref::<Problem>();
            match problem.filter(|_| logs_json && tracing::enabled!(tracing::Level::ERROR)) {
                Some(problem) => problem.log(),
                None => eprintln!("{report:?}"),
            }
            ExitCode::from(match problem {
                _ if doctor => COULD_NOT_LOOK,
                Some(_) => BAD_CONFIG,
                None => 1,
            })
        }
    }
}

/// Does what was typed; gives the exit code.
async fn dispatch(command: Command) -> miette::Result<u8> {
    match command {
        Command::Run { config, log_format } => {
            telemetry::start(log_format);
            let (config, source) = Config::read(&config.config)?;
            daemon::run(config, source).await?;
        }
        Command::Doctor(ask) => return commands::doctor(&ask).await,
        Command::Plan { config, subject, output } => commands::plan(&config, &subject, output).await?,
        Command::Plugin { command: PluginCommand::Inspect { file, output } } => commands::inspect(&file, output)?,
        Command::Plugin { command: PluginCommand::Pack { file, manifest, output } } => {
            commands::pack(&file, &manifest, &output)?;
        }
        Command::Config { command: ConfigCommand::Check(ask) } => return commands::check(&ask),
        Command::Status(ask) => commands::status(&ask).await?,
        Command::Jobs(ask) => commands::jobs(&ask).await?,
        Command::Clusters(ask) => commands::clusters(&ask).await?,
        Command::Kubeconfig { cluster, config } => commands::kubeconfig(&cluster, &config).await?,
        Command::Version(output) => commands::version(output),
    }
    Ok(0)
}
