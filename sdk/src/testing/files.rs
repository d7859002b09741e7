//! Granted directories.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use super::World;
use crate::{Fault, Result};

#[derive(Default)]
pub(crate) struct Files {
    directories: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    changes: u64,
}

impl Files {
    pub(crate) fn put(&mut self, directory: &str, name: &str, content: Vec<u8>) {
        self.directories.entry(directory.to_owned()).or_default().insert(name.to_owned(), content);
        self.changes += 1;
    }

    fn directory(&self, name: &str) -> Result<&BTreeMap<String, Vec<u8>>> {
        let directory = self.directories.get(name);
        directory.ok_or_else(|| Fault::denied("NO_SUCH_DIRECTORY", format!("no directory `{name}` is granted")))
    }

    pub(crate) fn list(&self, directory: &str) -> Result<Vec<String>> {
        Ok(self.directory(directory)?.keys().cloned().collect())
    }

    pub(crate) fn read(&self, directory: &str, name: &str) -> Result<Vec<u8>> {
        let file = self.directory(directory)?.get(name).cloned();
        file.ok_or_else(|| Fault::not_found("NO_SUCH_FILE", format!("no file `{name}` in `{directory}`")))
    }
}

impl World {
    pub(crate) async fn wait_for_file_change(&self, directory: String, timeout_ms: u32) -> Result<bool> {
        let before = self.call(|state| state.files.directory(&directory).map(|_| state.files.changes)).await?;
        let until = self.now() + u64::from(timeout_ms);
        Ok(self.watch(until, |state| (state.files.changes != before).then_some(())).await.is_some())
    }

    /// Looks at every moment at which something happens, until there is something to see or the time is over.
    pub(crate) async fn watch<T>(&self, until: u64, look: impl Fn(&mut super::world::State) -> Option<T>) -> Option<T> {
        poll_fn(|context| {
            self.with(|state| {
                if let Some(seen) = look(state) {
                    return Poll::Ready(Some(seen));
                }
                if state.now >= until {
                    return Poll::Ready(None);
                }
                let next = state.events.iter().map(|(due, _)| *due).min().unwrap_or(until).min(until);
                state.timers.push((next.max(state.now + 1), context.waker().clone()));
                Poll::Pending
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use crate::files;
    use crate::testing::World;

    #[test]
    fn a_change_is_seen_and_silence_times_out() {
        let world = World::new();
        world.file("manifests", "a.yaml", "a").after(1_000, |world| {
            world.file("manifests", "b.yaml", "b");
        });
        world.run(async {
            assert_eq!(files::list("manifests").await.unwrap(), ["a.yaml"]);
            assert!(!files::wait_for_change("manifests", 500).await.unwrap());
            assert!(files::wait_for_change("manifests", 60_000).await.unwrap());
            assert_eq!(files::read("manifests", "b.yaml").await.unwrap(), b"b");
            assert_eq!(files::read("etc", "passwd").await.unwrap_err().code, "NO_SUCH_DIRECTORY");
        });
    }
}
