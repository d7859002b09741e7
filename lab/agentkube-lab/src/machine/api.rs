//! The few requests that a joining machine and a kubelet make, and how their refusals read.

use std::sync::Arc;

use lab_wire::{Request, Response};
use serde_json::Value;

use super::failure::Failure;
use super::transport::{Connection, Endpoint, Transport, TransportError};

/// A connection to an API server, as somebody.
pub struct Api {
    connection: Arc<dyn Connection>,
    token: Option<String>,
}

impl Api {
    /// Connects; a bootstrap token is shown with every request.
    pub fn new(transport: &dyn Transport, to: &Endpoint, token: Option<String>) -> Result<Self, TransportError> {
        Ok(Api { connection: transport.connect(to)?, token })
    }

    /// Sends one request.
    pub async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let mut request = request.header("accept", "application/json").header("user-agent", "kubeadm/lab");
        if let Some(token) = &self.token {
            request = request.bearer(token);
        }
        self.connection.send(&request).await
    }

    /// Sends one request and wants it to succeed; `what` says in the failure what it was for.
    pub async fn expect(&self, request: Request, what: &str) -> Result<Value, Failure> {
        let response = self.send(request).await?;
        match response.status {
            200..=299 => Ok(response.value()),
            _ => Err(refusal(&response, what)),
        }
    }
}

/// A refusal as a failure.
pub fn refusal(response: &Response, what: &str) -> Failure {
    match response.status {
        401 => Failure::Unauthorized { what: what.to_owned() },
        status => {
            let message = response.value()["message"].as_str().unwrap_or_default().to_owned();
            Failure::Refused { what: what.to_owned(), status, message }
        }
    }
}
