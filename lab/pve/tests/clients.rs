//! What clients get wrong about answers, access and uploads: one test per quirk.

mod common;

use common::{Client, multipart};
use lab_pve::{Fault, On, Release, Settings, TOKEN};
use lab_wire::{Answer, Request};
use serde_json::json;

fn fast() -> Client {
    Client::new(Settings::default().with_scale(0.1))
}

#[test]
fn version_wants_authentication_and_refusals_take_three_seconds() {
    let mut client = Client::new(Settings::default());
    client.token = format!("PVEAPIToken={TOKEN}=wrong");
    let Answer::At(at, response) = client.send(Request::new("GET", "/api2/extjs/version")) else { panic!() };
    assert_eq!((at - client.now, response.status, response.body.len()), (3000, 401, 0));
    assert_eq!(response.reason.as_deref(), Some("Authentication failed!"));
    let anonymous = Request::new("GET", "/api2/json/version");
    let answer = lab_wire::Server::handle(&mut client.pve, &anonymous, client.now, &mut client.random);
    let Answer::At(_, response) = answer else { panic!() };
    assert_eq!((response.status, response.reason.as_deref()), (401, Some("No ticket")));
}

#[test]
fn an_expired_token_is_no_token() {
    let mut settings = Settings::default();
    settings.tokens[0].expire = Some(1_700_000_000);
    let mut client = Client::new(settings);
    assert_eq!(client.response(Request::new("GET", "/api2/json/version")).status, 401);
}

#[test]
fn extjs_always_says_200_outside() {
    let mut client = fast();
    let response = client.response(Request::new("GET", "/api2/extjs/nodes/pve1/qemu/9000/nothing"));
    assert_eq!((response.status, response.value()["status"].clone()), (200, json!(501)));
    let path = "/api2/extjs/nodes/pve1/qemu/9000/nothing";
    let message = format!("Method 'GET {}' not implemented\n", &path["/api2/extjs".len()..]);
    assert_eq!(response.value()["message"], message);
}

#[test]
fn chunked_and_large_bodies_are_501() {
    let mut client = fast();
    let chunked = Request::new("GET", "/api2/extjs/version").header("transfer-encoding", "chunked");
    assert_eq!(client.response(chunked).status, 501);
    let mut large = Request::new("PUT", "/api2/extjs/nodes/pve1/qemu/104/config");
    large.body = vec![b'x'; 512 * 1024 + 1];
    assert_eq!(client.response(large).status, 501);
}

#[test]
fn unknown_parameters_are_refused_with_a_map() {
    let mut client = fast();
    let path = "/nodes/pve1/qemu/9000/clone";
    let (status, body) =
        client.call("POST", path, &[("newid", "104"), ("pool", "agentkube"), ("vlan", "3"), ("full", "q")]);
    assert_eq!((status, body["message"].clone()), (400, json!("Parameter verification failed.\n")));
    assert!(body["errors"]["vlan"].as_str().unwrap().contains("not defined in schema"));
    assert_eq!(body["errors"]["full"], "type check ('boolean') failed - got 'q'");
    let (_, body) = client.call("POST", path, &[("pool", "agentkube")]);
    assert_eq!(body["errors"]["newid"], "property is missing and it is not optional");
}

#[test]
fn a_token_needs_the_privilege_and_so_does_its_user() {
    let mut settings = Settings::default();
    settings.acl.retain(|entry| !(entry.who == TOKEN && entry.path == "/pool/templates"));
    let mut client = Client::new(settings);
    let refused = client.fails("POST", "/nodes/pve1/qemu/9000/clone", &[("newid", "104"), ("pool", "agentkube")]);
    assert_eq!(refused, (403, "Permission check failed (/vms/9000, VM.Clone)".to_owned()));
    let mut settings = Settings::default();
    settings.acl.retain(|entry| !(entry.who == "agentkube@pve" && entry.path == "/pool/templates"));
    let mut client = Client::new(settings);
    assert_eq!(
        client.fails("POST", "/nodes/pve1/qemu/9000/clone", &[("newid", "104"), ("pool", "agentkube")]),
        refused
    );
}

#[test]
fn a_clone_needs_a_pool_that_one_may_make_machines_in() {
    let mut client = fast();
    let refused = client.fails("POST", "/nodes/pve1/qemu/9000/clone", &[("newid", "104")]);
    assert_eq!(refused, (403, "Permission check failed".to_owned()));
}

