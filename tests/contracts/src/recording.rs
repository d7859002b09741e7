//! Reading recordings.

use std::path::Path;

use lab_wire::Exchange;

use crate::error::{Error, Result, read};

/// What a process writes instead of an exchange when it stops writing.
const FULL: &str = "full";

/// Hands every exchange of a folder to `each`; gives how many processes stopped writing before their end.
pub fn replay(folder: &Path, mut each: impl FnMut(&Exchange)) -> Result<usize> {
    let trouble = |source| Error::Read { path: folder.to_owned(), source };
    let mut full = 0;
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(trouble)? {
        paths.push(entry.map_err(trouble)?.path());
    }
    paths.sort();
    for path in paths {
        let text = read(&path)?;
        // A process that was killed while it wrote leaves half a line.
        let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
        for (number, line) in whole.lines().enumerate() {
            if line == FULL {
                full += 1;
                continue;
            }
            let exchange = serde_json::from_str(line).map_err(|error| Error::Recording {
                path: path.clone(),
                line: number + 1,
                problem: error.to_string(),
            })?;
            each(&exchange);
        }
    }
    Ok(full)
}
