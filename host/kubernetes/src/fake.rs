//! A scripted cluster for tests: objects by path, and answers that a test puts in their way.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentkube_contract::{Clock, JoinToken, Millis, Owner, Pool, Random, ServiceKey};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::BodyExt;
use kube::client::Body;
use ring::hmac;
use serde_json::{Value, json};

use crate::TenantSettings;
use crate::api::Api;
use crate::session::{Session, Sessions};

pub(crate) const CA: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBgDCCASegAwIBAgIUA1Jr/C6X8QZG6OgkEe4Ip/mRNYMwCgYIKoZIzj0EAwIw\n\
FTETMBEGA1UEAwwKa3ViZXJuZXRlczAgFw0yNjExMjAxMzIxMzNaGA8yMTI2MTAy\n\
NzEzMjEzM1owFTETMBEGA1UEAwwKa3ViZXJuZXRlczBZMBMGByqGSM49AgEGCCqG\n\
SM49AwEHA0IABBPbpZsbcqul/tVn6zuuBGEjAwdU+rHoA2R8bUxObRh2WYiL0v3x\n\
H/7LSRoahyB7iFqqlJlmDHxxk65ttTH0mnWjUzBRMB0GA1UdDgQWBBQfoaIGhuwp\n\
yyovAG55nPDvSL++ZTAfBgNVHSMEGDAWgBQfoaIGhuwpyyovAG55nPDvSL++ZTAP\n\
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIE3dYpbRy7mW1cjPUBDg\n\
4VPIkKyzSyC1Nd8NYNrTjSuaAiAccgH0VYpcrdNlbzWELtzIJglZcpSf6JSxlyH0\n\
BAFLfA==\n\
-----END CERTIFICATE-----\n\
";
pub(crate) const CA_HASH: &str = "sha256:4f55895cb916d3bbea54fbb41126bd0d58917a73db41d525b6a2ccb0ce21552e";
pub(crate) const OTHER_CA: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBdjCCAR2gAwIBAgIUK+lFv65pJXRhW75SeE4mNlD1SkcwCgYIKoZIzj0EAwIw\n\
EDEOMAwGA1UEAwwFb3RoZXIwIBcNMjYxMTIwMTMyMTMzWhgPMjEyNjEwMjcxMzIx\n\
MzNaMBAxDjAMBgNVBAMMBW90aGVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n\
6wZ2NBo9EQ5WzYdVWLnHlYiAnyYePVkc4PG2dhUmlQ06yxvM4vIFDzVn5Y+yP+G9\n\
hRUZ2QhyaGDnUYltj78MRqNTMFEwHQYDVR0OBBYEFGYslf9iGdACKJDcil5SH4Go\n\
TycCMB8GA1UdIwQYMBaAFGYslf9iGdACKJDcil5SH4GoTycCMA8GA1UdEwEB/wQF\n\
MAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgbI9Bwz/fapr2rZRlEPmcr7ra4jYZ/+S5\n\
zQeKQ87Jh2QCIE5hj6DltHrc/KJr1va4HPNkrnCE5y3n9sXFoofF5CXn\n\
-----END CERTIFICATE-----\n\
";
pub(crate) const OTHER_CA_HASH: &str = "sha256:e5db022c09c86e9f0d4f5b21c35eb0a0dbae28634424817c06b028857a30bac9";

/// A clock that only sleeping moves.
pub(crate) struct TestClock(AtomicU64);

impl Default for TestClock {
    fn default() -> Self {
        TestClock(AtomicU64::new(1_000_000))
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }

    async fn sleep(&self, time: Duration) {
        self.0.fetch_add(time.as_millis().try_into().unwrap(), Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}

/// Bytes that count.
pub(crate) struct Dice;

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
    }
}

pub(crate) fn owner() -> Owner {
    Owner::new("dc1", &ServiceKey { source: "core".into(), service: "3b8d".into() }, "shop")
}

pub(crate) fn pool() -> Pool {
    serde_json::from_value(json!({"name": "w", "count": 1, "shape": {"cores": 2, "memoryMib": 2048}})).unwrap()
}

pub(crate) fn kubeconfig(server: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": server, "certificate-authority-data": STANDARD.encode(CA)}}],
        "users": [{"name": "u", "user": {"token": "tok"}}],
    })
}

pub(crate) fn node(name: &str, ready: bool) -> Value {
    let (status, reason, message) = match ready {
        true => ("True", "KubeletReady", "kubelet is posting ready status"),
        false => ("False", "KubeletNotReady", "cni plugin not initialized"),
    };
    json!({
        "metadata": {"name": name, "uid": "u1", "resourceVersion": "7"},
        "spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]},
        "status": {
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {"type": "Ready", "status": status, "reason": reason, "message": message},
            ],
            "addresses": [{"type": "InternalIP", "address": "10.9.0.5"}, {"type": "Hostname", "address": name}],
            "nodeInfo": {"kubeletVersion": "v1.35.2"},
        },
    })
}

