//! The role of a job source: where jobs come from, and where results go.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use crate::bindings::job_source::exports::agentkube::provider::job_source::{
    Beat, Claimed, Completion, Failure, Health, Identity, Job, Mistake, Node, PoolReport, Reported, Service,
    ServicePage, Settled, Settlement, Standing,
};
use crate::observed::{Finding, Sample};
use crate::{Fault, Result};

/// A job source. What it sends is covered by the host's inbox and outbox; it needs no ledger. Every function may be called
/// again at any time.
#[allow(async_fn_in_trait)]
pub trait JobSource: Sized + 'static {
    /// The plugin's configuration; its schema stands in the manifest.
    type Config: DeserializeOwned + JsonSchema;

    /// Made anew for each call.
    fn new(config: Self::Config) -> Result<Self>;

    /// Checks connection, credential and what must be registered there.
    async fn preflight(&self) -> Result<Vec<Finding>>;

    /// Who we are. `unauthorized` when the credential is dead.
    async fn identify(&self) -> Result<Identity>;

    /// Says that we live. Reads the state first; where an administrator disabled us it changes nothing and says so.
    async fn heartbeat(&self, health: Health) -> Result<Beat>;

    /// Jobs that wait for us, most urgent first, of all groups.
    async fn pending(&self) -> Result<Vec<Job>>;

    /// Jobs that are claimed by us and not over.
    async fn unfinished(&self) -> Result<Vec<Job>>;

    /// One job as it is now; `None` when the source does not know it any more.
    async fn job_by_id(&self, id: String) -> Result<Option<Job>>;

    /// Takes a job. A second call for a job that is ours says `Ours`.
    async fn claim(&self, job: String) -> Result<Claimed>;

    /// Ends a job. A lost answer is settled by asking; a second call says the same again.
    async fn settle(&self, job: String, service: String, settlement: Settlement) -> Result<Settled>;

    /// One page of the services that are ours.
    async fn services(&self, page: Option<String>) -> Result<ServicePage>;

    /// Reports measurements of one service. Names that are said to be unknown are not reported for a while. Left out: `UNSUPPORTED`.
    async fn report(&self, service: String, samples: Vec<Sample>) -> Result<Reported> {
        let _ = (service, samples);
        Err(Fault::unsupported("UNSUPPORTED", "this job source takes no measurements"))
    }
}
