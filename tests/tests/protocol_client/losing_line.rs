//! A connection that loses one packet of the server, as a serial line does that damages it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use anyhow::Result;

/// Accepts one client for `server`, and loses the first packet from the server with this number.
/// Returns where the client connects.
pub fn lose_first(server: &str, number: u8) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let server = TcpStream::connect(server)?;
    // Its threads end with the connections.
    thread::spawn(move || -> Result<()> {
        let (client, _) = listener.accept()?;
        let (from, to) = (client.try_clone()?, server.try_clone()?);
        thread::spawn(move || pump(&from, &to, None));
        pump(&server, &client, Some(number));
        Ok(())
    });
    Ok(address)
}

fn pump(mut from: &TcpStream, mut to: &TcpStream, mut lost: Option<u8>) {
    let mut packet = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        for &byte in &chunk[..count] {
            packet.push(byte);
            if byte != 0 {
                continue;
            }
            // COBS puts a code in front; what is behind it is the packet's number unless it is 0.
            if lost.is_some() && packet.get(1).copied() == lost {
                lost = None;
                packet.clear();
            }
            if to.write_all(&packet).is_err() {
                return;
            }
            packet.clear();
        }
    }
    // The other side may have closed it already.
    let _ = to.shutdown(Shutdown::Write);
}
