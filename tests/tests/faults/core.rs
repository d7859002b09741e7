//! What Fulcrum Core does to its clients.

use agentkube_tests::report::{Ends, Row};
use agentkube_tests::{Plan, Scene, one_machine};
use lab_core::{Fault, Matching};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_answer_is_lost_is_settled_by_asking() {
    let mut row = Row::of("claim: answer lost", "POST /jobs/{id}/claim");
    let scene = Scene::start(Plan::default()).await;
    let matching = Matching::new("POST", "/api/v1/jobs").ending("/claim");
    scene.lab.core(|core| core.fault(Fault::DropReply { matching, times: 1 }));
    let service = scene.order_with("shop", one_machine()).await;
    row.seen(&scene, &service, Ends::Completed).await;
    row.left_nothing(&scene, &service).await;
}
