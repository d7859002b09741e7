//! The daemon's side of the admin socket.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tracing::debug;

use super::{Question, Refusal, Reply};

/// Longest question, in bytes: a cluster description with room to spare.
const LONGEST: u64 = 4 << 20;

/// Who answers.
#[async_trait]
pub trait Answers: Send + Sync {
    /// The answer to one question.
    async fn answer(&self, question: Question) -> Result<serde_json::Value, Refusal>;
}

/// Opens the socket and answers until the process ends. A socket that a daemon before us left behind is replaced; one that a
/// living daemon answers on is an error.
pub async fn serve(path: &Path, answers: Arc<dyn Answers>) -> std::io::Result<impl Future<Output = ()> + use<>> {
    if UnixStream::connect(path).await.is_ok() {
        let message = format!("another daemon answers on {}", path.display());
        return Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, message));
    }
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            let message = format!("{} exists and is no socket", path.display());
            return Err(std::io::Error::new(std::io::ErrorKind::AlreadyExists, message));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let answers = answers.clone();
                    tokio::spawn(async move {
                        if let Err(error) = exchange(stream, answers).await {
                            debug!("admin socket: {error}");
                        }
                    });
                }
                Err(error) => {
                    debug!("admin socket: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    })
}

async fn exchange(stream: UnixStream, answers: Arc<dyn Answers>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reader.take(LONGEST)).read_line(&mut line).await?;
    let reply = match serde_json::from_str::<Question>(&line) {
        Ok(question) => match answers.answer(question).await {
            Ok(value) => Reply::Ok(value),
            Err(refusal) => Reply::Error(refusal),
        },
        Err(error) => {
            Reply::Error(Refusal::new("QUESTION", format!("not a question that this version knows: {error}")))
        }
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    writer.write_all(&text).await?;
    writer.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::ask;

    struct Echo;

    #[async_trait]
    impl Answers for Echo {
        async fn answer(&self, question: Question) -> Result<serde_json::Value, Refusal> {
            match question {
                Question::Status => Ok(serde_json::json!({"fine": true})),
                _ => Err(Refusal::new("NO", "not that")),
            }
        }
    }

    #[tokio::test]
    async fn a_question_gets_its_answer_or_its_refusal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        tokio::spawn(serve(&path, Arc::new(Echo)).await.unwrap());
        assert_eq!(ask(&path, &Question::Status).await.unwrap(), serde_json::json!({"fine": true}));
        assert_eq!(ask(&path, &Question::Jobs).await.unwrap_err().code, "NO");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(serve(&path, Arc::new(Echo)).await.is_err(), "a second daemon must not take the socket over");
    }

    #[tokio::test]
    async fn a_file_in_the_place_of_the_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious.txt");
        std::fs::write(&path, "precious").unwrap();
        assert!(serve(&path, Arc::new(Echo)).await.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(ask(&path, &Question::Status).await.unwrap_err().code, "NO_DAEMON");
        tokio::spawn(serve(&path, Arc::new(Echo)).await.unwrap());
        assert!(ask(&path, &Question::Status).await.is_ok());
    }
}
