//! Lists of machines: filtered by tags, in pages.

use lab_wire::{Millis, Request};
use serde_json::{Value, json};

use crate::error::Refusal;
use crate::machine::Machine;

/// Machines on one page when the request does not say, and at most.
const PAGE: usize = 50;

/// What a list request asks for.
pub(crate) struct Query {
    tags: Vec<(String, String)>,
    limit: usize,
    after: Option<String>,
}

impl Query {
    pub(crate) fn read(request: &Request) -> Result<Self, Refusal> {
        let mut query = Query { tags: Vec::new(), limit: PAGE, after: None };
        for (name, value) in &request.query {
            match name.as_str() {
                "limit" => {
                    query.limit = match value.parse() {
                        Ok(limit) if (1..=PAGE).contains(&limit) => limit,
                        _ => return Err(Refusal::invalid(format!("limit must be a number from 1 to {PAGE}"))),
                    }
                }
                "after" => query.after = Some(value.clone()),
                name => match name.strip_prefix("tag.") {
                    Some(key) => query.tags.push((key.to_owned(), value.clone())),
                    None => return Err(Refusal::invalid(format!("unknown parameter {name:?}"))),
                },
            }
        }
        Ok(query)
    }

    /// One page: machines in the order of their ids, and where the next page starts.
    pub(crate) fn page<'a>(&self, machines: impl Iterator<Item = &'a Machine>, seen_before: Millis) -> Value {
        let mut matching = machines
            .filter(|machine| machine.created <= seen_before && machine.has_tags(&self.tags))
            .filter(|machine| self.after.as_ref().is_none_or(|after| machine.id > *after));
        let page: Vec<&Machine> = matching.by_ref().take(self.limit).collect();
        let next = matching.next().and_then(|_| page.last()).map(|last| last.id.as_str());
        json!({ "machines": page.iter().map(|machine| machine.view()).collect::<Vec<_>>(), "next": next })
    }
}
