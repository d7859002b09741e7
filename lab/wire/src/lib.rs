//! What every lab server shares.
//!
//! A lab server is a state machine: it gets a [`Request`] and the time, and returns an [`Answer`]. It does no I/O, has no
//! clock and no source of randomness of its own, so the same machine runs behind a TLS socket (`agentkube-lab up`) and
//! inside a simulation with a virtual clock.
//!
//! - [`Request`], [`Response`]: HTTP as plain data.
//! - [`Server`]: the state machine.
//! - [`Answer`]: a response now, a response later, a stream, or none at all.
//! - [`Hypervisor`]: a server whose machines boot.
//! - [`Exchange`]: a request and its answer, written down where `AGENTKUBE_LAB_RECORD` names a folder.

mod answer;
mod machine;
mod message;
mod random;
mod record;

pub use answer::{Answer, Listener, Server, StreamId};
pub use machine::{Boot, GuestAddress, GuestReport, Hypervisor, MachineEvent, Media};
pub use message::{Peer, Request, Response, parse_pairs, percent_decode};
pub use random::Random;
pub use record::{Answered, Body, Exchange, Interface, Part, RECORD};

/// Milliseconds since the Unix epoch, as the shell or the simulation tells them.
pub type Millis = u64;

/// Formats a time as RFC 3339 with whole seconds and `Z`, the form that Kubernetes and Fulcrum Core use.
pub fn rfc3339(now: Millis) -> String {
    let seconds = now / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads what [`rfc3339`] writes (fractions of a second are accepted and dropped). `None` when it is no such time.
pub fn parse_rfc3339(text: &str) -> Option<Millis> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    if !text.ends_with('Z') || text.get(10..11)? != "T" {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    u64::try_from(seconds).ok().map(|seconds| seconds * 1000)
}

/// Day number since 1970-01-01 to (year, month, day), proleptic Gregorian.
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_round_trip() {
        for text in ["1970-01-01T00:00:00Z", "2000-02-29T12:34:56Z", "2026-11-20T23:59:59Z"] {
            assert_eq!(rfc3339(parse_rfc3339(text).unwrap()), text);
        }
        assert_eq!(parse_rfc3339("2026-11-20T11:53:21.123Z"), parse_rfc3339("2026-11-20T11:53:21Z"));
        assert_eq!(parse_rfc3339("2026-13-20T11:53:21Z"), None);
        assert_eq!(parse_rfc3339("yesterday"), None);
    }
}
