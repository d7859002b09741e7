//! What goes wrong again and again, said at growing intervals.

/// A row of the same trouble. It is said when it is new, then each time its count has doubled, and once when it is over.
#[derive(Debug, Default)]
pub struct Repeats {
    code: String,
    times: u32,
}

impl Repeats {
    /// It happened, with this code; another code begins a new row. Gives what to add to the message when it is worth saying.
    pub fn again(&mut self, code: &str) -> Option<String> {
        if self.code != code {
            *self = Repeats { code: code.to_owned(), times: 0 };
        }
        self.times = self.times.saturating_add(1);
        match self.times {
            1 => Some(String::new()),
            times if times.is_power_of_two() => Some(format!(" ({times} times in a row)")),
            _ => None,
        }
    }

    /// It did not happen this time. Gives the code and how often it came before, when it came at all.
    pub fn over(&mut self) -> Option<(String, u32)> {
        let Repeats { code, times } = std::mem::take(self);
        (times > 0).then_some((code, times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_said_less_and_less_often_and_its_end_once() {
        let mut trouble = Repeats::default();
        let said: Vec<u32> = (1..=1000).filter(|_| trouble.again("DEAD").is_some()).collect();
        assert_eq!(said, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
        assert_eq!(trouble.again("OTHER"), Some(String::new()), "another trouble is said at once");
        assert_eq!(trouble.again("OTHER"), Some(" (2 times in a row)".to_owned()));
        assert_eq!(trouble.over(), Some(("OTHER".to_owned(), 2)));
        assert_eq!(trouble.over(), None);
        assert_eq!(trouble.again("OTHER"), Some(String::new()), "and then anew");
    }
}
