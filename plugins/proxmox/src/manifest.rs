//! What the plugin asks for.

use agentkube_sdk::Manifest;
use agentkube_sdk::manifest::HttpUse;

use crate::{Proxmox, Settings};

/// The plugin's manifest; a test holds `manifest.json` to it.
pub fn manifest() -> Manifest {
    let cluster = HttpUse::new(
        "/connection",
        "clones, configures, starts and deletes virtual machines, and uploads their seed images",
    )
    .get("/api2/extjs/version")
    .get("/api2/extjs/access/permissions")
    .get("/api2/extjs/cluster/resources")
    .get("/api2/extjs/cluster/nextid")
    .get("/api2/extjs/pools")
    .get("/api2/extjs/nodes/{node}/network")
    .get("/api2/extjs/nodes/{node}/storage")
    .get("/api2/extjs/nodes/{node}/tasks")
    .get("/api2/extjs/nodes/{node}/tasks/{upid}/status")
    .get("/api2/extjs/nodes/{node}/qemu/{vmid}/config")
    .get("/api2/extjs/nodes/{node}/qemu/{vmid}/status/current")
    .get("/api2/extjs/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces")
    .get("/api2/extjs/nodes/{node}/qemu/{vmid}/agent/file-read")
    .post("/api2/extjs/nodes/{node}/qemu/{template}/clone")
    .post("/api2/extjs/nodes/{node}/qemu/{vmid}/config")
    .put("/api2/extjs/nodes/{node}/qemu/{vmid}/resize")
    .post("/api2/extjs/nodes/{node}/qemu/{vmid}/status/start")
    .post("/api2/extjs/nodes/{node}/qemu/{vmid}/status/stop")
    .post("/api2/extjs/nodes/{node}/qemu/{vmid}/status/shutdown")
    .delete("/api2/extjs/nodes/{node}/qemu/{vmid}")
    .post("/api2/extjs/nodes/{node}/storage/{storage}/upload")
    .delete("/api2/extjs/nodes/{node}/storage/{storage}/content/{volume}");
    agentkube_sdk::manifest!(NodeProvider + BootstrapLog for Proxmox, "proxmox")
        .http(cluster)
        .capabilities(&["clock", "ledger", "permits", "random", "reservations"])
        .settings::<Settings>()
        .flag("clone-full")
        .flag("clone-linked")
        .flag("disk-grow")
        .flag("static-address")
        .build()
}
