//! `agentkube-lab`: the lab from the command line.

use std::path::PathBuf;
use std::process::ExitCode;

use agentkube_lab::daemon::Infrastructure;
use agentkube_lab::lab::{Options, Ports};
use agentkube_lab::order::Wish;
use agentkube_lab::{Error, demo, faults, order, up};
use clap::{Parser, Subcommand, ValueEnum};
use lab_pve::Release;
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
    /// Start everything, print addresses, credentials and what to type, serve until stopped (Ctrl-C or SIGTERM).
    Up {
        /// Where lab.json, certificates, tokens, the kubeconfig and agentkube.toml go.
        #[arg(long, default_value = "agentkube-lab.d")]
        dir: PathBuf,
        /// Remove what a daemon of an earlier lab left in the directory: that lab's clusters are gone, and its journal with them.
        #[arg(long)]
        fresh: bool,
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
        /// Seed of everything random, the faults included.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Faults that befall the servers one after the other: names separated by commas, `flaky` for all that pass, `list` to print
        /// them.
        #[arg(long, value_name = "NAMES")]
        faults: Option<String>,
        /// Where the written configuration makes machines.
        #[arg(long, default_value = "proxmox")]
        machines: Machines,
        /// The `agentkube` binary; beside this program by default.
        #[arg(long, env = "AGENTKUBE_BIN", value_name = "PATH")]
        binary: Option<PathBuf>,
        /// Directory with the packed plugins; `plugins` beside or above this program by default.
        #[arg(long, env = "AGENTKUBE_PLUGINS", value_name = "DIR")]
        plugins: Option<PathBuf>,
    },
    /// Order a cluster with two pools and three machines at a lab that is up, and follow its job.
    Order {
        /// Name of the service.
        name: String,
        /// The lab's directory.
        #[arg(long, default_value = "agentkube-lab.d")]
        dir: PathBuf,
    },
    /// Delete a cluster at a lab that is up, and follow its job.
    Delete {
        /// Name of the service.
        name: String,
        /// The lab's directory.
        #[arg(long, default_value = "agentkube-lab.d")]
        dir: PathBuf,
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

/// Where machines are made.
#[derive(Clone, Copy, ValueEnum)]
enum Machines {
    /// Proxmox VE.
    Proxmox,
    /// The toy cloud.
    Toy,
}

impl From<Machines> for Infrastructure {
    fn from(machines: Machines) -> Self {
        match machines {
            Machines::Proxmox => Infrastructure::Proxmox,
            Machines::Toy => Infrastructure::Toy,
        }
    }
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("AGENTKUBE_LAB_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let outcome: Result<(), Error> = match Cli::parse().command {
        Command::Up { faults: Some(list), .. } if list == "list" => {
            up::list_faults();
            Ok(())
        }
        Command::Up {
            dir,
            fresh,
            scale,
            free_ports,
            preinstalled,
            proxmox,
            seed,
            faults,
            machines,
            binary,
            plugins,
        } => {
            let ports = if free_ports { Ports::default() } else { Ports::usual() };
            let directory = Some(dir.clone());
            let proxmox = lab_pve::Settings::new(proxmox).with_scale(1.0 / scale as f64);
            let lab = Options { directory, ports, preinstalled, seed, proxmox, ..Options::scaled(scale) };
            let infrastructure: Infrastructure = machines.into();
            let chosen = |text: &str| faults::chosen(text, infrastructure);
            match faults.as_deref().map_or(Ok(Vec::new()), chosen) {
                Ok(faults) => runtime.block_on(up::run(up::Options {
                    lab,
                    directory: dir,
                    fresh,
                    infrastructure,
                    faults,
                    binary,
                    plugins,
                })),
                Err(error) => Err(error),
            }
        }
        Command::Order { name, dir } => runtime.block_on(order::run(&dir, &name, Wish::Create)),
        Command::Delete { name, dir } => runtime.block_on(order::run(&dir, &name, Wish::Delete)),
        Command::Demo { keep, scale, binary, plugins, seed } => {
            runtime.block_on(demo::run(demo::Options { keep, scale, binary, plugins, seed }))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("agentkube-lab: {error}");
    ExitCode::FAILURE
}
