//! Writes down what passes between clients and lab servers, so that it can be checked afterwards against the published
//! schemas of the real systems.
//!
//! Nothing happens unless [`RECORD`] names a folder. Each process writes a file of its own there, one [`Exchange`] per line,
//! unbuffered, so that what a killed process saw is kept. What was seen before is not written again.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{Answer, Request, Response};

/// Environment variable that names the folder of the recordings.
pub const RECORD: &str = "AGENTKUBE_LAB_RECORD";

/// Longest body that is written down, in bytes; of longer ones the length alone.
const BODY_LIMIT: usize = 256 * 1024;
/// How much one process writes, in bytes; after that it says once that the rest is missing.
const FILE_LIMIT: usize = 256 * 1024 * 1024;
/// How much of an upload's field is written down, in bytes.
const FIELD_LIMIT: usize = 4 * 1024;

/// Which published interface a request falls under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Interface {
    /// The product, such as `proxmox`.
    pub system: String,
    /// Its version, or that of its interface.
    pub version: String,
}

impl Interface {
    /// An interface by system and version.
    pub fn new(system: &str, version: &str) -> Self {
        Interface { system: system.to_owned(), version: version.to_owned() }
    }
}

/// A request and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// What both must keep to.
    pub interface: Interface,
    /// `User-Agent`, which tells whose request it is.
    pub agent: String,
    /// Upper-case method.
    pub method: String,
    /// Path, percent-encoded, without the query.
    pub path: String,
    /// Query parameters, decoded.
    pub query: Vec<(String, String)>,
    /// `Content-Type` of the request.
    pub content_type: Option<String>,
    /// Body of the request.
    pub body: Body,
    /// The answer; `None` where the connection was closed instead.
    pub answer: Option<Answered>,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// Status code.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// The body; of a stream the first piece.
    pub body: Body,
}

/// A body as far as it was written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// Text.
    Text(String),
    /// The parts of an upload.
    Upload(Vec<Part>),
    /// Something longer or other than text: its length in bytes.
    Opaque(usize),
}

/// One part of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its value; of a file the name that it was given.
    pub value: String,
    /// Whether it is a file, whose content is left out.
    pub file: bool,
}

impl Body {
    fn of(bytes: &[u8], content_type: Option<&str>) -> Self {
        let boundary = content_type
            .filter(|kind| kind.starts_with("multipart/form-data"))
            .and_then(|kind| kind.split_once("boundary=").map(|(_, boundary)| boundary.trim_matches('"')));
        if let Some(boundary) = boundary {
            return Body::Upload(parts(bytes, boundary));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if bytes.len() <= BODY_LIMIT => Body::Text(text.to_owned()),
            _ => Body::Opaque(bytes.len()),
        }
    }
}

impl Exchange {
    /// What passed.
    pub fn new(interface: Interface, request: &Request, answer: &Answer) -> Self {
        let content_type = request.header_value("content-type").map(str::to_owned);
        let answer = match answer {
            Answer::Now(response) | Answer::At(_, response) | Answer::Stream(_, response) => Some(answered(response)),
            Answer::Drop => None,
        };
        Exchange {
            interface,
            agent: request.header_value("user-agent").unwrap_or_default().to_owned(),
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            body: Body::of(&request.body, content_type.as_deref()),
            content_type,
            answer,
        }
    }
}

fn answered(response: &Response) -> Answered {
    let content_type = response.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let content_type = content_type.map(|(_, value)| value.clone());
    Answered { status: response.status, body: Body::of(&response.body, content_type.as_deref()), content_type }
}

/// The parts of a multipart body.
fn parts(bytes: &[u8], boundary: &str) -> Vec<Part> {
    let delimiter = format!("--{boundary}").into_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = find(bytes, &delimiter, at).map(|start| start + delimiter.len()) {
        at = find(bytes, &delimiter, start).unwrap_or(bytes.len());
        let part = bytes.get(start..at).unwrap_or_default();
        let Some(split) = find(part, b"\r\n\r\n", 0) else { continue };
        let (head, value) = part.split_at(split + 4);
        let head = String::from_utf8_lossy(head);
        let quoted = |key: &str| head.split(&format!("; {key}=\"")).nth(1)?.split('"').next().map(str::to_owned);
        let file = quoted("filename");
        let value = value.strip_suffix(b"\r\n").unwrap_or(value);
        let short = value.get(..FIELD_LIMIT).unwrap_or(value);
        found.push(Part {
            name: quoted("name").unwrap_or_default(),
            file: file.is_some(),
            value: file.unwrap_or_else(|| String::from_utf8_lossy(short).into_owned()),
        });
    }
    found
}

fn find(bytes: &[u8], what: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(what.len()).position(|window| window == what).map(|at| at + from)
}

/// The file of this process.
struct Recorder {
    file: File,
    seen: HashSet<u64>,
    written: usize,
}

/// Writes an exchange down, where a folder is named.
pub(crate) fn record(interface: Option<Interface>, request: &Request, answer: &Answer) {
    static RECORDER: OnceLock<Option<Mutex<Recorder>>> = OnceLock::new();
    let Some(recorder) = RECORDER.get_or_init(open) else { return };
    let Some(interface) = interface else { return };
    let exchange = Exchange::new(interface, request, answer);
    recorder.lock().unwrap_or_else(PoisonError::into_inner).write(&exchange);
}

fn open() -> Option<Mutex<Recorder>> {
    let folder = std::env::var_os(RECORD)?;
    let path = Path::new(&folder).join(format!("{}.jsonl", std::process::id()));
    match File::options().create(true).append(true).open(&path) {
        Ok(file) => Some(Mutex::new(Recorder { file, seen: HashSet::new(), written: 0 })),
        // Whoever asked for a recording must not believe that it is complete.
        Err(error) => panic!("cannot record into {}: {error}", path.display()),
    }
}

impl Recorder {
    fn write(&mut self, exchange: &Exchange) {
        if self.written > FILE_LIMIT {
            return;
        }
        let Ok(mut line) = serde_json::to_string(exchange) else { return };
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) {
            return;
        }
        self.written += line.len();
        if self.written > FILE_LIMIT {
            // No exchange: the reader stops here, and says so.
            line = "full".to_owned();
        }
        line.push('\n');
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            panic!("cannot record: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_keeps_its_fields_and_drops_its_file() {
        let mut request = Request::new("POST", "/upload").header("content-type", "multipart/form-data; boundary=XyZ");
        request.body = b"--XyZ\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n--XyZ\r\n\
            Content-Disposition: form-data; name=\"filename\"; filename=\"a.iso\"\r\n\r\n\xff\xfe\r\n--XyZ--\r\n"
            .to_vec();
        let exchange = Exchange::new(Interface::new("a", "1"), &request, &Answer::Drop);
        let part = |name: &str, value: &str, file| Part { name: name.to_owned(), value: value.to_owned(), file };
        let parts = vec![part("content", "iso", false), part("filename", "a.iso", true)];
        assert_eq!((exchange.body.clone(), exchange.answer.clone()), (Body::Upload(parts), None));
        let line = serde_json::to_string(&exchange).unwrap();
        assert_eq!(serde_json::from_str::<Exchange>(&line).unwrap(), exchange);
    }

    #[test]
    fn what_is_no_text_is_only_counted() {
        let response = Response { body: vec![0xff; 7], ..Response::empty(200) };
        let exchange = Exchange::new(Interface::new("a", "1"), &Request::new("GET", "/"), &response.into());
        assert_eq!(exchange.answer.unwrap().body, Body::Opaque(7));
    }
}
