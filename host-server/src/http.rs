//! `/healthz`, `/metrics` and `/rooms`: asks the voice side for a page and sends it.
//!
//! Nothing here accesses a room. A page is requested by a [`PageRequest`] on a bounded channel. The
//! thread that mixes also answers it, so a healthy answer means that voice is served. Hostile
//! clients are bounded by a number of connections, a time limit, and one request each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use crate::metrics::Format;
use crate::net::Acceptor;
use crate::process::Process;

/// The time limit for a connection: request, page and answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit for a request's head: clients that connect and send nothing hold the others up no
/// longer than this.
const HEAD_TIMEOUT: Duration = Duration::from_secs(1);
/// The time limit for the voice side to make a page. After that the server counts as unhealthy.
const PAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// A page that needs the voice side.
#[derive(Clone, Debug, PartialEq)]
pub enum Page {
    /// A fixed text, to show that the voice side answers.
    Health,
    /// All metrics in one of the formats that Prometheus reads, with the system's figures of the
    /// process: reading those takes milliseconds, which the voice side does not have.
    Metrics(Format, Process),
    /// The rooms and their participants, in JSON.
    Rooms,
}

/// A request for the text of a page.
#[derive(Debug)]
pub struct PageRequest {
    /// The page.
    pub page: Page,
    /// Receives the text.
    pub reply: oneshot::Sender<String>,
}

/// The channel for page requests.
pub type PageRequests = mpsc::Sender<PageRequest>;

/// Serves the pages until it is dropped, to at most `connections_max` connections at a time. One
/// more closes the oldest that has not sent a request yet.
pub async fn serve(listener: TcpListener, pages: PageRequests, connections_max: usize) {
    serve_within(HEAD_TIMEOUT, listener, pages, connections_max).await;
}

async fn serve_within(
    head_timeout: Duration,
    listener: TcpListener,
    pages: PageRequests,
    connections_max: usize,
) {
    let router = router(pages);
    let mut acceptor = Acceptor::new(listener, "an HTTP connection", || {});
    let mut connections = JoinSet::new();
    let mut open = OpenConnections::default();
    loop {
        let (stream, _) = acceptor.accept().await;
        while connections.try_join_next().is_some() {}
        open.make_room(connections_max);
        let has_asked = Arc::new(AtomicBool::new(false));
        let answering = answer(stream, router.clone(), Arc::clone(&has_asked), head_timeout);
        open.0.push_back((connections.spawn(answering), has_asked));
        // Requests that have already arrived are taken before more connections can push theirs out.
        tokio::task::yield_now().await;
    }
}

/// The tasks of connections and whether each has sent its request, oldest first.
#[derive(Default)]
struct OpenConnections(VecDeque<(AbortHandle, Arc<AtomicBool>)>);

impl OpenConnections {
    /// At the limit, closes the oldest connection that has not sent a request, or else the oldest
    /// of all.
    fn make_room(&mut self, most: usize) {
        if self.0.len() < most {
            return;
        }
        self.0.retain(|(task, _)| !task.is_finished());
        if self.0.len() < most {
            return;
        }
        let is_idle = |(_, has_asked): &(_, Arc<AtomicBool>)| !has_asked.load(Ordering::Relaxed);
        let oldest_idle = self.0.iter().position(is_idle).unwrap_or(0);
        if let Some((task, _)) = self.0.remove(oldest_idle) {
            task.abort();
        }
    }
}

fn router(pages: PageRequests) -> Router {
    let health = |state| page(state, Page::Health, "text/plain; charset=utf-8");
    let metrics = async |state, headers: HeaderMap| {
        let accept = headers.get(header::ACCEPT);
        let accept = accept.and_then(|value| value.to_str().ok());
        let format = Format::accepted(accept.unwrap_or_default());
        let process = tokio::task::spawn_blocking(Process::read).await;
        let wanted = Page::Metrics(format, process.unwrap_or_default());
        page(state, wanted, format.content_type()).await
    };
    let rooms = |state| page(state, Page::Rooms, "application/json");
    Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .route("/rooms", get(rooms))
        .with_state(pages)
}

