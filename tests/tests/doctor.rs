//! What stands in the way of work is named before a job fails of it, holds new jobs back while it stands, and lets go by itself.

use std::collections::BTreeSet;
use std::fs;

use agentkube_lab::daemon::Infrastructure;
use agentkube_tests::command::{Said, agentkube};
use agentkube_tests::{Plan, Scene, heavy, one_machine, pages, wait};
use lab_core::store::JobStatus;
use lab_pve::Fault;
use reqwest::Method;
use serde_json::{Value, json};

fn doctor(scene: &Scene) -> Said {
    agentkube(["doctor", "--config", &scene.config().display().to_string()])
}

fn findings(scene: &Scene) -> Vec<Value> {
    let said = agentkube(["doctor", "-o", "json", "--config", &scene.config().display().to_string()]);
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}{}", said.out, said.err));
    report["findings"].as_array().unwrap().clone()
}

/// Plugin or connection, code and message of every error.
fn errors(scene: &Scene) -> Vec<(String, String, String)> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let found = findings(scene);
    let errors = found.iter().filter(|finding| finding["severity"] == "error");
    errors.map(|finding| (text(finding, "name"), text(finding, "code"), text(finding, "message"))).collect()
}

/// Looks often, so that a test need not wait for minutes.
fn watchful() -> Plan {
    Plan { more: "preflight-ms = 300\n".to_owned(), ..Plan::default() }
}

fn agent_status(scene: &Scene) -> String {
    scene.lab.core(|core| core.agents().first().map(|agent| agent.status.clone())).unwrap()
}

async fn agent_becomes(scene: &Scene, status: &str) {
    wait::until(&format!("the agent to be {status}"), || (agent_status(scene) == status).then_some(())).await;
}