/// cluster-info as the bootstrap signer leaves it.
pub(crate) fn cluster_info(cluster: &Cluster, server: &str, ca: &str, token: &JoinToken) {
    let entry = json!({"name": "", "cluster": {"server": server, "certificate-authority-data": STANDARD.encode(ca)}});
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "clusters": [entry]}).to_string();
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": token.id}).to_string());
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.secret.as_bytes());
    let tag = hmac::sign(&key, format!("{header}.{}", URL_SAFE_NO_PAD.encode(&kubeconfig)).as_bytes());
    let jws = format!("{header}..{}", URL_SAFE_NO_PAD.encode(tag));
    cluster.put(
        "/api/v1/namespaces/kube-public/configmaps/cluster-info",
        json!({"data": {"kubeconfig": kubeconfig, format!("jws-kubeconfig-{}", token.id): jws}}),
    );
}

/// What kubeadm reads besides.
pub(crate) fn config_maps(cluster: &Cluster) {
    let path = |name: &str| format!("/api/v1/namespaces/kube-system/configmaps/{name}");
    cluster.put(&path("kubeadm-config"), json!({"data": {"ClusterConfiguration": "kind: ClusterConfiguration\n"}}));
    cluster.put(&path("kubelet-config"), json!({"data": {"kubelet": "kind: KubeletConfiguration\n"}}));
}

/// The cluster.
#[derive(Clone, Default)]
pub(crate) struct Cluster(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    objects: BTreeMap<String, Value>,
    once: Vec<(usize, String, u16, Value)>,
    after: Vec<(usize, String, Value)>,
    requests: Vec<String>,
}

impl Cluster {
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.0.lock().unwrap().objects.insert(path.to_owned(), object);
    }

    pub(crate) fn object(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    /// The `n`th such request gets this answer.
    pub(crate) fn once(&self, n: usize, method: &str, path: &str, status: u16, body: Value) {
        self.0.lock().unwrap().once.push((n, format!("{method} {path}"), status, body));
    }

    /// From the `n`th GET of it on, the object is this.
    pub(crate) fn after(&self, n: usize, path: &str, object: Value) {
        self.0.lock().unwrap().after.push((n, path.to_owned(), object));
    }

    /// Method and path of every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().requests.clone()
    }

    pub(crate) fn api(&self) -> Api {
        Api {
            sessions: Arc::new(self.clone()),
            clock: Arc::new(TestClock::default()),
            settings: TenantSettings::default(),
        }
    }
}

#[async_trait]
impl Sessions for Cluster {
    fn current(&self) -> Arc<Session> {
        let script = self.0.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let script = script.clone();
            async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&bytes).unwrap_or_default();
                let (status, answer) = script.lock().unwrap().answer(parts.method.as_str(), parts.uri.path(), body);
                let answer = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
                Ok::<_, Infallible>(
                    http::Response::builder().status(status).body(Body::from(answer.into_bytes())).unwrap(),
                )
            }
        });
        Arc::new(Session {
            client: kube::Client::new(service, "default"),
            ca: CA.to_owned(),
            digest: [0; 32],
            stale: Millis::MAX,
        })
    }

    async fn renew(&self, _: &Session) -> crate::Result<Option<Arc<Session>>> {
        Ok(None)
    }
}

impl Script {
    fn answer(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let line = format!("{method} {path}");
        self.requests.push(line.clone());
        let n = self.requests.iter().filter(|other| **other == line).count();
        if let Some((.., status, body)) = self.once.iter().find(|(m, other, ..)| *m == n && *other == line) {
            return (*status, body.clone());
        }
        if let Some(at) = self.after.iter().position(|(m, other, _)| method == "GET" && n >= *m && other == path) {
            let (_, path, object) = self.after.remove(at);
            self.objects.insert(path, object);
        }
        let missing = (404, json!({"kind": "Status", "reason": "NotFound"}));
        match (method, path) {
            ("GET", "/readyz") if !self.objects.contains_key(path) => (200, "ok".into()),
            ("GET", "/version") => (200, json!({"gitVersion": "v1.35.2+lab"})),
            ("GET", _) => self.objects.get(path).map_or(missing, |object| (200, object.clone())),
            ("DELETE", _) => self.objects.remove(path).map_or(missing, |object| (200, object)),
            ("POST", _) => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&path) {
                    return (409, json!({"reason": "AlreadyExists"}));
                }
                let mut object = body;
                object["metadata"]["uid"] = "u1".into();
                self.objects.insert(path, object.clone());
                (201, object)
            }
            ("PATCH", _) if body.get("kind").is_some() => {
                let object = self.objects.entry(path.to_owned()).or_insert_with(|| json!({}));
                merge(object, body);
                object["metadata"]["generation"] = 1.into();
                (200, object.clone())
            }
            ("PATCH", _) => self.objects.get_mut(path).map_or(missing, |object| {
                merge(object, body);
                (200, object.clone())
            }),
            _ => (405, json!({})),
        }
    }
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else { return *target = patch };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        match value {
            Value::Null => drop(target.as_object_mut().unwrap().remove(&key)),
            value => merge(&mut target[&key], value),
        }
    }
}
