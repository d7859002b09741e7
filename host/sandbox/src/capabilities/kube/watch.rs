//! Watches shared by all waiters of a connection, kind and scope: opened on the first wait, closed when idle.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentkube_contract::{Class, Fault};
use serde_json::Value;
use tokio::sync::watch::{Receiver, Sender};
use tokio::time::Instant;

use super::status::accepted;
use super::target::Kind;
use crate::connections::{Connection, Outgoing};

/// What one watch covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub connection: String,
    pub kind: Kind,
    /// `None`: all namespaces.
    pub namespace: Option<String>,
    /// Only this object, where no more is granted.
    pub name: Option<String>,
}

/// What a watch has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// The list was read; from then on absence means something.
    pub synced: bool,
    /// How far it has read.
    pub progress: String,
    /// By namespace and name.
    pub objects: HashMap<(String, String), Object>,
    /// Why it does not go on.
    pub trouble: Option<Fault>,
}

/// One object as it was seen last.
#[derive(Clone)]
pub(crate) struct Object {
    pub version: String,
    pub text: Arc<str>,
}

/// All open watches.
pub(crate) struct Watches {
    idle: Duration,
    open: Mutex<HashMap<Scope, Sender<Seen>>>,
}

/// Seconds after which the server ends a watch, which is then opened again where it stood.
const SPAN: u64 = 290;
/// How often an open watch looks whether somebody waits.
const LOOK: Duration = Duration::from_secs(1);

impl Watches {
    /// None open.
    pub fn new(idle: Duration) -> Self {
        Watches { idle, open: Mutex::default() }
    }

    /// The watch of a scope, opened if it is not.
    pub fn join(self: &Arc<Self>, scope: &Scope, connection: &Arc<Connection>) -> Receiver<Seen> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = open.get(scope) {
            return sender.subscribe();
        }
        let (sender, receiver) = tokio::sync::watch::channel(Seen::default());
        open.insert(scope.clone(), sender.clone());
        let (scope, connection) = (scope.clone(), Arc::clone(connection));
        let run = Run { watches: Arc::clone(self), scope, connection, sender, unused_since: Mutex::default() };
        tokio::spawn(run.forever());
        receiver
    }

    /// How many are open.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// One watch that runs.
struct Run {
    watches: Arc<Watches>,
    scope: Scope,
    connection: Arc<Connection>,
    sender: Sender<Seen>,
    /// Since when nobody waits.
    unused_since: Mutex<Option<Instant>>,
}

/// Why following ended.
enum End {
    /// Nobody waits.
    Idle,
    /// It goes on from where it stood.
    Again,
    /// The server forgot where it stood: the list is read again.
    Expired,
}

impl Run {
    async fn forever(self) {
        let mut pause = Duration::from_millis(200);
        let mut listed = false;
        loop {
            let began = Instant::now();
            let step = async {
                if !listed {
                    self.list().await?;
                }
                self.follow().await
            };
            match step.await {
                Ok(End::Idle) => return,
                Ok(End::Again) => {
                    listed = true;
                    pause = Duration::from_millis(200);
                }
                Ok(End::Expired) => listed = false,
                Err(fault) => {
                    listed = false;
                    let lasting =
                        !matches!(fault.class, Class::Unavailable | Class::Timeout | Class::Busy | Class::Conflict);
                    self.sender.send_modify(|seen| seen.trouble = Some(fault));
                    if lasting {
                        self.close();
                        return;
                    }
                }
            }
            if self.idle() && self.close_if_unused() {
                return;
            }
            // A server that ends each watch at once is not asked in a tight loop.
            if !listed || began.elapsed() < LOOK {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            }
        }
    }

