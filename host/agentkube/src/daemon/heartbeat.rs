//! Heartbeats never wait for work (invariant 10): an OS thread of their own, with its own runtime, its own HTTP clients and its own
//! plugin slot, outside every limit that work is subject to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use agentkube_contract::{Clock, Health, JobSource, Millis};
use agentkube_engine::Repeats;
use tokio::sync::watch;
use tracing::{debug, info, warn};

/// What the rest of the daemon sees of one source's heart.
#[derive(Debug, Default)]
pub struct Pulse {
    /// When the last beat was accepted, 0 for never.
    last: AtomicU64,
    /// An administrator switched us off there.
    disabled: AtomicBool,
    /// The source does not accept our credential.
    refused: AtomicBool,
}

impl Pulse {
    /// Milliseconds since the epoch of the last accepted beat; `None` before the first.
    pub fn last(&self) -> Option<Millis> {
        Some(self.last.load(Ordering::Relaxed)).filter(|&last| last > 0)
    }

    /// Whether an administrator switched us off there.
    pub fn disabled(&self) -> bool {
        self.disabled.load(Ordering::Relaxed)
    }

    /// Whether the source refused our credential at the last beat.
    pub fn refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

/// One source with its pulse.
pub struct Heart {
    /// Configured name of the source.
    pub name: String,
    /// The source, through the heartbeats' own plugin slot.
    pub source: Arc<dyn JobSource>,
    /// Where beats are recorded.
    pub pulse: Arc<Pulse>,
    /// Time from beat to beat.
    pub interval: Duration,
    /// Beats that were not accepted.
    pub trouble: Repeats,
}

impl Heart {
    /// Beats until told to stop, and then says goodbye once.
    pub async fn beat(
        mut self,
        clock: Arc<dyn Clock>,
        health: impl Fn(&str) -> Health + Send,
        mut stop: watch::Receiver<bool>,
    ) {
        while !*stop.borrow() {
            let began = clock.now();
            self.once(health(&self.name), clock.as_ref()).await;
            let spent = Duration::from_millis(clock.now().saturating_sub(began));
            tokio::select! {
                () = clock.sleep(self.interval.saturating_sub(spent)) => {}
                _ = stop.changed() => {}
            }
        }
        let farewell = self.source.heartbeat(Health::Disconnected);
        if tokio::time::timeout(Duration::from_secs(2), farewell).await.is_err() {
            debug!(source = self.name, "the source did not answer our goodbye");
        }
    }

    async fn once(&mut self, health: Health, clock: &dyn Clock) {
        match self.source.heartbeat(health).await {
            Ok(beat) => {
                self.pulse.last.store(clock.now(), Ordering::Relaxed);
                self.pulse.refused.store(false, Ordering::Relaxed);
                if let Some((code, times)) = self.trouble.over() {
                    info!(source = self.name, code, times, "heartbeats are accepted again");
                }
                if self.pulse.disabled.swap(beat.disabled, Ordering::Relaxed) != beat.disabled {
                    let now = if beat.disabled { "disabled" } else { "enabled" };
                    info!(source = self.name, "an administrator {now} this agent");
                }
            }
            Err(fault) => {
                let refused = fault.class == agentkube_contract::Class::Unauthorized;
                self.pulse.refused.store(refused, Ordering::Relaxed);
                if let Some(times) = self.trouble.again(&fault.code) {
                    warn!(source = self.name, code = fault.code, "heartbeat not accepted{times}: {}", fault.message);
                }
            }
        }
    }
}
