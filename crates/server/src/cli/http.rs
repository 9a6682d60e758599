//! A plain HTTP GET to a server of our own.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an answer may stay away: a page of large jobs from a busy machine takes some seconds.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// Status and body of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    pub body: String,
}

/// Host and port of `http://host:port`; the scheme may be left out. None for anything else.
pub(super) fn authority(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let (host, port) = rest.rsplit_once(':')?;
    (!host.is_empty() && !rest.contains('/') && port.parse::<u16>().is_ok()).then_some(rest)
}

/// Fetches a page of `host:port`.
///
/// # Errors
/// Nobody answers there, or not in HTTP.
pub(super) fn get(authority: &str, path: &str) -> io::Result<Answer> {
    let mut stream = connect(authority)?;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    // HTTP/1.0: the answer ends with the connection, and is not sent in chunks.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {authority}\r\nAccept: application/json\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let not_http = || io::Error::other(format!("{authority} does not answer in HTTP"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(not_http)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(not_http)?;
    Ok(Answer { status, body: body.to_owned() })
}

fn connect(authority: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A value of a query, with everything but unreserved characters (RFC 3986) percent-encoded.
pub(super) fn query_value(text: &str) -> String {
    let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_host_and_port_and_no_path() {
        for (url, expected) in [
            ("http://127.0.0.1:9464", Some("127.0.0.1:9464")),
            ("http://127.0.0.1:9464/", Some("127.0.0.1:9464")),
            ("[::1]:9464", Some("[::1]:9464")),
            ("https://127.0.0.1:9464", None),
            ("http://127.0.0.1", None),
            ("http://127.0.0.1:9464/metrics", None),
            (":9464", None),
        ] {
            assert_eq!(authority(url), expected, "{url}");
        }
    }

    #[test]
    fn values_of_a_query_are_encoded() {
        assert_eq!(query_value("a b&c=ü/~"), "a%20b%26c%3D%C3%BC%2F~");
    }
}