#[test]
fn a_withheld_privilege_is_named() {
    let mut client = fast();
    client.clone(104);
    client.pve.fault(Fault::Withhold("VM.Config.Memory".to_owned(), true));
    let refused = client.fails("PUT", "/nodes/pve1/qemu/104/config", &[("memory", "4096")]);
    assert_eq!(refused, (403, "Permission check failed (/vms/104, VM.Config.Memory)".to_owned()));
    client.pve.fault(Fault::Withhold("VM.Config.Memory".to_owned(), false));
    client.ok("PUT", "/nodes/pve1/qemu/104/config", &[("memory", "4096")]);
}

#[test]
fn permissions_show_what_the_token_may_do() {
    let mut client = fast();
    let map = client.ok("GET", "/access/permissions", &[]);
    assert_eq!(map["/pool/agentkube"]["VM.Allocate"], 1);
    assert_eq!(map["/vms/9000"]["VM.Clone"], 1);
    assert_eq!(map["/pool/agentkube"]["VM.GuestAgent.Audit"], 1);
    assert!(map["/storage/vmdata"]["Datastore.AllocateTemplate"].is_null());
}

#[test]
fn asking_the_agent_takes_another_privilege_since_9() {
    for (release, held, lacks) in [
        (Release::V8_4, "VM.Monitor", None),
        (Release::V9_1, "VM.GuestAgent.Audit", Some("VM.GuestAgent.Unrestricted")),
    ] {
        let mut client = Client::new(Settings::new(release).with_scale(0.1));
        client.clone(104);
        let (status, _) = client.fails("POST", "/nodes/pve1/qemu/104/agent/ping", &[]);
        assert_eq!(status, 500, "allowed, but the VM is off");
        let exec = client.fails("POST", "/nodes/pve1/qemu/104/agent/exec", &[("command", "true")]);
        match lacks {
            Some(privilege) => assert_eq!(exec, (403, format!("Permission check failed (/vms/104, {privilege})"))),
            None => assert_eq!(exec.0, 500),
        }
        client.pve.fault(Fault::Withhold(held.to_owned(), true));
        assert_eq!(client.fails("POST", "/nodes/pve1/qemu/104/agent/ping", &[]).0, 403);
    }
}

#[test]
fn storages_and_bridges_are_guarded_too() {
    let mut client = fast();
    client.clone(104);
    let bridge = client.fails("PUT", "/nodes/pve1/qemu/104/config", &[("net0", "virtio,bridge=vmbr1")]);
    assert_eq!(bridge.1, "Permission check failed (/sdn/zones/localnetwork/vmbr1, SDN.Use)");
    let storage = client.fails("PUT", "/nodes/pve1/qemu/104/config", &[("ide3", "local:iso/a.iso,media=cdrom")]);
    assert_eq!(storage.1, "Permission check failed (/storage/local, Datastore.Audit|Datastore.AllocateSpace)");
    let root_only = client.fails("PUT", "/nodes/pve1/qemu/104/config", &[("args", "-device x")]);
    assert_eq!(root_only, (500, "only root can set 'args' config".to_owned()));
    let (status, body) = client.call("PUT", "/nodes/pve1/qemu/104/config", &[("cores", "2"), ("skiplock", "1")]);
    assert_eq!((status, body["errors"]["skiplock"].clone()), (400, json!("Only root may use this option.")));
}

#[test]
fn uploads_know_one_order_of_fields_and_run_where_they_arrive() {
    let mut client = fast();
    let response = client.upload("pve2", "a b.iso", b"x");
    let upid = response.value()["data"].clone();
    assert!(upid.as_str().unwrap().starts_with("UPID:pve1:"), "the receiving node runs the task: {upid}");
    assert_eq!(client.wait(&upid), "OK");
    let content = client.ok("GET", "/nodes/pve1/storage/seeds/content?content=iso", &[]);
    assert_eq!(content[0]["volid"], "seeds:iso/a_b.iso");

    let mut request = Request::new("POST", "/api2/json/nodes/pve1/storage/seeds/upload")
        .header("content-type", "multipart/form-data; boundary=XyZ");
    let mut swapped = request.clone();
    swapped.body =
        multipart(&[("checksum", "00"), ("checksum-algorithm", "sha256"), ("content", "iso")], "b.iso", b"x");
    let response = client.response(swapped);
    assert_eq!(response.status, 200, "out of order the checksum is lost, so nothing is compared");
    request.body =
        multipart(&[("content", "iso"), ("checksum-algorithm", "sha256"), ("checksum", "00")], "b.iso", b"x");
    let upid = client.response(request.clone()).value()["data"].clone();
    assert!(client.wait(&upid).starts_with("checksum mismatch: got '"));
    request.body = multipart(&[("content", "snippets")], "b.yaml", b"x");
    let refused = client.response(request).value();
    assert_eq!(
        refused["errors"]["content"],
        "value 'snippets' does not have a value in the enumeration 'iso, vztmpl, import'"
    );
    assert_eq!(client.upload("pve1", "a.txt", b"x").value()["errors"]["filename"], "wrong file extension");

    client.pve.fault(Fault::UploadLost(true));
    assert_eq!(client.upload("pve1", "c.iso", b"x").status, 200);
    assert!(client.upload("pve2", "c.iso", b"x").reason.unwrap().starts_with("stat local"));
}

