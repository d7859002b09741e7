//! Bootstrap tokens and `cluster-info`.

use lab_wire::{Millis, Random};
use serde_json::{Map, Value};

use super::{Pace, jws};
use crate::api::{ApiServer, bootstrap_tokens};
use crate::encoding::sha256_hex;

/// The signer, the cleaner, and Kamaji's habit of rewriting `cluster-info`.
#[derive(Debug, Default)]
pub struct Bootstrap {
    sign_at: Option<Millis>,
    withheld_until: Millis,
    /// Digest of the data that Kamaji's phase saw last, before what it then wrote.
    pub checksum: Option<String>,
    observe_at: Option<Millis>,
    next_expiry: Option<Millis>,
}

const PREFIX: &str = "jws-kubeconfig-";

impl Bootstrap {
    /// Kamaji's phase looks at `cluster-info` for the first time.
    pub fn see(&mut self, api: &ApiServer) {
        self.checksum = data(api).map(digest);
    }

    /// Removes the signatures and signs no more before `until`.
    pub fn withhold(&mut self, api: &mut ApiServer, until: Millis, now: Millis, random: &mut Random) {
        self.withheld_until = until;
        if let Some(Value::Object(data)) = data(api).cloned() {
            write(api, data.into_iter().filter(|(k, _)| !k.starts_with(PREFIX)).collect(), now, random);
        }
    }

    pub fn timer(&self) -> Option<Millis> {
        [self.sign_at, self.observe_at, self.next_expiry].into_iter().flatten().min()
    }

    pub fn run(&mut self, api: &mut ApiServer, pace: &Pace, now: Millis, random: &mut Random) {
        self.clean(api, now);
        self.observe(api, pace, now, random);
        self.sign(api, pace, now, random);
    }

    /// The token cleaner: ended tokens go.
    fn clean(&mut self, api: &mut ApiServer, now: Millis) {
        self.next_expiry = None;
        for token in bootstrap_tokens(api.store()) {
            if !token.is_live(now) {
                api.discard("", "secrets", "kube-system", &format!("bootstrap-token-{}", token.id), now);
            } else if let Some(end) = token.expires {
                self.next_expiry = Some(self.next_expiry.map_or(end, |next| next.min(end)));
            }
        }
    }

    /// The bootstrap signer: one signature per signing token.
    fn sign(&mut self, api: &mut ApiServer, pace: &Pace, now: Millis, random: &mut Random) {
        let Some(Value::Object(current)) = data(api).cloned() else { return };
        let Some(kubeconfig) = current.get("kubeconfig").and_then(Value::as_str) else { return };
        let mut wanted: Map<String, Value> =
            current.iter().filter(|(key, _)| !key.starts_with(PREFIX)).map(|(k, v)| (k.clone(), v.clone())).collect();
        for token in bootstrap_tokens(api.store()).into_iter().filter(|token| token.signing && token.is_live(now)) {
            wanted.insert(format!("{PREFIX}{}", token.id), jws::detached(kubeconfig, &token.id, &token.secret).into());
        }
        if wanted == current {
            self.sign_at = None;
            return;
        }
        let at = *self.sign_at.get_or_insert(now + pace.sign);
        let at = at.max(self.withheld_until);
        self.sign_at = Some(at);
        if at <= now {
            self.sign_at = None;
            write(api, wanted, now, random);
        }
    }

    /// Kamaji's phase sees a digest that it does not know, and puts back what it once wrote: the signatures are gone
    /// until the signer has seen it. Whether it then sees its own write or the signer's next one decides when this ends.
    fn observe(&mut self, api: &mut ApiServer, pace: &Pace, now: Millis, random: &mut Random) {
        let (Some(known), Some(current)) = (self.checksum.clone(), data(api).cloned()) else { return };
        let found = digest(&current);
        if found == known {
            self.observe_at = None;
            return;
        }
        let least = (pace.observe / 10).max(1);
        let at = *self.observe_at.get_or_insert_with(|| now + least + random.below(pace.observe));
        if at > now {
            return;
        }
        self.observe_at = None;
        self.checksum = Some(found);
        let bare = current.as_object().into_iter().flatten().filter(|(key, _)| *key == "kubeconfig");
        write(api, bare.map(|(k, v)| (k.clone(), v.clone())).collect(), now, random);
    }
}

fn data(api: &ApiServer) -> Option<&Value> {
    api.get("", "configmaps", "kube-public", "cluster-info").map(|object| &object["data"])
}

fn digest(data: &Value) -> String {
    sha256_hex(data.to_string()).chars().take(32).collect()
}

fn write(api: &mut ApiServer, data: Map<String, Value>, now: Millis, random: &mut Random) {
    api.edit(("", "configmaps"), ("kube-public", "cluster-info"), now, random, |object| {
        object["data"] = Value::Object(data)
    });
}
