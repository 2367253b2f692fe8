//! `/healthz`, `/metrics` and `/rooms`: asks the voice side for a page and hands it out.
//!
//! Nothing here sees a room. A page is a [`PageRequest`] on a bounded channel, answered by the one thread that also mixes, so
//! that a healthy answer means that voice is served. Hostile clients are bounded: so many connections, so much time, one request each.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Connections served at a time; more wait in the listener's backlog.
const CONNECTIONS_MAX: usize = 128;
/// All of one connection: request, page and answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Until the request's head is there: who opens connections and says nothing holds the others up for no longer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(1);
/// Until the voice side has made the page; after that it is not well.
const PAGE_TIMEOUT: Duration = Duration::from_secs(2);
/// A pause after the listener failed (out of file descriptors, say), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The pages that need the voice side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Nothing but the fact of an answer.
    Health,
    /// All metrics, in Prometheus text.
    Metrics,
    /// The rooms and who is in them, in JSON.
    Rooms,
}

/// A page wanted; the answer is its text.
#[derive(Debug)]
pub struct PageRequest {
    /// Which.
    pub page: Page,
    /// Where the text goes.
    pub reply: oneshot::Sender<String>,
}

/// Where requests for pages go.
pub type PageRequests = mpsc::Sender<PageRequest>;

/// Serves the pages until it is dropped.
pub async fn serve(listener: TcpListener, pages: PageRequests) {
    let router = router(pages);
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(answer(stream, router.clone(), slot));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn router(pages: PageRequests) -> Router {
    Router::new()
        .route(
            "/healthz",
            get(|state| page(state, Page::Health, "text/plain; charset=utf-8")),
        )
        .route(
            "/metrics",
            get(|state| {
                page(
                    state,
                    Page::Metrics,
                    "application/openmetrics-text; version=1.0.0; charset=utf-8",
                )
            }),
        )
        .route(
            "/rooms",
            get(|state| page(state, Page::Rooms, "application/json")),
        )
        .with_state(pages)
}

async fn answer(stream: TcpStream, router: Router, _slot: OwnedSemaphorePermit) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "HTTP connection failed"),
        Err(_) => tracing::debug!("HTTP connection took too long"),
    }
}

async fn page(
    State(pages): State<PageRequests>,
    page: Page,
    content_type: &'static str,
) -> Response {
    let (reply, text) = oneshot::channel();
    let made = async {
        pages.send(PageRequest { page, reply }).await.ok()?;
        text.await.ok()
    };
    match tokio::time::timeout(PAGE_TIMEOUT, made).await {
        Ok(Some(text)) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the server is shutting down or overloaded\n",
        )
            .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn get(path: &str, voice_side_is_there: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (pages, mut requests) = mpsc::channel::<PageRequest>(1);
        if voice_side_is_there {
            tokio::spawn(async move {
                while let Some(request) = requests.recv().await {
                    request.reply.send(format!("{:?}", request.page)).unwrap();
                }
            });
        } else {
            drop(requests);
        }
        let server = tokio::spawn(serve(listener, pages));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        server.abort();
        answer
    }

    #[tokio::test]
    async fn pages_come_from_the_voice_side_with_their_type() {
        for (path, text, content_type) in [
            ("/healthz", "Health", "text/plain"),
            ("/metrics", "Metrics", "application/openmetrics-text"),
            ("/rooms", "Rooms", "application/json"),
        ] {
            let answer = get(path, true).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            assert!(
                answer.ends_with(text) && answer.contains(content_type),
                "{answer}"
            );
        }
        assert!(get("/passwords", true).await.starts_with("HTTP/1.1 404 "));
    }

    #[tokio::test]
    async fn without_the_voice_side_the_server_is_not_well() {
        assert!(get("/healthz", false).await.starts_with("HTTP/1.1 503 "));
    }
}
