//! Secrets that the operator named for a plugin: it gets references, never values.

use agentkube_contract::{Class, Fault, Locator, Reference};

use crate::state::Context;

/// The reference of a named secret.
pub(crate) async fn lookup(context: &Context, name: &str) -> Result<Reference, Fault> {
    let core = &context.core;
    core.grants.secret(name).map_err(|fault| core.denied("secrets", fault))?;
    if core.services.connections.secret(name).is_none() {
        let message = format!("there is no secret `{name}`; configure it as [secrets.{name}]");
        return Err(Fault::new(Class::NotFound, "NO_SUCH_SECRET", message));
    }
    core.services.references.put(&context.holder, &Locator::Named { name: name.to_owned() }).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::capabilities::http::{Encoding, Part, Request, send};
    use crate::testing::server::{Reply, Server};
    use crate::testing::stores::Stores;
    use crate::testing::{CANARY, context, endpoint, entry};

    #[tokio::test]
    async fn a_granted_secret_is_a_reference_whose_value_only_goes_out() {
        let server = Server::start(|_| Reply::new(200, "{}"));
        let stores = Arc::new(Stores::default());
        let flow = json!([
            { "connection": "lab" }, { "secret": "key" }, { "secret": "none" }, { "pass": "named", "to": ["lab"] }]);
        let context = context(&stores, endpoint(&server), flow);
        let reference = lookup(&context, "key").await.unwrap();
        assert!(!reference.0.contains(CANARY));
        let entry = entry(&context, &stores).await;
        let body = vec![Part::Bytes(b"k=".to_vec()), Part::Secret(reference, Encoding::Form)];
        let request = Request { body, entry: Some(entry), ..Request::new("POST", "/a") };
        send(&context, request).await.unwrap();
        assert_eq!(server.asked()[0].body, format!("k={CANARY}").into_bytes());

        let fault = lookup(&context, "other").await.unwrap_err();
        assert_eq!((fault.code.as_str(), fault.class), ("SECRET_NOT_GRANTED", Class::Denied));
        assert!(fault.message.contains("[[plugins.t.grants]]\nsecret = \"other\""), "{}", fault.message);
        let fault = lookup(&context, "none").await.unwrap_err();
        assert_eq!((fault.code.as_str(), fault.class), ("NO_SUCH_SECRET", Class::NotFound));
        assert_eq!(stores.references.lock().unwrap().len(), 1);
    }
}
