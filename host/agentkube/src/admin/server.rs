//! The daemon's side of the admin socket.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tracing::debug;

use super::{Question, Refusal, Reply};

/// Longest question, in bytes: a cluster description with room to spare.
const LONGEST: u64 = 4 << 20;

/// Time for a question to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who answers.
#[async_trait]
pub trait Answers: Send + Sync {
    /// The answer to one question.
    async fn answer(&self, question: Question) -> Result<serde_json::Value, Refusal>;
}

/// Opens the socket and answers until the process ends. A socket that a daemon before us left behind is replaced; one that a
/// living daemon answers on is an error.
pub async fn serve(path: &Path, answers: Arc<dyn Answers>) -> std::io::Result<impl Future<Output = ()> + use<>> {
    may_serve(path)?;
    if UnixStream::connect(path).await.is_ok() {
        return Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, "another daemon answers there"));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
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
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    })
}

/// Whether a socket can have this path: it is short enough, and nothing else stands there.
pub fn may_serve(path: &Path) -> std::io::Result<()> {
    if std::os::unix::net::SocketAddr::from_pathname(path).is_err() {
        let message = format!("its path has {} bytes, and a socket's can have 107", path.as_os_str().len());
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, message));
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Err(std::io::Error::new(std::io::ErrorKind::AlreadyExists, "what is there is no socket"))
        }
        _ => Ok(()),
    }
}

async fn exchange(stream: UnixStream, answers: Arc<dyn Answers>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let asked = match tokio::time::timeout(PATIENCE, question(&mut reader)).await {
        Ok(asked) => asked?,
        Err(_) => Err(Refusal::new("QUESTION", format!("no question came within {} s", PATIENCE.as_secs()))),
    };
    let reply = match asked {
        Ok(question) => match answers.answer(question).await {
            Ok(value) => Reply::Ok(value),
            Err(refusal) => Reply::Error(refusal),
        },
        Err(refusal) => Reply::Error(refusal),
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    writer.write_all(&text).await?;
    writer.shutdown().await
}

/// Reads one line; what is none of our questions is refused. What is too long is read to its end and thrown away: who is still sending
/// when the socket is closed never reads why.
async fn question(reader: &mut BufReader<OwnedReadHalf>) -> std::io::Result<Result<Question, Refusal>> {
    let mut line = Vec::new();
    (&mut *reader).take(LONGEST).read_until(b'\n', &mut line).await?;
    let whole = line.last() == Some(&b'\n');
    if !whole && line.len() as u64 == LONGEST {
        loop {
            let more = reader.fill_buf().await?;
            let (length, ends) = (more.len(), more.contains(&b'\n'));
            reader.consume(length);
            if length == 0 || ends {
                break;
            }
        }
        let message = format!("a question has at most {LONGEST} bytes");
        return Ok(Err(Refusal::new("QUESTION_TOO_LONG", message)));
    }
    Ok(serde_json::from_slice(&line)
        .map_err(|error| Refusal::new("QUESTION", format!("not a question that this version knows: {error}"))))
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
    async fn what_is_no_question_gets_an_answer_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        tokio::spawn(serve(&path, Arc::new(Echo)).await.unwrap());
        let long = vec![b'x'; usize::try_from(LONGEST).unwrap() + 100_000];
        for (what, bytes, code) in [
            ("no UTF-8", b"{\"ask\":\"\xff\xfe\"}\n".to_vec(), "QUESTION"),
            ("another word", b"{\"ask\":\"weather\"}\n".to_vec(), "QUESTION"),
            ("an empty line", b"\n".to_vec(), "QUESTION"),
            ("nothing at all", Vec::new(), "QUESTION"),
            ("no JSON", vec![0; 1000], "QUESTION"),
            ("deeply nested", [vec![b'['; 100_000], vec![b'\n']].concat(), "QUESTION"),
            ("a line without end", long.clone(), "QUESTION_TOO_LONG"),
            ("a long line", [long, vec![b'\n']].concat(), "QUESTION_TOO_LONG"),
        ] {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.unwrap();
            let reply: serde_json::Value = serde_json::from_str(&reply).unwrap_or_else(|_| panic!("{what}: {reply}"));
            assert_eq!(reply["error"]["code"], code, "{what}");
        }
        assert!(ask(&path, &Question::Status).await.is_ok());
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