async fn answer(
    stream: TcpStream,
    router: Router,
    has_asked: Arc<AtomicBool>,
    head_timeout: Duration,
) {
    let pages = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        has_asked.store(true, Ordering::Relaxed);
        pages.call(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
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
    use crate::capacity::Capacity;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const CONNECTIONS_MAX: usize = Capacity::of(1_000).http;

    async fn get(path: &str, voice_side_is_there: bool) -> String {
        get_as("x", path, voice_side_is_there).await
    }

    async fn get_as(accept: &str, path: &str, voice_side_is_there: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (pages, mut requests) = mpsc::channel::<PageRequest>(1);
        if voice_side_is_there {
            tokio::spawn(async move {
                while let Some(request) = requests.recv().await {
                    // Its figures of the process come from the other side.
                    if let Page::Metrics(_, process) = &request.page {
                        assert_ne!(*process, Process::default());
                    }
                    let text = format!("{:?}", request.page);
                    let text = text.split(", Process").next().unwrap();
                    request.reply.send(text.to_owned()).unwrap();
                }
            });
        } else {
            drop(requests);
        }
        let server = tokio::spawn(serve(listener, pages, CONNECTIONS_MAX));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(
                format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n").as_bytes(),
            )
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
            ("/metrics", "Metrics(Text", "text/plain; version=0.0.4"),
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
    async fn metrics_come_in_the_format_that_is_asked_for() {
        let answer = get_as("application/openmetrics-text", "/metrics", true).await;
        assert!(
            answer.contains("content-type: application/openmetrics-text; version=1.0.0")
                && answer.ends_with("Metrics(OpenMetrics"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn the_oldest_connection_without_a_request_makes_room() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (pages, mut requests) = mpsc::channel::<PageRequest>(1);
        let for_ever = Duration::from_secs(3_600);
        tokio::spawn(serve_within(for_ever, listener, pages, CONNECTIONS_MAX));
        // The oldest connection has sent a request, and its page is not ready yet.
        let mut busy = TcpStream::connect(address).await.unwrap();
        busy.write_all(b"GET /rooms HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let pending = requests.recv().await.unwrap();
        let mut idle = Vec::new();
        for _ in 0..3 * CONNECTIONS_MAX {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let mut probe = TcpStream::connect(address).await.unwrap();
        probe
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let asked = tokio::time::timeout(Duration::from_secs(20), requests.recv()).await;
        let request = asked
            .expect("idle connections do not keep it waiting")
            .unwrap();
        request.reply.send("well".to_owned()).unwrap();
        pending.reply.send("rooms".to_owned()).unwrap();
        for (stream, text) in [(&mut probe, "well"), (&mut busy, "rooms")] {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with(text), "{answer:?}");
        }
        let is_closed = |stream: &TcpStream| matches!(stream.try_read(&mut [0; 1]), Ok(0));
        assert_eq!(idle[0].read(&mut [0; 1]).await.unwrap(), 0);
        let open = idle.iter().filter(|stream| !is_closed(stream)).count();
        assert!(
            (CONNECTIONS_MAX - 2..=CONNECTIONS_MAX).contains(&open),
            "{open}"
        );
    }

    async fn open(head_timeout: Duration) -> (std::net::SocketAddr, mpsc::Receiver<PageRequest>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (pages, requests) = mpsc::channel::<PageRequest>(1);
        tokio::spawn(serve_within(head_timeout, listener, pages, CONNECTIONS_MAX));
        (address, requests)
    }

    #[tokio::test]
    async fn a_silent_connection_is_closed_before_the_time_limit_of_a_connection() {
        let (address, _requests) = open(Duration::from_millis(10)).await;
        let began = tokio::time::Instant::now();
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(began.elapsed() < CONNECTION_TIMEOUT);
    }

    #[tokio::test]
    async fn a_page_that_nobody_makes_is_an_error() {
        let (address, mut requests) = open(HEAD_TIMEOUT).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /rooms HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let _unanswered = requests.recv().await.unwrap();
        // From here on, time advances whenever every task waits for it.
        tokio::time::pause();
        let paused = tokio::time::Instant::now();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(paused.elapsed() <= PAGE_TIMEOUT + Duration::from_millis(5));
    }

    #[tokio::test]
    async fn if_all_have_sent_requests_the_oldest_of_all_makes_room() {
        let mut open = OpenConnections::default();
        for _ in 0..CONNECTIONS_MAX {
            let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
            open.0.push_back((task, Arc::new(AtomicBool::new(true))));
        }
        let (first, second) = (open.0[0].0.clone(), open.0[1].0.clone());
        open.make_room(CONNECTIONS_MAX);
        tokio::task::yield_now().await;
        assert!(first.is_finished() && !second.is_finished());
        assert_eq!(open.0.len(), CONNECTIONS_MAX - 1);
        open.make_room(CONNECTIONS_MAX);
        tokio::task::yield_now().await;
        assert!(!second.is_finished(), "closed although there is room");
    }

    #[tokio::test]
    async fn a_crowd_of_simultaneous_requests_is_answered_completely() {
        let (address, _requests) = open(Duration::from_secs(3_600)).await;
        // The others wait for pages that nobody makes yet.
        let mut busy = Vec::new();
        for _ in 1..CONNECTIONS_MAX {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = b"GET /rooms HTTP/1.1\r\nHost: x\r\n\r\n";
            stream.write_all(request).await.unwrap();
            busy.push(stream);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        // The whole crowd has connected when the server, which shares this thread, accepts the
        // first of them.
        let crowd: Vec<_> = (0..50)
            .map(|_| {
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                let request = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n";
                std::io::Write::write_all(&mut stream, request).unwrap();
                stream.set_nonblocking(true).unwrap();
                stream
            })
            .collect();
        for stream in crowd {
            let mut stream = TcpStream::from_std(stream).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 404 "), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn ended_connections_take_no_room() {
        let (address, _requests) = open(Duration::from_secs(3_600)).await;
        let idle = TcpStream::connect(address).await.unwrap();
        for _ in 0..2 * CONNECTIONS_MAX {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
        }
        let read = idle.try_read(&mut [0; 1]);
        assert!(read.is_err(), "closed: {read:?}");
    }

    #[tokio::test]
    async fn without_the_voice_side_the_server_is_unhealthy() {
        assert!(get("/healthz", false).await.starts_with("HTTP/1.1 503 "));
    }
}
