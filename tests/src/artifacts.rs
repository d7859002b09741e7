//! Where the built things are. `cargo xtask test` builds them and says so in the environment.

use std::path::PathBuf;

/// The daemon.
pub fn daemon() -> PathBuf {
    need("AGENTKUBE_BIN", "the built `agentkube`")
}

/// The lab's own binary.
pub fn lab() -> PathBuf {
    need("AGENTKUBE_LAB_BIN", "the built `agentkube-lab`")
}

/// The directory of the packed plugins.
pub fn plugins() -> PathBuf {
    need("AGENTKUBE_PLUGINS", "the directory of the packed plugins")
}

/// A packed plugin, by the name of its file without the ending.
pub fn plugin(name: &str) -> PathBuf {
    plugins().join(format!("{name}.wasm"))
}

/// A test guest, by the name of its file without the ending.
pub fn guest(name: &str) -> PathBuf {
    need("AGENTKUBE_GUESTS", "the directory of the test guests").join(format!("{name}.wasm"))
}

/// The workspace's root.
pub fn workspace() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn need(variable: &str, what: &str) -> PathBuf {
    let Some(path) = std::env::var_os(variable).map(PathBuf::from) else {
        panic!(
            "{variable} is not set: it names {what}; run the tests with `cargo xtask test`, which builds it and says where it is"
        );
    };
    assert!(path.exists(), "{variable} names {}, which is not there; `cargo xtask test` builds it", path.display());
    path
}
