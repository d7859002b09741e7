//! Connections: whether somebody answers, whether it is who it should be, and whether its clock agrees with ours.

use std::sync::Arc;

use agentkube_sandbox::Connections;
use agentkube_sandbox::connections::{Answered, Connection, Probe};
use futures::future::join_all;

use super::Found;
use super::report::Kind;

/// Milliseconds from which on clocks that differ are worth a word.
const APART: u64 = 30_000;
/// Milliseconds from which on fresh certificates and tokens of the other side are not valid for us.
const FAR_APART: u64 = 300_000;

/// Connections that may do more than any plugin needs, as far as their own certificates say so.
pub fn rights(connections: &Connections) -> Vec<Found> {
    let almighty = connections.all().filter(|connection| connection.is_super_admin());
    almighty
        .map(|connection| {
            let name = connection.name();
            let message = "its client certificate is of the group system:masters, which may do everything in that cluster, whatever \
                           its roles say, and cannot be revoked";
            let remedy = "make a service account with the rights that the plugins need, and a kubeconfig with its token";
            Found::warning(Kind::Connection, name, "SUPER_ADMIN", message, remedy)
        })
        .collect()
}

/// Probes all connections side by side.
pub async fn look(connections: &Connections) -> Vec<Found> {
    let probes = connections.all().map(async |connection: &Arc<Connection>| {
        let probes = connection.probe().await;
        // One endpoint of several may be down.
        let some = probes.iter().any(|probe| probe.answer.is_ok());
        probes.iter().flat_map(|probe| judge(connection.name(), probe, some)).collect::<Vec<_>>()
    });
    join_all(probes).await.into_iter().flatten().chain(rights(connections)).collect()
}

fn judge(name: &str, probe: &Probe, some: bool) -> Vec<Found> {
    let endpoint = match &probe.label {
        Some(label) => format!("{} ({label})", probe.endpoint),
        None => probe.endpoint.clone(),
    };
    match &probe.answer {
        Err(fault) => {
            let message = format!("{endpoint}: {}", fault.message);
            let remedy = match fault.code.as_str() {
                "SERVER_NOT_TRUSTED" => format!(
                    "compare [connections.{name}] tls.ca-file, tls.fingerprint and tls.server-name with the certificate \
                     that the server shows"
                ),
                "NOT_CONNECTED" => "check the address, name resolution, routes and firewalls".to_owned(),
                "ADDRESS_DENIED" => format!("list its range in [connections.{name}] addresses, if it may be reached"),
                "CERTIFICATE_REFUSED" => "give a client certificate that the server accepts".to_owned(),
                "ANSWER_TIMEOUT" => format!(
                    "somebody took the connection and says nothing: see how that system is, and whether the endpoint's port is that \
                     of its API; [connections.{name}] limits.timeout-ms sets how long is waited"
                ),
                "NO_ANSWER" => {
                    "see how that system is, and whether the endpoint's port is that of its API; a proxy between may \
                                end connections"
                        .to_owned()
                }
                _ => "see the message".to_owned(),
            };
            vec![match some {
                true => Found::warning(Kind::Connection, name, &fault.code, message, remedy),
                false => Found::error(Kind::Connection, name, &fault.code, message, remedy),
            }]
        }
        Ok(answered) => {
            let identity = match endpoint.starts_with("https:") {
                true => Found::ok(
                    Kind::Connection,
                    name,
                    "REACHED",
                    format!("{endpoint} answers (status {}) and is who it should be", answered.status),
                ),
                false => Found::warning(
                    Kind::Connection,
                    name,
                    "NO_TLS",
                    format!("{endpoint} answers, and nobody knows who it is: there is no TLS"),
                    "use https://",
                ),
            };
            [identity].into_iter().chain(clock(name, &endpoint, answered)).collect()
        }
    }
}

fn clock(name: &str, endpoint: &str, answered: &Answered) -> Option<Found> {
    let ahead = answered.ahead_ms?;
    let apart = ahead.unsigned_abs();
    let seconds = apart / 1000;
    let word = if ahead > 0 { "ahead of" } else { "behind" };
    let message = format!("the clock of {endpoint} is {seconds} s {word} ours");
    let remedy = "synchronise the clocks of both sides (NTP): tokens and certificates are judged by them";
    Some(if apart >= FAR_APART {
        Found::error(Kind::Connection, name, "CLOCK_SKEW", message, remedy)
    } else if apart >= APART {
        Found::warning(Kind::Connection, name, "CLOCK_SKEW", message, remedy)
    } else {
        Found::ok(Kind::Connection, name, "CLOCK", format!("the clock of {endpoint} agrees with ours"))
    })
}

#[cfg(test)]
mod tests {
    use agentkube_contract::{Class, Fault, Severity};

    use super::*;

    fn probe(answer: Result<Answered, Fault>) -> Probe {
        Probe { endpoint: "https://10.0.0.1".into(), label: Some("a".into()), answer }
    }

    #[test]
    fn clocks_that_differ_are_told() {
        let judged = |ahead_ms| {
            let found = judge("x", &probe(Ok(Answered { status: 401, ahead_ms })), true);
            found.into_iter().map(|found| (found.finding.code, found.finding.severity)).collect::<Vec<_>>()
        };
        let reached = ("REACHED".to_owned(), Severity::Ok);
        let with = |code: &str, severity| vec![reached.clone(), (code.to_owned(), severity)];
        assert_eq!(judged(None).as_slice(), std::slice::from_ref(&reached));
        assert_eq!(judged(Some(-2_000)), with("CLOCK", Severity::Ok));
        assert_eq!(judged(Some(-40_000)), with("CLOCK_SKEW", Severity::Warning));
        assert_eq!(judged(Some(3_600_000)), with("CLOCK_SKEW", Severity::Error));
    }

    #[test]
    fn one_endpoint_of_several_may_be_down() {
        let down = probe(Err(Fault::new(Class::Unavailable, "NOT_CONNECTED", "refused")));
        let severity = |some| judge("x", &down, some).remove(0).finding.severity;
        assert_eq!((severity(true), severity(false)), (Severity::Warning, Severity::Error));
    }
}
