//! What befalls the toy cloud.

use lab_toy::{Fault, Mishap};
use lab_wire::Random;

use super::{Named, Servers, pick};

pub(super) const ALL: &[Named] = &[
    Named {
        name: "toy-lost-replies",
        says: "The toy cloud does what it is asked, and the answer never comes.",
        passes: true,
        strike: |servers, random| on(servers, random, Mishap::DropReply),
        end: None,
    },
    Named {
        name: "toy-errors",
        says: "The toy cloud answers with 429, 500 or 503.",
        passes: true,
        strike: |servers, random| {
            let status = pick(random, &[429, 500, 503]).copied().unwrap_or(503);
            on(servers, random, Mishap::Refuse(status));
        },
        end: None,
    },
    Named {
        name: "toy-slow",
        says: "An operation of the toy cloud takes five times as long.",
        passes: true,
        strike: |servers, random| on(servers, random, Mishap::SlowOperation(5)),
        end: None,
    },
    Named {
        name: "toy-failed-operations",
        says: "An operation of the toy cloud fails after its request was answered with success.",
        passes: true,
        strike: |servers, random| on(servers, random, Mishap::FailOperation("the hypervisor went away".to_owned())),
        end: None,
    },
];

fn on(servers: &Servers, random: &mut Random, mishap: Mishap) {
    let targets = [("POST", "/v1/machines"), ("DELETE", "/v1/machines/*"), ("POST", "/v1/machines/*/start")];
    if let Some((method, path)) = pick(random, &targets) {
        servers.toy.with(|toy, _, _| toy.inject(Fault::new(method, path, mishap)));
    }
}
