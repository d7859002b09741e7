//! The whole lab: every server behind its shell, and the machines that boot on the two hypervisors.

mod access;
mod options;

use std::net::{SocketAddr, TcpListener};

use lab_cluster::{AdminCluster, AdminSettings};
use lab_core::Core;
use lab_pve::Pve;
use lab_toy::ToyCloud;
use lab_wire::{Listener, Random};
use tokio::task::JoinHandle;

use crate::ca::{Authority, Identity};
use crate::faults::Servers;
use crate::machine::{self, Machines};
use crate::{Clock, Error, Shell};

pub use access::{Access, AdminAccess, CoreAccess, ProxmoxAccess, ToyAccess};
pub use options::{Options, Ports};

/// Label of Proxmox VE among the machines.
pub const PROXMOX: &str = "proxmox";
/// Label of the toy cloud among the machines.
pub const TOY: &str = "toy";

/// A running lab. Dropping it stops everything.
pub struct Lab {
    core: Shell<Core>,
    admin: Shell<AdminCluster>,
    proxmox: Shell<Pve>,
    toy: Shell<ToyCloud>,
    machines: Machines,
    followers: Vec<JoinHandle<()>>,
    access: Access,
    /// Keeps other labs of this machine away from the addresses of our tenants.
    _reservation: Reservation,
}

/// A pool of loopback addresses that no other lab of this machine takes.
struct Reservation {
    pool: [u8; 2],
    _mark: TcpListener,
}

/// The address in a pool that is never given to a tenant, and the port on it: whoever holds it holds the pool.
const MARK: ([u8; 2], u16) = ([255, 254], 6443);

/// The first free pool, from the wanted one upwards.
fn reserve([first, wanted]: [u8; 2]) -> Result<Reservation, Error> {
    let mark = |second| SocketAddr::from(([first, second, MARK.0[0], MARK.0[1]], MARK.1));
    let taken = |source| Error::Bind { address: mark(wanted), source };
    let mut result = TcpListener::bind(mark(wanted));
    let mut pool = [first, wanted];
    for second in wanted.saturating_add(1)..=254 {
        if result.is_ok() {
            break;
        }
        result = TcpListener::bind(mark(second));
        pool = [first, second];
    }
    Ok(Reservation { pool, _mark: result.map_err(taken)? })
}

impl Lab {
    /// Starts everything. Needs a tokio runtime with time and I/O.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let clock = Clock::real();
        let authority = Authority::new("AgentKube lab")?;
        let ports = options.ports;
        let seed = options.seed;
        let mut random = Random::new(seed);

        let settings = options.core.clone();
        let server = Core::new(settings.clone(), clock.now(), &mut random);
        let core = Shell::start(server, vec![front(&authority, "", ports.core, 1)?], clock.clone(), seed + 1).await?;
        let core_url = url(core.address())?;
        let public_base_url = core_url.clone();
        core.with(|core| core.reconfigure(lab_core::Settings { public_base_url, ..settings }, clock.now()));

        let reservation = reserve(options.admin.pool)?;
        let settings = AdminSettings { pool: reservation.pool, ..options.admin.clone() };
        let server = AdminCluster::new(settings, clock.now(), &mut random)?;
        let mut listener = front(&authority, "", ports.admin, 1)?;
        listener.client_ca = Some(server.client_ca().to_owned());
        let admin = Shell::start(server, vec![listener], clock.clone(), seed + 2).await?;
        let admin_url = url(admin.address())?;
        let admin_access = admin
            .with(|cluster| AdminAccess::of(cluster, admin_url, authority.certificate(), clock.now(), &mut random))?;

        let settings = options.proxmox.clone();
        let mut listeners = Vec::new();
        for (index, node) in settings.nodes.iter().enumerate() {
            // Nodes of a cluster share a port and differ in their address; free ports may be on one address.
            let host = if ports.proxmox == 0 { 1 } else { u8::try_from(index + 1).unwrap_or(u8::MAX) };
            listeners.push(front(&authority, &node.name, ports.proxmox, host)?);
        }
        let proxmox = Shell::start(Pve::new(settings), listeners, clock.clone(), seed + 3).await?;

