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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::testing::stores::Stores;

    /// A granted directory `d` with some files, beside which a file lies that is not granted.
    fn granted() -> (tempfile::TempDir, Context) {
        let top = tempfile::tempdir().unwrap();
        let granted = top.path().join("granted");
        std::fs::create_dir_all(granted.join("below")).unwrap();
        std::fs::write(top.path().join("outside"), "not yours").unwrap();
        for name in ["b", "a"] {
            std::fs::write(granted.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("a", granted.join("within")).unwrap();
        std::os::unix::fs::symlink("../outside", granted.join("beside")).unwrap();
        std::os::unix::fs::symlink(top.path().join("outside"), granted.join("absolute")).unwrap();
        let grants = json!([{ "files": "d", "path": granted }]);
        let lab = json!({ "endpoints": [{ "url": "http://127.0.0.1:1" }] });
        let context = crate::testing::context(&Arc::new(Stores::default()), lab, grants);
        (top, context)
    }

    #[tokio::test]
    async fn a_granted_directory_is_read_and_nothing_beside_it() {
        let (top, context) = granted();
        assert_eq!(list(&context, "d").await.unwrap(), ["a", "b", "within"]);
        assert_eq!(read(&context, "d", "a").await.unwrap(), b"a");
        assert_eq!(read(&context, "d", "within").await.unwrap(), b"a");
        let outside = top.path().join("outside");
        for (name, code) in [
            ("..", "BAD_NAME"),
            ("../outside", "BAD_NAME"),
            ("below/../../outside", "BAD_NAME"),
            (outside.to_str().unwrap(), "BAD_NAME"),
            ("beside", "NOT_READABLE"),
            ("absolute", "NOT_READABLE"),
            ("below", "NOT_READABLE"),
            (".", "NOT_READABLE"),
            ("missing", "NO_SUCH_FILE"),
        ] {
            assert_eq!(read(&context, "d", name).await.unwrap_err().code, code, "{name}");
        }
        std::fs::write(top.path().join("granted/long"), vec![0; (LONGEST + 1) as usize]).unwrap();
        assert_eq!(read(&context, "d", "long").await.unwrap_err().code, "NOT_READABLE");
        let fault = read(&context, "e", "a").await.unwrap_err();
        assert_eq!((fault.code.as_str(), fault.class), ("FILES_NOT_GRANTED", Class::Denied));
        assert!(fault.message.contains("[[plugins.t.grants]]\nfiles = \"e\"\npath ="), "{}", fault.message);
    }

    #[tokio::test]
    async fn a_change_is_waited_for_and_nothing_else_is_one() {
        let (top, context) = granted();
        assert!(!wait_for_change(&context, "d", 50).await.unwrap());
        let (began, waiting) = (Instant::now(), wait_for_change(&context, "d", 20_000));
        let change = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            std::fs::write(top.path().join("outside"), "changed").unwrap();
            std::fs::write(top.path().join("granted/c"), "new").unwrap();
        };
        let (changed, ()) = tokio::join!(waiting, change);
        assert!(changed.unwrap() && began.elapsed() < Duration::from_secs(10));
        std::fs::write(top.path().join("outside"), "changed again, beside it").unwrap();
        assert!(!wait_for_change(&context, "d", 50).await.unwrap());
    }
}
