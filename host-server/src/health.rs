//! `talkspurt-server health`: the probe for a container's HEALTHCHECK, so that the image needs no
//! shell and no curl.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::net::describe;

/// The timeout for connecting, for sending and for each read. Container runtimes give a probe 30 s
/// by default.
const STEP_TIMEOUT: Duration = Duration::from_secs(2);
/// Only the start of an answer is read; a status line is far shorter.
const ANSWER_BYTES_MAX: u64 = 512;

/// Asks the server whose HTTP is at `http` for `/healthz`.
///
/// # Errors
/// Why the server is not healthy, in one line.
pub fn probe(http: SocketAddr) -> Result<(), String> {
    let (target, status) = first_answer(&reachable(http))?;
    if status.split(' ').nth(1) == Some("200") {
        Ok(())
    } else {
        Err(format!(
            "the server at http://{target}/healthz is not healthy: it answered {status:?}"
        ))
    }
}

/// A server bound to "any address" is reached on the loopback: that of IPv4 if there is no IPv6.
fn reachable(http: SocketAddr) -> Vec<SocketAddr> {
    let v4 = IpAddr::from(Ipv4Addr::LOCALHOST);
    let ips = match http.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![v4],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![Ipv6Addr::LOCALHOST.into(), v4],
        ip => vec![ip],
    };
    let at_port = |ip| SocketAddr::new(ip, http.port());
    ips.into_iter().map(at_port).collect()
}

/// Returns the first address that answers, and its answer, or else what was wrong with the first.
fn first_answer(targets: &[SocketAddr]) -> Result<(SocketAddr, String), String> {
    let mut wrong = None;
    for target in targets {
        match status_line(*target) {
            Ok(status) => return Ok((*target, status)),
            Err(error) => {
                wrong.get_or_insert_with(|| {
                    let what = what_went_wrong(&error);
                    format!("no healthy server at http://{target}/healthz: {what}")
                });
            }
        }
    }
    Err(wrong.unwrap_or_default())
}

fn what_went_wrong(error: &io::Error) -> String {
    match error.kind() {
        // Connecting timed out, or reading, which is `WouldBlock` on Unix.
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer in time".to_owned(),
        _ => describe(error),
    }
}

fn status_line(target: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&target, STEP_TIMEOUT)?;
    stream.set_read_timeout(Some(STEP_TIMEOUT))?;
    stream.set_write_timeout(Some(STEP_TIMEOUT))?;
    // One write, so that the request goes out in one piece.
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut line = Vec::new();
    let mut start = BufReader::new(stream).take(ANSWER_BYTES_MAX);
    start.read_until(b'\n', &mut line)?;
    if start.limit() > 0 && !line.ends_with(b"\n") {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn serve_once(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 256]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn a_200_is_healthy() {
        assert_eq!(
            probe(serve_once("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")),
            Ok(())
        );
    }

    #[test]
    fn of_a_line_without_end_the_start_is_enough() {
        let line = format!("HTTP/1.1 200 OK{}", " ".repeat(1_000));
        assert_eq!(probe(serve_once(line.leak())), Ok(()));
    }

    #[test]
    fn any_other_answer_is_unhealthy_and_says_why() {
        assert!(
            probe(serve_once("HTTP/1.1 503 Service Unavailable\r\n\r\n"))
                .unwrap_err()
                .contains("503")
        );
        assert!(
            probe(serve_once(""))
                .unwrap_err()
                .contains("no healthy server")
        );
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        assert!(probe(closed).unwrap_err().contains("refused"));
    }

    #[test]
    fn a_server_that_does_not_answer_is_reported_as_such() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let said = probe(silent.local_addr().unwrap()).unwrap_err();
        assert!(said.ends_with("/healthz: no answer in time"), "{said}");
        let connecting = io::ErrorKind::TimedOut.into();
        assert_eq!(what_went_wrong(&connecting), "no answer in time");
    }

    #[test]
    fn any_address_is_probed_on_the_loopback() {
        for (bound, reached) in [
            ("0.0.0.0:8256", "[127.0.0.1:8256]"),
            ("[::]:8256", "[[::1]:8256, 127.0.0.1:8256]"),
            ("192.0.2.1:8256", "[192.0.2.1:8256]"),
        ] {
            let targets = reachable(bound.parse().unwrap());
            assert_eq!(format!("{targets:?}"), reached);
        }
    }

    #[test]
    fn if_ipv6_does_not_answer_ipv4_is_tried() {
        let well = serve_once("HTTP/1.1 200 OK\r\n\r\n");
        let closed = SocketAddr::from((Ipv6Addr::LOCALHOST, well.port()));
        assert_eq!(first_answer(&[closed, well]).unwrap().0, well);
    }
}