        let toy_token = options.toy.token.clone();
        let listener = front(&authority, "", ports.toy, 1)?;
        let fingerprint = Identity { certificate: listener.certificate.clone(), key: String::new() }.fingerprint()?;
        let toy = Shell::start(ToyCloud::new(options.toy.clone()), vec![listener], clock.clone(), seed + 4).await?;

        let machines = Machines::new(
            machine::Options {
                timings: options.machines,
                preinstalled: options.preinstalled.clone(),
                ..machine::Options::default()
            },
            clock,
        );
        let followers = vec![machines.follow(PROXMOX, &proxmox), machines.follow(TOY, &toy)];
        let access = Access {
            scale: options.scale,
            ca: authority.certificate().to_owned(),
            core: CoreAccess { url: core_url, admin_token: lab_core::ADMIN_TOKEN.to_owned() },
            admin: admin_access,
            proxmox: ProxmoxAccess::of(proxmox.addresses()),
            toy: ToyAccess { url: url(toy.address())?, token: toy_token, fingerprint },
        };
        if let Some(directory) = &options.directory {
            access.write(directory)?;
        }
        Ok(Lab { core, admin, proxmox, toy, machines, followers, access, _reservation: reservation })
    }

    /// Addresses and credentials.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Fulcrum Core.
    pub fn core<R>(&self, look: impl FnOnce(&mut Core) -> R) -> R {
        self.core.with(look)
    }

    /// Restarts Core: for so long its address refuses connections, and those that were open are cut.
    pub async fn restart_core(&mut self, down: std::time::Duration) -> Result<(), Error> {
        self.core.restart(down).await
    }

    /// The admin cluster with its tenants.
    pub fn admin<R>(&self, look: impl FnOnce(&mut AdminCluster) -> R) -> R {
        self.admin.with(look)
    }

    /// Proxmox VE.
    pub fn proxmox<R>(&self, look: impl FnOnce(&mut Pve) -> R) -> R {
        self.proxmox.with(look)
    }

    /// The toy cloud.
    pub fn toy<R>(&self, look: impl FnOnce(&mut ToyCloud) -> R) -> R {
        self.toy.with(look)
    }

    /// The machines of both hypervisors.
    pub fn machines(&self) -> &Machines {
        &self.machines
    }

    /// The servers, for [`faults`](crate::faults) that befall them.
    pub fn servers(&self) -> Servers {
        Servers {
            core: self.core.shared(),
            admin: self.admin.shared(),
            proxmox: self.proxmox.shared(),
            toy: self.toy.shared(),
            scale: self.access.scale,
        }
    }

    /// TLS handshakes and requests so far, by server.
    pub fn traffic(&self) -> [(&'static str, u64, u64); 4] {
        [
            ("core", self.core.handshakes(), self.core.requests()),
            ("admin", self.admin.handshakes(), self.admin.requests()),
            (PROXMOX, self.proxmox.handshakes(), self.proxmox.requests()),
            (TOY, self.toy.handshakes(), self.toy.requests()),
        ]
    }

    /// Stops everything; the servers' own addresses are free when this returns.
    pub async fn shutdown(mut self) {
        for follower in self.followers.drain(..) {
            follower.abort();
        }
        self.machines.power_off();
        self.core.stop().await;
        self.admin.stop().await;
        self.proxmox.stop().await;
        self.toy.stop().await;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for follower in &self.followers {
            follower.abort();
        }
        self.machines.power_off();
    }
}

/// A front address on `127.0.0.<host>` with a certificate of the lab's authority.
fn front(authority: &Authority, endpoint: &str, port: u16, host: u8) -> Result<Listener, Error> {
    let address = SocketAddr::from(([127, 0, 0, host], port));
    let identity = authority.server(&[&address.ip().to_string(), "localhost"])?;
    Ok(Listener {
        endpoint: endpoint.to_owned(),
        address,
        certificate: identity.certificate,
        key: identity.key,
        client_ca: None,
    })
}

fn url(address: Option<SocketAddr>) -> Result<String, Error> {
    match address {
        Some(address) => Ok(format!("https://{address}")),
        None => Err(Error::Io(std::io::Error::other("a server without an address"))),
    }
}
