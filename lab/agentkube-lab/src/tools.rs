//! The programs that were built together with this one.

use std::path::{Path, PathBuf};

use crate::Error;

/// The daemon and its plugins.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The `agentkube` binary.
    pub binary: PathBuf,
    /// Directory with the packed plugins.
    pub plugins: PathBuf,
}

impl Tools {
    /// Those that were named, or those that were built together with this program.
    pub fn find(binary: &Option<PathBuf>, plugins: &Option<PathBuf>) -> Result<Tools, Error> {
        let here = std::env::current_exe()?;
        let beside: Vec<&Path> = here.ancestors().skip(1).take(2).collect();
        let find = |named: &Option<PathBuf>, name: &str, option: &str| {
            let candidates: Vec<PathBuf> = match named {
                Some(path) => vec![path.clone()],
                None => beside.iter().map(|directory| directory.join(name)).collect(),
            };
            let found = candidates.iter().find(|path| path.exists()).ok_or_else(|| {
                let tried: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
                Error::Daemon(format!(
                    "there is no {}; build everything with `cargo xtask build-plugins`, or name it with {option}",
                    tried.join(" and no ")
                ))
            })?;
            // The daemon reads paths relative to its configuration.
            Ok::<_, Error>(std::fs::canonicalize(found)?)
        };
        Ok(Tools { binary: find(binary, "agentkube", "--binary")?, plugins: find(plugins, "plugins", "--plugins")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_named_and_is_not_there_is_told() {
        let missing = Some(PathBuf::from("/nonexistent/agentkube"));
        let error = Tools::find(&missing, &missing).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/agentkube") && error.contains("--binary"), "{error}");
    }
}
