//! When to send again: longer each time, more or less by chance, and not before the server said, which may
//! ask for an hour at most.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::header::{HeaderMap, RETRY_AFTER};

use crate::clock;
use crate::config::Retry;

/// Longest wait that a server may ask for.
const ASKED_MAX: Duration = Duration::from_hours(1);

/// The waits of one request.
#[derive(Debug)]
pub(super) struct Backoff {
    interval: Duration,
    max: Duration,
}

impl Backoff {
    pub(super) fn new(retry: &Retry) -> Self {
        Self { interval: retry.initial_interval.min(retry.max_interval), max: retry.max_interval }
    }

    /// The next wait: half to one and a half times the interval, which then grows by half.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let wait = self.interval.mul_f64(0.5 + chance());
        self.interval = self.interval.mul_f64(1.5).min(self.max);
        wait.max(asked.unwrap_or_default().min(ASKED_MAX))
    }
}

/// A number from 0 to 1, another each time: so that many senders do not come back in the same moment.
fn chance() -> f64 {
    (RandomState::new().build_hasher().finish() >> 11) as f64 / (1_u64 << 53) as f64
}

/// What `Retry-After` asks for, in seconds or as a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date: SystemTime = httpdate::parse_http_date(text).ok()?;
    let now = UNIX_EPOCH + Duration::from_nanos(clock::now().0);
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_keep_what_was_asked() {
        let retry = Retry {
            initial_interval: Duration::from_secs(4),
            max_interval: Duration::from_secs(10),
            ..Retry::default()
        };
        let mut backoff = Backoff::new(&retry);
        for expected in [4.0, 6.0, 9.0, 10.0, 10.0] {
            let wait = backoff.next(None).as_secs_f64();
            assert!((expected * 0.5..=expected * 1.5).contains(&wait), "{wait} for {expected}");
        }
        assert_eq!(backoff.next(Some(Duration::from_mins(1))), Duration::from_mins(1));
        assert_eq!(backoff.next(Some(Duration::from_hours(9))), ASKED_MAX);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            retry_after(&headers)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        let now = UNIX_EPOCH + Duration::from_nanos(clock::now().0);
        let later = read(&httpdate::fmt_http_date(now + Duration::from_secs(100))).unwrap().as_secs();
        assert!((98..=100).contains(&later), "{later}");
        assert_eq!(read(&httpdate::fmt_http_date(UNIX_EPOCH)), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
    }
}
