//! Waiting for an object to change.

use std::time::Duration;

use agentkube_contract::{Class, Fault};

use super::policy;
use super::requests::on;
use super::secrets;
use super::target::Target;
use super::watch::{Object, Scope, Seen};
use crate::state::Context;

/// What waiting found.
pub(crate) struct Waited {
    /// `None` when it does not exist.
    pub object: Option<String>,
    pub timed_out: bool,
}

/// Returns when the object's version differs from `known` (`None`: when it exists), when it is gone, or after the time.
pub(crate) async fn wait_for(
    context: &Context,
    connection: &str,
    target: &Target,
    known: Option<&str>,
    timeout_ms: u32,
) -> Result<Waited, Fault> {
    let core = &context.core;
    let open = policy::check(core, connection, &on(target, "watch", None))?;
    target.path(None)?;
    let (group, plural) = (target.kind.group.as_str(), target.kind.plural.as_str());
    let everywhere = core.grants.watches_everywhere(connection, group, plural) && !target.kind.is_secret();
    let scope = Scope {
        connection: connection.to_owned(),
        kind: target.kind.clone(),
        namespace: if everywhere { None } else { target.namespace.clone() },
        // A watch over all Secrets would read more than is granted.
        name: target.kind.is_secret().then(|| target.name.clone()),
    };
    let mut seen = core.watches.join(&scope, &open);
    let key = (target.namespace.clone().unwrap_or_default(), target.name.clone());
    let changed = async {
        let settled = seen.wait_for(|seen| differs(seen, &key, known) || lasting(seen).is_some()).await;
        let seen = settled.map_err(|_| Fault::new(Class::Unavailable, "WATCH_ENDED", "the watch ended"))?;
        match lasting(&seen) {
            Some(fault) => Err(fault.clone()),
            None => Ok((seen.objects.get(&key).cloned(), false)),
        }
    };
    let time = Duration::from_millis(timeout_ms.into());
    let found = tokio::select! {
        found = changed => Some(found?),
        () = core.services.clock.sleep(time) => None,
    };
    let (object, timed_out) = match found {
        Some(found) => found,
        None => {
            let seen = seen.borrow();
            if let (false, Some(trouble)) = (seen.synced, &seen.trouble) {
                return Err(trouble.clone());
            }
            (seen.objects.get(&key).cloned(), true)
        }
    };
    let object = match object {
        Some(Object { text, .. }) => {
            Some(secrets::veil(context, connection, &target.kind, text.as_bytes().to_vec()).await?)
        }
        None => None,
    };
    Ok(Waited { object, timed_out })
}

/// A fault that waiting does not mend.
fn lasting(seen: &Seen) -> Option<&Fault> {
    let passing =
        |fault: &&Fault| !matches!(fault.class, Class::Unavailable | Class::Timeout | Class::Busy | Class::Conflict);
    seen.trouble.as_ref().filter(passing)
}

/// Whether the object is not what the caller knows. A watch may lag behind what the caller read elsewhere: what it has not read
/// yet is no change.
fn differs(seen: &Seen, key: &(String, String), known: Option<&str>) -> bool {
    if !seen.synced {
        return false;
    }
    match (seen.objects.get(key), known) {
        (Some(_), None) => true,
        (None, None) => false,
        (Some(object), Some(known)) => object.version != known && !older(&object.version, known),
        (None, Some(known)) => !older(&seen.progress, known),
    }
}

/// Whether a version is older than another; versions that are no numbers are not compared.
fn older(version: &str, than: &str) -> bool {
    match (version.parse::<u128>(), than.parse::<u128>()) {
        (Ok(version), Ok(than)) => version < than,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(progress: &str, version: Option<&str>) -> Seen {
        let key = ("ns".to_owned(), "a".to_owned());
        let objects = version.map(|v| (key, Object { version: v.to_owned(), text: "{}".into() }));
        Seen { synced: true, progress: progress.to_owned(), objects: objects.into_iter().collect(), trouble: None }
    }

    #[test]
    fn a_watch_that_lags_behind_is_no_change() {
        let key = ("ns".to_owned(), "a".to_owned());
        assert!(differs(&seen("9", Some("9")), &key, Some("8")));
        assert!(!differs(&seen("9", Some("9")), &key, Some("9")));
        assert!(!differs(&seen("7", Some("7")), &key, Some("8")), "an older state");
        assert!(!differs(&seen("7", None), &key, Some("8")), "made after what was read");
        assert!(differs(&seen("9", None), &key, Some("8")), "gone");
        assert!(!differs(&seen("9", None), &key, None), "not there yet");
        assert!(differs(&seen("9", Some("3")), &key, None));
        assert!(!differs(&Seen::default(), &key, Some("8")), "nothing read yet");
    }
}
