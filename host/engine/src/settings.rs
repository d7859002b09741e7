//! What an operator may choose.

use std::time::Duration;

use agentkube_contract::{Fault, Random};

/// What becomes of a create that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// Everything that it made is removed; then the job fails.
    #[default]
    Undo,
    /// What it made stays, for a look at it; the next create goes on from there.
    Keep,
}

/// How the owner of a cluster gets the kubeconfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum KubeconfigDelivery {
    /// The job source is given a reference to it with the result.
    Property,
    /// Not by the job source.
    #[default]
    None,
}

/// When a failed step is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Bound of the first wait; each further one is twice as long.
    pub base: Duration,
    /// Longest bound.
    pub cap: Duration,
    /// After so many failures a step of a create has failed for good. Deletes never give up.
    pub attempts: u32,
    /// Most tries of a step for which there is no room: time alone hardly mends that.
    pub unlikely: u32,
    /// After so many failures of one step the job of a delete is told; the delete goes on.
    pub tell_after: u32,
}

impl Retry {
    /// How long to wait after this many failures: anything up to the bound, so that many who failed together do not come back
    /// together; never less than the other side asked for.
    pub fn wait(&self, failures: u32, fault: &Fault, random: &dyn Random) -> Duration {
        let doubled = self.base.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        let bound = u64::try_from(doubled.min(self.cap).as_millis()).unwrap_or(u64::MAX);
        let wait = Duration::from_millis(random.below(bound.saturating_add(1)));
        wait.max(Duration::from_millis(fault.retry_after_ms.unwrap_or(0)))
    }
}

/// How much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps at work, over all services.
    pub steps: usize,
    /// Steps at work with one provider.
    pub per_provider: usize,
    /// Services with an intent that is not over; beyond it no job is claimed.
    pub services: usize,
}

/// How long each kind of step may take in one try, and how often things are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Between two polls of a source.
    pub poll: Duration,
    /// Between two looks for jobs that the source holds for us and we know nothing of.
    pub unfinished: Duration,
    /// Between two rounds of measurements; `None`: never.
    pub measure: Option<Duration>,
    /// A question, or a request that is over at once.
    pub short: Duration,
    /// The control plane, until machines can join or all of it is stable.
    pub control_plane: Duration,
    /// A machine made or deleted.
    pub machine: Duration,
    /// From the boot of a machine to its Ready node.
    pub node: Duration,
    /// Add-ons, until they are available.
    pub addons: Duration,
    /// A whole create: after it no step is tried again.
    pub create: Duration,
    /// Life of a join token; extended while machines join.
    pub token: Duration,
}

/// All of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What becomes of a create that fails.
    pub on_failure: OnFailure,
    /// How owners get the kubeconfig.
    pub kubeconfig_delivery: KubeconfigDelivery,
    /// When steps are tried again.
    pub retry: Retry,
    /// How much at once.
    pub limits: Limits,
    /// How long things may take.
    pub times: Times,
    /// Every source is held from the start, until [`Engine::hold`](crate::Engine::hold) lets go of it.
    pub hold: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Settings {
            on_failure: OnFailure::default(),
            kubeconfig_delivery: KubeconfigDelivery::default(),
            retry: Retry {
                base: Duration::from_millis(500),
                cap: seconds(60),
                attempts: 30,
                unlikely: 8,
                tell_after: 10,
            },
            limits: Limits { steps: 256, per_provider: 32, services: 256 },
            times: Times {
                poll: seconds(5),
                unfinished: seconds(60),
                measure: Some(seconds(30)),
                short: seconds(60),
                control_plane: seconds(15 * 60),
                machine: seconds(30 * 60),
                node: seconds(15 * 60),
                addons: seconds(10 * 60),
                create: seconds(60 * 60),
                token: seconds(30 * 60),
            },
            hold: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentkube_contract::Class;

    struct Most;
    impl Random for Most {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xff);
        }
        fn below(&self, bound: u64) -> u64 {
            bound - 1
        }
    }

    #[test]
    fn waits_double_up_to_the_cap_and_heed_the_other_side() {
        let retry = Settings::default().retry;
        let mut fault = Fault::new(Class::Busy, "LOCKED", "");
        let waits: Vec<u128> = [1, 2, 3, 8, 40].map(|n| retry.wait(n, &fault, &Most).as_millis()).to_vec();
        assert_eq!(waits, [500, 1000, 2000, 60_000, 60_000]);
        fault.retry_after_ms = Some(90_000);
        assert_eq!(retry.wait(1, &fault, &Most).as_millis(), 90_000);
    }
}