#[test]
fn uploads_go_to_directories_only() {
    let mut client = fast().root();
    let mut request = Request::new("POST", "/api2/json/nodes/pve1/storage/vmdata/upload")
        .header("content-type", "multipart/form-data; boundary=XyZ");
    request.body = multipart(&[("content", "iso")], "a.iso", b"x");
    assert_eq!(client.response(request).reason.as_deref(), Some("can't upload to storage type 'rbd'"));
}

#[test]
fn a_reply_can_be_lost_after_its_effect() {
    let mut client = fast();
    client.pve.fault(Fault::DropReply(On::new("POST", "/clone", 1)));
    let mut request = Request::new("POST", "/api2/json/nodes/pve1/qemu/9000/clone")
        .header("content-type", "application/x-www-form-urlencoded");
    request.body = b"newid=104&pool=agentkube&full=0".to_vec();
    assert!(matches!(client.send(request.clone()), Answer::Drop));
    let upid = json!(client.pve.tasks()[0].upid);
    assert_eq!(client.wait(&upid), "OK");
    assert!(client.pve.vm(104).is_some());
    assert_eq!(client.pve.log()[0].status, 0);
}

#[test]
fn the_forwarding_node_gives_up_after_the_effect() {
    let mut client = Client::new(Settings::default());
    client.pve.fault(Fault::ProxyTimeout(On::new("POST", "/clone", 1)));
    let mut request = Request::new("POST", "/api2/extjs/nodes/pve1/qemu/9000/clone")
        .header("content-type", "application/x-www-form-urlencoded");
    request.body = b"newid=104&pool=agentkube&full=0".to_vec();
    let Answer::At(at, response) = client.send(request) else { panic!() };
    assert_eq!((at - client.now, response.status), (30_000, 596));
    assert_eq!(client.pve.tasks().len(), 1);
}

#[test]
fn errors_without_effect_and_nodes_that_are_gone() {
    let mut client = fast();
    client.pve.fault(Fault::Status(On::new("", "/nextid", 1), 503, "busy".to_owned()));
    assert_eq!(client.fails("GET", "/cluster/nextid", &[]), (503, "busy".to_owned()));
    client.ok("GET", "/cluster/nextid", &[]);
    client.pve.fault(Fault::NodeOffline("pve2".to_owned(), true));
    let response = client.response(Request::new("GET", "/api2/extjs/nodes/pve2/qemu"));
    assert_eq!((response.status, response.reason), (595, None));
    client.endpoint = "pve2".to_owned();
    assert!(matches!(client.send(Request::new("GET", "/api2/extjs/version")), Answer::Drop));
    client.endpoint = String::new();
    let unknown = client.fails("GET", "/nodes/pve9/qemu", &[]);
    assert!(unknown.1.starts_with("hostname lookup 'pve9' failed"), "{unknown:?}");
}

#[test]
fn messages_are_in_reason_phrases_only_before_8_4() {
    let mut client = Client::new(Settings::new(Release::V8_2).with_scale(0.1));
    let mut root = Client::new(Settings::new(Release::V8_2).with_scale(0.1)).root();
    let text = "Configuration file 'nodes/pve1/qemu-server/104.conf' does not exist";
    let response = root.response(Request::new("GET", "/api2/json/nodes/pve1/qemu/104/config"));
    assert_eq!(
        (response.status, response.value(), response.reason.as_deref()),
        (500, json!({ "data": null }), Some(text))
    );
    // A token that sees VMs through its pool only is refused before anybody looks whether the VM exists.
    assert_eq!(client.fails("GET", "/nodes/pve1/qemu/104/config", &[]).0, 403);
}

#[test]
fn json_bodies_work_too() {
    let mut client = fast();
    let body = json!({ "newid": 104, "pool": "agentkube", "full": false });
    let response = client.response(Request::new("POST", "/api2/json/nodes/pve1/qemu/9000/clone").json(&body));
    assert_eq!(response.status, 200, "{:?}", response.value());
}
