//! What Proxmox VE, its nodes, its storages and its other users do to a client.
//!
//! A machine is ordered while something goes wrong. The lab's own state says what came of it.

use agentkube_tests::report::{Ends, Row};
use agentkube_tests::{Found, Plan, Scene, one_machine, wait};
use lab_pve::{Fault, Lock, On, Pve, Release, Settings, Task, TaskFault};

const BOTH: [Release; 2] = [Release::V8_4, Release::V9_1];
const CONFIG: &str = "POST /nodes/{node}/qemu/{vmid}/config";
const START: &str = "POST /nodes/{node}/qemu/{vmid}/status/start";
const CLONE: &str = "POST /nodes/{node}/qemu/{vmid}/clone";

/// A cluster of this release whose clones take seconds: what they take in the real world makes no difference here.
fn cluster(release: Release) -> Settings {
    let mut settings = Settings::new(release);
    settings.durations.full_clone = (5_000, 10_000);
    settings
}

async fn scene_of(proxmox: Settings, more: &str) -> Scene {
    let scene = Scene::start(Plan { proxmox, more: more.to_owned(), ..Plan::default() }).await;
    looked(&scene).await;
    scene
}

/// The look at the start is over and found nothing: what goes wrong from now on is met by jobs.
async fn looked(scene: &Scene) {
    let over = || scene.log().contains("jobs are taken").then_some(());
    wait::until("the preflight to find all that is needed", over).await;
}

async fn scene(release: Release) -> Scene {
    scene_of(cluster(release), "").await
}

/// A job of these scenes is given up early: after a second a step is tried three times in all.
const HASTY: &str = "create-ms = 1000\n";

fn task(kind: &str, fault: TaskFault) -> Fault {
    Fault::Task { kind: kind.to_owned(), times: 1, fault }
}

fn when(method: &str, path: &str, fault: Fault) -> Fault {
    Fault::When(On::new(method, path, 1), Box::new(fault))
}

fn inject(scene: &Scene, faults: Vec<Fault>) {
    scene.lab.proxmox(|pve| faults.into_iter().for_each(|fault| pve.fault(fault)));
}

