//! The nodes' clock against ours: machines take their first time from their node, and certificates and join tokens live by ours.

use agentkube_sdk::clock;

use super::Look;

/// Seconds that are no matter: headers have whole seconds, and answers take their time.
const LITTLE: u64 = 30;
/// Seconds beyond which a new machine does not trust a new certificate.
const MUCH: u64 = 300;

/// Compares the `Date` of an answer with the clock.
pub(super) fn compare(look: &mut Look, date: Option<&str>) {
    let Some(theirs) = date.and_then(seconds) else {
        let remedy = "compare the clocks of the nodes with this machine's by hand";
        return look.warning("CLOCK_UNKNOWN", "the cluster's answers do not say what time it is".to_owned(), remedy);
    };
    let ours = clock::now() / 1000;
    let apart = ours.abs_diff(theirs);
    if apart <= LITTLE {
        return look.ok("CLOCK", "the clocks agree".to_owned());
    }
    let side = if theirs > ours { "ahead of" } else { "behind" };
    let message = format!("the cluster's clock is {apart} s {side} ours");
    let remedy = "run chrony or systemd-timesyncd on the nodes and here";
    if apart > MUCH {
        look.error("CLOCK_SKEW", message, remedy);
    } else {
        look.warning("CLOCK_SKEW", message, remedy);
    }
}

/// Seconds since 1970 of a time such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn seconds(text: &str) -> Option<u64> {
    let rest = text.split_once(", ")?.1;
    let parts: Vec<&str> = rest.split([' ', ':']).collect();
    let [day, month, year, hour, minute, second, "GMT"] = parts.as_slice() else { return None };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| name == month)? as u64 + 1;
    let number = |text: &str| text.parse::<u64>().ok();
    let (day, year) = (number(day)?, number(year).filter(|year| *year >= 1970)?);
    // Years begin in March here, so that a leap day is their last: 306 days lie between March and January.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * years + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day;
    let since = days.checked_sub(719_469)?;
    Some(since * 86_400 + number(hour)? * 3600 + number(minute)? * 60 + number(second)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        assert_eq!(seconds("Fri, 15 Jan 2027 08:00:00 GMT"), Some(1_800_000_000));
        for text in ["", "2027-01-15T08:00:00Z", "Fri, 15 Jan 2027 08:00 GMT", "Fri, 15 Foo 2027 08:00:00 GMT"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
