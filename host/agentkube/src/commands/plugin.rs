//! `agentkube plugin inspect` and `agentkube plugin pack`.

use std::path::Path;

use agentkube_sandbox::package;
use miette::IntoDiagnostic;

use super::{printed, say};
use crate::cli::Output;

/// Prints what a plugin is and asks for, without running it.
pub fn inspect(file: &Path, output: Output) -> miette::Result<()> {
    let inspection =
        package::read(file).and_then(|bytes| package::inspect(&bytes)).map_err(|error| refused(file, &error))?;
    let value = serde_json::to_value(&inspection).into_diagnostic()?;
    if printed(&value, output) {
        return Ok(());
    }
    say(format_args!("{} {}  {}", inspection.name, inspection.version, inspection.manifest.description));
    say(format_args!("role      {}", inspection.role));
    say(format_args!("contract  {}", inspection.contract));
    say(format_args!("digest    {}", inspection.digest));
    say(format_args!("size      {} bytes", inspection.size));
    say("imports");
    for import in &inspection.imports {
        say(format_args!("  {import}"));
    }
    say("asks for");
    for sentence in &inspection.asks_for {
        // What belongs to the sentence before is indented by itself.
        let mark = if sentence.starts_with(' ') { ' ' } else { '-' };
        say(format_args!("  {mark} {sentence}"));
    }
    if !inspection.manifest.flags.is_empty() {
        say(format_args!("can       {}", inspection.manifest.flags.join(", ")));
    }
    if let Some(minor) = inspection.manifest.oldest_minor {
        say(format_args!("makes     Kubernetes v1.{minor} and newer"));
    }
    Ok(())
}

/// Makes a plugin from a core module or a component, and a manifest.
pub fn pack(file: &Path, manifest: &Path, output: &Path) -> miette::Result<()> {
    let text = std::fs::read_to_string(manifest).map_err(|error| unreadable(manifest, &error))?;
    let packed = package::pack(&read(file)?, &text).map_err(|error| refused(file, &error))?;
    // What is installed is what can be loaded: a component that its manifest does not cover is refused here already.
    let inspection = package::inspect(&packed).map_err(|error| refused(file, &error))?;
    let temporary = output.with_extension("partial");
    let written = std::fs::write(&temporary, &packed).and_then(|()| std::fs::rename(&temporary, output));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&temporary);
        return Err(miette::miette!(code = "FILE", "cannot write {}: {error}", output.display()));
    }
    say(format_args!("{}  {}  {} bytes", output.display(), inspection.digest, packed.len()));
    Ok(())
}

/// What `pack` is given may be a core module, and so is read as it is.
fn read(file: &Path) -> miette::Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &std::io::Error) -> miette::Report {
    miette::miette!(code = "FILE", "cannot read {}: {error}", file.display())
}

fn refused(file: &Path, error: &agentkube_sandbox::Error) -> miette::Report {
    match error {
        // It names the file itself.
        agentkube_sandbox::Error::Unreadable { .. } | agentkube_sandbox::Error::TooLarge { .. } => {
            miette::miette!(code = error.code(), "{error}")
        }
        _ => miette::miette!(code = error.code(), "{}: {error}", file.display()),
    }
}
