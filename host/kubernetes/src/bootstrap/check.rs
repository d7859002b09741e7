//! Settings that would make first-boot data wrong, named when the configuration is read and not on a machine.

use std::path::Path;

use super::settings::{BootstrapSettings, Install};
use crate::{Error, Result};

/// The first thing wrong.
pub(crate) fn check(settings: &BootstrapSettings) -> Result<()> {
    let wrong = |what: String| Err(Error::bootstrap("BOOTSTRAP_SETTING", format!("[bootstrap] {what}")));
    if settings.join_attempts == 0 {
        return wrong("join-attempts = 0: a machine must try at least once".to_owned());
    }
    match settings.install {
        Install::Packages if settings.packages.key.is_none() => {
            return wrong(
                "install = \"packages\" needs packages.key: a file with the repository's public key".to_owned(),
            );
        }
        Install::Artifacts if settings.artifacts.is_empty() => {
            return wrong("install = \"artifacts\" needs at least one [[bootstrap.artifacts]]".to_owned());
        }
        _ => {}
    }
    let repository = &settings.packages.repository;
    if !https(repository) || !settings.packages.containerd.bytes().all(|b| b.is_ascii_graphic()) {
        return wrong(format!("packages.repository = \"{repository}\" or packages.containerd cannot be right"));
    }
    for artifact in &settings.artifacts {
        let url = &artifact.url;
        if !https(url) {
            return wrong(format!("artifacts: `{url}` is no https URL"));
        }
        if artifact.sha256.len() != 64 || !artifact.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return wrong(format!("artifacts: the sha256 of `{url}` is not 64 hex digits"));
        }
        if !place(&artifact.path) || !mode(&artifact.mode) {
            return wrong(format!("artifacts: `{url}` needs an absolute path and an octal mode"));
        }
    }
    for file in &settings.files {
        if !place(&file.path) || !mode(&file.mode) {
            return wrong(format!("files: `{}` needs an absolute path and an octal mode", file.path.display()));
        }
    }
    for (name, registry) in &settings.registries {
        // The name becomes a directory.
        let fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b)) && !name.starts_with('.');
        if name.is_empty() || !fits || registry.mirrors.is_empty() {
            return wrong(format!("registries: `{name}` is no registry such as docker.io, or it has no mirror"));
        }
        if let Some(url) = registry.mirrors.iter().chain(&registry.server).find(|url| !web(url)) {
            return wrong(format!("registries: `{url}` is no URL"));
        }
    }
    if let Some(proxy) = &settings.proxy {
        if let Some(url) = proxy.http.iter().chain(&proxy.https).find(|url| !web(url)) {
            return wrong(format!("proxy: `{}` is no http or https URL", without_password(url)));
        }
        let fits = |host: &String| host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:*/[]".contains(&b));
        if let Some(host) = proxy.none.iter().find(|host| !fits(host)) {
            return wrong(format!("proxy: `{host}` is no host, domain or CIDR"));
        }
    }
    Ok(())
}

/// A URL without anything that systemd or a shell would read as more than a character.
fn web(url: &str) -> bool {
    let plain = url.bytes().all(|b| b.is_ascii_graphic() && !b"\"'\\$`<>".contains(&b));
    let uri = url.parse::<http::Uri>().ok();
    plain && uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

fn https(url: &str) -> bool {
    web(url) && url.starts_with("https://")
}

fn without_password(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, rest)| rest)
}

fn place(path: &Path) -> bool {
    path.is_absolute() && path.to_str().is_some_and(|path| !path.chars().any(char::is_control))
}

fn mode(mode: &str) -> bool {
    (3..=4).contains(&mode.len()) && mode.bytes().all(|b| (b'0'..=b'7').contains(&b))
}
