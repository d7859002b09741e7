//! The API as it is spoken: `/api2/extjs`, whose envelope tells the outcome on every version, form bodies, lenient types.

use std::collections::BTreeMap;

use agentkube_sdk::http::{self, Request, Response};
use agentkube_sdk::prelude::*;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::{Map, Value};

use crate::faults::Refusal;
use crate::mark::Mark;
use crate::tasks::Upid;

/// A path below `/api2/extjs`.
macro_rules! at {
    ($($segment:expr),+ $(,)?) => { agentkube_sdk::path!("api2", "extjs", $($segment),+) };
}
pub(crate) use at;

/// The envelope of every answer.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default, deserialize_with = "flag")]
    success: bool,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    errors: Option<BTreeMap<String, Value>>,
}

/// The cluster, by its connection.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    connection: String,
}

impl Api {
    pub fn new(connection: &str) -> Self {
        Api { connection: connection.to_owned() }
    }

    /// A GET of a path that [`at!`] made.
    pub fn get(&self, path: String) -> Request {
        http::get(&self.connection, path)
    }

    /// A change, with the ledger entry of what it changes.
    pub fn change(&self, method: &str, path: String, entry: Entry) -> Request {
        Request::new(method, &self.connection, path).entry(entry)
    }

    /// All VMs, templates, nodes and storages that the token may see. Ids, nodes, tags, locks and pools are of this moment; names and
    /// power states are up to ten seconds old and missing for what is newer.
    pub async fn resources(&self, kind: Option<&str>) -> Result<Vec<Resource>> {
        let request = self.get(at!("cluster", "resources"));
        fetch(match kind {
            Some(kind) => request.query("type", kind),
            None => request,
        })
        .await
    }

    /// Whether a VM id is in use anywhere, visible or not. Takes no privilege.
    pub async fn is_taken(&self, vmid: u32) -> Result<bool> {
        match fetch::<Value>(self.get(at!("cluster", "nextid")).query("vmid", vmid)).await {
            Ok(_) => Ok(false),
            Err(fault) if fault.code == "VMID_TAKEN" => Ok(true),
            Err(fault) => Err(fault),
        }
    }

