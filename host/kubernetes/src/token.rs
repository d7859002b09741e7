//! Bootstrap tokens, as kubeadm makes them: Secrets of their own type in `kube-system`. The secret half stands nowhere else.

use std::time::Duration;

use agentkube_contract::{Class, JoinToken, Millis, Owner, Random};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::Api;
use crate::{Error, Result};

const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const OWNER: &str = "agentkube/owner";

/// A new public half: 6 characters.
pub fn new_token_id(random: &dyn Random) -> String {
    characters(random, 6)
}

/// `n` characters of `[a-z0-9]`, each as likely as the other.
fn characters(random: &dyn Random, n: usize) -> String {
    let mut text = String::with_capacity(n);
    while text.len() < n {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        // 252 is the greatest multiple of 36 below 256; what lies above would favour the first characters.
        let fair = bytes.iter().filter(|byte| **byte < 252).filter_map(|byte| ALPHABET.get(usize::from(*byte % 36)));
        text.extend(fair.take(n - text.len()).map(|byte| char::from(*byte)));
    }
    text
}

fn wellformed(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

fn mark(owner: &Owner) -> String {
    format!("{}/{}", owner.installation, owner.key)
}

fn path(id: &str) -> Result<String> {
    if wellformed(id, 6) {
        return Ok(format!("{SECRETS}/bootstrap-token-{id}"));
    }
    Err(Error::cluster(Class::Invalid, "TOKEN_ID", "the id of a bootstrap token is 6 of a-z and 0-9"))
}

/// The token with this id, living at least `lifetime` from now.
pub(crate) async fn ensure(
    api: &Api,
    owner: &Owner,
    random: &dyn Random,
    id: &str,
    lifetime: Duration,
    description: &str,
) -> Result<JoinToken> {
    let path = path(id)?;
    let wanted = api.clock.now().saturating_add(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
    // The cleaner removes a token the moment it dies, so each answer may be out of date when it is acted upon.
    for _ in 0..4 {
        let answer = match api.find(&path).await? {
            Some(secret) => {
                let token = read(&secret, owner, id)?;
                if token.expires >= wanted {
                    return Ok(token);
                }
                let extended = json!({
                    "metadata": {"uid": secret.pointer("/metadata/uid")},
                    "data": {"expiration": STANDARD.encode(stamp(wanted)?)},
                });
                api.merge(&path, &extended).await
            }
            None => api.create(SECRETS, &secret(owner, random, id, wanted, description)?).await,
        };
        match answer {
            Ok(secret) => return read(&secret, owner, id),
            Err(error) if matches!(error.status(), Some(404 | 409)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::cluster(Class::Busy, "TOKEN_CHANGING", format!("the bootstrap token {id} changes while it is extended")))
}

/// Removes a token; a missing one is success, somebody else's is not touched.
pub(crate) async fn revoke(api: &Api, owner: &Owner, id: &str) -> Result<()> {
    let path = path(id)?;
    let Some(secret) = api.find(&path).await? else { return Ok(()) };
    ours(&secret, owner, id)?;
    let uid = secret.pointer("/metadata/uid").cloned().unwrap_or_default();
    match api.delete(&path, &json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}})).await
    {
        Ok(_) => Ok(()),
        // Gone, and another one in its place: that one is not ours to remove.
        Err(error) if error.status() == Some(409) => Ok(()),
        Err(error) => Err(error),
    }
}

fn secret(owner: &Owner, random: &dyn Random, id: &str, expires: Millis, description: &str) -> Result<Value> {
    let encode = |text: &str| STANDARD.encode(text);
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {
            "name": format!("bootstrap-token-{id}"),
            "namespace": "kube-system",
            "labels": {MANAGED_BY: "agentkube"},
            "annotations": {OWNER: mark(owner)},
        },
        "data": {
            "token-id": encode(id),
            "token-secret": encode(&characters(random, 16)),
            "expiration": encode(&stamp(expires)?),
            "usage-bootstrap-authentication": encode("true"),
            "usage-bootstrap-signing": encode("true"),
            "auth-extra-groups": encode("system:bootstrappers:kubeadm:default-node-token"),
            "description": encode(description),
        },
    }))
}

/// RFC 3339 in whole seconds, never earlier than asked.
fn stamp(at: Millis) -> Result<String> {
    i64::try_from(at.div_ceil(1000))
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map(|time| time.to_string())
        .ok_or_else(|| Error::Setting("a token cannot live that long".to_owned()))
}

