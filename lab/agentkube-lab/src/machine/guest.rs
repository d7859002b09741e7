//! What happens inside a machine from power on to power off.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lab_wire::{Boot, GuestAddress, GuestReport, Millis};

use super::cloud_config::{CloudConfig, command_line};
use super::disk::{Disk, Kubelet, LOG};
use super::failure::Failure;
use super::join_config::Join;
use super::script::{JoinCommand, Script, note_package, note_version};
use super::seed::Seed;
use super::timings::Timings;
use super::transport::Transport;
use super::{Machine, Reporter, State, join, kubelet, network, seed};
use crate::Clock;

/// While this file is there, cloud-init does nothing.
const DISABLED: &str = "/etc/cloud/cloud-init.disabled";

/// The inside of one machine while it runs.
pub struct Guest {
    pub(super) boot: Boot,
    pub(super) machine: Arc<Mutex<Machine>>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) clock: Clock,
    pub(super) timings: Timings,
    pub(super) preinstalled: Option<String>,
    pub(super) report: Reporter,
    /// Whether cloud-init runs: what is said then also stands in its log.
    pub(super) first_boot: AtomicBool,
}

impl Guest {
    /// Runs until it is switched off, which drops the future.
    pub async fn run(self) {
        if let Err(failure) = self.life().await {
            self.say(format!("failed: {failure}"));
            self.set(State::Failed { failure });
        }
    }

    async fn life(&self) -> Result<(), Failure> {
        self.set(State::Booting);
        self.say("boot: power on".to_owned());
        self.disk(Disk::power_cycle);
        self.sleep(self.timings.firmware).await;
        let seed = match self.disk(|disk| disk.files.get(DISABLED).is_some()) {
            true => None,
            false => seed::find(&self.boot, &mut |problem| self.say(format!("cloud-init: {problem}"))),
        };
        let seed = seed.filter(|seed| self.begin_instance(seed));
        self.configure_network();
        self.sleep(self.timings.agent).await;
        self.report_in();
        if let Some(seed) = seed {
            self.first_boot(&seed).await?;
        }
        match self.disk(|disk| disk.kubelet.clone()) {
            Some(kubelet) => kubelet::run(&kubelet, self, || self.set(State::Joined)).await,
            None => {
                self.say("nothing to join".to_owned());
                self.set(State::Running);
                Ok(())
            }
        }
    }

    /// Whether cloud-init has not run for this instance before. What it marks as begun it never begins again, even if the
    /// power fails in between.
    fn begin_instance(&self, seed: &Seed) -> bool {
        let is_new = self.disk(|disk| {
            let is_new = disk.instance.as_ref() != Some(&seed.instance);
            if is_new {
                disk.instance = Some(seed.instance.clone());
                disk.network.clone_from(&seed.network);
                disk.hostname = seed.hostname.clone().unwrap_or_else(|| "localhost".to_owned());
                disk.cache_user_data(&seed.instance, &seed.user_data);
            }
            is_new
        });
        if is_new {
            self.say(format!("cloud-init: first boot of instance {}", seed.instance));
        }
        is_new
    }

    fn configure_network(&self) {
        let config = self.disk(|disk| disk.network.clone());
        let addresses = network::addresses(config.as_deref(), &self.boot.macs).unwrap_or_else(|problem| {
            self.say(format!("cloud-init: {problem}"));
            Vec::new()
        });
        for address in &addresses {
            self.say(format!("{}: {}/{}", address.interface, address.address, address.prefix));
        }
        self.machine().addresses = addresses;
    }

    /// The guest agent begins to answer.
    fn report_in(&self) {
        let mut addresses = vec![network::loopback()];
        addresses.extend(self.addresses());
        let (hostname, logs) = self.disk(|disk| (disk.hostname.clone(), disk.logs()));
        (self.report)(&self.boot.id, GuestReport { agent: true, hostname, addresses, logs });
    }

