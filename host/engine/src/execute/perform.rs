//! What each step does.

use std::time::Duration;

use agentkube_contract::{Addons, Class, Fault, Stage};
use serde_json::{Value, json};

use super::retry::Done;
use super::{Run, json};
use crate::journal::{Change, NewRow, RowChange};
use crate::plan::known::Detail;
use crate::plan::{CONTROL_PLANE, JOIN_TOKEN, MACHINE, Machine, Step, Work};

type Outcome = Result<Done, Fault>;

impl Run<'_> {
    /// The row of what the step may make: declared before it begins.
    pub(super) fn row(&self, work: &Work) -> Option<NewRow> {
        match work {
            Work::ClaimControlPlane => {
                let provider = self.wanted?.control_plane.provider.clone()?;
                let detail = Detail { provider, pool: String::new(), index: 0 }.text();
                Some(NewRow { kind: CONTROL_PLANE, name: self.owner.cluster.clone(), detail })
            }
            Work::JoinToken(id) => Some(NewRow { kind: JOIN_TOKEN, name: id.clone(), detail: String::new() }),
            Work::CreateMachine(machine) => Some(machine_row(machine)),
            _ => None,
        }
    }

    pub(super) async fn perform(&self, step: &Step, attempt: u32, limit: Duration) -> Outcome {
        match &step.work {
            Work::ClaimControlPlane => self.ensure(Stage::Claimed, attempt, limit).await,
            Work::ControlPlaneJoinable => self.ensure(Stage::Joinable, attempt, limit).await,
            Work::ControlPlaneReady => self.ensure(Stage::Ready, attempt, limit).await,
            Work::OpenTenant => {
                let version = self.tenant(attempt).await?.ready(limit).await?;
                Ok(plain(json!({ "version": version })))
            }
            Work::JoinToken(id) => {
                self.join(attempt).await?;
                // Only the public half is kept: the secret one is read back from the cluster when it is needed again.
                Ok(Done { output: json!({ "id": id }), changes: vec![created(JOIN_TOKEN, id, id)] })
            }
            Work::RevokeToken(id) => {
                self.tenant(attempt).await?.revoke_token(id).await?;
                Ok(Done { output: Value::Null, changes: vec![gone(JOIN_TOKEN, id)] })
            }
            Work::ApplyAddons => self.addons(false, attempt, limit).await,
            Work::AddonsHealthy => self.addons(true, attempt, limit).await,
            Work::CreateMachine(machine) => self.create_machine(machine, attempt, limit).await,
            Work::BootMachine(machine) => self.boot_machine(machine, attempt, limit).await,
            Work::AwaitNode(machine) => self.await_node(machine, attempt, limit).await,
            Work::FinishMachine(machine) => self.finish_machine(machine, attempt, limit).await,
            Work::DeleteMachine(machine) => self.delete_machine(machine, attempt, limit).await,
            Work::RemoveNode(machine) => self.remove_node(machine, attempt).await,
            Work::DeleteControlPlane(tokens) => self.delete_control_plane(step, tokens, attempt, limit).await,
            Work::Health => self.health(attempt, limit).await,
            Work::RecoverLedger => self.recover().await,
        }
    }

    async fn ensure(&self, stage: Stage, attempt: u32, limit: Duration) -> Outcome {
        let wanted = self.wanted()?;
        let name = wanted.control_plane.provider.as_deref().unwrap_or_default();
        let provider = self.shared.world.control_plane(name)?;
        let status = provider.ensure(&self.call(attempt, limit), wanted, stage).await?;
        let changes = match stage {
            Stage::Claimed => vec![created(CONTROL_PLANE, &self.owner.cluster, &status.id)],
            _ => Vec::new(),
        };
        Ok(Done { output: json(&status)?, changes })
    }

    async fn addons(&self, healthy: bool, attempt: u32, limit: Duration) -> Outcome {
        let addons = Addons { names: self.wanted()?.addons.clone() };
        self.tenant(attempt).await?.apply_addons(&addons, healthy, limit).await?;
        Ok(plain(Value::Null))
    }

    async fn delete_control_plane(&self, step: &Step, tokens: &[String], attempt: u32, limit: Duration) -> Outcome {
        let name = step.provider.as_deref().unwrap_or_default();
        let provider = self.shared.world.control_plane(name)?;
        let deleted = provider.delete(&self.call(attempt, limit)).await;
        // What was never ours for certain and carries another's mark was never made by us.
        let live = || {
            let rows = self.shared.world.journal.engine_rows(&self.intent.key);
            !rows.is_ok_and(|rows| rows.iter().any(|r| r.kind == CONTROL_PLANE && r.external_id.is_none()))
        };
        match deleted {
            Err(fault) if foreign(&fault) && !live() => {}
            other => other?,
        }
        let mut changes = vec![gone(CONTROL_PLANE, &self.owner.cluster)];
        changes.extend(tokens.iter().map(|token| gone(JOIN_TOKEN, token)));
        Ok(Done { output: Value::Null, changes })
    }
}

/// Whether the fault says that the object is somebody else's.
pub(super) fn foreign(fault: &Fault) -> bool {
    fault.class == Class::Conflict && !fault.retryable()
}

pub(super) fn machine_row(machine: &Machine) -> NewRow {
    let detail =
        Detail { provider: machine.provider.clone(), pool: machine.key.pool.clone(), index: machine.key.index };
    NewRow { kind: MACHINE, name: machine.key.name.clone(), detail: detail.text() }
}

pub(super) fn plain(output: Value) -> Done {
    Done { output, changes: Vec::new() }
}

pub(super) fn created(kind: &'static str, name: &str, id: &str) -> RowChange {
    RowChange { kind, name: name.to_owned(), change: Change::Created(id.to_owned()) }
}

pub(super) fn gone(kind: &'static str, name: &str) -> RowChange {
    RowChange { kind, name: name.to_owned(), change: Change::Gone }
}