    /// Reads all objects, page by page.
    async fn list(&self) -> Result<(), Fault> {
        let path = self.scope.kind.path(self.scope.namespace.as_deref())?;
        let (mut objects, mut next): (HashMap<_, _>, Option<String>) = (HashMap::new(), None);
        let progress = loop {
            let mut query = self.query();
            query.push(("limit".to_owned(), "500".to_owned()));
            query.extend(next.take().map(|next| ("continue".to_owned(), next)));
            let body = accepted(self.connection.exchange(Outgoing::get(&path, &query)).await?)?;
            let mut page: Value = serde_json::from_slice(&body).map_err(|_| garbled())?;
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                objects.extend(items.into_iter().filter_map(read));
            }
            let text = |pointer| page.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let more = text("/metadata/continue");
            if more.is_empty() {
                break text("/metadata/resourceVersion");
            }
            next = Some(more);
        };
        self.sender.send_modify(|seen| *seen = Seen { synced: true, progress, objects, trouble: None });
        Ok(())
    }

    /// Follows the changes until the server ends the watch or nobody waits any more.
    async fn follow(&self) -> Result<End, Fault> {
        let path = self.scope.kind.path(self.scope.namespace.as_deref())?;
        let mut query = self.query();
        query.extend(
            [
                ("watch", "true".to_owned()),
                ("allowWatchBookmarks", "true".to_owned()),
                ("resourceVersion", self.sender.borrow().progress.clone()),
                ("timeoutSeconds", SPAN.to_string()),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        let mut response = self.connection.stream(Outgoing::get(&path, &query)).await?;
        match response.status().as_u16() {
            200 => {}
            410 => return Ok(End::Expired),
            status => {
                let answer = crate::connections::Incoming {
                    status,
                    reason: "the watch was refused".to_owned(),
                    headers: Vec::new(),
                    body: Vec::new(),
                };
                return accepted(answer).map(|_| End::Again);
            }
        }
        let most = self.connection.limits().response_bytes;
        let (mut line, began) = (Vec::new(), Instant::now());
        loop {
            let chunk = match tokio::time::timeout(LOOK, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(_) => return Ok(End::Again),
                Err(_) if began.elapsed() > Duration::from_secs(SPAN + 30) => return Ok(End::Again),
                Err(_) if self.idle() && self.close_if_unused() => return Ok(End::Idle),
                Err(_) => continue,
            };
            line.extend_from_slice(&chunk);
            if line.len() > most {
                return Err(garbled());
            }
            while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                let rest = line.split_off(end + 1);
                let event = std::mem::replace(&mut line, rest);
                if !self.take(&event)? {
                    return Ok(End::Expired);
                }
            }
        }
    }

    /// Takes one event; false when the server forgot where the watch stood.
    fn take(&self, line: &[u8]) -> Result<bool, Fault> {
        let mut event: Value = serde_json::from_slice(line).map_err(|_| garbled())?;
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let object = event.get_mut("object").map(Value::take).unwrap_or_default();
        let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(str::to_owned);
        match kind.as_str() {
            "ERROR" => return Ok(false),
            "BOOKMARK" => self.sender.send_modify(|seen| seen.progress = version.unwrap_or_default()),
            "DELETED" => self.sender.send_modify(|seen| {
                if let Some((key, _)) = read(object) {
                    seen.objects.remove(&key);
                }
                seen.progress = version.unwrap_or_default();
            }),
            _ => self.sender.send_modify(|seen| {
                seen.objects.extend(read(object));
                seen.progress = version.unwrap_or_default();
            }),
        }
        Ok(true)
    }

    fn query(&self) -> Vec<(String, String)> {
        let named = |name: &String| ("fieldSelector".to_owned(), format!("metadata.name={name}"));
        self.scope.name.iter().map(named).collect()
    }

    /// Whether nobody has waited for as long as a watch stays open without.
    fn idle(&self) -> bool {
        let mut since = self.unused_since.lock().unwrap_or_else(PoisonError::into_inner);
        if self.sender.receiver_count() > 0 {
            *since = None;
        }
        self.sender.receiver_count() == 0 && since.get_or_insert_with(Instant::now).elapsed() >= self.watches.idle
    }

    /// Closes it unless somebody came meanwhile; joining holds the same lock.
    fn close_if_unused(&self) -> bool {
        let mut open = self.watches.open.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = self.sender.receiver_count() == 0;
        if idle {
            open.remove(&self.scope);
        }
        idle
    }

    fn close(&self) {
        self.watches.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.scope);
    }
}

fn read(object: Value) -> Option<((String, String), Object)> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let key = (text("/metadata/namespace").unwrap_or_default(), text("/metadata/name")?);
    let version = text("/metadata/resourceVersion")?;
    Some((key, Object { version, text: object.to_string().into() }))
}

fn garbled() -> Fault {
    Fault::new(Class::Unavailable, "WATCH_GARBLED", "the API server's answer to a watch cannot be understood")
}
