//! What the plugin says about itself and asks for.

use agentkube_sdk::manifest::HttpUse;
use agentkube_sdk::prelude::*;

use crate::Fulcrum;

/// The manifest, as `manifest.json` holds it.
pub fn manifest() -> Manifest {
    let core = HttpUse::new("/connection", "takes jobs from Fulcrum Core and reports their results and measurements")
        .get("/api/v1/agents/me")
        .put("/api/v1/agents/me/status")
        .get("/api/v1/jobs")
        .get("/api/v1/jobs/pending")
        .get("/api/v1/jobs/{id}")
        .post("/api/v1/jobs/{id}/claim")
        .post("/api/v1/jobs/{id}/complete")
        .post("/api/v1/jobs/{id}/fail")
        .get("/api/v1/services")
        .get("/api/v1/service-types/{id}")
        .get("/api/v1/vault/secrets/{id}")
        .get("/api/v1/metric-types")
        .post("/api/v1/metric-entries");
    agentkube_sdk::manifest!(JobSource for Fulcrum, "fulcrum").http(core).capabilities(&["clock"]).build()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checked_in_manifest_is_the_derived_one() {
        agentkube_sdk::testing::check_manifest(&super::manifest(), include_str!("../manifest.json"));
    }
}