    /// The configuration of a VM on this node; `None` when it is not there, or not for the token to see.
    pub async fn config(&self, node: &str, vmid: u32) -> Result<Option<VmConfig>> {
        match fetch(self.get(at!("nodes", node, "qemu", vmid, "config"))).await {
            Ok(config) => Ok(Some(VmConfig(config))),
            Err(fault) if matches!(fault.code.as_str(), "VM_MISSING" | "PERMISSION_MISSING") => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// What a VM does now.
    pub async fn current(&self, node: &str, vmid: u32) -> Result<Current> {
        fetch(self.get(at!("nodes", node, "qemu", vmid, "status", "current"))).await
    }
}

/// Sends a request and opens the envelope of its answer.
pub(crate) async fn fetch<T: DeserializeOwned>(request: Request) -> Result<T> {
    opened(&request.send().await?)
}

/// What is in the envelope of an answer.
pub(crate) fn opened<T: DeserializeOwned>(response: &Response) -> Result<T> {
    let data = open(response)?;
    serde_json::from_value(data).map_err(|error| {
        let message = format!("{}: the answer is not what was expected: {error}", response.request);
        Fault::internal("UNEXPECTED_ANSWER", message).outcome(Outcome::Applied)
    })
}

/// Sends a request that starts a task; `None` when the work was done before the answer came.
pub(crate) async fn start(request: Request) -> Result<Option<Upid>> {
    let data: Option<String> = fetch(request).await?;
    Ok(data.and_then(|text| Upid::parse(&text)))
}

/// The UPID in the body of an answer that the ledger kept.
pub(crate) fn upid_in(body: &[u8]) -> Option<Upid> {
    let envelope: Envelope = serde_json::from_slice(body).ok()?;
    Upid::parse(envelope.data.as_str().filter(|_| envelope.success)?)
}

fn open(response: &Response) -> Result<Value> {
    let envelope: Option<Envelope> = serde_json::from_slice(&response.body).ok();
    let none = BTreeMap::new();
    let refusal = |status, message, errors| Refusal { request: &response.request, status, message, errors }.fault();
    match envelope {
        Some(envelope) if envelope.success && response.status == 200 => Ok(envelope.data),
        Some(envelope) if response.status == 200 => {
            let status = number(&envelope.status).and_then(|status| u16::try_from(status).ok()).unwrap_or(500);
            let errors =
                envelope.errors.unwrap_or_default().into_iter().map(|(name, why)| (name, text(&why))).collect();
            Err(refusal(status, envelope.message.as_deref().unwrap_or_default(), &errors))
        }
        // Refusals of the proxy and of the token come without an envelope.
        _ if response.status == 200 => {
            let message = format!("{}: no answer of the API's", response.request);
            Err(Fault::internal("UNEXPECTED_ANSWER", message).outcome(Outcome::Unknown))
        }
        _ => Err(refusal(response.status, &response.reason, &none)),
    }
}

/// An entry of `/cluster/resources`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Resource {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "maybe_number")]
    pub vmid: Option<u64>,
    #[serde(default)]
    pub node: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub status: String,
    #[serde(default, deserialize_with = "flag")]
    pub template: bool,
    #[serde(default)]
    tags: Option<String>,
    #[serde(default)]
    pub pool: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Resource {
    /// What it did when the index last heard of it.
    pub fn current(self) -> Current {
        Current { status: self.status, lock: None, rest: self.rest }
    }

    /// The id of a VM; `None` for anything else, containers included.
    pub fn vm(&self) -> Option<u32> {
        self.vmid.filter(|_| self.kind == "qemu").and_then(|vmid| u32::try_from(vmid).ok())
    }

    /// Whether it has a tag.
    pub fn tagged(&self, tag: &str) -> bool {
        self.tags.iter().flat_map(|tags| tags.split([';', ',', ' '])).any(|own| own.eq_ignore_ascii_case(tag))
    }
}

/// A VM's configuration: keys and values as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct VmConfig(pub Map<String, Value>);

impl VmConfig {
    /// One value.
    pub fn text(&self, key: &str) -> Option<String> {
        self.0.get(key).map(text)
    }

    /// One value as a number, or what it is when it does not stand there.
    pub fn number(&self, key: &str, default: u64) -> u64 {
        self.0.get(key).and_then(number).unwrap_or(default)
    }

    /// The mark, if there is one.
    pub fn mark(&self) -> Option<Mark> {
        Mark::read(self.0.get("description")?.as_str()?)
    }

    /// Keys and values of all keys that are `stem` and a number.
    pub fn family<'a>(&'a self, stem: &'a str) -> impl Iterator<Item = (&'a str, String)> {
        self.0.iter().filter_map(move |(key, value)| {
            let digits = key.strip_prefix(stem)?;
            (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| (key.as_str(), text(value)))
        })
    }

    /// All drives.
    pub fn drives(&self) -> impl Iterator<Item = (&str, String)> {
        ["ide", "sata", "scsi", "virtio"].into_iter().flat_map(|bus| self.family(bus))
    }

    /// MACs of the cards in their order, lower case.
    pub fn macs(&self) -> Vec<String> {
        let mut cards: Vec<(u32, String)> = self
            .family("net")
            .filter_map(|(key, card)| Some((key.strip_prefix("net")?.parse().ok()?, mac(&card)?.to_lowercase())))
            .collect();
        cards.sort();
        cards.into_iter().map(|(_, mac)| mac).collect()
    }

    /// The BIOS UUID.
    pub fn uuid(&self) -> Option<String> {
        property(&self.text("smbios1")?, "uuid").map(str::to_owned)
    }
}

/// What a VM does now.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Current {
    pub status: String,
    #[serde(default)]
    pub lock: Option<String>,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Current {
    pub fn running(&self) -> bool {
        self.status == "running"
    }

    /// One of the measurements.
    pub fn measured(&self, name: &str) -> Option<f64> {
        let value = self.rest.get(name)?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok())
    }
}

