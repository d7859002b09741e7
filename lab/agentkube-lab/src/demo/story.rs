//! The story: what is ordered, what is waited for, what is shown.

mod shown;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::progress::Progress;
use super::proof::{self, Baseline, Count};
use super::screen::{Screen, seconds};
use crate::customer::{Customer, Registration, shipped_types};
use crate::daemon::{self, Daemon, Infrastructure, Setup};
use crate::lab::Lab;
use crate::{Error, Tools};

/// The label by which the demo's pools can be told apart on their nodes.
const LABEL: &str = "tier";
/// Machines that are ordered.
const MACHINES: usize = 3;
/// How often Core is asked how far a job is.
const LOOK: Duration = Duration::from_millis(100);
/// How long a job may take in the real world, and what is added to it however fast the lab is.
const JOB: (Duration, Duration) = (Duration::from_secs(900), Duration::from_secs(45));
/// What the demo sets beyond the usual, in the table that ends the configuration.
const MORE: &str = "kubeconfig-delivery = \"property\"\n";

/// The two pools and three machines of every order here.
fn order() -> Value {
    json!({
        "kubernetesVersion": "v1.35.2",
        "nodePools": {
            "workers": { "size": "s2", "count": 2, "labels": { LABEL: "app" } },
            "batch": { "cores": 2, "memory": "8Gi", "count": 1, "labels": { LABEL: "batch" },
                       "taints": [{ "key": LABEL, "value": "batch", "effect": "NoSchedule" }] },
        },
    })
}

/// What there is to tell with.
pub struct Story<'a> {
    screen: Screen,
    tools: &'a Tools,
    directory: &'a Path,
    lab: &'a Lab,
    customer: Customer,
    registration: Registration,
    baseline: Baseline,
    progress: Progress,
}

/// A cluster that is Ready.
struct Cluster {
    name: &'static str,
    service: String,
    infrastructure: Infrastructure,
    ready: Duration,
    requests: usize,
    kubeconfig: PathBuf,
    /// All that it made, counted while it lived.
    held: Vec<Count>,
}

/// One cluster from its order to its end.
struct Chapter {
    what: &'static str,
    ready: Duration,
    deleted: Duration,
    requests: (usize, usize),
}

impl<'a> Story<'a> {
    /// An administrator prepares Core.
    pub async fn begin(screen: Screen, tools: &'a Tools, directory: &'a Path, lab: &'a Lab) -> Result<Self, Error> {
        screen.heading("An administrator prepares Fulcrum Core");
        let (service_type, agent_type) = shipped_types()?;
        let customer = Customer::new(lab.access())?;
        let registration = customer.register(&service_type, &agent_type).await?;
        let text = |value: &Value| value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        screen.say(format!("service type   {}", text(&service_type)));
        screen.say(format!("agent type     {}", text(&agent_type)));
        screen.say(format!("agent          agentkube, with a token of its own ({})", registration.agent));
        let progress = Progress::new(directory.join("agentkube.log"));
        let baseline = Baseline::take(lab);
        Ok(Story { screen, tools, directory, lab, customer, registration, baseline, progress })
    }

    /// The first cluster, left running; the daemon belongs to the caller.
    pub async fn keep(mut self) -> Result<Daemon, Error> {
        let (mut daemon, config, _) = self.start(Infrastructure::Proxmox, None)?;
        let cluster = self.create(&mut daemon, &config, Infrastructure::Proxmox, "demo").await?;
        let show = |path: &Path| path.display().to_string();
        let (binary, config) = (show(&self.tools.binary), show(&config));
        self.screen.heading("Everything keeps running; look at it from another terminal");
        self.screen.table(
            &[
                [
                    "the cluster".to_owned(),
                    format!("KUBECONFIG={} kubectl get nodes -o wide", show(&cluster.kubeconfig)),
                ],
                [
                    "its control plane".to_owned(),
                    format!(
                        "KUBECONFIG={} kubectl get tenantcontrolplanes -A",
                        show(&self.directory.join("admin.kubeconfig"))
                    ),
                ],
                ["the daemon".to_owned(), format!("{binary} status --config {config}")],
                ["its jobs".to_owned(), format!("{binary} jobs --config {config}")],
                ["its clusters".to_owned(), format!("{binary} clusters --config {config}")],
                ["its log".to_owned(), format!("tail -f {}", show(&self.directory.join("agentkube.log")))],
                ["addresses, tokens".to_owned(), show(&self.directory.join("lab.json"))],
            ]
            .map(Vec::from),
        );
        self.screen.say("Stop everything with Ctrl-C.");
        Ok(daemon)
    }

