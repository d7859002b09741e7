//! The command line's side of the admin socket.

use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{Question, Refusal, Reply};

/// Code of a refusal by nobody: there is no daemon.
pub const NO_DAEMON: &str = "NO_DAEMON";

/// Asks the daemon behind the socket.
pub async fn ask(path: &Path, question: &Question) -> Result<serde_json::Value, Refusal> {
    let stream = UnixStream::connect(path).await.map_err(|error| {
        Refusal::new(
            NO_DAEMON,
            format!("no daemon answers on {} ({error}); start one with `agentkube run`", path.display()),
        )
    })?;
    match exchange(stream, question).await {
        Ok(Reply::Ok(value)) => Ok(value),
        Ok(Reply::Error(refusal)) => Err(refusal),
        Err(error) => Err(Refusal::new("ADMIN_SOCKET", format!("{}: {error}", path.display()))),
    }
}

async fn exchange(stream: UnixStream, question: &Question) -> std::io::Result<Reply> {
    let (reader, mut writer) = stream.into_split();
    let mut text = serde_json::to_vec(question)?;
    text.push(b'\n');
    writer.write_all(&text).await?;
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}
