//! The check itself can fail: in each system and version, a wrong request and a wrong answer are caught, the right ones are not.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use lab_wire::{Answer, Exchange, Interface, Request, Response};
use serde_json::{Value, json};

use super::{Contract, Judge, Side};
use crate::deviations::Deviation;

/// The folder with the schemas, if there is one.
fn schemas() -> Option<PathBuf> {
    let folder = std::env::var_os("AGENTKUBE_CONTRACTS").map(PathBuf::from);
    if folder.is_none() {
        // A passing test swallows what the print macros say; the handle itself is heard.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"contract checks NOT RUN\n");
    }
    folder
}

/// What passed, sent by the product or by somebody else.
fn exchange(interface: &Interface, ours: bool, request: Request, answer: impl Into<Answer>) -> Exchange {
    let agent = if ours { "agentkube/0.1.0" } else { "curl/8" };
    Exchange::new(interface.clone(), &request.header("user-agent", agent), &answer.into())
}

thread_local! {
    static READ: Cell<BTreeMap<Interface, Option<Box<dyn Contract>>>> = const { Cell::new(BTreeMap::new()) };
}

/// Sides, places and rules of the violations that a judge finds.
fn judged(known: &'static [Deviation], exchange: &Exchange) -> Vec<(Side, String, String)> {
    let Some(folder) = schemas() else { return Vec::new() };
    let mut judge = Judge::with(&folder, known);
    // Schemas are read once for each thread, that is for each test.
    judge.read = READ.take();
    judge.hear(exchange).unwrap();
    READ.set(std::mem::take(&mut judge.read));
    judge.violations().map(|found| (found.fault.side, found.fault.place.clone(), found.fault.rule.clone())).collect()
}

fn found(side: Side, place: &str, rule: &str) -> Vec<(Side, String, String)> {
    if schemas().is_none() {
        return Vec::new();
    }
    vec![(side, place.to_owned(), rule.to_owned())]
}

fn none() -> Response {
    Response::empty(204)
}

/// Core's description leaves out most of its refusals.
const REFUSALS: &[Deviation] = &[Deviation {
    system: "fulcrum",
    versions: &[],
    side: Side::Answer,
    operation: "*",
    place: "status",
    rule: "refusal",
    text: "",
    ours: false,
    source: "a test",
}];

/// Checks the rule for a request that is wrong in one way.
fn caught(interface: &Interface, wrong: Request, done: Response, refusal: Response, place: &str, rule: &str) {
    let expected = found(Side::Request, place, rule);
    let judge = |ours, answer: &Response| judged(REFUSALS, &exchange(interface, ours, wrong.clone(), answer.clone()));
    assert_eq!(judge(true, &done), expected, "of the product");
    assert_eq!(judge(true, &refusal), expected, "of the product, whatever the answer");
    assert_eq!(judge(false, &done), expected, "of a test, and the lab took it");
    assert_eq!(judge(false, &refusal), [], "of a test of the refusal");
    let denied = Response { status: 403, ..refusal };
    // Where the status that counts stands in the body, this changes nothing.
    if !denied.value()["status"].is_number() {
        assert_eq!(judge(false, &denied), expected, "nobody has looked at it");
    }
}

const ID: &str = "e79d6cf0-5a42-4ad3-93a8-41fe7c2d9ae1";

