//! What a customer types at a lab that is up: order a cluster, and delete it again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Error;
use crate::customer::{Customer, Registration};
use crate::lab::Access;

/// Name of the file in the lab's directory that says what was registered at Core.
pub const REGISTRATION: &str = "registration.json";
/// How often Core is asked how far it is.
const LOOK: Duration = Duration::from_millis(500);

/// What is asked of Core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A cluster with two pools and three machines.
    Create,
    /// That it goes.
    Delete,
}

/// Asks Core for it and follows the job until it is over.
pub async fn run(directory: &Path, name: &str, wish: Wish) -> Result<(), Error> {
    let access: Access = read(&directory.join("lab.json"))?;
    let customer = Customer::new(&access)?;
    let service = match wish {
        Wish::Create => {
            let registration: Registration = read(&directory.join(REGISTRATION))?;
            customer.order(&registration, name, two_pools()).await?
        }
        Wish::Delete => {
            let found = customer.named(name).await?;
            let id = found.as_ref().and_then(|service| service.get("id")).and_then(Value::as_str).map(str::to_owned);
            let id = id.ok_or_else(|| Error::Daemon(format!("Core has no service `{name}`")))?;
            customer.delete(&id).await?;
            id
        }
    };
    let action = if wish == Wish::Create { "create" } else { "delete" };
    println!("Core has a job: {action} `{name}`, service {service}.");
    follow(&customer, &service, action).await?;
    if wish == Wish::Create {
        let config = directory.join("agentkube.toml").display().to_string();
        println!("Look into it:");
        println!("  agentkube kubeconfig {name} -c {config} > {name}.kubeconfig");
        println!("  kubectl --kubeconfig {name}.kubeconfig get nodes");
    }
    Ok(())
}

/// Says every state that the job passes through; a job that failed is an error with its text.
async fn follow(customer: &Customer, service: &str, action: &str) -> Result<(), Error> {
    let mut said = String::new();
    loop {
        let job = customer.job(service, action).await?.unwrap_or_default();
        let text = |key: &str| job.get(key).and_then(Value::as_str).unwrap_or_default();
        if said != text("status") {
            text("status").clone_into(&mut said);
            println!("  {said}");
        }
        match said.as_str() {
            "Completed" => return Ok(()),
            "Failed" => return Err(Error::Daemon(format!("the job failed: {}", text("errorMessage")))),
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

fn two_pools() -> Value {
    json!({
        "kubernetesVersion": "v1.35.2",
        "nodePools": {
            "system": { "count": 1, "cores": 2, "memory": "2Gi" },
            "workers": { "count": 2, "cores": 2, "memory": "4Gi" },
        },
    })
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read_to_string(path).map_err(|error| {
        Error::Daemon(format!("{}: {error}; `agentkube-lab up` writes it, and --dir says where it is", path.display()))
    })?;
    serde_json::from_str(&text).map_err(|error| Error::Daemon(format!("{}: {error}", path.display())))
}
