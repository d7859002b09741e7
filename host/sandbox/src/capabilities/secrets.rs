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
