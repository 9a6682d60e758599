//! The product's page of metrics: fetched, and read as far as a benchmark needs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::report::Counted;

/// A page over HTTP/1.0: no keep-alive, no chunks, so the body is what follows the headers.
pub fn http_get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: text/plain\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Sum of the samples of a name, over all labels.
pub fn sum(page: &str, name: &str) -> u64 {
    page.lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum()
}

/// The sample of one series, as the page writes it.
pub fn value(page: &str, series: &str) -> Option<u64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// How many samples are on a page.
pub fn samples(page: &str) -> usize {
    page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count()
}

/// Sums of the span counters.
pub fn counted(page: &str) -> Counted {
    let of = |what: &str| sum(page, &format!("spantally_spans_{what}_total"));
    Counted {
        received: of("received"),
        accepted: of("accepted"),
        duplicate: of("duplicate"),
        late: of("late"),
        ignored: of("ignored"),
        rejected: of("rejected"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_added_up_by_name() {
        let page = "# TYPE spantally_spans_received counter\n\
                    spantally_spans_received_total{transport=\"grpc\"} 7\n\
                    spantally_spans_received_total{transport=\"file\"} 2\nspantally_spans_late_total 1\n";
        let counted = counted(page);
        assert_eq!((counted.received, counted.late, counted.accepted), (9, 1, 0));
        assert_eq!(samples(page), 3);
        assert_eq!(value(page, "spantally_spans_received_total{transport=\"file\"}"), Some(2));
        assert_eq!(value(page, "spantally_spans_received_total"), None);
    }
}
