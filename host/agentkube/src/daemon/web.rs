//! `/livez`, `/readyz` and `/metrics` over plain HTTP, by default on loopback only.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// What the pages show.
pub trait Pages: Send + Sync {
    /// What keeps the daemon from working; empty when it is ready.
    fn unready(&self) -> Vec<String>;
    /// The metrics in the OpenMetrics text format.
    fn metrics(&self) -> String;
}

/// Serves the pages until the process ends.
pub async fn serve(
    address: SocketAddr,
    pages: Arc<dyn Pages>,
) -> std::io::Result<(SocketAddr, impl Future<Output = ()>)> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(pages);
    Ok((address, async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("the status pages ended: {error}");
        }
    }))
}

async fn readyz(State(pages): State<Arc<dyn Pages>>) -> Response {
    let unready = pages.unready();
    if unready.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", unready.join("\n"))).into_response()
}

async fn metrics(State(pages): State<Arc<dyn Pages>>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], pages.metrics()).into_response()
}
