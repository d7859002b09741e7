//! HTTP by named connection. There are no URLs: the host's configuration holds endpoints, TLS, credential and limits.
//!
//! ```
//! # use agentkube_sdk::testing::{World, answer};
//! # use agentkube_sdk::{Result, http, path};
//! # use serde_json::{Value, json};
//! # let world = World::new();
//! # world.http("cloud", |request| {
//! #     assert_eq!((request.path(), request.query("limit")), ("/machines/a%2Fb", Some("5")));
//! #     answer(200, json!({ "name": "a/b" }))
//! # });
//! # let result: Result<()> = world.run(async {
//! let machine: Value = http::get("cloud", path!("machines", "a/b")).query("limit", 5).send().await?.ok_or_fault()?.json()?;
//! assert_eq!(machine["name"], "a/b");
//! # Ok(())
//! # });
//! # result.unwrap();
//! ```

mod encode;
mod request;
mod response;

pub use crate::bindings::host::agentkube::host::http::Encoding;
pub use encode::segment;
pub use request::Request;
pub use response::Response;

/// A GET.
pub fn get(connection: &str, path: impl Into<String>) -> Request {
    Request::new("GET", connection, path)
}

/// A POST.
pub fn post(connection: &str, path: impl Into<String>) -> Request {
    Request::new("POST", connection, path)
}

/// A PUT.
pub fn put(connection: &str, path: impl Into<String>) -> Request {
    Request::new("PUT", connection, path)
}

/// A PATCH.
pub fn patch(connection: &str, path: impl Into<String>) -> Request {
    Request::new("PATCH", connection, path)
}

/// A DELETE.
pub fn delete(connection: &str, path: impl Into<String>) -> Request {
    Request::new("DELETE", connection, path)
}
