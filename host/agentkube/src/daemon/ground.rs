//! The ground that a daemon stands on: a directory that it can write, a socket, an address to listen on. What is found amiss here is what
//! the start refuses, whoever looks: the start itself, `agentkube doctor` or `agentkube config check`.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::admin;
use crate::config::{Config, Problem, Source};

/// The file in the data directory that a running daemon holds.
const LOCK: &str = "lock";

/// The first thing that keeps a daemon from starting with this configuration, apart from another one that runs with it.
pub fn check(config: &Config, source: &Source) -> Result<(), Problem> {
    data_dir(config, source)?;
    socket(config, source)?;
    if in_use(config) {
        // The address is that daemon's.
        return Ok(());
    }
    listen(config, source)
}

/// Whether the data directory can be written, or made. It is tried, and nothing is left of the trial.
pub fn data_dir(config: &Config, source: &Source) -> Result<(), Problem> {
    let path = &config.data_dir;
    let found = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let locked = || match File::options().write(true).open(path.join(LOCK)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let tried = writable(found).and_then(|()| locked());
    tried.map_err(|error| no_data_dir(config, source, &error))
}

/// Whether the admin socket can be made where it should be.
pub fn socket(config: &Config, source: &Source) -> Result<(), Problem> {
    let path = config.socket();
    let folder = path.parent().filter(|folder| *folder != config.data_dir && !folder.as_os_str().is_empty());
    let tried = admin::may_serve(&path).and_then(|()| folder.map_or(Ok(()), writable));
    tried.map_err(|error| no_socket(config, source, &error))
}

/// Whether the address of the status pages is free and this machine's.
pub fn listen(config: &Config, source: &Source) -> Result<(), Problem> {
    TcpListener::bind(config.listen).map(drop).map_err(|error| not_listening(config, source, &error))
}

/// Whether a daemon holds the data directory. The look itself holds it for no longer than it takes.
pub fn in_use(config: &Config) -> bool {
    held(&config.data_dir)
}

/// The same of a data directory.
pub fn held(data_dir: &Path) -> bool {
    let file = File::open(data_dir.join(LOCK));
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// One daemon per data directory: two would both believe that the journal is theirs.
pub fn lock(config: &Config, source: &Source) -> Result<File, Problem> {
    let path = &config.data_dir;
    let cannot = |error: std::io::Error| no_data_dir(config, source, &error);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(cannot)?;
    let file = File::options().create(true).truncate(false).write(true).open(path.join(LOCK)).map_err(cannot)?;
    // Whoever asks whether it is held holds it for a moment.
    let mut tries = 0..20;
    loop {
        match (file.try_lock(), tries.next()) {
            (Ok(()), _) => return Ok(file),
            (Err(TryLockError::WouldBlock), Some(_)) => std::thread::sleep(Duration::from_millis(5)),
            (Err(TryLockError::WouldBlock), None) => {
                let message = format!("another daemon uses the data directory {}", path.display());
                let help = "end it first, or give this one another directory";
                return Err(source.problem("ALREADY_RUNNING", &["data-dir"], message).help(help));
            }
            (Err(TryLockError::Error(error)), _) => return Err(cannot(error)),
        }
    }
}

/// Why the socket is not there.
pub fn no_socket(config: &Config, source: &Source, error: &std::io::Error) -> Problem {
    let key = if config.admin_socket.is_some() { "admin-socket" } else { "data-dir" };
    let message = format!("the admin socket {} cannot be made: {error}", config.socket().display());
    source
        .problem("SOCKET", &[key], message)
        .help("set `admin-socket` to a short path in a directory that the daemon can write")
}

/// Why nobody listens.
pub fn not_listening(config: &Config, source: &Source, error: &std::io::Error) -> Problem {
    let message = format!("cannot listen on {}: {error}", config.listen);
    source.problem("LISTEN", &["listen"], message).help("set `listen` to a free address and port of this machine")
}

fn no_data_dir(config: &Config, source: &Source, error: &std::io::Error) -> Problem {
    let message = format!("cannot use the data directory {}: {error}", config.data_dir.display());
    let help = "make it, owned by the daemon's user with mode 0700, or set `data-dir`";
    source.problem("DATA_DIR", &["data-dir"], message).help(help)
}

/// Whether something can be made in a directory.
fn writable(folder: &Path) -> std::io::Result<()> {
    static TRIALS: AtomicU32 = AtomicU32::new(0);
    let number = TRIALS.fetch_add(1, Ordering::Relaxed);
    let trial = folder.join(format!(".agentkube-trial-{}-{number}", std::process::id()));
    std::fs::create_dir(&trial).and_then(|()| std::fs::remove_dir(&trial))
}