/// One key of a property string such as `virtio=…,bridge=vmbr0`.
pub(crate) fn property<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(',').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
}

/// The MAC of a card, whichever model it names.
pub(crate) fn mac(card: &str) -> Option<&str> {
    let is_mac = |text: &&str| text.len() == 17 && text.bytes().filter(|b| *b == b':').count() == 5;
    card.split(',').filter_map(|pair| Some(pair.split_once('=')?.1)).find(is_mac)
}

/// A value as text: numbers come as numbers or as text.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A value as a number: numbers come as numbers or as text.
pub(crate) fn number(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_f64().map(|number| number as u64))
        .or_else(|| value.as_str()?.trim().parse().ok())
}

/// True for `1`, `"1"` and `true`.
pub(crate) fn is_set(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| number(value).is_some_and(|number| number != 0))
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<bool, D::Error> {
    Ok(is_set(&Value::deserialize(deserializer)?))
}

fn maybe_number<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<u64>, D::Error> {
    Ok(number(&Value::deserialize(deserializer)?))
}

#[cfg(test)]
mod tests {
    use agentkube_sdk::testing::{answer, empty};
    use serde_json::json;

    use super::*;

    fn opened(status: u16, body: Value) -> Result<Value> {
        open(&Response { request: "POST /x".into(), ..answer(status, body) })
    }

    #[test]
    fn the_envelope_tells_the_outcome() {
        assert_eq!(opened(200, json!({"success": 1, "data": "x"})), Ok(json!("x")));
        assert_eq!(opened(200, json!({"success": "1", "data": null})), Ok(Value::Null));
        let fault =
            opened(200, json!({"success": 0, "status": "500", "message": "VM is locked (clone)\n"})).unwrap_err();
        assert_eq!(fault.code, "VM_LOCKED");
        let fault =
            opened(200, json!({"success": 0, "status": 400, "errors": {"vmid": "VM 104 already exists"}})).unwrap_err();
        assert_eq!(fault.code, "VMID_TAKEN");
        let refused = Response { request: "GET /x".into(), reason: "No ticket".into(), ..empty(401) };
        assert_eq!(open(&refused).unwrap_err().code, "TOKEN_REFUSED");
        assert_eq!(opened(200, json!("x")).unwrap_err().code, "UNEXPECTED_ANSWER");
    }

    #[test]
    fn types_are_taken_as_they_come() {
        let vm: Resource =
            serde_json::from_value(json!({"type": "qemu", "vmid": "104", "template": "1", "tags": "a;B"})).unwrap();
        assert_eq!((vm.vm(), vm.template, vm.tagged("b")), (Some(104), true, true));
        let container: Resource = serde_json::from_value(json!({"type": "lxc", "vmid": 105})).unwrap();
        assert_eq!((container.vm(), container.template), (None, false));
        let config = json!({"cores": 4, "memory": "8192", "net1": "e1000=AA:BB:CC:DD:EE:01,bridge=a", "net0":
            "model=virtio,macaddr=AA:BB:CC:DD:EE:00,bridge=vmbr0", "network": 1, "smbios1": "uuid=u-1,base64=1"});
        let config = VmConfig(config.as_object().unwrap().clone());
        assert_eq!((config.number("memory", 0), config.text("cores").as_deref()), (8192, Some("4")));
        assert_eq!(config.macs(), ["aa:bb:cc:dd:ee:00", "aa:bb:cc:dd:ee:01"]);
        assert_eq!(config.uuid().as_deref(), Some("u-1"));
    }

    #[test]
    fn a_task_id_is_found_in_a_kept_answer() {
        let upid = "UPID:pve1:00000ACD:00006AE8:679A423B:qmclone:9000:a@pve!t:";
        let body = json!({"success": 1, "data": upid}).to_string();
        assert_eq!(upid_in(body.as_bytes()).unwrap().to_string(), upid);
        assert!(upid_in(json!({"success": 0, "data": upid}).to_string().as_bytes()).is_none());
        assert!(upid_in(b"cut of").is_none());
    }
}
