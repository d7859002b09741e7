//! `agentkube-lab up`: everything that an agentkube needs, and what to type then.
//!
//! - `claim`: the directory, which belongs to one lab at a time.

mod claim;

use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

use crate::customer::{Customer, shipped_types};
use crate::daemon::{self, Infrastructure, Setup};
use crate::faults::{self, Named, Weather};
use crate::lab::{self, Lab};
use crate::order::REGISTRATION;
use crate::{Error, Tools};

use claim::Claim;

/// What the lab is brought up with.
#[derive(Debug)]
pub struct Options {
    /// The servers.
    pub lab: lab::Options,
    /// Where addresses, credentials and the configuration go.
    pub directory: PathBuf,
    /// Whether what a daemon of an earlier lab left in the directory is removed.
    pub fresh: bool,
    /// Where the configuration says that machines are made.
    pub infrastructure: Infrastructure,
    /// What befalls the servers; nothing when empty.
    pub faults: Vec<&'static Named>,
    /// The `agentkube` binary; beside this program by default.
    pub binary: Option<PathBuf>,
    /// Directory with the packed plugins; beside this program by default.
    pub plugins: Option<PathBuf>,
}

/// Serves until a signal.
pub async fn run(options: Options) -> Result<(), Error> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (scale, seed) = (options.lab.scale, options.lab.seed);
    let claim = Claim::take(&options.directory, options.fresh)?;
    let lab = Lab::start(options.lab).await?;
    println!("The lab is up, {scale} times as fast as the real world.");
    if claim.again {
        println!(
            "An earlier lab of this directory is gone, with its clusters, certificates and tokens: all of these are new."
        );
    }
    for line in lab.access().lines() {
        println!("  {line}");
    }
    println!("  credentials     {}", options.directory.join("lab.json").display());
    match Tools::find(&options.binary, &options.plugins) {
        Ok(tools) => {
            invite(&tools, options.infrastructure, &options.directory, &lab).await?;
        }
        Err(missing) => println!("No agentkube.toml is written: {missing}."),
    }
    // Only now: what registers the agent is no agent, and has no patience.
    let weather = (!options.faults.is_empty()).then(|| {
        println!("Faults from seed {seed}, one after the other:");
        options.faults.iter().for_each(|fault| println!("  {:<26} {}", fault.name, fault.says));
        Weather::start(lab.servers(), options.faults, seed)
    });
    println!("Stop it with Ctrl-C.");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    drop(weather);
    lab.shutdown().await;
    Ok(())
}

/// Every fault with its sentence.
pub fn list_faults() {
    println!("{:<26} all of those that pass: whoever tries again gets there", faults::FLAKY);
    for fault in faults::all() {
        let stays = if fault.passes { "" } else { " (it does not pass)" };
        println!("{:<26} {}{stays}", fault.name, fault.says);
    }
}

/// Registers an agent, writes a configuration for it, and says what to type.
async fn invite(tools: &Tools, infrastructure: Infrastructure, directory: &Path, lab: &Lab) -> Result<(), Error> {
    let (service_type, agent_type) = shipped_types()?;
    let customer = Customer::new(lab.access())?;
    let registration = customer.register(&service_type, &agent_type).await?;
    daemon::put(&directory.join(REGISTRATION), &serde_json::to_string_pretty(&registration).unwrap_or_default())?;
    let setup = Setup {
        binary: tools.binary.clone(),
        plugins: tools.plugins.clone(),
        directory: directory.to_owned(),
        infrastructure,
        agent_token: registration.agent_token,
        more: String::new(),
    };
    let config = daemon::configure(&setup, lab.access())?;
    let own = std::env::current_exe().map_or_else(|_| "agentkube-lab".to_owned(), |path| path.display().to_string());
    println!("An agent is registered at Core; a configuration is written for it. In two other terminals:");
    println!("  {} run -c {}", tools.binary.display(), config.display());
    println!("  {own} order shop --dir {}", directory.display());
    println!("and when it is ready:");
    println!("  {} kubeconfig shop -c {} > shop.kubeconfig", tools.binary.display(), config.display());
    println!("  kubectl --kubeconfig shop.kubeconfig get nodes");
    println!("  {own} delete shop --dir {}", directory.display());
    Ok(())
}
