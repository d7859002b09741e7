//! The columns that kubectl shows for built-in kinds.

use lab_wire::Millis;
use serde_json::Value;

use super::kind::Kind;
use super::table::age;

/// One column.
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// Only shown with `-o wide`.
    pub wide: bool,
    /// The cell of an object.
    pub cell: fn(&Value, Millis) -> Value,
}

const fn column(name: &'static str, cell: fn(&Value, Millis) -> Value) -> Column {
    Column { name, wide: false, cell }
}

const fn wide(name: &'static str, cell: fn(&Value, Millis) -> Value) -> Column {
    Column { name, wide: true, cell }
}

const NAME: Column = column("Name", |o, _| o["metadata"]["name"].clone());
const AGE: Column = column("Age", |o, now| age(&o["metadata"]["creationTimestamp"], now));

/// The columns of a kind.
pub fn columns(kind: &Kind) -> Vec<Column> {
    let mut columns = vec![NAME];
    columns.extend(match kind.plural.as_str() {
        "nodes" => vec![
            column("Status", |o, _| node_status(o).into()),
            column("Roles", |o, _| node_roles(o).into()),
            AGE,
            column("Version", |o, _| o["status"]["nodeInfo"]["kubeletVersion"].clone()),
            wide("Internal-IP", |o, _| address(o, "InternalIP")),
            wide("External-IP", |o, _| address(o, "ExternalIP")),
            wide("OS-Image", |o, _| o["status"]["nodeInfo"]["osImage"].clone()),
            wide("Kernel-Version", |o, _| o["status"]["nodeInfo"]["kernelVersion"].clone()),
            wide("Container-Runtime", |o, _| o["status"]["nodeInfo"]["containerRuntimeVersion"].clone()),
        ],
        "pods" => vec![
            column("Ready", |o, _| pod_ready(o).into()),
            column("Status", |o, _| pod_status(o)),
            column("Restarts", |_, _| 0.into()),
            AGE,
            wide("IP", |o, _| text_or(&o["status"]["podIP"], "<none>")),
            wide("Node", |o, _| text_or(&o["spec"]["nodeName"], "<none>")),
        ],
        "namespaces" => vec![column("Status", |o, _| o["status"]["phase"].clone()), AGE],
        "secrets" => vec![column("Type", |o, _| o["type"].clone()), column("Data", |o, _| size(&o["data"])), AGE],
        "configmaps" => vec![column("Data", |o, _| size(&o["data"])), AGE],
        "serviceaccounts" => vec![column("Secrets", |o, _| size(&o["secrets"])), AGE],
        "services" => vec![
            column("Type", |o, _| o["spec"]["type"].clone()),
            column("Cluster-IP", |o, _| text_or(&o["spec"]["clusterIP"], "<none>")),
            column("External-IP", |o, _| text_or(&o["status"]["loadBalancer"]["ingress"][0]["ip"], "<none>")),
            column("Port(s)", |o, _| ports(o).into()),
            AGE,
        ],
        "deployments" => vec![
            column("Ready", |o, _| fraction(&o["status"]["readyReplicas"], &o["spec"]["replicas"])),
            column("Up-to-date", |o, _| number(&o["status"]["updatedReplicas"])),
            column("Available", |o, _| number(&o["status"]["availableReplicas"])),
            AGE,
        ],
        "statefulsets" => {
            vec![column("Ready", |o, _| fraction(&o["status"]["readyReplicas"], &o["spec"]["replicas"])), AGE]
        }
        "replicasets" => vec![
            column("Desired", |o, _| number(&o["spec"]["replicas"])),
            column("Current", |o, _| number(&o["status"]["replicas"])),
            column("Ready", |o, _| number(&o["status"]["readyReplicas"])),
            AGE,
        ],
        "daemonsets" => vec![
            column("Desired", |o, _| number(&o["status"]["desiredNumberScheduled"])),
            column("Current", |o, _| number(&o["status"]["currentNumberScheduled"])),
            column("Ready", |o, _| number(&o["status"]["numberReady"])),
            column("Up-to-date", |o, _| number(&o["status"]["updatedNumberScheduled"])),
            column("Available", |o, _| number(&o["status"]["numberAvailable"])),
            column("Node Selector", |o, _| node_selector(o).into()),
            AGE,
        ],
        "certificatesigningrequests" => vec![
            AGE,
            column("SignerName", |o, _| o["spec"]["signerName"].clone()),
            column("Requestor", |o, _| o["spec"]["username"].clone()),
            column("Condition", |o, _| csr_condition(o).into()),
        ],
        "leases" => vec![column("Holder", |o, _| o["spec"]["holderIdentity"].clone()), AGE],
        "rolebindings" | "clusterrolebindings" => vec![
            column("Role", |o, _| {
                let part = |field: &str| o["roleRef"][field].as_str().unwrap_or_default().to_owned();
                format!("{}/{}", part("kind"), part("name")).into()
            }),
            AGE,
        ],
        "clusterroles" | "roles" | "customresourcedefinitions" => {
            vec![column("Created At", |o, _| o["metadata"]["creationTimestamp"].clone())]
        }
        "events" => {
            return vec![
                column("Last Seen", |o, now| age(&o["lastTimestamp"], now)),
                column("Type", |o, _| o["type"].clone()),
                column("Reason", |o, _| o["reason"].clone()),
                column("Object", |o, _| {
                    let part = |field: &str| o["involvedObject"][field].as_str().unwrap_or_default().to_lowercase();
                    format!("{}/{}", part("kind"), part("name")).into()
                }),
                column("Message", |o, _| o["message"].clone()),
            ];
        }
        _ => vec![AGE],
    });
    columns
}

