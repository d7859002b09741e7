//! What befalls Fulcrum Core: requests about jobs, which only an agent sends.

use lab_core::{Fault, Matching};
use lab_wire::Random;

use super::{Named, Servers, pick};

pub(super) const ALL: &[Named] = &[
    Named {
        name: "core-lost-replies",
        says: "Core does what it is asked about a job, and the answer never comes.",
        passes: true,
        strike: |servers, _| on(servers, |matching| Fault::DropReply { matching, times: 1 }),
        end: None,
    },
    Named {
        name: "core-lost-requests",
        says: "A request about a job never reaches Core.",
        passes: true,
        strike: |servers, _| on(servers, |matching| Fault::DropRequest { matching, times: 1 }),
        end: None,
    },
    Named {
        name: "core-errors",
        says: "Core answers a request about jobs with 429, 500, 502 or 503, sometimes with Retry-After.",
        passes: true,
        strike: errors,
        end: None,
    },
    Named {
        name: "core-slow",
        says: "Core takes ten seconds for an answer about jobs.",
        passes: true,
        strike: |servers, _| {
            let millis = servers.scaled(10_000);
            on(servers, |matching| Fault::Delay { matching, times: 1, millis });
        },
        end: None,
    },
    Named {
        name: "core-restart",
        says: "Core's process starts again on the same database.",
        passes: true,
        strike: |servers, _| servers.core.with(|core, now, random| core.boot(now, random)),
        end: None,
    },
    Named {
        name: "core-token-expired",
        says: "The agent's token expires, and stays so until somebody makes another.",
        passes: false,
        strike: |servers, _| servers.core.with(|core, _, _| core.fault(Fault::ExpireTokens { name: None })),
        end: None,
    },
];

fn on(servers: &Servers, fault: impl FnOnce(Matching) -> Fault) {
    servers.core.with(|core, _, _| core.fault(fault(Matching::new("", "/api/v1/jobs"))));
}

fn errors(servers: &Servers, random: &mut Random) {
    let status = pick(random, &[429, 500, 502, 503]).copied().unwrap_or(503);
    let retry_after = random.one_in(2).then_some(1);
    on(servers, |matching| Fault::Answer { matching, times: 1, status, retry_after });
}
