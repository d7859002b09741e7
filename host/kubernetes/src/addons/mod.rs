//! Add-ons: manifests from directories, applied server-side, phase by phase, and waited for.
//!
//! - [`settings`]: what the configuration says.
//! - `manifest`: files to objects.
//! - `discovery`: kinds to paths.
//! - `health`: whether what was applied works.

mod discovery;
mod health;
mod manifest;
pub mod settings;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

pub use settings::{Addon, AddonSettings, Phase};

use crate::api::Api;
use crate::wait::Wait;
use crate::{Error, Result};
use discovery::Discovery;
use health::Health;
use manifest::Object;

/// Applies the named add-ons, phase by phase. With `healthy`, a phase begins once the one before it works.
pub(crate) async fn apply(
    api: &Api,
    known: &AddonSettings,
    names: &[String],
    healthy: bool,
    within: Duration,
) -> Result<()> {
    let wait = Wait::new(&*api.clock, api.settings.poll(), within);
    // Files are read before anything is applied: a mistake in the last must not leave half.
    let mut phases: BTreeMap<Phase, Vec<Object>> = BTreeMap::new();
    for name in names {
        let Some(addon) = known.get(name) else {
            let known: Vec<&str> = known.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let message =
                format!("no add-on is named `{}`; configured under [addons] are: {known}", crate::api::clip(name, 60));
            return Err(Error::addon("ADDON_UNKNOWN", message));
        };
        phases.entry(addon.phase).or_default().extend(manifest::load(name, &addon.path).await?);
    }
    let mut discovery = Discovery::default();
    for objects in phases.into_values() {
        let (first, then): (Vec<_>, Vec<_>) = objects.into_iter().partition(Object::founds);
        let founded = put(api, &mut discovery, &first, &wait).await?;
        // Without its definition established, an object of a new kind cannot be applied at all.
        works(api, founded, &wait).await?;
        let applied = put(api, &mut discovery, &then, &wait).await?;
        if healthy {
            works(api, applied, &wait).await?;
        }
    }
    Ok(())
}

/// Applies objects in order; gives where each now stands.
async fn put(
    api: &Api,
    discovery: &mut Discovery,
    objects: &[Object],
    wait: &Wait<'_>,
) -> Result<Vec<(String, String)>> {
    const CODE: &str = "ADDON_APPLY";
    let mut applied = Vec::new();
    for object in objects {
        loop {
            let path = match discovery.path(api, object).await {
                Ok(Some(path)) => path,
                // A definition needs a moment until discovery knows its kind.
                Ok(None) => {
                    wait.again("ADDON_KIND", format!("{}: the cluster knows no such kind", object.shown())).await?;
                    continue;
                }
                Err(error) => {
                    wait.forgive(CODE, error).await?;
                    continue;
                }
            };
            match api.apply(&path, &object.body).await {
                Ok(_) => {
                    applied.push((object.shown(), path));
                    break;
                }
                // Its namespace, or the definition just after discovery, may not be there yet.
                Err(error) if error.status() == Some(404) => {
                    wait.again(CODE, format!("{}: {error}", object.shown())).await?;
                }
                Err(error) if error.passing() => wait.forgive(CODE, error).await?,
                Err(error) => return Err(Error::addon(CODE, format!("{}: {error}", object.shown()))),
            }
        }
    }
    Ok(applied)
}

/// Waits until everything applied works.
async fn works(api: &Api, mut applied: Vec<(String, String)>, wait: &Wait<'_>) -> Result<()> {
    const CODE: &str = "ADDON_UNHEALTHY";
    loop {
        let mut missing = Vec::new();
        let mut why = Vec::new();
        for (shown, path) in applied {
            match api.find(&path).await {
                Ok(found) => match health::of(&found.unwrap_or(Value::Null)) {
                    Health::Works => {}
                    Health::NotYet(reason) => {
                        why.push(format!("{shown}: {reason}"));
                        missing.push((shown, path));
                    }
                    Health::Broken(reason) => return Err(Error::addon("ADDON_BROKEN", format!("{shown}: {reason}"))),
                },
                Err(error) if error.passing() => {
                    why.push(format!("{shown}: {error}"));
                    missing.push((shown, path));
                }
                Err(error) => return Err(error),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let more = if why.len() > 3 { format!("; and {} more", why.len() - 3) } else { String::new() };
        why.truncate(3);
        wait.again(CODE, format!("{}{more}", why.join("; "))).await?;
        applied = missing;
    }
}

#[cfg(test)]
mod tests;
