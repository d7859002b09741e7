//! A look at the other side of a connection: whether it answers, is who it should be, and has the same time as we.

use std::time::SystemTime;

use agentkube_contract::Fault;

use super::Connection;
use super::config::Kind;
use super::transport::Base;

/// What was seen of one endpoint.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Its address.
    pub endpoint: String,
    /// Its label.
    pub label: Option<String>,
    /// Its answer, or why there was none.
    pub answer: std::result::Result<Answered, Fault>,
}

/// An answer, whatever it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// Milliseconds that the other side's clock is ahead of ours, to the second; `None` where the answer has no `Date`.
    pub ahead_ms: Option<i64>,
}

impl Connection {
    /// Asks each endpoint once, side by side and without the credential: any answer shows that it is there and is who it should be.
    pub async fn probe(&self) -> Vec<Probe> {
        futures::future::join_all(self.endpoints.iter().map(|base| self.probe_one(base))).await
    }

    async fn probe_one(&self, base: &Base) -> Probe {
        let path = match self.kind {
            Kind::Http => "/",
            Kind::Kube => "/version",
        };
        let answer = self.ask_once(base, path).await;
        Probe { endpoint: base.shown().as_str().trim_end_matches('/').to_owned(), label: base.label.clone(), answer }
    }

    async fn ask_once(&self, base: &Base, path: &str) -> std::result::Result<Answered, Fault> {
        let request = self.request(base, http::Method::GET, self.url(base, path, &[])?);
        let limit = std::time::Duration::from_millis(self.limits.timeout_ms);
        match tokio::time::timeout(limit, request.send()).await {
            Ok(Ok(response)) => {
                let date = response.headers().get(http::header::DATE).and_then(|value| value.to_str().ok());
                let ahead_ms = date.and_then(|text| httpdate::parse_http_date(text).ok()).map(ahead);
                Ok(Answered { status: response.status().as_u16(), ahead_ms })
            }
            Ok(Err(error)) if error.is_connect() => Err(self.not_connected(base, &error)),
            Ok(Err(error)) => Err(self.lost(&error)),
            Err(_) => Err(self.timed_out()),
        }
    }
}

/// How far this is in the future.
fn ahead(theirs: SystemTime) -> i64 {
    let millis = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    match theirs.duration_since(SystemTime::now()) {
        Ok(ahead) => millis(ahead),
        Err(behind) => -millis(behind.duration()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_is_ahead_or_behind() {
        let hour = Duration::from_secs(3600);
        assert!((3_590_000..=3_600_000).contains(&ahead(SystemTime::now() + hour)));
        assert!((-3_610_000..=-3_600_000).contains(&ahead(SystemTime::now() - hour)));
    }
}
