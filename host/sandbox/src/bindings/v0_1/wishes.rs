//! Conversions of the cluster description.

use agentkube_contract::{Card, Cluster, ControlPlaneWish, Network, Pool, Shape, StaticAddress, Taint};

use super::common::all;
use super::job_source_world::agentkube::provider::types as wit;

impl From<wit::Cluster> for Cluster {
    fn from(c: wit::Cluster) -> Self {
        Cluster {
            version: c.version,
            network: Network {
                pod_cidrs: c.network.pod_cidrs,
                service_cidrs: c.network.service_cidrs,
                domain: c.network.domain,
            },
            control_plane: ControlPlaneWish {
                provider: c.control_plane.provider,
                replicas: c.control_plane.replicas,
                cert_sans: c.control_plane.cert_sans,
                settings: c.control_plane.settings,
            },
            pools: all(c.pools),
            addons: c.addons,
            powered: c.powered,
            more: c.more,
        }
    }
}

impl From<&Cluster> for wit::Cluster {
    fn from(c: &Cluster) -> Self {
        wit::Cluster {
            version: c.version.clone(),
            network: wit::Network {
                pod_cidrs: c.network.pod_cidrs.clone(),
                service_cidrs: c.network.service_cidrs.clone(),
                domain: c.network.domain.clone(),
            },
            control_plane: wit::ControlPlaneWish {
                provider: c.control_plane.provider.clone(),
                replicas: c.control_plane.replicas,
                cert_sans: c.control_plane.cert_sans.clone(),
                settings: c.control_plane.settings.clone(),
            },
            pools: all(&c.pools),
            addons: c.addons.clone(),
            powered: c.powered,
            more: c.more.clone(),
        }
    }
}

impl From<wit::Pool> for Pool {
    fn from(p: wit::Pool) -> Self {
        Pool {
            name: p.name,
            provider: p.provider,
            count: p.count,
            shape: Shape {
                cores: p.shape.cores,
                memory_mib: p.shape.memory_mib,
                disk_gib: p.shape.disk_gib,
                image: p.shape.image,
                networks: all(p.shape.networks),
            },
            labels: p.labels,
            taints: all(p.taints),
            settings: p.settings,
        }
    }
}

impl From<&Pool> for wit::Pool {
    fn from(p: &Pool) -> Self {
        wit::Pool {
            name: p.name.clone(),
            provider: p.provider.clone(),
            count: p.count,
            shape: wit::Shape {
                cores: p.shape.cores,
                memory_mib: p.shape.memory_mib,
                disk_gib: p.shape.disk_gib,
                image: p.shape.image.clone(),
                networks: all(&p.shape.networks),
            },
            labels: p.labels.clone(),
            taints: all(&p.taints),
            settings: p.settings.clone(),
        }
    }
}

impl From<wit::Taint> for Taint {
    fn from(t: wit::Taint) -> Self {
        Taint { key: t.key, value: t.value, effect: t.effect }
    }
}

impl From<&Taint> for wit::Taint {
    fn from(t: &Taint) -> Self {
        wit::Taint { key: t.key.clone(), value: t.value.clone(), effect: t.effect.clone() }
    }
}

impl From<wit::Card> for Card {
    fn from(c: wit::Card) -> Self {
        let address = c.address.map(|a| StaticAddress { cidr: a.cidr, gateway: a.gateway, dns: a.dns });
        Card { network: c.network, vlan: c.vlan, firewall: c.firewall, address }
    }
}

impl From<&Card> for wit::Card {
    fn from(c: &Card) -> Self {
        let address = c.address.clone().map(|a| wit::StaticAddress { cidr: a.cidr, gateway: a.gateway, dns: a.dns });
        wit::Card { network: c.network.clone(), vlan: c.vlan, firewall: c.firewall, address }
    }
}
