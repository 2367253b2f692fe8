//! Signals that the test's own process gets: the handlers stay, so that this is a program of its
//! own.

use std::io::Write;
use std::sync::{Arc, Mutex};

use talkspurt_server::shutdown::on_signal;

#[allow(dead_code, reason = "each test file uses its share of the server")]
mod server;

/// What a test's own process logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_hangup_that_is_found_together_with_the_end_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    for end in [libc::SIGTERM, libc::SIGINT].repeat(8) {
        let ended = on_signal().unwrap();
        // Both are there before the runtime looks.
        server::raise(libc::SIGHUP);
        server::raise(end);
        ended.await;
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.matches("SIGHUP").count(), 16, "{log}");
}
