//! Granted directories, read-only.

use std::time::Duration;

use agentkube_contract::{Class, Fault};
use cap_std::ambient_authority;
use cap_std::fs::Dir;

use crate::state::Context;

/// Longest file, in bytes.
const LONGEST: u64 = 1 << 20;
/// How often a directory is looked at by who waits for a change.
const LOOK: Duration = Duration::from_secs(1);

/// Names of the files in a granted directory, sorted.
pub(crate) async fn list(context: &Context, directory: &str) -> Result<Vec<String>, Fault> {
    let dir = open(context, directory)?;
    blocking(move || Ok(snapshot(&dir)?.into_iter().map(|(name, ..)| name).collect())).await
}

/// The content of one file.
pub(crate) async fn read(context: &Context, directory: &str, name: &str) -> Result<Vec<u8>, Fault> {
    let dir = open(context, directory)?;
    let name = name.to_owned();
    if name.contains(['/', '\\', '\0']) || name == ".." {
        return Err(Fault::invalid("BAD_NAME", "a file is named without its directory"));
    }
    blocking(move || {
        let about = dir.metadata(&name).map_err(fault)?;
        if !about.is_file() || about.len() > LONGEST {
            return Err(Fault::new(
                Class::Invalid,
                "NOT_READABLE",
                format!("`{name}` is no file of at most {LONGEST} bytes"),
            ));
        }
        dir.read(&name).map_err(fault)
    })
    .await
}

/// True when something in the directory changed within the time.
pub(crate) async fn wait_for_change(context: &Context, directory: &str, timeout_ms: u32) -> Result<bool, Fault> {
    let dir = open(context, directory)?;
    let look = move || {
        let dir = dir.try_clone().map_err(fault)?;
        Ok::<_, Fault>(blocking(move || snapshot(&dir)))
    };
    let first = look()?.await?;
    let mut left = Duration::from_millis(timeout_ms.into());
    while !left.is_zero() {
        let pause = left.min(LOOK);
        context.core.services.clock.sleep(pause).await;
        left = left.saturating_sub(pause);
        if look()?.await? != first {
            return Ok(true);
        }
    }
    Ok(false)
}

type Seen = Vec<(String, u64, Option<cap_std::time::SystemTime>)>;

fn snapshot(dir: &Dir) -> Result<Seen, Fault> {
    let mut seen = Vec::new();
    for entry in dir.entries().map_err(fault)? {
        let entry = entry.map_err(fault)?;
        // Followed within the directory only; what leads out of it is no file of it.
        let Ok(about) = dir.metadata(entry.file_name()) else { continue };
        if let (true, Ok(name)) = (about.is_file(), entry.file_name().into_string()) {
            seen.push((name, about.len(), about.modified().ok()));
        }
    }
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(seen)
}

fn open(context: &Context, name: &str) -> Result<Dir, Fault> {
    let core = &context.core;
    let path = core.grants.directory(name).map_err(|fault| core.denied("files", fault))?;
    Dir::open_ambient_dir(path, ambient_authority()).map_err(fault)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Fault::internal("FILES", "reading ended without a result")))
}

fn fault(error: std::io::Error) -> Fault {
    match error.kind() {
        std::io::ErrorKind::NotFound => Fault::new(Class::NotFound, "NO_SUCH_FILE", "there is no such file"),
        _ => Fault::new(Class::Unavailable, "NOT_READABLE", error.to_string()),
    }
}
