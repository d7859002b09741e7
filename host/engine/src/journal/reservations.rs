//! Numbers and addresses from configured ranges, each handed to one ledger row.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use agentkube_contract::{Class, EntryId, Fault, Holder, Reservations, Stock};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Journal, scope, sql};
use crate::{Error, Result};

/// Values that may be handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    first: u128,
    last: u128,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Number,
    V4,
    V6,
}

/// Most values of an address range: enough for a /16, and a search stays short.
const LIMIT: u128 = 65_536;

impl Range {
    /// `20000-29999`, `10.0.0.0/24` (without network and broadcast address) or `10.0.0.10-10.0.0.99`.
    pub fn parse(name: &str, text: &str) -> Result<Range> {
        let range = if let Some((first, last)) = text.split_once('-') {
            bounds(first.trim(), last.trim())
        } else {
            text.split_once('/').and_then(|(address, length)| cidr(address.trim(), length.trim()))
        };
        range
            .filter(|range| {
                range.first <= range.last && (range.form == Form::Number || range.last - range.first < LIMIT)
            })
            .ok_or_else(|| Error::Range { name: name.to_owned(), text: text.to_owned() })
    }

    fn free(&self, taken: &BTreeSet<String>) -> Option<String> {
        (self.first..=self.last).map(|value| self.text(value)).find(|value| !taken.contains(value))
    }

    fn holds(&self, value: &str) -> bool {
        let value = match self.form {
            Form::Number => value.parse().ok(),
            Form::V4 => value.parse::<Ipv4Addr>().ok().map(|address| u32::from(address).into()),
            Form::V6 => value.parse::<Ipv6Addr>().ok().map(u128::from),
        };
        value.is_some_and(|value| (self.first..=self.last).contains(&value))
    }

    fn stock(&self, taken: &BTreeSet<String>) -> Stock {
        // Values of an earlier configuration may lie outside.
        let taken = taken.iter().filter(|value| self.holds(value)).count() as u64;
        let all = u64::try_from(self.last - self.first).unwrap_or(u64::MAX).saturating_add(1);
        Stock { first: self.text(self.first), last: self.text(self.last), free: all.saturating_sub(taken) }
    }

    fn text(&self, value: u128) -> String {
        match self.form {
            Form::Number => value.to_string(),
            Form::V4 => Ipv4Addr::from(u32::try_from(value).unwrap_or_default()).to_string(),
            Form::V6 => Ipv6Addr::from(value).to_string(),
        }
    }
}

fn bounds(first: &str, last: &str) -> Option<Range> {
    if let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) {
        return Some(Range { first: first.into(), last: last.into(), form: Form::Number });
    }
    if let (Ok(first), Ok(last)) = (first.parse::<Ipv4Addr>(), last.parse::<Ipv4Addr>()) {
        return Some(Range { first: u32::from(first).into(), last: u32::from(last).into(), form: Form::V4 });
    }
    let (first, last) = (first.parse::<Ipv6Addr>().ok()?, last.parse::<Ipv6Addr>().ok()?);
    Some(Range { first: first.into(), last: last.into(), form: Form::V6 })
}

fn cidr(address: &str, length: &str) -> Option<Range> {
    let length: u32 = length.parse().ok()?;
    if let Ok(address) = address.parse::<Ipv4Addr>() {
        let host = 32_u32.checked_sub(length)?;
        let size = 1_u128.checked_shl(host)?;
        let first = u128::from(u32::from(address)) / size * size;
        // A network of two or one addresses has neither network nor broadcast address (RFC 3021).
        let edge = u128::from(host >= 2);
        return Some(Range { first: first + edge, last: first + size - 1 - edge, form: Form::V4 });
    }
    let address: Ipv6Addr = address.parse().ok()?;
    let size = 1_u128.checked_shl(128_u32.checked_sub(length)?)?;
    let first = u128::from(address) / size * size;
    // The first address of a subnet is its routers' anycast address (RFC 4291, 2.6.1).
    let edge = u128::from(size > 2);
    Some(Range { first: first + edge, last: first.checked_add(size - 1)?, form: Form::V6 })
}

