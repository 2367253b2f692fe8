use super::*;
use socket2::{Domain, Socket, Type};
use std::net::TcpListener;

/// A listener whose queue is full: the system ignores further attempts, as a firewall that drops
/// packets does.
fn one_that_never_answers() -> (Socket, Vec<TcpStream>, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue never fills");
    }
    (listener, queued, address)
}

fn one_that_refuses() -> SocketAddr {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    closed.local_addr().unwrap()
}

fn within(patience: Duration, addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    first_of(addresses, Instant::now() + patience)
}

#[test]
fn an_address_that_never_answers_does_not_hide_the_next_one() {
    let (_listener, _queued, silent) = one_that_never_answers();
    let good = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = good.local_addr().unwrap();
    let addresses = vec![silent, one_that_refuses(), silent, address];
    let stream = within(PATIENCE, addresses).expect("there is one that answers");
    assert_eq!(stream.peer_addr().unwrap(), address);
}

#[test]
fn the_second_attempt_does_not_wait_for_the_first_to_fail() {
    let (_listener, _queued, silent) = one_that_never_answers();
    let good = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = good.local_addr().unwrap();
    let started = Instant::now();
    let stream = within(Duration::from_secs(60), vec![silent, address]).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), address);
    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn a_family_that_never_answers_does_not_hide_the_other_one() {
    let Ok(good) = TcpListener::bind("[::1]:0") else {
        return; // This machine has no IPv6.
    };
    let address = good.local_addr().unwrap();
    let (_listener, _queued, silent) = one_that_never_answers();
    let mut addresses = vec![silent; 40];
    addresses.push(address);
    let stream = within(PATIENCE, addresses).expect("the other family is tried second");
    assert_eq!(stream.peer_addr().unwrap(), address);
}

#[test]
fn a_refusal_is_reported_over_other_failures() {
    let address = one_that_refuses();
    let failure = |addresses| within(PATIENCE, addresses).unwrap_err().kind();
    let refused = io::ErrorKind::ConnectionRefused;
    assert_eq!(failure(vec![address, address]), refused);
    assert_eq!(failure(vec![]), io::ErrorKind::NotFound);
    // A broadcast address accepts no connection, whatever the machine's network is.
    let nowhere: SocketAddr = "255.255.255.255:9".parse().unwrap();
    assert_ne!(failure(vec![nowhere]), refused);
    assert_eq!(failure(vec![address, nowhere]), refused);
    assert_eq!(failure(vec![nowhere, address]), refused);
    let (_listener, _queued, silent) = one_that_never_answers();
    let patience = Duration::from_secs(1);
    let kind = |addresses| within(patience, addresses).unwrap_err().kind();
    assert_eq!(kind(vec![silent]), io::ErrorKind::TimedOut);
    assert_eq!(kind(vec![silent, address]), refused);
}

#[test]
fn a_name_leads_to_its_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = ServerAddress::parse("127.0.0.1", port).unwrap();
    let stream = connect(&server).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
}
