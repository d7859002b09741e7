//! Compiled components as files of our own.
//!
//! Named by the digest of the component and the hash of the engine's settings, in a directory that only we can write. This is
//! the only file of the project with unsafe code.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::{Error, Result, Settings};

/// The component behind these bytes: from the cache, or compiled and put there. It blocks for as long as compiling takes.
pub(crate) fn load(engine: &Engine, settings: &Settings, digest: &str, bytes: &[u8]) -> Result<Component> {
    let Some(directory) = &settings.cache else {
        return compile(engine, bytes);
    };
    if settings.keep_compiled {
        prepare(directory)?;
    }
    let path = path(engine, directory, digest);
    if let Some(component) = read(engine, &path) {
        return Ok(component);
    }
    let component = compile(engine, bytes)?;
    if !settings.keep_compiled {
        return Ok(component);
    }
    let compiled = component.serialize().map_err(|e| Error::runtime("serializing a compiled component", e))?;
    // A cache that cannot be written costs time, not function.
    if let Err(error) = write(&path, &compiled) {
        tracing::warn!(path = %path.display(), %error, "the compiled component could not be kept");
    }
    Ok(component)
}

fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component> {
    Component::new(engine, bytes).map_err(|e| Error::Malformed(format!("{e:#}")))
}

fn path(engine: &Engine, directory: &Path, digest: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    directory.join(format!("{}-{:016x}.cwasm", digest.trim_start_matches("sha256:"), hasher.finish()))
}

/// The directory, with mode 0700 and ours.
fn prepare(directory: &Path) -> Result<()> {
    let fail = |e: std::io::Error| Error::runtime("preparing the cache directory", e);
    fs::create_dir_all(directory).map_err(fail)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(fail)
}

/// The user that we run as.
fn ours() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|about| about.uid())
}

#[allow(unsafe_code)]
fn read(engine: &Engine, path: &Path) -> Option<Component> {
    let about = fs::symlink_metadata(path).ok()?;
    let directory = fs::metadata(path.parent()?).ok()?;
    // Only a plain file that is ours and that nobody else can write was written by us, in a directory of which the same is true: what
    // another user compiled would run with our rights.
    let strange = |about: &fs::Metadata| about.mode() & 0o077 != 0 || ours().is_none_or(|own| own != about.uid());
    if !about.is_file() || !directory.is_dir() || strange(&about) || strange(&directory) {
        tracing::warn!(path = %path.display(), "a cached component has an owner or mode that we never give; compiling again");
        return None;
    }
    let bytes = fs::read(path).ok()?;
    // SAFETY: the bytes were written by `write` below from `Component::serialize`: the file lies in a directory of mode 0700, has
    // mode 0600 and our owner, and its name holds the hash of this engine's settings, which wasmtime checks again.
    match unsafe { Component::deserialize(engine, bytes) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a cached component does not fit this engine; compiling again");
            None
        }
    }
}

/// Whole or not at all: a temporary file, renamed.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