#[test]
fn core_is_judged() {
    let core = Interface::new("fulcrum", "1.0.0");
    let fail = |body: Value| Request::new("POST", &format!("/api/v1/jobs/{ID}/fail")).json(&body);
    let right = fail(json!({"errorMessage": "x"}));
    assert_eq!(judged(&[], &exchange(&core, true, right.clone(), none())), []);
    let refusal = || Response::json(400, &json!({"status": "Invalid request"}));
    caught(&core, fail(json!({})), none(), refusal(), "body", "required");
    caught(&core, fail(json!({"errorMessage": 1})), none(), refusal(), "body/errorMessage", "type");
    caught(&core, fail(json!({"errorMessage": "x", "code": 1})), none(), refusal(), "body", "unevaluatedProperties");
    let not_an_id = Request::new("POST", "/api/v1/jobs/7/claim");
    caught(&core, not_an_id, none(), refusal(), "path id", "format");
    let nowhere = Request::new("POST", "/api/v1/jobs/pending/claim/all");
    caught(&core, nowhere, none(), Response::empty(404), "operation", "operation");
    let unknown = Request::new("GET", "/api/v1/services?agentId=x");
    let page = Response::json(200, &json!({"items": []}));
    caught(&core, unknown, page, refusal(), "query agentId", "unknown");
    // Answers.
    let jobs = |answer: Value| {
        let request = Request::new("GET", "/api/v1/jobs/pending?limit=3");
        judged(&[], &exchange(&core, true, request, Response::json(200, &answer)))
    };
    assert_eq!(jobs(json!([{"id": ID, "status": "Pending"}])), []);
    assert_eq!(jobs(json!([{"id": ID, "status": "Sleeping"}])), found(Side::Answer, "body/0/status", "enum"));
    let strange = judged(&[], &exchange(&core, true, right, Response::json(202, &json!({}))));
    assert_eq!(strange, found(Side::Answer, "status", "status"));
}

#[test]
fn proxmox_is_judged_in_each_version() {
    for version in ["8.2", "8.4", "9.1"] {
        let pve = Interface::new("proxmox", version);
        let post = |path: &str, form: &str| {
            let mut request = Request::new("POST", &format!("/api2/extjs{path}"))
                .header("content-type", "application/x-www-form-urlencoded");
            request.body = form.as_bytes().to_vec();
            request
        };
        let clone = |form: &str| post("/nodes/pve1/qemu/9000/clone", form);
        let task = "UPID:pve1:00000ACD:00006AE8:679A423B:qmclone:9000:a@pve!b:";
        let done = || Response::json(200, &json!({"success": 1, "data": task}));
        let refusal = || Response::json(200, &json!({"success": 0, "status": 400, "data": null, "errors": {"a": "b"}}));
        let right = clone("newid=104&name=m-1&full=0&pool=agentkube");
        assert_eq!(judged(&[], &exchange(&pve, true, right, done())), [], "{version}");
        for (form, place, rule) in [
            ("name=m-1", "parameters", "required"),
            ("newid=104&colour=red", "parameters", "additionalProperties"),
            ("newid=104&full=maybe", "parameters/full", "type"),
            ("newid=99", "parameters/newid", "minimum"),
            ("newid=104&name=a_b", "parameters/name", "format"),
            ("newid=104&format=vdi", "parameters/format", "enum"),
        ] {
            caught(&pve, clone(form), done(), refusal(), place, rule);
        }
        let config = |form: &str| post("/nodes/pve1/qemu/104/config", form);
        let card = "net0=virtio%3DBC%3A24%3A11%3A2E%3AC5%3A4A%2Cbridge%3Dvmbr0%2Ctag%3D120&agent=enabled%3D1";
        assert_eq!(judged(&[], &exchange(&pve, true, config(card), done())), [], "{version}");
        let tag = "net0=virtio%2Cbridge%3Dvmbr0%2Ctag%3D5000";
        caught(&pve, config(tag), done(), refusal(), "parameters/net0/tag", "maximum");
        caught(&pve, config("net32=virtio"), done(), refusal(), "parameters", "additionalProperties");
        let nowhere = Response::json(200, &json!({"success": 0, "status": 501, "data": null}));
        caught(&pve, post("/nodes/pve1/qemu/9000/copy", ""), done(), nowhere, "operation", "operation");
        // Answers.
        let status = |data: Value| {
            let request = Request::new("GET", "/api2/json/nodes/pve1/tasks/UPID/status");
            judged(&[], &exchange(&pve, true, request, Response::json(200, &json!({"data": data}))))
        };
        let running = json!({"upid": task, "node": "pve1", "pid": 7, "pstart": 8, "starttime": 9, "type": "qmclone",
            "id": "9000", "user": "a@pve", "status": "running"});
        assert_eq!(status(running.clone()), [], "{version}");
        let mut wrong = running;
        wrong["status"] = json!("sleeping");
        assert_eq!(status(wrong), found(Side::Answer, "data/status", "enum"), "{version}");
    }
}

