//! The API as a client sees it.

use lab_wire::{GuestAddress, Media, Response};
use serde_json::{Value, json};

use super::*;
use crate::config::{Quota, Timings};

struct Client {
    cloud: ToyCloud,
    random: Random,
    now: Millis,
}

fn client() -> Client {
    let timings = Timings { create: 100, start: 10, stop: 10, delete: 10 };
    let config = Config { timings, ..Config::default() };
    Client { cloud: ToyCloud::new(config), random: Random::new(3), now: 1_000_000 }
}

impl Client {
    fn answer(&mut self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = Request::new(method, path).bearer("toy-token");
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        self.cloud.handle(&request, self.now, &mut self.random)
    }

    fn send(&mut self, method: &str, path: &str, body: Option<Value>) -> Response {
        match self.answer(method, path, body) {
            Answer::Now(response) => response,
            other => panic!("{other:?}"),
        }
    }

    fn get(&mut self, path: &str) -> Value {
        self.send("GET", path, None).value()
    }

    fn code(&mut self, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        let response = self.send(method, path, body);
        let code = response.value()["error"]["code"].as_str().unwrap_or_default().to_owned();
        (response.status, code)
    }

    /// Orders a machine and waits for it.
    fn machine(&mut self, name: &str, tags: Value) -> String {
        let order = order(name, tags);
        let operation = self.send("POST", "/v1/machines", Some(order)).value();
        self.now += 100;
        operation["machine"].as_str().unwrap().to_owned()
    }
}

fn order(name: &str, tags: Value) -> Value {
    json!({ "name": name, "cores": 2, "memory_mib": 4096, "image": "ubuntu-24.04", "tags": tags })
}

#[test]
fn a_machine_comes_boots_stops_and_goes() {
    let mut client = client();
    let operation = client.send("POST", "/v1/machines", Some(order("a", json!({ "pool": "x" }))));
    assert_eq!(operation.status, 202);
    let operation = operation.value();
    let (id, path) =
        (operation["machine"].as_str().unwrap(), format!("/v1/operations/{}", operation["id"].as_str().unwrap()));
    let machine = format!("/v1/machines/{id}");
    assert_eq!(client.cloud.next_timer(), Some(client.now + 100));
    assert_eq!(client.get(&path)["state"], "running");
    assert_eq!(client.code("POST", &format!("{machine}/start"), None), (409, "busy".into()));
    client.now += 100;
    assert_eq!(client.get(&path)["state"], "succeeded");
    assert_eq!(client.get(&machine)["state"], "stopped");

    let data = json!({ "user_data": "I2Nsb3VkLWNvbmZpZwo=" });
    assert_eq!(client.send("PUT", &format!("{machine}/user-data"), Some(data.clone())).status, 204);
    assert_eq!(client.send("POST", &format!("{machine}/start"), None).status, 202);
    client.now += 10;
    assert_eq!(client.get(&machine)["state"], "running");
    let events = client.cloud.machine_events();
    let [MachineEvent::Started(boot)] = events.as_slice() else { panic!("{events:?}") };
    let [Media::Metadata { user_data, hostname }] = boot.media.as_slice() else { panic!() };
    assert_eq!((user_data.as_slice(), hostname.as_str()), (b"#cloud-config\n".as_slice(), "a"));
    assert_eq!(client.code("PUT", &format!("{machine}/user-data"), Some(data)), (409, "wrong_state".into()));

    let address =
        GuestAddress { interface: "eth0".into(), mac: boot.macs[0].clone(), address: "10.1.2.3".into(), prefix: 24 };
    let report = GuestReport { agent: true, hostname: "a".into(), addresses: vec![address], ..GuestReport::default() };
    client.cloud.guest_report(id, report, client.now);
    assert_eq!(client.get(&machine)["addresses"], json!(["10.1.2.3"]));
    assert_eq!(client.send("DELETE", &format!("{machine}/user-data"), None).status, 204);
    assert_eq!(client.get(&machine)["has_user_data"], false);

    client.send("POST", &format!("{machine}/stop"), None);
    client.now += 10;
    assert_eq!(client.get(&machine)["addresses"], json!([]));
    client.send("DELETE", &machine, None);
    client.now += 10;
    assert_eq!(client.code("GET", &machine, None), (404, "not_found".into()));
    let events = client.cloud.machine_events();
    assert!(matches!(events.as_slice(), [MachineEvent::Stopped { .. }, MachineEvent::Destroyed { .. }]), "{events:?}");
}

