//! watch: a stream of changes.

use std::sync::Arc;

use lab_wire::{Answer, Millis, Random, Request, Response, StreamId};
use serde_json::{Value, json};

use super::failure::Failure;
use super::kind::Kind;
use super::read::{Shown, metadata_of, too_large, versioned};
use super::registry::Target;
use super::selector::Selector;
use super::server::ApiServer;
use super::store::{Change, Record};
use super::table;

/// One open watch.
pub struct Watch {
    kind: Arc<Kind>,
    namespace: Option<String>,
    selector: Selector,
    shown: Shown,
    include: Option<String>,
    /// Changes up to here are sent.
    cursor: u64,
    /// Bytes that wait.
    pending: Vec<u8>,
    bookmarks: bool,
    next_bookmark: Millis,
    ends: Millis,
    ended: bool,
    now: Millis,
}

impl ApiServer {
    pub(super) fn watch(
        &mut self,
        request: &Request,
        target: &Target,
        selector: Selector,
        now: Millis,
        random: &mut Random,
    ) -> Result<Answer, Failure> {
        let flag = |name: &str| matches!(request.query_value(name), Some("true" | "1"));
        let asked = request.query_value("resourceVersion").unwrap_or_default();
        let from: u64 = match asked {
            "" => 0,
            text => text.parse().map_err(|_| Failure::bad_request(format!("invalid resource version {text:?}")))?,
        };
        if from > self.store.revision() {
            return Err(too_large(from, self.store.revision()));
        }
        let mut selector = selector;
        if let Some(name) = &target.name {
            selector = Selector::parse(
                request.query_value("labelSelector"),
                Some(&format!("metadata.name={name}")),
                &target.kind,
            )?;
        }
        // A real server picks an end between 30 and 60 minutes when the client names none.
        let seconds = request.query_value("timeoutSeconds").and_then(|s| s.parse().ok());
        let seconds = seconds.unwrap_or_else(|| 1800 + random.below(1800));
        let mut watch = Watch {
            kind: target.kind.clone(),
            namespace: target.namespace.clone(),
            selector,
            shown: Shown::asked(request)?,
            include: request.query_value("includeObject").map(str::to_owned),
            cursor: from,
            pending: Vec::new(),
            bookmarks: flag("allowWatchBookmarks"),
            next_bookmark: now + self.settings.bookmark_every,
            ends: now + seconds * 1000,
            ended: false,
            now,
        };
        let initial = request.query_value("sendInitialEvents");
        if from == 0 && initial != Some("false") || initial == Some("true") {
            watch.cursor = self.store.revision();
            let table = self.store.list(&target.kind.resource(), target.namespace.as_deref());
            for (_, object) in table {
                if watch.selector.matches(object) {
                    watch.push("ADDED", object);
                }
            }
            if initial == Some("true") {
                watch.bookmark(self.store.revision(), true);
            }
        } else if from == 0 {
            watch.cursor = self.store.revision();
        } else if self.store.since(from).is_none() {
            watch.fail(&too_old(from, self.store.compacted()));
        }
        let id = self.next_stream;
        self.next_stream += 1;
        self.watches.insert(id, watch);
        let first = self.drain_watch(id).unwrap_or_default();
        Ok(Answer::Stream(id, Response::text(200, "application/json", first)))
    }

    /// Bytes that wait on a watch.
    pub(super) fn drain_watch(&mut self, id: StreamId) -> Option<Vec<u8>> {
        let watch = self.watches.get_mut(&id)?;
        if !watch.ended {
            match self.store.since(watch.cursor) {
                Some(records) => records.for_each(|record| watch.record(record)),
                None => watch.fail(&too_old(watch.cursor, self.store.compacted())),
            }
            watch.cursor = self.store.revision();
        }
        let bytes = std::mem::take(&mut watch.pending);
        if bytes.is_empty() && watch.ended {
            self.watches.remove(&id);
            return None;
        }
        Some(bytes)
    }

    /// Moves history into the streams before it is forgotten, sends bookmarks, ends what has lasted long enough.
    pub(super) fn tick_watches(&mut self, now: Millis) {
        let (revision, every) = (self.store.revision(), self.settings.bookmark_every);
        for watch in self.watches.values_mut().filter(|watch| !watch.ended) {
            watch.now = now;
            match self.store.since(watch.cursor) {
                Some(records) => records.for_each(|record| watch.record(record)),
                None => watch.fail(&too_old(watch.cursor, self.store.compacted())),
            }
            watch.cursor = revision;
            if watch.bookmarks && now >= watch.next_bookmark {
                watch.bookmark(revision, false);
                watch.next_bookmark = now + every;
            }
            if now >= watch.ends {
                watch.ended = true;
            }
        }
    }

    pub(super) fn next_watch_timer(&self) -> Option<Millis> {
        let due = |watch: &Watch| if watch.bookmarks { watch.ends.min(watch.next_bookmark) } else { watch.ends };
        self.watches.values().filter(|watch| !watch.ended).map(due).min()
    }

    /// Ends all watches with 410, as when history was lost under them.
    pub fn expire_watches(&mut self) {
        let compacted = self.store.compacted();
        for watch in self.watches.values_mut().filter(|watch| !watch.ended) {
            watch.fail(&too_old(watch.cursor, compacted));
        }
    }

    /// Ends all watches, as a restart of the server does.
    pub fn end_watches(&mut self) {
        self.watches.values_mut().for_each(|watch| watch.ended = true);
    }
}

impl Watch {
    fn record(&mut self, record: &Record) {
        if record.resource != self.kind.resource() {
            return;
        }
        let here = |object: &Value| {
            self.namespace.as_ref().is_none_or(|ns| object["metadata"]["namespace"].as_str() == Some(ns))
                && self.selector.matches(object)
        };
        let before = record.before.as_ref().is_some_and(|before| here(before));
        let after = record.change != Change::Deleted && here(&record.object);
        match (before, after) {
            (false, true) => self.push("ADDED", &record.object),
            (true, true) => self.push("MODIFIED", &record.object),
            (true, false) => {
                // What leaves the selection is shown as it was, under the revision of the change.
                let mut object = record.before.as_deref().unwrap_or(&record.object).clone();
                object["metadata"]["resourceVersion"] = record.object["metadata"]["resourceVersion"].clone();
                self.push("DELETED", &object);
            }
            (false, false) => {}
        }
    }

    fn push(&mut self, event: &str, object: &Value) {
        let shown = match self.shown {
            Shown::Whole => versioned(&self.kind, object),
            Shown::Metadata => metadata_of(object),
            Shown::Table => {
                let mut table = table::table(&self.kind, &[object], self.now, self.include.as_deref());
                table["metadata"] = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                table
            }
        };
        self.line(&json!({"type": event, "object": shown}));
    }

    fn bookmark(&mut self, revision: u64, initial: bool) {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.shown {
            Shown::Table => json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": revision.to_string()},
                "columnDefinitions": [], "rows": [],
            }),
            Shown::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
            }
            Shown::Whole => {
                json!({"kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": metadata})
            }
        };
        self.line(&json!({"type": "BOOKMARK", "object": object}));
    }

    fn fail(&mut self, failure: &Failure) {
        self.line(&json!({"type": "ERROR", "object": failure.status()}));
        self.ended = true;
    }

    fn line(&mut self, event: &Value) {
        self.pending.extend_from_slice(event.to_string().as_bytes());
        self.pending.push(b'\n');
    }
}

fn too_old(asked: u64, compacted: u64) -> Failure {
    Failure::expired(format!("too old resource version: {asked} ({compacted})"))
}
