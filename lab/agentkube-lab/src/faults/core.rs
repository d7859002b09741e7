//! What befalls Fulcrum Core: requests about jobs, which agents send, and customers only to look.

use lab_core::{Fault, Matching, Settings};
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
        says: "Core's process starts again on the same database; until then no request of an agent arrives.",
        passes: true,
        strike: |servers, _| {
            servers.core.with(|core, now, random| {
                core.boot(now, random);
                for path in [JOBS, "/api/v1/agents"] {
                    core.fault(Fault::DropRequest { matching: Matching::new("", path), times: u32::MAX });
                }
            });
        },
        end: Some(clear),
    },
    Named {
        name: "core-panics",
        says: "Core's handler panics at a request about jobs: 500 without a body, and no effect.",
        passes: true,
        strike: |servers, _| on(servers, |matching| Fault::panic(matching, 1)),
        end: None,
    },
    Named {
        name: "core-database",
        says: "Core's database fails at a request about jobs: 500 with SQLSTATE, JSON that calls itself text/plain.",
        passes: true,
        strike: |servers, _| refuse(servers, "", 500, "ERROR: deadlock detected (SQLSTATE 40P01)"),
        end: None,
    },
    Named {
        name: "core-forbidden",
        says: "Core does not know the agent at a request about one job or the queue: 403, as for a token that is dead.",
        passes: true,
        strike: |servers, _| {
            // Customers look at lists of jobs, and for them such a no would be the end.
            let matching = Matching::new("", &format!("{JOBS}/"));
            let words = "authentication failed: no valid identity found";
            servers.core.with(|core, _, _| core.fault(Fault::refusal(matching, 1, 403, words)));
        },
        end: None,
    },
    Named {
        name: "core-claim-races",
        says: "Claims are not atomic: for a while a second claim of a job may succeed too.",
        passes: true,
        strike: |servers, _| reconfigure(servers, |settings| settings.claim_race_ms = 60_000),
        end: Some(|servers| reconfigure(servers, |settings| settings.claim_race_ms = 0)),
    },
    Named {
        name: "core-taken-ids",
        says: "Another service holds the agent instance id of the next job that is completed: 500 with SQLSTATE 23505.",
        passes: true,
        strike: |servers, _| {
            let words = "ERROR: duplicate key value violates unique constraint \"service_agent_instance_id_uniq\" (SQLSTATE 23505)";
            refuse(servers, COMPLETE, 500, words);
        },
        end: None,
    },
    Named {
        name: "core-refused-properties",
        says: "Core refuses properties of the next job that is completed: 400, at times without saying which.",
        passes: false,
        strike: |servers, random| {
            let words = [
                "invalid input: validation failed: nodes: expected integer, got string",
                "invalid input: validation failed: 2 errors",
            ];
            refuse(servers, COMPLETE, 400, pick(random, &words).copied().unwrap_or_default());
        },
        end: None,
    },
    Named {
        name: "core-wiped-properties",
        says: "Every service loses its properties, as by an update without parameters that another agent of the provider completed.",
        passes: false,
        strike: |servers, _| servers.core.with(|core, _, _| core.fault(Fault::WipeProperties)),
        end: None,
    },
    Named {
        name: "core-job-timeouts",
        says: "Core's job maintenance fails every job that is open, and leaves the services as they are.",
        passes: false,
        strike: |servers, _| {
            reconfigure(servers, |settings| (settings.job_maintenance, settings.job_timeout_ms) = (Some(20), 1));
        },
        end: Some(|servers| {
            reconfigure(servers, |settings| {
                let usual = Settings::default();
                (settings.job_maintenance, settings.job_timeout_ms) = (usual.job_maintenance, usual.job_timeout_ms);
            });
        }),
    },
    Named {
        name: "core-token-expired",
        says: "The agent's token expires, once, and stays so until somebody makes another.",
        passes: false,
        strike: |servers, _| {
            servers.core.with(|core, _, _| {
                // Whoever has mended it is left in peace.
                if core.store().tokens.iter().all(|token| token.expires > 0) {
                    core.fault(Fault::ExpireTokens { name: None });
                }
            });
        },
        end: None,
    },
];

const JOBS: &str = "/api/v1/jobs";
const COMPLETE: &str = "/complete";

fn on(servers: &Servers, fault: impl FnOnce(Matching) -> Fault) {
    servers.core.with(|core, _, _| core.fault(fault(Matching::new("", JOBS))));
}

/// The next request about jobs whose path ends so is refused in Core's own form.
fn refuse(servers: &Servers, ending: &str, status: u16, words: &str) {
    on(servers, |matching| Fault::refusal(matching.ending(ending), 1, status, words));
}

fn clear(servers: &Servers) {
    servers.core.with(|core, _, _| core.clear_faults());
}

fn reconfigure(servers: &Servers, change: impl FnOnce(&mut Settings)) {
    servers.core.with(|core, now, _| {
        let mut settings = core.settings().clone();
        change(&mut settings);
        core.reconfigure(settings, now);
    });
}

fn errors(servers: &Servers, random: &mut Random) {
    let status = pick(random, &[429, 500, 502, 503]).copied().unwrap_or(503);
    let retry_after = random.one_in(2).then_some(1);
    on(servers, |matching| Fault::Answer { matching, times: 1, status, retry_after });
}
