//! Core's times.

/// Milliseconds since the epoch of an RFC 3339 time in UTC, such as `2026-11-20T11:53:22.123456Z`.
pub fn millis(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    if !text.ends_with('Z') || text.get(10..11)? != "T" {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // Days since 1970-01-01, counting years from March so that the leap day comes last.
    let (shifted, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * shifted + shifted.div_euclid(4) - shifted.div_euclid(100)
        + shifted.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 719_469;
    let seconds = u64::try_from(((days * 24 + hour) * 60 + minute) * 60 + second).ok()?;
    // Written with as many digits as it takes.
    let fraction = text.get(19..)?.strip_prefix('.').unwrap_or_default().trim_end_matches('Z');
    let thousandths = fraction.chars().chain("000".chars()).take(3).collect::<String>().parse::<u64>().ok()?;
    seconds.checked_mul(1000)?.checked_add(thousandths)
}

/// The RFC 3339 time in UTC, to the second.
pub fn text(millis: u64) -> String {
    let (days, second) = (millis / 86_400_000, millis / 1000 % 86_400);
    // Days since 0000-03-01, so that the leap day comes last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Milliseconds since the epoch of the time in a `Date` header, such as `Fri, 20 Nov 2026 11:53:22 GMT`.
pub fn of_header(text: &str) -> Option<u64> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    millis(&format!("{year}-{month:02}-{day}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::{millis, of_header, text};

    #[test]
    fn times_are_written_as_they_are_read() {
        for written in ["1970-01-01T00:00:00Z", "2000-02-29T12:34:56Z", "2026-11-20T11:53:22Z", "2024-03-01T00:00:00Z"]
        {
            assert_eq!(text(millis(written).unwrap()), written);
        }
        assert_eq!(of_header("Fri, 20 Nov 2026 11:53:22 GMT"), millis("2026-11-20T11:53:22Z"));
        assert_eq!(of_header("yesterday"), None);
    }

    #[test]
    fn times_are_read() {
        assert_eq!(millis("1970-01-01T00:00:00Z"), Some(0));
        for text in ["2000-02-29T12:34:56Z", "2026-11-20T11:53:22Z", "2024-03-01T00:00:00Z", "2023-12-31T23:59:59Z"] {
            assert_eq!(millis(text), lab_wire::parse_rfc3339(text), "{text}");
        }
        assert_eq!(millis("2026-11-20T11:53:22.75Z"), millis("2026-11-20T11:53:22Z").map(|whole| whole + 750));
        for text in ["", "yesterday", "2026-11-20", "2026-11-20T11:53:22+01:00"] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
