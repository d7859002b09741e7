//! `agentkube plugin inspect` and `agentkube plugin pack`.

use std::path::Path;

use agentkube_sandbox::package;
use miette::{IntoDiagnostic, WrapErr};

use super::printed;
use crate::cli::Output;

/// Prints what a plugin is and asks for, without running it.
pub fn inspect(file: &Path, output: Output) -> miette::Result<()> {
    let inspection = package::inspect(&read(file)?).map_err(|error| refused(file, &error))?;
    let value = serde_json::to_value(&inspection).into_diagnostic()?;
    if printed(&value, output) {
        return Ok(());
    }
    println!("{} {}  {}", inspection.name, inspection.version, inspection.manifest.description);
    println!("role      {}", inspection.role);
    println!("contract  {}", inspection.contract);
    println!("digest    {}", inspection.digest);
    println!("size      {} bytes", inspection.size);
    println!("imports");
    for import in &inspection.imports {
        println!("  {import}");
    }
    println!("asks for");
    for sentence in &inspection.asks_for {
        // What belongs to the sentence before is indented by itself.
        let mark = if sentence.starts_with(' ') { ' ' } else { '-' };
        println!("  {mark} {sentence}");
    }
    if !inspection.manifest.flags.is_empty() {
        println!("can       {}", inspection.manifest.flags.join(", "));
    }
    Ok(())
}

/// Makes a plugin from a core module or a component, and a manifest.
pub fn pack(file: &Path, manifest: &Path, output: &Path) -> miette::Result<()> {
    let text = std::fs::read_to_string(manifest)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot read {}", manifest.display()))?;
    let packed = package::pack(&read(file)?, &text).map_err(|error| refused(file, &error))?;
    // What is installed is what can be loaded: a component that its manifest does not cover is refused here already.
    let inspection = package::inspect(&packed).map_err(|error| refused(file, &error))?;
    let temporary = output.with_extension("partial");
    std::fs::write(&temporary, &packed)
        .and_then(|()| std::fs::rename(&temporary, output))
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot write {}", output.display()))?;
    println!("{}  {}  {} bytes", output.display(), inspection.digest, packed.len());
    Ok(())
}

fn read(file: &Path) -> miette::Result<Vec<u8>> {
    std::fs::read(file).into_diagnostic().wrap_err_with(|| format!("cannot read {}", file.display()))
}

fn refused(file: &Path, error: &agentkube_sandbox::Error) -> miette::Report {
    miette::miette!(code = error.code(), "{}: {error}", file.display())
}
