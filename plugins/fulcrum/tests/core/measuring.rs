//! Services and measurements.

use agentkube_sdk::job_source::Reported;
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
    let report = |service: &str| lab.world.run(lab.plugin.report(service.to_owned(), samples.clone()));
    assert_eq!(report(&service), Ok(Reported { accepted: 1, unknown: vec!["odd".to_owned()] }));
    let queue = lab.queue.borrow();
    let entry = queue.core.metric_entries()[0];
    assert_eq!((entry.service.as_str(), entry.resource.as_str(), entry.value), (&*service, "kabc", 3.0));
    assert_eq!(lab.world.sent("POST", "/api/v1/metric-entries"), 3, "the second odd one is not tried");
    drop(queue);
    lab.queue.borrow_mut().made("/metric-types", json!({"name": "odd", "entityType": "Resource"}));
    let unknown = report("8f2b3c1d-0000-4000-a000-000000000001");
    assert_eq!(unknown, Ok(Reported { accepted: 0, unknown: vec![] }), "the service is unknown, and no type");
    let lists = lab.world.sent("GET", "/api/v1/metric-types");
    assert_eq!(report(&service), Ok(Reported { accepted: 3, unknown: vec![] }));
    assert_eq!(lab.world.sent("GET", "/api/v1/metric-types"), lists, "no list is read where all is known");
}

#[test]
fn a_measurement_is_not_sent_twice() {
    let lab = Lab::new();
    let service = lab.started();
    lab.queue.borrow_mut().made("/metric-types", json!({"name": "nodes.ready", "entityType": "Service"}));
    let matching = Matching::new("POST", "/api/v1/metric-entries");
    lab.queue.borrow_mut().core.fault(Fault::Answer { matching, times: 1, status: 503, retry_after: None });
    let samples = vec![Sample::new("nodes.ready", "kabc", 3.0); 2];
    let reported = lab.world.run(lab.plugin.report(service.clone(), samples.clone()));
    assert_eq!(reported, Ok(Reported { accepted: 1, unknown: vec![] }));
    lab.queue.borrow_mut().core.fault(Fault::ExpireTokens { name: None });
    assert_eq!(lab.world.run(lab.plugin.report(service, samples)).unwrap_err().class, Class::Unauthorized);
}
