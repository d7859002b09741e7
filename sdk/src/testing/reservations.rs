//! Values from ranges.

use std::collections::{BTreeMap, BTreeSet};

use crate::reservations::Stock;
use crate::{Entry, Fault, Result};

#[derive(Default)]
pub(crate) struct Reservations {
    ranges: BTreeMap<String, Vec<String>>,
    taken: BTreeMap<(String, Entry), String>,
    burnt: BTreeSet<(String, String)>,
}

impl Reservations {
    pub(crate) fn range(&mut self, name: &str, values: Vec<String>) {
        self.ranges.insert(name.to_owned(), values);
    }

    pub(crate) fn take(&mut self, range: &str, entry: Entry) -> Result<String> {
        if let Some(value) = self.taken.get(&(range.to_owned(), entry)) {
            return Ok(value.clone());
        }
        let free = self.values(range)?.iter().find(|value| !self.used(range, value)).cloned();
        let value = free.ok_or_else(|| Fault::exhausted("RANGE_USED_UP", format!("range `{range}` is used up")))?;
        self.taken.insert((range.to_owned(), entry), value.clone());
        Ok(value)
    }

    pub(crate) fn look(&self, range: &str) -> Result<Stock> {
        let values = self.values(range)?;
        let end = |value: Option<&String>| value.cloned().unwrap_or_default();
        let free = values.iter().filter(|value| !self.used(range, value)).count() as u64;
        Ok(Stock { first: end(values.first()), last: end(values.last()), free })
    }

    fn values(&self, range: &str) -> Result<&Vec<String>> {
        self.ranges.get(range).ok_or_else(|| Fault::denied("NO_SUCH_RANGE", format!("no range `{range}`")))
    }

    fn used(&self, range: &str, value: &String) -> bool {
        self.burnt.contains(&(range.to_owned(), value.clone()))
            || self.taken.iter().any(|((other, _), taken)| other == range && taken == value)
    }

    pub(crate) fn reject(&mut self, range: &str, entry: Entry, value: &str) -> Result<()> {
        let key = (range.to_owned(), entry);
        if self.taken.get(&key).is_some_and(|taken| taken == value) {
            self.taken.remove(&key);
            self.burnt.insert((range.to_owned(), value.to_owned()));
        }
        Ok(())
    }

    pub(crate) fn release(&mut self, entry: Entry) {
        self.taken.retain(|(_, holder), _| *holder != entry);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::World;
    use crate::{ledger, reservations};

    #[test]
    fn a_value_has_one_holder_until_its_entry_is_gone() {
        let world = World::new();
        world.range("vmid", 100..102);
        world.run(async {
            let a = ledger::intend("machine", "a", "").await.unwrap().entry;
            let b = ledger::intend("machine", "b", "").await.unwrap().entry;
            assert_eq!(reservations::take("vmid", a).await.unwrap(), "100");
            assert_eq!(reservations::take("vmid", a).await.unwrap(), "100");
            reservations::reject("vmid", a, "100").await.unwrap();
            assert_eq!(reservations::take("vmid", a).await.unwrap(), "101");
            assert_eq!(reservations::take("vmid", b).await.unwrap_err().code, "RANGE_USED_UP");
            let stock = reservations::look("vmid").await.unwrap();
            assert_eq!((stock.first.as_str(), stock.last.as_str(), stock.free), ("100", "101", 0));
            ledger::gone(a).await.unwrap();
            assert_eq!(reservations::take("vmid", b).await.unwrap(), "101");
        });
    }
}