#[test]
fn a_list_is_filtered_and_paged() {
    let mut client = client();
    for name in ["a", "b", "c"] {
        client.machine(name, json!({ "cluster": "k1", "pool": name }));
    }
    client.machine("d", json!({ "cluster": "k2" }));
    assert_eq!(client.get("/v1/machines?tag.cluster=k1&tag.pool=b")["machines"][0]["name"], "b");
    let mut names = Vec::new();
    let mut path = "/v1/machines?tag.cluster=k1&limit=2".to_owned();
    loop {
        let page = client.get(&path);
        names.extend(page["machines"].as_array().unwrap().iter().map(|machine| machine["name"].to_string()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/machines?tag.cluster=k1&limit=2&after={next}"),
            None => break,
        }
    }
    names.sort();
    assert_eq!(names, ["\"a\"", "\"b\"", "\"c\""]);
    assert_eq!(client.code("GET", "/v1/machines?tags=x", None), (422, "invalid".into()));
}

#[test]
fn a_lost_reply_leaves_a_machine_and_a_second_order_makes_another() {
    let mut client = client();
    client.cloud.inject(Fault::new("POST", "/v1/machines", Mishap::DropReply));
    assert!(matches!(client.answer("POST", "/v1/machines", Some(order("a", json!({})))), Answer::Drop));
    client.machine("a", json!({}));
    assert_eq!(client.get("/v1/machines")["machines"].as_array().unwrap().len(), 2);
    let outcomes: Vec<Outcome> = client.cloud.log().iter().map(|entry| entry.outcome).collect();
    assert_eq!(outcomes, [Outcome::Lost(202), Outcome::Answered(202), Outcome::Answered(200)]);
}

#[test]
fn faults_refuse_delay_fail_and_slow_the_next_requests_only() {
    let mut client = client();
    client.cloud.inject(Fault::new("POST", "/v1/machines", Mishap::Refuse(503)).times(2));
    for _ in 0..2 {
        let refused = client.send("POST", "/v1/machines", Some(order("a", json!({}))));
        assert_eq!((refused.status, refused.headers.iter().any(|(name, _)| name == "retry-after")), (503, true));
    }
    assert_eq!(client.cloud.machines().count(), 0);
    client.cloud.inject(Fault::new("POST", "/v1/machines", Mishap::FailOperation("no host has room".into())));
    let operation = client.send("POST", "/v1/machines", Some(order("a", json!({})))).value();
    client.now += 100;
    let operation = client.get(&format!("/v1/operations/{}", operation["id"].as_str().unwrap()));
    assert_eq!((&operation["state"], &operation["error"]["message"]), (&json!("failed"), &json!("no host has room")));

    let id = client.machine("b", json!({}));
    client.cloud.inject(Fault::new("POST", "/v1/machines/*/start", Mishap::SlowOperation(10)));
    client.send("POST", &format!("/v1/machines/{id}/start"), None);
    client.now += 99;
    assert_eq!(client.get(&format!("/v1/machines/{id}"))["state"], "starting");
    client.now += 1;
    assert_eq!(client.get(&format!("/v1/machines/{id}"))["state"], "running");
    client.cloud.inject(Fault::new("GET", "/v1/images", Mishap::Delay(30)));
    let late = client.now + 30;
    assert!(matches!(client.answer("GET", "/v1/images", None), Answer::At(at, _) if at == late));
}

#[test]
fn limits_and_wrong_requests_are_refused() {
    let mut client = client();
    client.cloud.config.quota = Quota { machines: 1, cores: 3, requests_per_second: None };
    let unauthorized = Request::new("GET", "/v1/images").bearer("wrong");
    assert!(
        matches!(client.cloud.handle(&unauthorized, 0, &mut client.random), Answer::Now(answer) if answer.status == 401)
    );
    let mut greedy = order("a", json!({}));
    greedy["cores"] = json!(4);
    assert_eq!(client.code("POST", "/v1/machines", Some(greedy)), (409, "quota_exceeded".into()));
    client.machine("a", json!({}));
    assert_eq!(client.code("POST", "/v1/machines", Some(order("b", json!({})))), (409, "quota_exceeded".into()));
    for (key, value) in
        [("image", json!("none")), ("cores", json!(0)), ("user_data", json!("%")), ("colour", json!("red"))]
    {
        let mut wrong = order("a", json!({}));
        wrong[key] = value;
        assert_eq!(client.code("POST", "/v1/machines", Some(wrong)), (422, "invalid".into()), "{key}");
    }
    assert_eq!(client.code("PATCH", "/v1/machines", None), (405, "method_not_allowed".into()));
    assert_eq!(client.code("GET", "/v2", None), (404, "not_found".into()));
    client.now += 1000;
    client.cloud.config.quota.requests_per_second = Some(1);
    assert_eq!(client.send("GET", "/v1/images", None).status, 200);
    assert_eq!(client.code("GET", "/v1/images", None), (429, "too_many_requests".into()));
    client.now += 1000;
    assert_eq!(client.send("GET", "/v1/images", None).status, 200);
}

#[test]
fn a_new_machine_is_missing_from_lists_for_a_while() {
    let mut client = client();
    client.cloud.config.list_lag_ms = 500;
    let id = client.machine("a", json!({}));
    assert_eq!(client.get("/v1/machines")["machines"], json!([]));
    assert_eq!(client.get(&format!("/v1/machines/{id}"))["name"], "a");
    client.now += 400;
    assert_eq!(client.get("/v1/machines")["machines"].as_array().unwrap().len(), 1);
}
