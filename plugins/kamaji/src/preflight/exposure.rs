//! How the API servers of the clusters get an address, as far as that can be known before the first one asks for it.

use agentkube_sdk::kube::ListOptions;
use agentkube_sdk::prelude::*;
use serde_json::Value;

use crate::config::ServiceType;
use crate::{Kamaji, mark, state, tenant_control_planes};

/// What kube-apiserver gives NodePorts from, unless told otherwise.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

impl Kamaji {
    pub(super) async fn look_at_exposure(&self) -> Vec<Finding> {
        match self.config.service_type {
            ServiceType::LoadBalancer => self.look_at_balancer().await,
            ServiceType::NodePort => self.look_at_node_port(),
            ServiceType::ClusterIP => self.look_at_cluster_ip(),
        }
    }

    /// The load balancer itself cannot be asked; the control planes that are there show what it did for them.
    async fn look_at_balancer(&self) -> Vec<Finding> {
        let mut options = ListOptions::new(None);
        if !self.config.owns_namespace() {
            options.namespace = Some(self.config.namespace.clone());
        }
        let page = match self.admin.page::<Value>(&tenant_control_planes(), options).await {
            Ok(page) => page.items,
            // A missing right is told among the rights.
            Err(_) => return Vec::new(),
        };
        let ingress = |plane: &Value, field: &str| -> Option<String> {
            let first = plane.pointer("/status/kubernetesResources/service/loadBalancer/ingress/0")?;
            first.get(field)?.as_str().map(str::to_owned)
        };
        let balanced: Vec<&Value> = page
            .iter()
            .filter(|plane| {
                plane.pointer("/spec/controlPlane/service/serviceType").and_then(Value::as_str) == Some("LoadBalancer")
            })
            .collect();
        if let Some((plane, address)) = balanced.iter().find_map(|plane| Some((plane, ingress(plane, "ip")?))) {
            let message = format!("the load balancer gives addresses: {} has {address}", mark::name(plane));
            return vec![Finding::ok("LOAD_BALANCER_WORKS", message)];
        }
        if let Some((plane, name)) = balanced.iter().find_map(|plane| Some((plane, ingress(plane, "hostname")?))) {
            let message = format!(
                "the load balancer gave {} the host name {name}; Kamaji takes only IP addresses",
                mark::name(plane)
            );
            return vec![Finding::error("LOAD_BALANCER_HOSTNAME", message, OTHER_WAYS)];
        }
        if let Some(plane) = balanced.iter().find(|plane| state::endpoint(plane).is_none()) {
            let message = format!("control plane {} has no address from the load balancer so far", mark::name(plane));
            return vec![Finding::warning("LOAD_BALANCER_SILENT", message, OTHER_WAYS)];
        }
        let message = "whether the admin cluster's load balancer gives Services of type LoadBalancer an IP address shows with the \
                       first control plane";
        vec![Finding::ok("LOAD_BALANCER_UNTRIED", message)]
    }

    fn look_at_node_port(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.given("/networkProfile/address").is_none() {
            let message = "service-type NodePort needs an address of the admin cluster's nodes, or control planes wait for one for ever";
            findings.push(Finding::error("NODE_PORT_ADDRESS", message, "set overrides.networkProfile.address"));
        }
        let port = self.given("/networkProfile/port").and_then(Value::as_u64).unwrap_or(self.config.port.into());
        if !u16::try_from(port).is_ok_and(|port| NODE_PORTS.contains(&port)) {
            let message =
                format!("with service-type NodePort port {port} is asked for, outside the usual range 30000-32767");
            findings.push(Finding::warning("NODE_PORT_RANGE", message, "set port to one of the range"));
        }
        if self.config.konnectivity {
            let message = "Konnectivity asks for NodePort 8132, outside the usual range 30000-32767";
            let remedy = "set konnectivity = false, or another port in overrides.addons.konnectivity.server.port";
            findings.push(Finding::warning("NODE_PORT_KONNECTIVITY", message, remedy));
        }
        if findings.is_empty() {
            findings.push(Finding::ok("NODE_PORT_READY", "address and port of the NodePort are given"));
        }
        findings
    }

    fn look_at_cluster_ip(&self) -> Vec<Finding> {
        let routed = ["/controlPlane/ingress", "/controlPlane/gateway"].iter().any(|path| self.given(path).is_some());
        vec![match routed {
            true => Finding::ok("CLUSTER_IP_ROUTED", "an ingress or gateway leads to the control planes"),
            false => Finding::warning(
                "CLUSTER_IP_UNROUTED",
                "service-type ClusterIP is reached from within the admin cluster alone",
                "give overrides.controlPlane.ingress or gateway, unless workers and agent are inside",
            ),
        }]
    }

    fn given(&self, path: &str) -> Option<&Value> {
        self.config.overrides.pointer(path).filter(|value| !value.is_null())
    }
}

/// What helps when the load balancer does not.
const OTHER_WAYS: &str = "give the admin cluster a load balancer that assigns IP addresses (MetalLB, kube-vip, a cloud's with static IPs) \
                          and has free ones, or use service-type NodePort or ClusterIP";
