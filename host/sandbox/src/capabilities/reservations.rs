//! Numbers and addresses out of granted ranges.

use agentkube_contract::{EntryId, Fault, Stock};

use crate::state::Context;

/// Longest value, in bytes.
const VALUE: usize = 256;

/// The value that is reserved for the entry.
pub(crate) async fn take(context: &Context, range: &str, entry: EntryId) -> Result<String, Fault> {
    let core = &context.core;
    core.grants.range(range).map_err(|fault| core.denied("reservations", fault))?;
    core.services.reservations.take(&context.holder, range, entry).await
}

/// What the range holds.
pub(crate) async fn look(context: &Context, range: &str) -> Result<Stock, Fault> {
    let core = &context.core;
    core.grants.range(range).map_err(|fault| core.denied("reservations", fault))?;
    core.services.reservations.look(range).await
}

/// Burns a value that is in use by somebody else.
pub(crate) async fn reject(context: &Context, range: &str, entry: EntryId, value: &str) -> Result<(), Fault> {
    let core = &context.core;
    core.grants.range(range).map_err(|fault| core.denied("reservations", fault))?;
    if value.len() > VALUE {
        return Err(Fault::invalid("TOO_LONG", format!("no value of a range is longer than {VALUE} bytes")));
    }
    core.services.reservations.reject(&context.holder, range, entry, value).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use agentkube_contract::Class;
    use serde_json::json;

    use super::*;
    use crate::testing::server::{Reply, Server};
    use crate::testing::stores::Stores;
    use crate::testing::{context, endpoint};

    #[tokio::test]
    async fn values_come_from_granted_ranges_and_burnt_ones_do_not_come_again() {
        let server = Server::start(|_| Reply::new(200, ""));
        let stores = Arc::new(Stores::default());
        let context = context(&stores, endpoint(&server), json!([{ "range": "ids" }]));
        let first = take(&context, "ids", 1).await.unwrap();
        assert_eq!(take(&context, "ids", 1).await.unwrap(), first);
        reject(&context, "ids", 1, &first).await.unwrap();
        assert_eq!(*stores.burnt.lock().unwrap(), [("ids".to_owned(), first.clone())]);
        assert_ne!(take(&context, "ids", 1).await.unwrap(), first);

        assert_eq!(reject(&context, "ids", 1, &"x".repeat(1000)).await.unwrap_err().code, "TOO_LONG");
        assert_eq!(look(&context, "ids").await.unwrap().free, 9);
        let denied = [
            take(&context, "others", 1).await.unwrap_err(),
            reject(&context, "others", 1, "7").await.unwrap_err(),
            look(&context, "others").await.unwrap_err(),
        ];
        for fault in denied {
            assert_eq!((fault.code.as_str(), fault.class), ("RANGE_NOT_GRANTED", Class::Denied));
            assert!(fault.message.contains("[[plugins.t.grants]]\nrange = \"others\""), "{}", fault.message);
        }
        assert_eq!(stores.burnt.lock().unwrap().len(), 1, "what is not granted is not burnt");
    }
}
