//! Services and measurements.

use agentkube_sdk::observed::Sample;
use agentkube_sdk::{Class, JobSource};
use lab_core::{Fault, Matching};
use serde_json::json;

use crate::lab::{Lab, wanted};

#[test]
fn services_come_in_pages_and_only_ours() {
    let lab = Lab::new();
    let mut ours = Vec::new();
    for at in 0..130 {
        let mut queue = lab.queue.borrow_mut();
        let group = queue.new_group(&format!("group {at}"));
        ours.push(queue.order_in(&group, wanted()));
    }
    let (sibling, _) = lab.queue.borrow_mut().new_agent("dc2");
    let own = std::mem::replace(&mut lab.queue.borrow_mut().agent, sibling);
    lab.order();
    lab.queue.borrow_mut().agent = own;
    let (mut found, mut page) = (Vec::new(), None);
    loop {
        let answer = lab.world.run(lab.plugin.services(page)).unwrap();
        found.extend(answer.items.into_iter().map(|service| (service.id, service.state, service.instance_id)));
        page = answer.next;
        if page.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 130);
    assert!(found.iter().all(|(id, state, instance)| ours.contains(id) && state == "New" && instance.is_none()));
    assert_eq!(lab.world.sent("GET", "/api/v1/services"), 2);
    assert_eq!(lab.world.run(lab.plugin.services(Some("x".to_owned()))).unwrap_err().code, "BAD_PAGE");
}

#[test]
fn known_measurements_are_posted_and_others_left_out() {
    let lab = Lab::new();
    let service = lab.started();
    lab.queue.borrow_mut().made("/metric-types", json!({"name": "nodes.ready", "entityType": "Service"}));
    let samples = vec![
        Sample::new("nodes.ready", "kabc", 3.0),
        Sample::new("nodes.ready", "", 3.0),
        Sample::new("nodes.ready", "kabc", f64::NAN),
        Sample::new("odd", "kabc", 1.0),
        Sample::new("odd", "kdef", 1.0),
    ];
    assert_eq!(lab.world.run(lab.plugin.report(service.clone(), samples.clone())), Ok(1));
    let queue = lab.queue.borrow();
    let entry = queue.core.metric_entries()[0];
    assert_eq!((entry.service.as_str(), entry.resource.as_str(), entry.value), (&*service, "kabc", 3.0));
    assert_eq!(lab.world.sent("POST", "/api/v1/metric-entries"), 3, "the second odd one is not tried");
    assert_eq!(lab.world.sent("GET", "/api/v1/metric-types"), 0, "no list is read for it");
    let told = lab.world.logs().iter().filter(|line| line.contains("odd")).count();
    assert_eq!(told, 1, "{:?}", lab.world.logs());
    drop(queue);
    let unknown = "8f2b3c1d-0000-4000-a000-000000000001".to_owned();
    assert_eq!(lab.world.run(lab.plugin.report(unknown, samples)), Ok(0));
}

#[test]
fn a_measurement_is_not_sent_twice() {
    let lab = Lab::new();
    let service = lab.started();
    lab.queue.borrow_mut().made("/metric-types", json!({"name": "nodes.ready", "entityType": "Service"}));
    let matching = Matching::new("POST", "/api/v1/metric-entries");
    lab.queue.borrow_mut().core.fault(Fault::Answer { matching, times: 1, status: 503, retry_after: None });
    let samples = vec![Sample::new("nodes.ready", "kabc", 3.0); 2];
    assert_eq!(lab.world.run(lab.plugin.report(service.clone(), samples.clone())), Ok(1));
    lab.queue.borrow_mut().core.fault(Fault::ExpireTokens { name: None });
    assert_eq!(lab.world.run(lab.plugin.report(service, samples)).unwrap_err().class, Class::Unauthorized);
}