fn ours(secret: &Value, owner: &Owner, id: &str) -> Result<()> {
    let at = |group: &str, key: &str| secret.get("metadata")?.get(group)?.get(key)?.as_str();
    if at("labels", MANAGED_BY) == Some("agentkube") && at("annotations", OWNER) == Some(&mark(owner)) {
        return Ok(());
    }
    let message = format!("the bootstrap token {id} exists and was not made for {}", owner.key);
    Err(Error::cluster(Class::Denied, "TOKEN_NOT_OURS", message))
}

fn read(secret: &Value, owner: &Owner, id: &str) -> Result<JoinToken> {
    ours(secret, owner, id)?;
    let value = |key: &str| String::from_utf8(STANDARD.decode(secret.get("data")?.get(key)?.as_str()?).ok()?).ok();
    let half = value("token-secret").filter(|half| wellformed(half, 16));
    let expires = value("expiration").and_then(|text| text.parse::<Timestamp>().ok());
    match (half, expires.and_then(|time| u64::try_from(time.as_millisecond()).ok())) {
        (Some(secret), Some(expires)) => Ok(JoinToken { id: id.to_owned(), secret, expires }),
        _ => Err(Error::cluster(
            Class::Conflict,
            "TOKEN_UNREADABLE",
            format!("the Secret bootstrap-token-{id} does not hold a token as kubeadm makes them; delete it"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Cluster, Dice, owner};

    fn decoded(secret: &Value, key: &str) -> String {
        String::from_utf8(STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_new_token_is_as_kubeadm_makes_it() {
        let cluster = Cluster::default();
        let api = cluster.api();
        let id = new_token_id(&Dice);
        let token = ensure(&api, &owner(), &Dice, &id, Duration::from_secs(900), "three machines").await.unwrap();
        let secret = cluster.object(&format!("{SECRETS}/bootstrap-token-{id}")).unwrap();
        assert_eq!(secret["type"], "bootstrap.kubernetes.io/token");
        assert!(wellformed(&id, 6) && wellformed(&token.secret, 16));
        for (key, expected) in [
            ("token-id", id.as_str()),
            ("token-secret", token.secret.as_str()),
            ("usage-bootstrap-authentication", "true"),
            ("usage-bootstrap-signing", "true"),
            ("auth-extra-groups", "system:bootstrappers:kubeadm:default-node-token"),
            ("description", "three machines"),
            ("expiration", "1970-01-01T00:31:40Z"),
        ] {
            assert_eq!(decoded(&secret, key), expected);
        }
        assert_eq!(token.expires, 1_900_000);
    }

    #[tokio::test]
    async fn a_second_call_keeps_the_secret_half_and_only_ever_extends() {
        let cluster = Cluster::default();
        let api = cluster.api();
        let ask = async |seconds| ensure(&api, &owner(), &Dice, "abc123", Duration::from_secs(seconds), "").await;
        let first = ask(900).await.unwrap();
        let shorter = ask(60).await.unwrap();
        assert_eq!(shorter, first);
        let longer = ask(1800).await.unwrap();
        assert_eq!((longer.secret.as_str(), longer.expires), (first.secret.as_str(), 2_800_000));
    }

    #[tokio::test]
    async fn a_foreign_token_is_neither_used_nor_removed() {
        let cluster = Cluster::default();
        let api = cluster.api();
        ensure(&api, &owner(), &Dice, "abc123", Duration::from_secs(9), "").await.unwrap();
        let mut other = owner();
        other.key.service = "other".into();
        let code = |error: Error| agentkube_contract::Fault::from(error).code;
        let refused = ensure(&api, &other, &Dice, "abc123", Duration::from_secs(9), "").await.unwrap_err();
        assert_eq!(code(refused), "TOKEN_NOT_OURS");
        assert_eq!(code(revoke(&api, &other, "abc123").await.unwrap_err()), "TOKEN_NOT_OURS");
        revoke(&api, &owner(), "abc123").await.unwrap();
        assert!(cluster.object(&format!("{SECRETS}/bootstrap-token-abc123")).is_none());
        revoke(&api, &owner(), "abc123").await.unwrap();
        assert_eq!(code(revoke(&api, &owner(), "../x").await.unwrap_err()), "TOKEN_ID");
    }
}
