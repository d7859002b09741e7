//! Envelopes of answers: `/api2/json` and `/api2/extjs`.

use std::collections::BTreeMap;

use lab_wire::{Millis, Response};
use serde_json::{Map, Value, json};

use crate::settings::Release;

/// Which envelope the client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The status code tells the outcome; before 8.4 the message stands in the reason phrase only.
    Json,
    /// Always 200; the body tells the outcome.
    Extjs,
}

/// What a handler returns when it worked.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// `data`.
    pub data: Value,
    /// `total`, of lists that are paged.
    pub total: Option<u64>,
    /// When the answer goes out, if not at once.
    pub at: Option<Millis>,
}

impl From<Value> for Reply {
    fn from(data: Value) -> Self {
        Reply { data, ..Reply::default() }
    }
}

impl From<String> for Reply {
    fn from(data: String) -> Self {
        Value::String(data).into()
    }
}

/// What a handler returns when it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status of the `json` form.
    pub status: u16,
    /// The message, without the line feed that Perl leaves at its end.
    pub message: String,
    /// Errors of single parameters.
    pub errors: BTreeMap<String, String>,
    /// When the answer goes out, if not at once.
    pub at: Option<Millis>,
    /// Whether the answer passes by the envelope, as those of the proxy do.
    pub raw: bool,
}

impl Failure {
    /// A handler died.
    pub fn died(message: impl Into<String>) -> Self {
        Failure { status: 500, message: message.into(), errors: BTreeMap::new(), at: None, raw: false }
    }

    /// The access list says no.
    pub fn denied(message: impl Into<String>) -> Self {
        Failure { status: 403, ..Failure::died(message) }
    }

    /// One parameter is wrong.
    pub fn parameter(name: &str, message: impl Into<String>) -> Self {
        Failure::parameters(BTreeMap::from([(name.to_owned(), message.into())]))
    }

    /// Several parameters are wrong.
    pub fn parameters(errors: BTreeMap<String, String>) -> Self {
        Failure { status: 400, errors, ..Failure::died("Parameter verification failed.") }
    }

    /// The request never reached a handler: real status, plain body.
    pub fn raw(status: u16, message: impl Into<String>) -> Self {
        Failure { status, raw: true, ..Failure::died(message) }
    }

    /// The same, sent later.
    pub fn at(mut self, at: Millis) -> Self {
        self.at = Some(at);
        self
    }
}

/// What handlers return.
pub type Handled = Result<Reply, Failure>;

/// Puts an outcome into its envelope.
pub fn envelope(handled: &Handled, format: Format, release: Release) -> Response {
    let response = match (handled, format) {
        (Err(failure), _) if failure.raw => Response::text(failure.status, "text/plain", failure.message.clone()),
        (Ok(reply), format) => {
            let mut body = Map::new();
            body.insert("data".to_owned(), reply.data.clone());
            if let Some(total) = reply.total {
                body.insert("total".to_owned(), json!(total));
            }
            if format == Format::Extjs {
                body.insert("success".to_owned(), json!(1));
            }
            Response::text(200, "application/json;charset=UTF-8", Value::Object(body).to_string())
        }
        (Err(failure), format) => {
            let mut body = Map::new();
            body.insert("data".to_owned(), Value::Null);
            if !failure.errors.is_empty() {
                body.insert("errors".to_owned(), json!(failure.errors));
            }
            if format == Format::Extjs {
                body.insert("success".to_owned(), json!(0));
                body.insert("status".to_owned(), json!(failure.status));
            }
            if format == Format::Extjs || release >= Release::V8_4 {
                body.insert("message".to_owned(), json!(format!("{}\n", failure.message)));
            }
            let status = if format == Format::Extjs { 200 } else { failure.status };
            Response::text(status, "application/json;charset=UTF-8", Value::Object(body).to_string())
        }
    };
    finish(response, handled.as_ref().err().filter(|_| format == Format::Json).map(|failure| failure.message.as_str()))
}

/// A time as HTTP headers have it: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http_date(at: Millis) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = lab_wire::rfc3339(at);
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let month: usize = part(5..7).parse().unwrap_or(1);
    let day = DAYS.get((at / 86_400_000 % 7) as usize).unwrap_or(&"Thu");
    let month = MONTHS.get(month.saturating_sub(1)).unwrap_or(&"Jan");
    format!("{day}, {} {month} {} {} GMT", part(8..10), part(0..4), part(11..19))
}

/// Headers that every answer carries, and the reason phrase.
pub fn finish(mut response: Response, reason: Option<&str>) -> Response {
    // A reason phrase is one line: only the first of the message fits.
    response.reason = reason.and_then(|text| text.lines().next()).map(str::to_owned);
    let response = response.header("server", "pve-api-daemon/3.0").header("cache-control", "max-age=0");
    if response.status >= 400 { response.header("connection", "close") } else { response }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(http_date(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn the_message_reaches_json_bodies_with_8_4_only() {
        let handled = Err(Failure::died("VM is locked (clone)"));
        let old = envelope(&handled, Format::Json, Release::V8_2);
        assert_eq!((old.status, old.value()), (500, json!({"data": null})));
        assert_eq!(old.reason.as_deref(), Some("VM is locked (clone)"));
        let new = envelope(&handled, Format::Json, Release::V8_4);
        assert_eq!(new.value()["message"], "VM is locked (clone)\n");
        let extjs = envelope(&handled, Format::Extjs, Release::V8_2);
        assert_eq!((extjs.status, extjs.value()["status"].clone()), (200, json!(500)));
        assert_eq!(extjs.value()["success"], 0);
    }
}