    async fn first_boot(&self, seed: &Seed) -> Result<(), Failure> {
        self.first_boot.store(true, Ordering::Relaxed);
        self.user_data(seed).await?;
        self.first_boot.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn user_data(&self, seed: &Seed) -> Result<(), Failure> {
        let text = String::from_utf8_lossy(&seed.user_data);
        let script = match text.lines().next().map(str::trim_end).unwrap_or_default() {
            "#cloud-config" => self.cloud_config(&text)?,
            shebang if shebang.starts_with("#!") => text.into_owned(),
            "" => return Ok(()),
            other => return Err(Failure::UserData(format!("user data of an unknown kind: {other:?}"))),
        };
        // The host name may have changed.
        self.report_in();
        let copy = format!("/var/lib/cloud/instances/{}/scripts/runcmd", seed.instance);
        self.disk(|disk| disk.files.write(&copy, script.as_str(), "0700"));
        let mut script = Script::new(&script);
        let mut installed = false;
        let mut result = Ok(());
        while let Some(command) = self.disk(|disk| script.next_join(disk)) {
            if !std::mem::replace(&mut installed, true) {
                self.sleep(self.timings.install).await;
            }
            self.set(State::Joining);
            result = self.join(&command).await.map(|kubelet| self.disk(|disk| keep(disk, kubelet)));
            if let Err(failure) = &result {
                self.say(failure.to_string());
                script.fail();
            }
        }
        result
    }

    /// Carries out a `#cloud-config` up to its commands, which come back as one script.
    fn cloud_config(&self, text: &str) -> Result<String, Failure> {
        let config = CloudConfig::read(text).map_err(Failure::UserData)?;
        self.disk(|disk| {
            if let Some(name) = config.hostname() {
                name.clone_into(&mut disk.hostname);
            }
            disk.ssh_keys.extend(config.ssh_keys());
            for file in &config.write_files {
                let bytes = file.bytes().map_err(Failure::UserData)?;
                let content = String::from_utf8_lossy(&bytes).into_owned();
                let pairs = content.lines().filter_map(|line| line.trim().split_once('='));
                pairs.for_each(|(name, value)| note_version(name, value.trim_matches(['"', '\'']), disk));
                match file.append {
                    true => disk.files.append(&file.path, &bytes),
                    false => disk.files.write(&file.path, bytes, &file.permissions()),
                }
            }
            config.packages().iter().for_each(|package| note_package(package, disk));
            disk.ignored.extend(config.rest.keys().map(|key| format!("cloud-config: {key}")));
            let lines = config.bootcmd.iter().chain(&config.runcmd).filter_map(command_line);
            Ok(lines.collect::<Vec<_>>().join("\n"))
        })
    }

    /// `kubeadm join` with the retries of the loop around it.
    async fn join(&self, command: &JoinCommand) -> Result<Kubelet, Failure> {
        let mut tries = 0;
        loop {
            self.say(format!("+ kubeadm join {}", hidden(&command.arguments)));
            let failure = match self.join_once(command).await {
                Ok(kubelet) => {
                    self.say("This node has joined the cluster".to_owned());
                    return Ok(kubelet);
                }
                Err(failure) => failure,
            };
            tries += 1;
            if command.attempts.is_some_and(|attempts| tries >= attempts) {
                return Err(failure);
            }
            self.say(format!("{failure}; the script tries again"));
            // A loop without a sleep still takes its time: kubeadm's own preflight.
            self.sleep(command.pause.max(1000)).await;
        }
    }

    async fn join_once(&self, command: &JoinCommand) -> Result<Kubelet, Failure> {
        let (join, joined, version, hostname) = self.disk(|disk| {
            let join = Join::read(&command.arguments, &disk.files);
            (join, disk.kubelet.is_some(), disk.kubernetes.clone(), disk.hostname.clone())
        });
        let version = version.or_else(|| self.preinstalled.clone()).ok_or(Failure::NotInstalled)?;
        let mut join = join.map_err(Failure::Configuration)?;
        if joined {
            return Err(Failure::AlreadyJoined);
        }
        if self.addresses().is_empty() {
            return Err(Failure::NoNetwork);
        }
        if join.registration.name.is_empty() {
            join.registration.name = hostname.to_lowercase();
        }
        join.registration.version = version;
        join::run(&join, self).await
    }

    /// One line more on the console.
    pub fn say(&self, line: String) {
        let now = self.now();
        tracing::debug!(machine = self.boot.name, "{line}");
        if self.first_boot.load(Ordering::Relaxed) {
            self.disk(|disk| disk.files.append(LOG, format!("{line}\n").as_bytes()));
            self.report_in();
        }
        self.machine().console.push((now, line));
    }

    /// The time.
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// A duration after scaling.
    pub fn scaled(&self, time: Millis) -> Millis {
        self.timings.scaled(time)
    }

    /// Waits for a duration before scaling.
    pub async fn sleep(&self, time: Millis) {
        self.clock.sleep_until(self.now() + self.scaled(time).max(1)).await;
    }

    /// How long everything takes.
    pub fn timings(&self) -> &Timings {
        &self.timings
    }

    /// The way to API servers.
    pub fn transport(&self) -> &dyn Transport {
        self.transport.as_ref()
    }

    /// What the machine was started with.
    pub fn boot(&self) -> &Boot {
        &self.boot
    }

    /// Its addresses.
    pub fn addresses(&self) -> Vec<GuestAddress> {
        self.machine().addresses.clone()
    }

    fn set(&self, state: State) {
        self.machine().state = state;
    }

    fn disk<R>(&self, change: impl FnOnce(&mut Disk) -> R) -> R {
        change(&mut self.machine().disk)
    }

    fn machine(&self) -> std::sync::MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What kubeadm leaves on the disk of a node.
fn keep(disk: &mut Disk, kubelet: Kubelet) {
    let kubeconfig = format!("server: {}\n", kubelet.server);
    disk.files.write("/etc/kubernetes/kubelet.conf", kubeconfig, "0600");
    disk.files.write("/etc/kubernetes/pki/ca.crt", kubelet.ca.clone(), "0644");
    let identity = format!("{}{}", kubelet.identity.certificate, kubelet.identity.key);
    disk.files.write("/var/lib/kubelet/pki/kubelet-client-current.pem", identity, "0600");
    disk.kubelet = Some(kubelet);
}

/// The arguments without tokens: consoles are read by many.
fn hidden(arguments: &[String]) -> String {
    let mut secret = false;
    let shown = arguments.iter().map(|argument| {
        let hide = std::mem::replace(&mut secret, argument.ends_with("token"));
        match argument.split_once("token=") {
            Some((flag, _)) => format!("{flag}token=…"),
            None if hide => "…".to_owned(),
            None => argument.clone(),
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}
