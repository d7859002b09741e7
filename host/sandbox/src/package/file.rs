//! Reading a component's file, whatever it turns out to be.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::section::check_header;
use crate::{Error, Result};

/// Most bytes of a component: an interpreter with its libraries fits many times.
const LARGEST: u64 = 256 << 20;
/// Bytes that tell what kind of file it is.
const HEADER: usize = 8;

/// The bytes of a component. What is no component is not read further than its first bytes; what is no plain file is not read at
/// all.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |message: String| Error::Unreadable { path: path.to_owned(), message };
    let failed = |error: std::io::Error| unreadable(error.to_string());
    // Looked at before it is opened: opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(unreadable("it is no plain file".to_owned()));
    }
    let mut file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut bytes = Vec::with_capacity(HEADER);
    (&mut file).take(HEADER as u64).read_to_end(&mut bytes).map_err(failed)?;
    check_header(&bytes)?;
    if size > LARGEST {
        return Err(Error::TooLarge { path: path.to_owned(), size, limit: LARGEST });
    }
    file.take(LARGEST).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_component_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plugin.wasm");
        let code = |path: &Path| read(path).unwrap_err().code();
        assert_eq!(code(&path), "PLUGIN_UNREADABLE");
        assert_eq!(code(directory.path()), "PLUGIN_UNREADABLE");
        assert_eq!(code(Path::new("/dev/zero")), "PLUGIN_UNREADABLE");
        std::fs::write(&path, "").unwrap();
        assert_eq!(read(&path).unwrap_err().to_string(), "this is not WebAssembly: the file is empty");
        // A hole of a gigabyte: were it read, the test would show it in its time and memory.
        File::create(&path).unwrap().set_len(1 << 30).unwrap();
        assert_eq!(code(&path), "NOT_WASM");
        std::fs::write(&path, b"\0asm\x0d\0\x01\0rest").unwrap();
        assert_eq!(read(&path).unwrap(), b"\0asm\x0d\0\x01\0rest");
        File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
        assert_eq!(code(&path), "PLUGIN_TOO_LARGE");
    }
}