/// Every file below a directory with its length, but for those of the running system.
fn files(scene: &Scene) -> BTreeSet<(String, u64)> {
    let data = scene.directory().join("data");
    let entries = fs::read_dir(data).unwrap().flatten();
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.metadata().unwrap().len())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_healthy_installation_is_called_healthy_with_and_without_a_daemon() {
    let mut scene = Scene::prepare(Plan::default()).await;
    let before = files(&scene);
    let said = doctor(&scene);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert_eq!(files(&scene), before, "nothing is written in the data directory");
    for check in [
        "ok       host              CONFIGURATION: ",
        "DATA_DIR: ",
        "JOURNAL: ",
        "ok       connection core   SECRET: ",
        "ok       connection core   REACHED: https://127.0.0.1:",
        "ok       connection admin  REACHED: ",
        "ok       connection pve    REACHED: ",
        "ok       connection core   CLOCK: ",
        "ok       plugin core       PLUGIN_FILE: fulcrum ",
        "ok       plugin planes     TENANT_ADDRESSES: ",
        "ok       plugin core       CORE_TOKEN: ",
        "ok       plugin machines   PRIVILEGES: ",
        " without a daemon: ",
        ", 0 errors",
    ] {
        assert!(said.out.contains(check), "`{check}` is missing in\n{}", said.out);
    }
    scene.run().await;
    let said = doctor(&scene);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains(" by the running daemon: "), "{}", said.out);
    assert_eq!(pages::get(&scene.pages(), "/readyz"), (200, "ok\n".to_owned()));
    // What changed since the start is told, and what the next start would refuse.
    let text = fs::read_to_string(scene.config()).unwrap();
    fs::write(scene.config(), format!("{text}\n# a remark\n")).unwrap();
    assert!(doctor(&scene).out.contains("CONFIG_CHANGED: "));
    fs::write(scene.config(), text.replace("poll-ms = 250", "pole-ms = 250")).unwrap();
    let said = doctor(&scene);
    assert!(said.code == 1 && said.out.contains("the next start would be refused"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_privilege_that_is_missing_is_named_and_nothing_else() {
    let mut scene = Scene::prepare(watchful()).await;
    for privilege in ["VM.PowerMgmt", "Datastore.AllocateTemplate", "VM.Config.Cloudinit"] {
        scene.lab.proxmox(|pve| pve.fault(Fault::Withhold(privilege.to_owned(), true)));
        let errors = errors(&scene);
        let [(plugin, code, message)] = errors.as_slice() else { panic!("{privilege}: {errors:?}") };
        assert_eq!((plugin.as_str(), code.as_str()), ("machines", "PRIVILEGE_MISSING"));
        assert!(message.contains(privilege), "{message}");
        let said = doctor(&scene);
        let line = said.out.lines().find(|line| line.starts_with("error")).unwrap();
        assert!(said.code == 1 && line.contains("To mend: ") && line.contains(privilege), "{line}");
        scene.lab.proxmox(|pve| pve.fault(Fault::Withhold(privilege.to_owned(), false)));
    }

    // The daemon holds back while one is missing, says so everywhere, and goes on by itself.
    scene.lab.proxmox(|pve| pve.fault(Fault::Withhold("VM.PowerMgmt".to_owned(), true)));
    scene.run().await;
    agent_becomes(&scene, "Error").await;
    let service = scene.order("shop").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(scene.newest_job(&service).unwrap().status, JobStatus::Pending, "no new job is taken");
    let (status, body) = pages::get(&scene.pages(), "/readyz");
    assert_eq!(status, 503);
    assert!(body.contains("PRIVILEGE_MISSING") && body.contains("VM.PowerMgmt"), "{body}");
    let (_, metrics) = pages::get(&scene.pages(), "/metrics");
    assert_eq!(pages::metric(&metrics, "agentkube_source_held", &["source=\"core\""]), 1.0);
    let labels = ["plugin=\"machines\"", "severity=\"error\""];
    assert_eq!(pages::metric(&metrics, "agentkube_preflight_findings", &labels), 1.0);
    let said = agentkube(["status", "--config", &scene.config().display().to_string()]).ok();
    assert!(said.contains("job source core: reached; no new job is taken"), "{said}");
    assert!(said.contains("preflight: errors are in the way of work") && said.contains("PRIVILEGE_MISSING"), "{said}");
    let errors = errors(&scene);
    assert!(matches!(errors.as_slice(), [(_, code, _)] if code == "PRIVILEGE_MISSING"), "{errors:?}");

    let _turn = heavy().await;
    scene.lab.proxmox(|pve| pve.fault(Fault::Withhold("VM.PowerMgmt".to_owned(), false)));
    agent_becomes(&scene, "Connected").await;
    scene.completed(&service).await;
    let (_, metrics) = pages::get(&scene.pages(), "/metrics");
    assert_eq!(pages::metric(&metrics, "agentkube_source_held", &["source=\"core\""]), 0.0);
}

/// A token for the agent, as an administrator makes it.
async fn fresh_token(scene: &Scene) -> String {
    let agent = &scene.registration.agent;
    let wanted = json!({ "name": "renewed", "role": "agent", "scopeId": agent, "expireAt": "2099-01-01T00:00:00Z" });
    let made = scene.customer.call(Method::POST, "/tokens", Some(&wanted)).await.unwrap();
    made["value"].as_str().unwrap().to_owned()
}

// Checklist 11, 27.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_expired_token_holds_the_daemon_until_there_is_another() {
    let scene = Scene::start(watchful()).await;
    agent_becomes(&scene, "Connected").await;
    scene.lab.core(|core| core.fault(lab_core::Fault::ExpireTokens { name: Some("agentkube".to_owned()) }));
    let pages_at = scene.pages();
    wait::until("the daemon to notice", || {
        let (status, body) = pages::get(&pages_at, "/readyz");
        (status == 503 && body.contains("plugin core: CORE_TOKEN")).then_some(())
    })
    .await;
    let errors = errors(&scene);
    assert!(!errors.is_empty() && errors.iter().all(|(name, ..)| name == "core"), "{errors:?}");
    assert!(errors.iter().any(|(_, code, _)| code == "CORE_TOKEN"), "{errors:?}");
    // What fails at each try is not said at each try: beats, polls and looks all ask who we are first.
    let said = |text: &str| scene.log().lines().filter(|line| line.contains(text)).count();
    wait::until("beats and polls to be refused again and again", || {
        let refused = |asked: &&lab_core::Logged| asked.status == Some(403) && asked.path.ends_with("/agents/me");
        (scene.lab.core(|core| core.log().filter(refused).count()) >= 30).then_some(())
    })
    .await;
    let (beats, polls) = (said("heartbeat not accepted"), said("\"kind\":\"SourceTrouble\""));
    assert!((1..=6).contains(&beats) && (1..=6).contains(&polls), "{beats} {polls}");
    // Nothing is restarted: the file is read again when it changes.
    let token = fresh_token(&scene).await;
    fs::write(scene.directory().join("agent.token"), token).unwrap();
    wait::until("the daemon to recover", || (pages::get(&pages_at, "/readyz").0 == 200).then_some(())).await;
    agent_becomes(&scene, "Connected").await;
    assert_eq!(doctor(&scene).code, 0);
    assert_eq!(said("heartbeats are accepted again"), 1);
    assert_eq!(said("reached again; "), 1);
}

/// Takes a verb of a resource from the agent's role in the admin cluster, or gives it back.
fn verb(scene: &Scene, resource: &str, verb: &str, held: bool) {
    let rules = |role: &mut Value| {
        for rule in role["rules"].as_array_mut().unwrap() {
            if rule["resources"].as_array().unwrap().iter().any(|name| name == resource) {
                let verbs = rule["verbs"].as_array_mut().unwrap();
                verbs.retain(|word| word != verb);
                if held {
                    verbs.push(json!(verb));
                }
            }
        }
    };
    let now = agentkube_lab::Clock::real().now();
    scene.lab.admin(|cluster| {
        let api = cluster.admin_mut();
        let mut role = (**api.get("rbac.authorization.k8s.io", "clusterroles", "", "agentkube").unwrap()).clone();
        rules(&mut role);
        api.put(role, now, &mut lab_wire::Random::new(1));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_verb_that_the_admin_role_lacks_is_named_and_nothing_else() {
    let scene = Scene::prepare(Plan::default()).await;
    let verbs = [("tenantcontrolplanes", "get list watch create patch delete"), ("namespaces", "create delete")];
    let each = verbs.iter().flat_map(|(resource, words)| words.split(' ').map(move |word| (*resource, word)));
    for (resource, word) in each {
        verb(&scene, resource, word, false);
        let errors = errors(&scene);
        let [(plugin, code, message)] = errors.as_slice() else { panic!("{word} {resource}: {errors:?}") };
        assert_eq!(plugin, "planes", "{code}: {message}");
        assert!(message.contains(word) && message.contains(resource), "{code}: {message}");
        verb(&scene, resource, word, true);
    }
    assert_eq!(errors(&scene), [], "all is given back");
}

/// What may come back is no reason to end: the daemon says what is wrong and tries again.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_wrong_fingerprint_leaves_the_daemon_in_error_and_trying() {
    let plan = Plan { infrastructure: Infrastructure::Toy, ..watchful() };
    let mut scene = Scene::prepare(plan).await;
    let text = fs::read_to_string(scene.config()).unwrap();
    let right = scene.lab.access().toy.fingerprint.clone();
    fs::write(scene.config(), text.replace(&right, &"ab".repeat(32))).unwrap();
    scene.run().await;
    agent_becomes(&scene, "Error").await;
    let errors = errors(&scene);
    let connection: Vec<_> = errors.iter().filter(|(name, ..)| name == "toy").collect();
    let [(_, code, message)] = connection.as_slice() else { panic!("{errors:?}") };
    assert_eq!(code, "SERVER_NOT_TRUSTED");
    let plain = right.replace(':', "").to_lowercase();
    assert!(message.contains(&plain), "the one that the server has is shown: {message}");
    let (status, body) = pages::get(&scene.pages(), "/readyz");
    assert!(status == 503 && body.contains("plugin machines"), "{status} {body}");
    let tries = pages::metric(&pages::get(&scene.pages(), "/metrics").1, "agentkube_tls_handshakes_total", &["toy"]);
    let pages_at = scene.pages();
    wait::until("another try", || {
        let (_, metrics) = pages::get(&pages_at, "/metrics");
        (pages::metric(&metrics, "agentkube_tls_handshakes_total", &["toy"]) > tries).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_daemon_whose_systems_are_down_starts_and_waits_for_them() {
    let mut scene = Scene::prepare(watchful()).await;
    let down = lab_core::Fault::Answer {
        matching: lab_core::Matching::new("", "/api/v1"),
        times: 1_000_000,
        status: 503,
        retry_after: None,
    };
    scene.lab.core(|core| core.fault(down));
    scene.run().await;
    let pages_at = scene.pages();
    wait::until("a reason", || {
        let (status, body) = pages::get(&pages_at, "/readyz");
        (status == 503 && body.contains("job source core is held: plugin core: ")).then_some(())
    })
    .await;
    scene.lab.core(|core| core.clear_faults());
    wait::until("the daemon to recover", || (pages::get(&pages_at, "/readyz").0 == 200).then_some(())).await;
    agent_becomes(&scene, "Connected").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_journal_that_was_moved_away_stops_all_work_until_it_is_back() {
    let scene = Scene::start(watchful()).await;
    agent_becomes(&scene, "Connected").await;
    let (here, away) = (scene.directory().join("data/journal.db"), scene.directory().join("data/away.db"));
    fs::rename(&here, &away).unwrap();
    agent_becomes(&scene, "Error").await;
    let errors = errors(&scene);
    let [(_, code, message)] = errors.as_slice() else { panic!("{errors:?}") };
    assert!(code == "JOURNAL_GONE" && message.contains("put that very file back"), "{code}: {message}");
    let service = scene.order_with("shop", one_machine()).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(
        scene.newest_job(&service).unwrap().status,
        JobStatus::Pending,
        "nothing is claimed that cannot be noted"
    );
    fs::rename(&away, &here).unwrap();
    scene.completed(&service).await;
    agent_becomes(&scene, "Connected").await;
}
