//! Core's times.

/// Milliseconds since the epoch of an RFC 3339 time in UTC, such as `2026-11-20T11:53:22Z`; fractions of a second are dropped.
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
    u64::try_from(((days * 24 + hour) * 60 + minute) * 60 + second).ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::millis;

    #[test]
    fn times_are_read() {
        assert_eq!(millis("1970-01-01T00:00:00Z"), Some(0));
        for text in ["2000-02-29T12:34:56Z", "2026-11-20T11:53:22Z", "2024-03-01T00:00:00Z", "2023-12-31T23:59:59Z"] {
            assert_eq!(millis(text), lab_wire::parse_rfc3339(text), "{text}");
        }
        assert_eq!(millis("2026-11-20T11:53:22.75Z"), millis("2026-11-20T11:53:22Z"));
        for text in ["", "yesterday", "2026-11-20", "2026-11-20T11:53:22+01:00"] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