#[test]
fn kamaji_is_judged() {
    let kamaji = Interface::new("kamaji", "v1alpha1");
    let path = "/apis/kamaji.clastix.io/v1alpha1/namespaces/a/tenantcontrolplanes";
    let plane = |kubernetes: Value| {
        json!({"apiVersion": "kamaji.clastix.io/v1alpha1", "kind": "TenantControlPlane", "metadata": {"name": "a"},
            "spec": {"controlPlane": {"service": {"serviceType": "LoadBalancer"}}, "kubernetes": kubernetes}})
    };
    let right = plane(json!({"version": "v1.33.4", "kubelet": {}}));
    let post = |body: &Value| Request::new("POST", path).json(body);
    let done = || Response::json(201, &right);
    let failure = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 422});
    let refusal = || Response::json(422, &failure);
    assert_eq!(judged(&[], &exchange(&kamaji, true, post(&right), done())), []);
    let missing = plane(json!({"kubelet": {}}));
    caught(&kamaji, post(&missing), done(), refusal(), "body/spec/kubernetes", "required");
    let unknown = plane(json!({"version": "v1.33.4", "kubelet": {}, "colour": "red"}));
    caught(&kamaji, post(&unknown), done(), refusal(), "body/spec/kubernetes", "additionalProperties");
    let nothing = Request::new("POST", "/apis/kamaji.clastix.io/v1alpha1/tenants").json(&right);
    caught(&kamaji, nothing, done(), Response::json(404, &failure), "operation", "operation");
    let apply = |body: &Value| {
        let mut request = Request::new("PATCH", &format!("{path}/a")).json(body);
        request.headers = vec![("content-type".to_owned(), "application/apply-patch+yaml".to_owned())];
        request
    };
    assert_eq!(
        judged(&[], &exchange(&kamaji, true, apply(&missing), done())),
        [],
        "an apply may leave fields to others"
    );
    let number = plane(json!({"version": 1.33}));
    caught(&kamaji, apply(&number), done(), refusal(), "body/spec/kubernetes/version", "type");
    // Answers: an object, a list, the lines of a watch.
    let get = |answer: String| {
        let answer = Response::text(200, "application/json", answer);
        judged(&[], &exchange(&kamaji, true, Request::new("GET", path), answer))
    };
    let (good, bad) = (&right, &unknown);
    assert_eq!(get(json!({"kind": "TenantControlPlaneList", "items": [good]}).to_string()), []);
    let caught = |place: &str| found(Side::Answer, place, "additionalProperties");
    let list = json!({"kind": "TenantControlPlaneList", "items": [good, bad]});
    assert_eq!(get(list.to_string()), caught("items/spec/kubernetes"));
    let events =
        format!("{}\n{}\n", json!({"type": "ADDED", "object": good}), json!({"type": "MODIFIED", "object": bad}));
    assert_eq!(get(events), caught("body/spec/kubernetes"));
}

#[test]
fn a_deviation_counts_only_when_it_is_in_the_table() {
    const TABLE: &[Deviation] = &[Deviation {
        system: "fulcrum",
        versions: &[],
        side: Side::Request,
        operation: "POST /jobs/{id}/*",
        place: "body",
        rule: "unevaluatedProperties",
        text: "",
        ours: false,
        source: "a test",
    }];
    let core = Interface::new("fulcrum", "1.0.0");
    let request = Request::new("POST", &format!("/api/v1/jobs/{ID}/complete")).json(&json!({"externalId": "x"}));
    let by = |ours, known| judged(known, &exchange(&core, ours, request.clone(), none()));
    let violation = found(Side::Request, "body", "unevaluatedProperties");
    assert_eq!(by(false, &[]), violation);
    assert_eq!(by(false, TABLE), [], "the real system takes it too");
    assert_eq!(by(true, TABLE), violation, "and the product still must not send it");
}