    /// Both clusters, one after the other.
    pub async fn tell(mut self) -> Result<(), Error> {
        let (first, old) = self.chapter(Infrastructure::Proxmox, "demo", None).await?;
        let (second, _) = self.chapter(Infrastructure::Toy, "demo-again", Some(&old)).await?;
        self.summary(&[first, second]);
        Ok(())
    }

    /// A daemon, a cluster from its order to its end, and the end of the daemon. Gives the text of its configuration too.
    async fn chapter(
        &mut self,
        infrastructure: Infrastructure,
        name: &'static str,
        old: Option<&str>,
    ) -> Result<(Chapter, String), Error> {
        let (mut daemon, config, text) = self.start(infrastructure, old)?;
        let cluster = self.create(&mut daemon, &config, infrastructure, name).await?;
        let chapter = self.delete(&mut daemon, cluster).await?;
        let took = daemon.terminate()?;
        self.screen.say(format!("The daemon ended {} ms after SIGTERM.", took.as_millis()));
        Ok((chapter, text))
    }

    /// Writes a configuration and starts the daemon with it.
    fn start(&mut self, infrastructure: Infrastructure, old: Option<&str>) -> Result<(Daemon, PathBuf, String), Error> {
        let what = place(infrastructure);
        let setup = Setup {
            binary: self.tools.binary.clone(),
            plugins: self.tools.plugins.clone(),
            directory: self.directory.to_owned(),
            infrastructure,
            agent_token: self.registration.agent_token.clone(),
            more: MORE.to_owned(),
        };
        let config = daemon::configure(&setup, self.lab.access())?;
        let text = fs::read_to_string(&config)?;
        match old {
            None => self.screen.heading(&format!("agentkube starts: machines are made by {what}")),
            Some(old) => {
                self.screen.heading(&format!("Only the configuration changes: machines are now made by {what}"));
                self.show_difference(old, &text)?;
            }
        }
        let began = Instant::now();
        let daemon = Daemon::start(&self.tools.binary, &config)?;
        self.screen.say(format!("configuration  {}", config.display()));
        self.screen.say(format!("process        {}, answering after {}", daemon.id(), seconds(began.elapsed())));
        let status = daemon.ask("status")?;
        for plugin in status.get("plugins").and_then(Value::as_array).into_iter().flatten() {
            let text = |field: &str| plugin.get(field).and_then(Value::as_str).unwrap_or_default();
            let (role, name, version) = (text("role"), text("plugin"), text("version"));
            self.screen.say(format!("plugin         {name} {version}, a {role}"));
        }
        Ok((daemon, config, text))
    }

    /// Orders a cluster and uses it.
    async fn create(
        &mut self,
        daemon: &mut Daemon,
        config: &Path,
        infrastructure: Infrastructure,
        name: &'static str,
    ) -> Result<Cluster, Error> {
        self.screen
            .heading(&format!("A customer orders the cluster `{name}` in Fulcrum Core: two pools, three machines"));
        let before = self.requests(infrastructure);
        let began = Instant::now();
        let service = self.customer.order(&self.registration, name, order()).await?;
        self.settled(daemon, &service, "create", "Started").await?;
        let ready = began.elapsed();
        let requests = self.requests(infrastructure) - before;

        self.screen.heading(&format!("Core says that the job is completed, {} after the order", seconds(ready)));
        self.show_service(&service).await?;
        let per_machine = requests as f64 / MACHINES as f64;
        self.screen.say(format!("{per_machine:.1} requests to {} per machine made and joined", place(infrastructure)));
        self.screen.say("With nothing that lives could another machine join:");
        proof::show(&self.screen, &proof::nothing_to_join_with(self.lab).await)?;

        let kubeconfig = self.directory.join(format!("{name}.kubeconfig"));
        self.use_kubeconfig(config, name, &kubeconfig).await?;
        if infrastructure == Infrastructure::Proxmox {
            self.show_metrics(&service).await?;
        }
        let held = proof::everything(self.lab, &self.baseline, &daemon.ask("ledger")?);
        Ok(Cluster { name, service, infrastructure, ready, requests, kubeconfig, held })
    }