fn text_or(value: &Value, other: &str) -> Value {
    value.as_str().unwrap_or(other).into()
}

fn number(value: &Value) -> Value {
    value.as_i64().unwrap_or(0).into()
}

fn fraction(part: &Value, whole: &Value) -> Value {
    format!("{}/{}", number(part), number(whole)).into()
}

fn size(value: &Value) -> Value {
    value.as_object().map(|m| m.len()).or(value.as_array().map(Vec::len)).unwrap_or(0).into()
}

fn node_status(node: &Value) -> String {
    let ready = node["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "Ready");
    let mut status = match ready.and_then(|c| c["status"].as_str()) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if node["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn node_roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let roles: Vec<&str> = labels.filter_map(|(k, _)| k.strip_prefix("node-role.kubernetes.io/")).collect();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

fn address(node: &Value, kind: &str) -> Value {
    let found = node["status"]["addresses"].as_array().into_iter().flatten().find(|a| a["type"] == kind);
    found.map_or_else(|| "<none>".into(), |a| a["address"].clone())
}

fn pod_ready(pod: &Value) -> String {
    let all = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
    let states = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    format!("{}/{all}", states.filter(|s| s["ready"] == true).count())
}

fn pod_status(pod: &Value) -> Value {
    if pod["metadata"]["deletionTimestamp"].is_string() { "Terminating".into() } else { pod["status"]["phase"].clone() }
}

fn ports(service: &Value) -> String {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let text = |p: &Value| match p["nodePort"].as_u64() {
        Some(node) => format!("{}:{node}/{}", p["port"], p["protocol"].as_str().unwrap_or("TCP")),
        None => format!("{}/{}", p["port"], p["protocol"].as_str().unwrap_or("TCP")),
    };
    let list: Vec<String> = ports.map(text).collect();
    if list.is_empty() { "<none>".to_owned() } else { list.join(",") }
}

fn node_selector(set: &Value) -> String {
    let pairs = set["spec"]["template"]["spec"]["nodeSelector"].as_object().into_iter().flatten();
    let list: Vec<String> = pairs.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    if list.is_empty() { "<none>".to_owned() } else { list.join(",") }
}

fn csr_condition(csr: &Value) -> String {
    let conditions = csr["status"]["conditions"].as_array().into_iter().flatten();
    let mut list: Vec<&str> = conditions.filter_map(|c| c["type"].as_str()).collect();
    if csr["status"]["certificate"].is_string() {
        list.push("Issued");
    }
    if list.is_empty() { "Pending".to_owned() } else { list.join(",") }
}