fn owned(connection: &Connection, holder: &Holder, entry: EntryId) -> Result<()> {
    let (source, service) = scope(holder.service.as_ref());
    let state: Option<String> = connection
        .prepare_cached("SELECT state FROM ledger WHERE id = ?1 AND source = ?2 AND service = ?3 AND plugin = ?4")?
        .query_row(params![sql(entry), source, service, holder.plugin], |row| row.get(0))
        .optional()?;
    match state.as_deref() {
        None => Err(Fault::new(
            Class::Denied,
            "NOT_YOUR_ENTRY",
            format!("ledger entry {entry} is none of plugin `{}` for this service", holder.plugin),
        )
        .into()),
        Some("gone") => {
            Err(Fault::invalid("ENTRY_GONE", format!("ledger entry {entry} is gone: declare it again first")).into())
        }
        Some(_) => Ok(()),
    }
}

fn take(
    connection: &Connection,
    at: u64,
    holder: &Holder,
    (name, range): (&str, &Range),
    entry: EntryId,
) -> Result<String> {
    owned(connection, holder, entry)?;
    let held: Option<String> = connection
        .prepare_cached("SELECT value FROM reservations WHERE range_name = ?1 AND entry = ?2")?
        .query_row(params![name, sql(entry)], |row| row.get(0))
        .optional()?;
    if let Some(value) = held {
        return Ok(value);
    }
    let taken = taken(connection, name)?;
    let value = range.free(&taken).ok_or_else(|| {
        Fault::new(
            Class::Exhausted,
            "RANGE_EXHAUSTED",
            format!("range `{name}` has no free value: {} are taken or in use by others; widen it", taken.len()),
        )
    })?;
    connection
        .prepare_cached("INSERT INTO reservations (range_name, value, entry, at_ms) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![name, value, sql(entry), sql(at)])?;
    Ok(value)
}

/// Values of a range that are reserved or burnt.
fn taken(connection: &Connection, name: &str) -> Result<BTreeSet<String>> {
    let mut statement = connection.prepare_cached("SELECT value FROM reservations WHERE range_name = ?1")?;
    let rows = statement.query_map([name], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

impl Journal {
    fn range(&self, name: &str) -> agentkube_contract::Result<Range> {
        self.inner.ranges.get(name).cloned().ok_or_else(|| {
            Fault::invalid("UNKNOWN_RANGE", format!("no range `{name}` is configured; add it under [ranges]"))
        })
    }
}

#[async_trait]
impl Reservations for Journal {
    async fn look(&self, range: &str) -> agentkube_contract::Result<Stock> {
        let values = self.range(range)?;
        Ok(values.stock(&self.read(|connection| taken(connection, range))?))
    }

    async fn take(&self, holder: &Holder, range: &str, entry: EntryId) -> agentkube_contract::Result<String> {
        let values = self.range(range)?;
        let (at, holder, name) = (self.now(), holder.clone(), range.to_owned());
        Ok(self.write(move |connection| take(connection, at, &holder, (&name, &values), entry)).await?)
    }

    async fn reject(
        &self,
        holder: &Holder,
        range: &str,
        entry: EntryId,
        value: &str,
    ) -> agentkube_contract::Result<()> {
        let (holder, range, value) = (holder.clone(), range.to_owned(), value.to_owned());
        let work = move |connection: &Connection| {
            owned(connection, &holder, entry)?;
            connection
                .prepare_cached(
                    "UPDATE reservations SET entry = NULL WHERE range_name = ?1 AND value = ?2 AND entry = ?3",
                )?
                .execute(params![range, value, sql(entry)])?;
            Ok(())
        };
        Ok(self.write(work).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_leave_out_what_no_host_may_have() {
        let range = Range::parse("a", "10.0.0.9/30").unwrap();
        assert_eq!((range.text(range.first), range.text(range.last)), ("10.0.0.9".into(), "10.0.0.10".into()));
        let range = Range::parse("a", "20000-20001").unwrap();
        assert_eq!(range.free(&["20000".to_owned()].into()), Some("20001".to_owned()));
        let stock = range.stock(&["20000".to_owned(), "7".to_owned()].into());
        assert_eq!(stock, Stock { first: "20000".into(), last: "20001".into(), free: 1 });
        let range = Range::parse("a", "fd00::/126").unwrap();
        assert_eq!(range.stock(&["fd00::2".to_owned(), "fd01::2".to_owned()].into()).free, 2);
        assert_eq!((range.text(range.first), range.text(range.last)), ("fd00::1".into(), "fd00::3".into()));
        assert_eq!(Range::parse("a", "10.0.0.1/32").unwrap().free(&BTreeSet::new()), Some("10.0.0.1".into()));
        for bad in ["", "9-1", "10.0.0.0/33", "10.0.0.0/8", "x-y", "10.0.0.5", "fd00::/0"] {
            assert!(Range::parse("a", bad).is_err(), "{bad}");
        }
    }
}
