//! `/version`, `/access/permissions`.

use std::collections::BTreeMap;

use lab_wire::Random;
use serde_json::json;

use super::{ANY, Call, Need, Route, route};
use crate::Pve;
use crate::answer::{Failure, Handled};
use crate::params::may;

pub(super) const ROUTES: &[Route] = &[
    route("GET", "/version", &[], Need::Anyone, version),
    route("GET", "/access/permissions", &[&[may("path", ANY), may("userid", ANY)]], Need::Anyone, permissions),
];

fn version(pve: &mut Pve, _: &Call, _: &mut Random) -> Handled {
    let release = pve.settings.release;
    Ok(json!({ "version": release.version(), "release": release.release(), "repoid": "9f1c2f4c" }).into())
}

fn permissions(pve: &mut Pve, call: &Call, _: &mut Random) -> Handled {
    if call.args.text("userid").is_some_and(|user| user != call.who.id) {
        return Err(Failure::denied("Permission check failed (/access, Sys.Audit)"));
    }
    let access = pve.access();
    let found = match call.args.text("path") {
        Some(path) => BTreeMap::from([(path.to_owned(), access.privileges(&call.who, path))]),
        None => access.map(&call.who),
    };
    let number = |held: BTreeMap<String, bool>| -> BTreeMap<String, u8> {
        held.into_iter().map(|(name, propagates)| (name, propagates.into())).collect()
    };
    Ok(json!(found.into_iter().map(|(path, held)| (path, number(held))).collect::<BTreeMap<_, _>>()).into())
}
