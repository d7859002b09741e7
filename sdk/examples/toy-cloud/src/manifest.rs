//! What the plugin asks for.

use agentkube_sdk::Manifest;
use agentkube_sdk::manifest::HttpUse;

use crate::Toy;

/// What the plugin says about itself and asks for; a test holds `manifest.json` to it.
pub fn manifest() -> Manifest {
    let cloud = HttpUse::new("/connection", "orders, starts, stops and deletes machines in the toy cloud")
        .get("/v1/images")
        .get("/v1/machines")
        .get("/v1/machines/{id}")
        .get("/v1/operations/{id}")
        .post("/v1/machines")
        .post("/v1/machines/{id}/start")
        .post("/v1/machines/{id}/stop")
        .put("/v1/machines/{id}/user-data")
        .delete("/v1/machines/{id}/user-data")
        .delete("/v1/machines/{id}");
    agentkube_sdk::manifest!(NodeProvider for Toy, "toy-cloud")
        .http(cloud)
        .capabilities(&["clock", "ledger", "random"])
        .build()
}
