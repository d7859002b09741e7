//! Faults that tests switch on.

mod lab;

use lab::Lab;
use lab_core::{Fault, Matching};
use lab_wire::{Answer, Request};
use serde_json::Value;

fn claim(lab: &mut Lab, job: &str) -> Answer {
    let request = Request::new("POST", &format!("/api/v1/jobs/{job}/claim")).bearer(&lab.token.clone());
    lab.send(&request)
}

#[test]
fn a_lost_reply_has_its_effect_and_a_lost_request_has_none() {
    let mut lab = Lab::new();
    lab.ordered();
    let job = lab.next_job();
    let matching = Matching::new("POST", "/api/v1/jobs/").ending("/claim");
    lab.core.fault(Fault::DropRequest { matching: matching.clone(), times: 1 });
    assert!(matches!(claim(&mut lab, &job), Answer::Drop));
    assert_eq!(lab.job(&job)["status"], "Pending");
    lab.core.fault(Fault::DropReply { matching, times: 1 });
    assert!(matches!(claim(&mut lab, &job), Answer::Drop));
    assert_eq!(lab.job(&job)["status"], "Processing");
    assert!(matches!(claim(&mut lab, &job), Answer::Now(response) if response.status == 400));
    let claims: Vec<_> = lab.core.log().filter(|logged| logged.path.ends_with("/claim")).collect();
    let seen: Vec<_> = claims.iter().map(|logged| (logged.status, logged.answered)).collect();
    assert_eq!(seen, [(None, false), (Some(204), false), (Some(400), true)]);
    assert_eq!(claims[1].token, "pve-1");
}

#[test]
fn answers_can_be_replaced_and_delayed() {
    let mut lab = Lab::new();
    lab.ordered();
    let job = lab.next_job();
    let matching = Matching::new("", "/api/v1/jobs/");
    lab.core.fault(Fault::Answer { matching: matching.clone(), times: 2, status: 429, retry_after: Some(7) });
    let Answer::Now(response) = claim(&mut lab, &job) else { panic!() };
    assert_eq!(response.status, 429);
    assert!(response.headers.contains(&("retry-after".into(), "7".into())));
    lab.core.clear_faults();
    assert_eq!(lab.job(&job)["status"], "Pending");
    lab.core.fault(Fault::Delay { matching, times: 1, millis: 40 });
    assert!(matches!(claim(&mut lab, &job), Answer::At(at, response) if at == lab.now + 40 && response.status == 204));
}

#[test]
fn tokens_can_expire_at_once() {
    let mut lab = Lab::new();
    lab.core.fault(Fault::ExpireTokens { name: Some("pve-1".to_owned()) });
    assert_eq!(lab.agent("GET", "/agents/me", Value::Null).status, 403);
    assert_eq!(lab.admin("GET", "/agents", Value::Null).status, 200);
}

#[test]
fn properties_can_be_gone_as_after_an_update_without_parameters() {
    let mut lab = Lab::new();
    let service = lab.started();
    lab.core.fault(Fault::WipeProperties);
    assert!(lab.service(&service).get("properties").is_none());
    lab.admin("DELETE", &format!("/services/{service}"), Value::Null);
    assert!(lab.pending()[0]["service"].get("properties").is_none());
}

#[test]
fn every_line_of_the_table_of_refusals_can_be_said() {
    let mut lab = Lab::new();
    let me = || Matching::new("GET", "/api/v1/agents/me");
    lab.core.fault(Fault::refusal(me(), 1, 403, "authentication failed: no valid identity found"));
    let answer = lab.agent("GET", "/agents/me", Value::Null);
    assert_eq!((answer.status, answer.value()["status"].as_str()), (403, Some("Forbidden")));
    assert!(answer.headers.iter().any(|(_, value)| value.starts_with("text/plain")), "{:?}", answer.headers);
    lab.core.fault(Fault::panic(me(), 1));
    let answer = lab.agent("GET", "/agents/me", Value::Null);
    assert_eq!((answer.status, answer.body.len()), (500, 0));
    assert_eq!(lab.agent("GET", "/agents/me", Value::Null).status, 200);
}
