//! Lists: filters, sorting, pages.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use lab_wire::{Millis, Response};
use serde_json::{Value, json};

use crate::call::{Call, Id, Reply};
use crate::errors::Error;

/// How one query parameter filters.
pub enum Filter<T> {
    /// Equal to one of the given texts.
    Exact(fn(&T) -> String),
    /// Equal to one of the given UUIDs; anything else is an error of the server.
    Id(fn(&T) -> String),
    /// Equal to one of the given words out of a set; other words are errors of the server, with this text.
    Word(fn(&T) -> String, &'static [&'static str], &'static str),
    /// Contains one of the given texts, in any case.
    Contains(fn(&T) -> String),
}

/// What rows are sorted by. Absent values come last, or first when descending.
#[derive(PartialEq, PartialOrd)]
pub enum Key {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// Nothing.
    Absent,
}

impl From<Millis> for Key {
    fn from(time: Millis) -> Self {
        Key::Number(time as f64)
    }
}

impl From<Option<Millis>> for Key {
    fn from(time: Option<Millis>) -> Self {
        time.map_or(Key::Absent, Key::from)
    }
}

/// The filters of a list, by parameter.
pub type Filters<T> = [(&'static str, Filter<T>)];
/// The sort keys of a list, by word.
pub type Sorts<T> = [(&'static str, fn(&T) -> Key)];

/// One page of the rows, which the caller has already narrowed to what the sender may see.
pub fn page<'r, T: 'r>(
    call: &Call<'_>,
    rows: impl Iterator<Item = &'r T>,
    filters: &Filters<T>,
    sorts: &Sorts<T>,
    view: impl Fn(&T) -> Value,
) -> Reply {
    let number = positive(call, "page", 1, None)?;
    let size = positive(call, "pageSize", 10, Some(100))?;
    let mut given: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in &call.request.query {
        if !["page", "pageSize", "sort"].contains(&name.as_str()) {
            given.entry(name).or_default().push(value);
        }
    }
    let mut rows: Vec<&T> = rows.collect();
    for (name, values) in given {
        let filter = filters.iter().find(|(known, _)| *known == name);
        let (_, filter) = filter.ok_or_else(|| Error::Internal(format!("cannot filter by field {name}")))?;
        let values = filter.read(&values)?;
        rows.retain(|row| filter.holds(row, &values));
    }
    sort(call, &mut rows, sorts)?;
    let total = rows.len();
    let pages = total.div_ceil(size);
    let items: Vec<Value> = rows.into_iter().skip((number - 1) * size).take(size).map(view).collect();
    let page = json!({
        "items": items, "totalItems": total, "totalPages": pages, "currentPage": number,
        "hasNext": number < pages, "hasPrev": number > 1,
    });
    Ok(Response::json(200, &page))
}

fn positive(call: &Call<'_>, name: &str, default: usize, most: Option<usize>) -> Result<usize, Error> {
    let Some(text) = call.request.query_value(name).filter(|text| !text.is_empty()) else { return Ok(default) };
    let Ok(number) = text.parse::<i64>() else {
        return Err(Error::Request(format!("invalid {name} parameter: {text}")));
    };
    if number < 1 {
        return Err(Error::Request(format!("{name} parameter must be greater than 0, got: {number}")));
    }
    match most {
        Some(most) if number as usize > most => {
            Err(Error::Request(format!("{name} parameter must not exceed {most}, got: {number}")))
        }
        _ => Ok(number as usize),
    }
}

fn sort<T>(call: &Call<'_>, rows: &mut [&T], sorts: &Sorts<T>) -> Result<(), Error> {
    let Some(word) = call.request.query_value("sort").filter(|word| !word.is_empty()) else { return Ok(()) };
    // A bare plus sign in a query is a space once decoded, and then no field; `%2B` is a plus.
    let (word, descending) = match word.strip_prefix('-') {
        Some(word) => (word, true),
        None => (word.strip_prefix('+').unwrap_or(word), false),
    };
    let Some((_, key)) = sorts.iter().find(|(known, _)| *known == word) else {
        // Core names the column that it did not find, which is none.
        return Err(Error::Internal("cannot sort by field ".to_owned()));
    };
    rows.sort_by(|a, b| {
        let order = key(a).partial_cmp(&key(b)).unwrap_or(Ordering::Equal);
        if descending { order.reverse() } else { order }
    });
    Ok(())
}

impl<T> Filter<T> {
    fn read(&self, values: &[&str]) -> Result<Vec<String>, Error> {
        values
            .iter()
            .map(|value| match self {
                Filter::Exact(_) => Ok((*value).to_owned()),
                Filter::Id(_) => Id::parse(value).map(|id| id.0).map_err(Error::Internal),
                Filter::Word(_, words, _) if words.contains(value) => Ok((*value).to_owned()),
                Filter::Word(_, _, text) => Err(Error::Internal(format!("{text}: {value}"))),
                Filter::Contains(_) => Ok(value.trim().to_lowercase()),
            })
            .collect()
    }

    fn holds(&self, row: &T, values: &[String]) -> bool {
        match self {
            Filter::Exact(field) | Filter::Id(field) | Filter::Word(field, _, _) => values.contains(&field(row)),
            Filter::Contains(field) => {
                let text = field(row).to_lowercase();
                let mut asked = values.iter().filter(|value| !value.is_empty()).peekable();
                asked.peek().is_none() || asked.any(|value| text.contains(value.as_str()))
            }
        }
    }
}
