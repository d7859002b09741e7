//! `agentkube-lab`: the lab from the command line.

use std::path::PathBuf;
use std::process::ExitCode;

use agentkube_lab::demo;
use agentkube_lab::lab::{Lab, Options, Ports};
use clap::{Parser, Subcommand};
use lab_pve::Release;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Local servers that speak the protocols of Fulcrum Core, Kubernetes with Kamaji, Proxmox VE and a toy cloud.
#[derive(Parser)]
#[command(name = "agentkube-lab", version, after_help = "AGENTKUBE_LAB_LOG=debug shows what happens.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything, print addresses and credentials, serve until stopped (Ctrl-C or SIGTERM).
    Up {
        /// Where lab.json, certificates, tokens and the kubeconfig go.
        #[arg(long, default_value = "agentkube-lab.d")]
        dir: PathBuf,
        /// Everything takes this many times less than in the real world.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        scale: u64,
        /// Take free ports instead of the usual ones (3000, 6443, 8006, 8080).
        #[arg(long)]
        free_ports: bool,
        /// Version of kubelet and kubeadm on every image, for user data that install none.
        #[arg(long, value_name = "VERSION")]
        preinstalled: Option<String>,
        /// Release of Proxmox VE: 8.2, 8.4 or 9.1.
        #[arg(long, default_value = "9.1", value_name = "RELEASE")]
        proxmox: Release,
        /// Seed of everything random.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Show a job becoming a cluster and going away again, on Proxmox VE and on the toy cloud.
    Demo {
        /// Leave everything running once the first cluster is Ready, until Ctrl-C.
        #[arg(long)]
        keep: bool,
        /// Everything takes this many times less than in the real world. Much faster, heartbeats of nodes come too late.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=30))]
        scale: u64,
        /// The `agentkube` binary; beside this program by default.
        #[arg(long, env = "AGENTKUBE_BIN", value_name = "PATH")]
        binary: Option<PathBuf>,
        /// Directory with the packed plugins; `plugins` beside or above this program by default.
        #[arg(long, env = "AGENTKUBE_PLUGINS", value_name = "DIR")]
        plugins: Option<PathBuf>,
        /// Seed of everything random in the lab.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("AGENTKUBE_LAB_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let outcome = match Cli::parse().command {
        Command::Up { dir, scale, free_ports, preinstalled, proxmox, seed } => {
            let ports = if free_ports { Ports::default() } else { Ports::usual() };
            let proxmox = lab_pve::Settings::new(proxmox).with_scale(1.0 / scale as f64);
            let options =
                Options { directory: Some(dir), ports, preinstalled, seed, proxmox, ..Options::scaled(scale) };
            runtime.block_on(up(options))
        }
        Command::Demo { keep, scale, binary, plugins, seed } => {
            runtime.block_on(demo::run(demo::Options { keep, scale, binary, plugins, seed }))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn up(options: Options) -> Result<(), agentkube_lab::Error> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (scale, directory) = (options.scale, options.directory.clone());
    let lab = Lab::start(options).await?;
    println!("The lab is up, {scale} times as fast as the real world.");
    for line in lab.access().lines() {
        println!("  {line}");
    }
    if let Some(directory) = directory {
        println!("  credentials     {}", directory.join("lab.json").display());
    }
    println!("Stop it with Ctrl-C.");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    lab.shutdown().await;
    Ok(())
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("agentkube-lab: {error}");
    ExitCode::FAILURE
}