    /// Deletes a cluster and proves that nothing is left.
    async fn delete(&mut self, daemon: &mut Daemon, cluster: Cluster) -> Result<Chapter, Error> {
        let Cluster { name, service, infrastructure, ready, requests, held, .. } = cluster;
        self.screen.heading(&format!("The customer deletes `{name}`"));
        let before = self.requests(infrastructure);
        let began = Instant::now();
        self.customer.delete(&service).await?;
        self.settled(daemon, &service, "delete", "Deleted").await?;
        let deleted = began.elapsed();
        self.screen.heading("Core says that it is deleted. What the servers still hold:");
        let counts = proof::nothing_left(self.lab, &self.baseline, &daemon.ask("ledger")?).await;
        proof::show_gone(&self.screen, &held, &counts)?;
        let requests = (requests, self.requests(infrastructure) - before);
        Ok(Chapter { what: place(infrastructure), ready, deleted, requests })
    }

    /// Shows progress until Core has the job completed and the service in the wanted state.
    async fn settled(&mut self, daemon: &mut Daemon, service: &str, action: &str, state: &str) -> Result<(), Error> {
        self.screen.step_header();
        let limit = JOB.0 / u32::try_from(self.lab.access().scale).unwrap_or(u32::MAX).max(1) + JOB.1;
        let began = Instant::now();
        loop {
            self.progress.show(&self.screen);
            let job = self.customer.job(service, action).await?.unwrap_or_default();
            let text = |field: &str| job.get(field).and_then(Value::as_str).unwrap_or_default();
            let waited_for = format!("the job `{action}` of service {service} (now {})", text("status"));
            if text("status") == "Completed" && self.state(service).await? == state {
                // The daemon logs the answer after it has it.
                tokio::time::sleep(LOOK).await;
                self.progress.show(&self.screen);
                return Ok(());
            }
            if text("status") == "Failed" {
                return Err(Error::Daemon(format!("{waited_for}: {}", text("errorMessage"))));
            }
            if let Some(status) = daemon.ended() {
                return Err(Error::Daemon(format!("{waited_for}: agentkube ended ({status})")));
            }
            if began.elapsed() > limit {
                return Err(Error::Daemon(format!("{waited_for} did not end within {}", seconds(limit))));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn state(&self, service: &str) -> Result<String, Error> {
        let service = self.customer.service(service).await?;
        Ok(service.get("status").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// Requests that the infrastructure got so far.
    fn requests(&self, infrastructure: Infrastructure) -> usize {
        match infrastructure {
            Infrastructure::Proxmox => self.lab.proxmox(|pve| pve.log().len()),
            Infrastructure::Toy => self.lab.toy(|cloud| cloud.log().len()),
        }
    }
}

fn place(infrastructure: Infrastructure) -> &'static str {
    match infrastructure {
        Infrastructure::Proxmox => "Proxmox VE",
        Infrastructure::Toy => "the toy cloud",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_has_two_pools_and_the_machines_that_are_counted() {
        let order = order();
        let pools = order["nodePools"].as_object().unwrap();
        let machines: u64 = pools.values().filter_map(|pool| pool["count"].as_u64()).sum();
        assert_eq!((pools.len(), usize::try_from(machines).unwrap()), (2, MACHINES));
    }
}