/// A fault, where it is injected, and the trace that it leaves in the lab when it happens: in what was answered or how a task ended.
type Case = (&'static str, &'static str, &'static str);

/// A cluster is ordered and comes up although this goes wrong, and goes without a trace.
async fn survived(scene: &Scene, (fault, at, trace): Case, faults: Vec<Fault>) {
    let mut row = Row::of(fault, at);
    row.also(told(scene));
    let before = traces(scene, trace);
    inject(scene, faults);
    let service = scene.order_with("shop", one_machine()).await;
    row.seen(scene, &service, Ends::Completed).await;
    scene.customer.delete(&service).await.unwrap();
    scene.completed(&service).await;
    assert!(traces(scene, trace) > before, "{fault} did not happen");
    row.nothing(scene);
}

/// How often this was answered, by status or by text, or a task was of this kind or ended so.
fn traces(scene: &Scene, trace: &str) -> usize {
    scene.lab.proxmox(|pve| {
        let status = |status: u16| status.to_string() == trace;
        let said = pve.log().iter().filter(|entry| entry.message.contains(trace) || status(entry.status)).count();
        let ended = |task: &&Task| task.kind == trace || task.exit.as_ref().is_some_and(|exit| exit.contains(trace));
        said + pve.tasks().iter().filter(ended).count()
    })
}

/// The lab's status for a request that got no answer.
const NO_ANSWER: &str = "0";

/// A cluster is ordered and fails with this code, and nothing is left of it.
async fn failed(scene: &Scene, fault: &'static str, at: &'static str, code: &'static str, faults: Vec<Fault>) {
    let mut row = Row::of(fault, at);
    row.also(told(scene));
    inject(scene, faults);
    let service = scene.order_with("shop", one_machine()).await;
    row.seen(scene, &service, Ends::Failed(code)).await;
    row.left_nothing(scene, &service).await;
}

fn told(scene: &Scene) -> String {
    format!("Proxmox VE {}", scene.lab.proxmox(|pve| pve.settings().release.release()))
}

/// An operator removes what is another's, so that what is left is ours.
fn sweep(scene: &Scene) -> Vec<String> {
    scene.lab.proxmox(|pve| {
        let ours = |vm: &&lab_pve::Vm| vm.config.get("description").is_some_and(|text| text.contains("agentkube {"));
        let others: Vec<(u32, String)> =
            pve.vms().filter(|vm| !vm.template() && !ours(vm)).map(|vm| (vm.vmid, vm.name())).collect();
        for (vmid, _) in &others {
            pve.fault(Fault::Vanish(*vmid));
        }
        others.into_iter().map(|(vmid, name)| format!("VM {vmid} ({name})")).collect()
    })
}

fn count(scene: &Scene, method: &str, path: &str) -> usize {
    let asked = |pve: &mut Pve| pve.log().iter().filter(|e| e.method == method && e.path.contains(path)).count();
    scene.lab.proxmox(asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_are_settled_by_looking() {
    for release in BOTH {
        let scene = scene(release).await;
        for (fault, at, on) in [
            ("lost answer: clone", CLONE, On::new("POST", "/clone", 1)),
            ("lost answer: configuration", CONFIG, On::new("POST", "/config", 1)),
            ("lost answer: upload", "POST /nodes/{node}/storage/{storage}/upload", On::new("POST", "/upload", 1)),
            ("lost answer: start", START, On::new("POST", "/start", 1)),
            ("lost answer: destroy", "DELETE /nodes/{node}/qemu/{vmid}", On::new("DELETE", "/qemu/", 1)),
        ] {
            let clones = count(&scene, "POST", "/clone");
            survived(&scene, (fault, at, NO_ANSWER), vec![Fault::DropReply(on)]).await;
            assert_eq!(count(&scene, "POST", "/clone"), clones + 1, "{fault}: one machine is cloned once");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_end_in_every_way() {
    for release in BOTH {
        let scene = scene(release).await;
        let slow = ["qmclone", "qmstart", "imgcopy"].map(|kind| task(kind, TaskFault::Slow(30_000)));
        survived(&scene, ("task: end delayed", "qmclone, qmstart, imgcopy", "qmclone"), slow.into()).await;
        let warns = ["qmclone", "qmstart", "imgcopy"].map(|kind| task(kind, TaskFault::Warns));
        survived(&scene, ("task: WARNINGS", "qmclone, qmstart, imgcopy", "WARNINGS: 1"), warns.into()).await;
        let locked = "can't lock file '/var/lock/qemu-server/lock-20000.conf' - got timeout";
        let fails = ["qmclone", "qmconfig", "qmstart"].map(|kind| task(kind, TaskFault::Fails(locked.to_owned())));
        let case = ("task: lock timeout after success", "qmclone, qmconfig, qmstart", locked);
        survived(&scene, case, fails.into()).await;
        let killed = ["imgcopy", "qmstart", "qmconfig", "qmstop"].map(|kind| task(kind, TaskFault::Killed));
        let case = ("task: unexpected status", "imgcopy, qmstart, qmconfig, qmstop", "unexpected status");
        survived(&scene, case, killed.into()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_whose_worker_is_killed_is_left_to_people() {
    let scene = scene(Release::V9_1).await;
    let mut row = Row::of("task: clone killed half way", "qmclone");
    inject(&scene, vec![task("qmclone", TaskFault::Killed)]);
    let service = scene.order_with("shop", one_machine()).await;
    row.seen(&scene, &service, Ends::Completed).await;
    let left = sweep(&scene);
    assert_eq!(left.len(), 1, "{left:?}");
    row.also(format!("another number is taken; {} with `lock: clone` is named in the log", left.join("")));
    assert!(scene.log().contains("the number is not free"), "the log names it");
    row.left_nothing(&scene, &service).await;
}

/// A token may not skip locks: the text says what root has to do, and the delete goes on by itself once that is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lock_of_a_dead_worker_is_told_until_root_takes_it_out() {
    for release in BOTH {
        let scene = scene(release).await;
        for (fault, command) in [("dead lock: a clone died", "qm unlock"), ("dead lock: a destroy died", "qm destroy")]
        {
            let mut row = Row::of(fault, "DELETE /nodes/{node}/qemu/{vmid}");
            row.also(told(&scene));
            let service = scene.order_with("shop", one_machine()).await;
            scene.completed(&service).await;
            let vmid = scene.lab.proxmox(|pve| pve.vms().find(|vm| !vm.template()).map(|vm| vm.vmid)).unwrap();
            let (dies, done_by_root) = match command {
                "qm unlock" => (Fault::ConfigLock(vmid, Some("clone".to_owned())), Fault::ConfigLock(vmid, None)),
                _ => (task("qmdestroy", TaskFault::Killed), Fault::Vanish(vmid)),
            };
            inject(&scene, vec![dies]);
            scene.customer.delete(&service).await.unwrap();
            row.seen(&scene, &service, Ends::Failed("MACHINE_LOCKED:")).await;
            let (error, words) = (scene.newest_job(&service).unwrap().error, format!("{command} {vmid}"));
            assert!(error.contains(&words), "{error}");
            assert_eq!((scene.found().vms, scene.service(&service).status.as_str()), (1, "Error"));
            inject(&scene, vec![done_by_root]);
            scene.settles(&Found::nothing()).await;
            row.also("once that is done, the delete goes on by itself");
            row.left_nothing(&scene, &service).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_are_waited_for() {
    for release in BOTH {
        let scene = scene(release).await;
        let held = |lock: Lock| vec![Fault::Hold(lock, 20_000)];
        survived(&scene, ("lock: template", "qmclone", "lock-9000.conf' - got timeout"), held(Lock::Vm(9000))).await;
        let held = when("POST", "/config", Fault::Hold(Lock::Vm(0), 20_000));
        survived(&scene, ("lock: VM", CONFIG, "lock-20000.conf' - got timeout"), vec![held]).await;
        let backup = when("POST", "/config", Fault::Backup(0, 20_000));
        survived(&scene, ("lock: configuration (backup)", CONFIG, "VM is locked (backup)"), vec![backup]).await;
        let storage = Lock::Storage { id: "vmdata".to_owned(), node: None };
        let case = ("lock: shared storage", "qmclone", "cfs-lock 'storage-vmdata' error");
        survived(&scene, case, vec![Fault::Hold(storage, 20_000)]).await;
    }
    let proxmox = cluster(Release::V9_1).with_local_disks();
    let mut scene = Scene::prepare(Plan { proxmox, ..Plan::default() }).await;
    // The other node has no template, and could not get clones of this one.
    inject(&scene, vec![Fault::NodeOffline("pve2".to_owned(), true)]);
    scene.run().await;
    looked(&scene).await;
    let storage = Lock::Storage { id: "vmdata".to_owned(), node: Some("pve1".to_owned()) };
    let case = ("lock: local storage", "qmclone", "pve-storage-vmdata' - got timeout");
    survived(&scene, case, vec![Fault::Hold(storage, 20_000)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_lags_is_not_believed() {
    let mut late = cluster(Release::V9_1);
    late.durations.broadcast = 600_000;
    let scene = scene_of(late, "").await;
    survived(&scene, ("stale index: names and states late", "GET /cluster/resources", "qmclone"), vec![]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_do_not_reach_each_other_leave_doubt() {
    for release in BOTH {
        let scene = scene(release).await;
        let on = || On::new("POST", "/clone", 1);
        let lost = |status| vec![Fault::Status(on(), status, "Connection timed out".to_owned())];
        survived(&scene, ("595 without effect", CLONE, "595"), lost(595)).await;
        survived(&scene, ("596 without effect", CLONE, "596"), lost(596)).await;
        let clones = count(&scene, "POST", "/clone");
        survived(&scene, ("596 with effect", CLONE, "596"), vec![Fault::ProxyTimeout(on())]).await;
        assert_eq!(count(&scene, "POST", "/clone"), clones + 1, "what was carried out is not asked for again");
        let read = Fault::Status(On::new("GET", "/config", 3), 595, "No route to host".to_owned());
        survived(&scene, ("595 while reading", "GET /nodes/{node}/qemu/{vmid}/config", "595"), vec![read]).await;
    }
}

/// These hold always: the lab's parser is as strict as the real one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_strict_parser_and_the_narrow_token_are_respected() {
    for release in BOTH {
        let scene = scene(release).await;
        let mut chunked = Row::of("501 on chunked bodies", "every request");
        let mut strict = Row::of("strict multipart order", "POST /nodes/{node}/storage/{storage}/upload");
        let mut narrow = Row::of("pool-scoped token: invisible until the clone ends", "ACL on /pool/agentkube");
        let mut text = Row::of("next id as text", "GET /cluster/nextid");
        // A lost answer makes the plugin look for a number that it may not see yet.
        inject(&scene, vec![task("qmclone", TaskFault::Slow(60_000)), Fault::DropReply(On::new("POST", "/clone", 1))]);
        let service = scene.order_with("shop", one_machine()).await;
        for row in [&mut chunked, &mut strict, &mut narrow, &mut text] {
            row.also(told(&scene));
            row.seen(&scene, &service, Ends::Completed).await;
        }
        assert_eq!(count(&scene, "POST", "/clone"), 1);
        assert_eq!(count(&scene, "POST", "/upload"), 1, "the first upload is right");
        let refused = scene.lab.proxmox(|pve| pve.log().iter().filter(|entry| entry.status == 501).count());
        assert_eq!(refused, 0);
        scene.customer.delete(&service).await.unwrap();
        scene.completed(&service).await;
        assert!(count(&scene, "GET", "/cluster/nextid") > 0, "the number itself was asked for");
        [chunked, strict, narrow, text].into_iter().for_each(|row| row.nothing(&scene));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_another_takes_is_left_to_it() {
    for release in BOTH {
        let scene = scene(release).await;
        for (fault, node) in [("id taken, same node", "pve1"), ("id taken, another node", "pve2")] {
            let mut row = Row::of(fault, CLONE);
            row.also(told(&scene));
            inject(&scene, vec![Fault::ForeignTakesNextClone(node.to_owned())]);
            let service = scene.order_with("shop", one_machine()).await;
            row.seen(&scene, &service, Ends::Completed).await;
            scene.customer.delete(&service).await.unwrap();
            scene.completed(&service).await;
            let left = sweep(&scene);
            assert!(left.len() == 1 && left[0].contains("somebody-elses"), "the other's VM stays: {left:?}");
            row.also("the other's VM is untouched");
            row.nothing(&scene);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_move_vanish_and_are_managed_by_others() {
    for release in BOTH {
        let scene = scene(release).await;
        let moves = vec![when("POST", "/config", Fault::Move(0, "pve1".to_owned()))];
        survived(&scene, ("VM moved", CONFIG, "qemu-server/20000.conf' does not exist"), moves).await;
        let managed = vec![when("POST", "/config", Fault::HighAvailability(0, true))];
        survived(&scene, ("VM under HA: start and stop only request", START, "hastart"), managed).await;
        let edited = vec![when("POST", "/config", Fault::Edit(0))];
        survived(&scene, ("digest: somebody else changed it", CONFIG, "checksum mismatch"), edited).await;
        // The agent is asked when a machine is found running.
        let silent = vec![Fault::AgentSilent(None, true), Fault::DropReply(On::new("POST", "/start", 1))];
        let at = "GET /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces";
        survived(&scene, ("guest agent not running", at, "guest agent is not running"), silent).await;
        let vanishes = vec![when("POST", "/start", Fault::Vanish(0))];
        failed(&scene, "VM vanished", START, "MACHINE_GONE", vanishes).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_do_not_start_are_asked_again() {
    let scene = scene(Release::V8_4).await;
    let text = || "got no worker upid - start worker failed".to_owned();
    let faults = ["/clone", "/resize", "/start"].map(|path| Fault::Status(On::new("", path, 2), 500, text()));
    survived(&scene, ("got no worker upid", "clone, resize, start", "got no worker upid"), faults.into()).await;
}

// Checklist 250.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_people_can_mend_fails_with_its_code() {
    for release in BOTH {
        let scene = scene_of(cluster(release), HASTY).await;
        let full = |storage: &str, full| Fault::StorageFull(storage.to_owned(), full);
        failed(&scene, "storage full: disks", "vmdata", "STORAGE_FULL", vec![full("vmdata", true)]).await;
        inject(&scene, vec![full("vmdata", false)]);
        failed(&scene, "storage full: seeds", "seeds", "STORAGE_FULL", vec![full("seeds", true)]).await;
        inject(&scene, vec![full("seeds", false)]);
        for (fault, privilege) in [
            ("privilege missing: VM.Config.Options", "VM.Config.Options"),
            ("privilege missing: Datastore.AllocateSpace", "Datastore.AllocateSpace"),
            ("privilege missing: Datastore.AllocateTemplate", "Datastore.AllocateTemplate"),
            ("privilege missing: SDN.Use", "SDN.Use"),
        ] {
            let missing = |missing| vec![Fault::Withhold(privilege.to_owned(), missing)];
            failed(&scene, fault, "token", "PERMISSION_MISSING", missing(true)).await;
            inject(&scene, missing(false));
        }
        failed(&scene, "tags reserved", CONFIG, "PERMISSION_MISSING", vec![Fault::TagsReserved(true)]).await;
        inject(&scene, vec![Fault::TagsReserved(false)]);
        failed(&scene, "template gone", "VM 9000", "TEMPLATE_MISSING", vec![Fault::Vanish(9000)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_machine_is_deleted_once_it_may_be() {
    let scene = scene(Release::V9_1).await;
    let mut row = Row::of("VM protected", "DELETE /nodes/{node}/qemu/{vmid}");
    let service = scene.order_with("shop", one_machine()).await;
    row.seen(&scene, &service, Ends::Completed).await;
    let vmid = scene.lab.proxmox(|pve| pve.vms().find(|vm| !vm.template()).map(|vm| vm.vmid)).unwrap();
    inject(&scene, vec![Fault::Protect(vmid, true)]);
    scene.customer.delete(&service).await.unwrap();
    row.seen(&scene, &service, Ends::Failed("VM_PROTECTED")).await;
    inject(&scene, vec![Fault::Protect(vmid, false)]);
    row.left_nothing(&scene, &service).await;
}

/// What passes by itself: the job waits and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_recovers_is_waited_for() {
    for release in BOTH {
        let scene = scene(release).await;
        for (fault, at, begins, ends) in [
            ("no quorum", "every change", Fault::NoQuorum(true), Fault::NoQuorum(false)),
            ("401 after 3 s", "every request", Fault::TokenRefused(true), Fault::TokenRefused(false)),
        ] {
            let mut row = Row::of(fault, at);
            row.also(told(&scene));
            inject(&scene, vec![begins]);
            let service = scene.order_with("shop", one_machine()).await;
            tokio::time::sleep(std::time::Duration::from_secs(4)).await;
            assert!(scene.newest_job(&service).is_some_and(|job| job.status.active()), "it waits");
            assert_eq!(scene.found().vms, 0);
            inject(&scene, vec![ends]);
            row.seen(&scene, &service, Ends::Completed).await;
            row.left_nothing(&scene, &service).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_go_down_and_come_back() {
    for release in BOTH {
        let scene = scene(release).await;
        let offline = |offline| vec![Fault::NodeOffline("pve2".to_owned(), offline)];
        survived(&scene, ("node offline", "pve2", "qmclone"), offline(true)).await;
        inject(&scene, offline(false));
        let reboot = |node: &str| Fault::Reboot(node.to_owned(), 30_000);
        let starts = vec![when("POST", "/start", reboot("pve2"))];
        survived(&scene, ("node reboots: before the start", START, "startall"), starts).await;

        let mut row = Row::of("node reboots: workers killed", "qmclone on pve1");
        row.also(told(&scene));
        inject(&scene, vec![when("GET", "/tasks/", reboot("pve1"))]);
        let service = scene.order_with("shop", one_machine()).await;
        row.seen(&scene, &service, Ends::Completed).await;
        let left = sweep(&scene);
        row.also(format!("half made and left to people: {}", left.join(", ")));
        row.left_nothing(&scene, &service).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeds_go_straight_to_their_node() {
    let mut own = cluster(Release::V9_1);
    own.storages.iter_mut().filter(|storage| storage.id == "seeds").for_each(|storage| storage.shared = false);
    let scene = scene_of(own, "").await;
    let at = "POST /nodes/{node}/storage/{storage}/upload";
    survived(&scene, ("uploads do not reach other nodes", at, "imgcopy"), vec![Fault::UploadLost(true)]).await;
}

/// The privileges are looked at when the daemon starts: the one that is missing is named, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_privilege_that_is_missing_is_named_at_start() {
    for release in BOTH {
        let mut scene = Scene::prepare(Plan { proxmox: cluster(release), ..Plan::default() }).await;
        let mut row = Row::of("privilege missing at start", "GET /access/permissions");
        row.also(format!("Proxmox VE {}", release.release()));
        let privilege = release.agent_privilege();
        inject(&scene, vec![Fault::Withhold(privilege.to_owned(), true)]);
        scene.run().await;
        let named = || {
            let log = scene.log();
            let lines = log.lines().filter(|line| line.contains("PRIVILEGE_MISSING")).map(str::to_owned);
            Some(lines.collect::<Vec<_>>()).filter(|lines| !lines.is_empty())
        };
        let lines = wait::until("the preflight to name the privilege", named).await;
        assert!(lines.iter().all(|line| line.contains(&format!("lacks {privilege} on /pool/agentkube"))), "{lines:?}");
        row.also(format!("PRIVILEGE_MISSING: the token lacks {privilege} on /pool/agentkube"));
        row.nothing(&scene);
    }
}
