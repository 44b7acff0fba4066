//! Free ports on the loopback interface.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use crate::Error;

/// A port that was free a moment ago.
///
/// None of the servers can tell which port it took when asked for port 0, so there is a gap in which another
/// process may take it; the launchers try again with another port when that happens.
pub(crate) fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::Port)?;
    Ok(listener.local_addr().map_err(Error::Port)?.port())
}

/// A connection to a local port, with short limits on reading and writing, if something listens there.
pub(crate) fn connect(port: u16) -> Option<TcpStream> {
    const LIMIT: Duration = Duration::from_secs(2);
    let stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), LIMIT).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.set_write_timeout(Some(LIMIT)).ok()?;
    Some(stream)
}
