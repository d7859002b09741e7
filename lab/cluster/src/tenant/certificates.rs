//! Client certificates of kubelets: approved when RBAC says that the requester may have one, then signed.

use std::collections::BTreeMap;

use lab_wire::{Millis, Random, rfc3339};
use serde_json::{Value, json};

use super::Pace;
use crate::api::{ApiServer, Attributes, User, allowed};
use crate::encoding::{base64, unbase64};
use crate::pki::{Authority, ClientRequest};

const GROUP: &str = "certificates.k8s.io";
const REQUESTS: &str = "certificatesigningrequests";
const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// Looks at all requests; `timers` holds when each open one is answered.
pub fn run(
    timers: &mut BTreeMap<String, Millis>,
    api: &mut ApiServer,
    authority: &Authority,
    pace: &Pace,
    now: Millis,
    random: &mut Random,
) {
    let mut open = Vec::new();
    for csr in api.objects(GROUP, REQUESTS, None) {
        let name = csr["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let has = |kind: &str| {
            csr["status"]["conditions"].as_array().is_some_and(|list| list.iter().any(|c| c["type"] == kind))
        };
        let answered = csr["status"]["certificate"].is_string() || has("Denied") || has("Failed");
        if csr["spec"]["signerName"] != SIGNER || answered {
            continue;
        }
        let Some(request) = read(&csr) else { continue };
        if has("Approved") || may_have(api, &csr, &request) {
            open.push((name, request, has("Approved")));
        }
    }
    timers.retain(|name, _| open.iter().any(|(other, ..)| other == name));
    for (name, request, approved) in open {
        if *timers.entry(name.clone()).or_insert(now + pace.certificate) > now {
            continue;
        }
        timers.remove(&name);
        let Ok(certificate) = authority.sign(&request, now) else { continue };
        api.edit((GROUP, REQUESTS), ("", &name), now, random, |csr| {
            if !approved {
                csr["status"]["conditions"] = json!([{
                    "type": "Approved", "status": "True", "reason": "AutoApproved",
                    "message": "Auto approving kubelet client certificate after SubjectAccessReview.",
                    "lastUpdateTime": rfc3339(now), "lastTransitionTime": rfc3339(now),
                }]);
            }
            csr["status"]["certificate"] = base64(certificate).into();
        });
    }
}

fn read(csr: &Value) -> Option<ClientRequest> {
    let pem = unbase64(csr["spec"]["request"].as_str()?)?;
    ClientRequest::read(std::str::from_utf8(&pem).ok()?).ok()
}

/// The rules of the certificate approver: a node's name, the nodes' group alone, no addresses; and the right to ask.
fn may_have(api: &ApiServer, csr: &Value, request: &ClientRequest) -> bool {
    let fits = request.common_name.starts_with("system:node:")
        && request.organizations == ["system:nodes"]
        && !request.has_alternatives;
    let groups = csr["spec"]["groups"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let user = User {
        name: csr["spec"]["username"].as_str().unwrap_or_default().to_owned(),
        groups: groups.map(str::to_owned).collect(),
    };
    let may = |subresource: &str| {
        let wanted = Attributes {
            verb: "create".to_owned(),
            group: GROUP.to_owned(),
            resource: format!("{REQUESTS}/{subresource}"),
            ..Attributes::default()
        };
        allowed(api.store(), &user, &wanted)
    };
    fits && (may("nodeclient") || (user.name == request.common_name && may("selfnodeclient")))
}
