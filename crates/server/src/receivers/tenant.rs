//! Who sends: the tenant of a request, by token or header, and what it may use.
//!
//! | configured | a request without | its tenant |
//! |---|---|---|
//! | nothing | is taken | none (the empty name) |
//! | tokens | 401 | the one whose token it brings; a tenant header must then name the same, else 403 |
//! | the header alone | 401 | the one that the header names: put a proxy in front that sets it |
//! | both | as by token; a tenant listed without a token by the header | |
//!
//! Limits are per tenant, so that one that sends too much is told to come back while the others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName};
use parking_lot::Mutex;
use spantally_stitch::UnixNanos;
use subtle::ConstantTimeEq;

use super::answer::Failure;
use crate::batch::Refusal;
use crate::clock;
use crate::config::{self, Auth, TenantLimits, is_tenant_name};
use crate::export::{Registry, Standing};
use crate::intake::{Admission, Inflight, Intake, RETRY_AFTER_MS, SenderBytes};
use crate::limits::Limit;
use crate::once_a_minute::OnceAMinute;
use crate::request_end::RequestEnd;

/// A token file that cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("receivers.otlp.auth.tenants: {name}: token_file {file}: {problem}")]
pub struct TokenFileError {
    name: String,
    file: String,
    problem: String,
    key: String,
    #[help]
    help: &'static str,
}

impl TokenFileError {
    fn new(tenant: &config::Tenant, problem: String, help: &'static str) -> Self {
        let file = tenant.token_file.as_ref();
        Self {
            name: tenant.name.clone(),
            file: file.map(|file| file.display().to_string()).unwrap_or_default(),
            problem,
            key: tenant.token_file_key(),
            help,
        }
    }

    /// The file holds no token.
    fn unusable(tenant: &config::Tenant, problem: String) -> Self {
        let help = "put the token, and nothing else, into the file; it must be readable by this process";
        Self::new(tenant, problem, help)
    }

    /// A tenant has the token of one before it, and one of them has it from a file.
    fn same(tenant: &config::Tenant, tenants: &[config::Tenant], other: &str) -> Self {
        let mut both = std::iter::once(tenant).chain(tenants.iter().filter(|one| one.name == other));
        let of_file = both.find(|one| one.token_file.is_some()).unwrap_or(tenant);
        let problem = format!("the tenants `{other}` and `{}` have the same token", tenant.name);
        Self::new(of_file, problem, "give each tenant a token of its own")
    }

    /// The key of the configuration that names the file.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

/// Every tenant, and how requests are told apart.
#[derive(Debug)]
pub(crate) struct Tenants {
    header: Option<HeaderName>,
    /// Listed tenants, with the token of those that have one.
    listed: Vec<(Option<Token>, Arc<Tenant>)>,
    has_tokens: bool,
    /// Those that the header brought.
    others: Mutex<HashMap<String, Arc<Tenant>>>,
    others_max: usize,
    /// Requests of others that came past that number.
    refused: AtomicU64,
    refusals: Mutex<OnceAMinute>,
    others_limits: TenantLimits,
    /// The tenant of everything when nothing is configured.
    nobody: Arc<Tenant>,
}

#[derive(PartialEq, Eq)]
struct Token(Box<[u8]>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Tenants {
    /// Reads the token files.
    ///
    /// # Errors
    /// One cannot be read, or holds no token.
    pub(crate) fn new(auth: &Auth) -> Result<Self, TokenFileError> {
        let mut listed = Vec::<(Option<Token>, Arc<Tenant>)>::with_capacity(auth.tenants.len());
        for tenant in &auth.tenants {
            let token = match (&tenant.token, &tenant.token_file) {
                (Some(token), _) => Some(token.0.clone()),
                (None, Some(file)) => {
                    let failed = |problem: String| TokenFileError::unusable(tenant, problem);
                    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
                    let text = text.trim().to_owned();
                    if text.is_empty() || text.contains(char::is_whitespace) {
                        return Err(failed("expected one token".to_owned()));
                    }
                    Some(text)
                }
                (None, None) => None,
            };
            let token = token.map(|token| Token(token.into_bytes().into()));
            // Of those in the configuration itself it was checked there, with the line.
            if let Some(token) = &token
                && let Some((_, other)) = listed.iter().find(|(known, _)| known.as_ref() == Some(token))
            {
                return Err(TokenFileError::same(tenant, &auth.tenants, &other.name));
            }
            listed.push((token, Arc::new(Tenant::new(&tenant.name, tenant.limits))));
        }
        Ok(Self {
            header: auth.tenant_header.as_ref().and_then(|name| name.parse().ok()),
            has_tokens: auth.has_tokens(),
            listed,
            others: Mutex::default(),
            others_max: auth.max_tenants,
            refused: AtomicU64::new(0),
            refusals: Mutex::default(),
            others_limits: auth.limits,
            nobody: Arc::new(Tenant::new("", auth.limits)),
        })
    }

    /// The tenant of a request, by its headers.
    pub(super) fn of(&self, headers: &HeaderMap) -> Result<Arc<Tenant>, Failure> {
        let named = match &self.header {
            Some(header) => {
                let mut values = headers.get_all(header).iter();
                let first = values.next().map(|value| value.to_str().unwrap_or_default());
                if values.next().is_some() {
                    let message = format!("the header {header} is given twice");
                    return Err(Failure::new(RequestEnd::Unauthenticated, message));
                }
                first
            }
            None => None,
        };
        if let Some(name) = named
            && !is_tenant_name(name)
        {
            let message = format!("`{name}` is no name of a tenant");
            return Err(Failure::new(RequestEnd::Unauthenticated, message));
        }
        match (bearer(headers).filter(|_| self.has_tokens), named) {
            (Some(token), named) => {
                let tenant = self.by_token(token)?;
                match named {
                    Some(name) if name != &*tenant.name => {
                        let message = "the token is not that of the tenant that the header names";
                        Err(Failure::new(RequestEnd::Forbidden, message))
                    }
                    _ => Ok(tenant),
                }
            }
            (None, Some(name)) => self.by_name(name),
            (None, None) if self.has_tokens => {
                let message = "a token is needed: `Authorization: Bearer TOKEN`";
                Err(Failure::new(RequestEnd::Unauthenticated, message))
            }
            (None, None) => match &self.header {
                Some(header) => {
                    let message = format!("the header {header} must name the tenant");
                    Err(Failure::new(RequestEnd::Unauthenticated, message))
                }
                None => Ok(self.nobody.clone()),
            },
        }
    }

    /// Every token is compared, and each in full, so that the time tells nothing of them.
    fn by_token(&self, given: &[u8]) -> Result<Arc<Tenant>, Failure> {
        let mut found = None;
        for (token, tenant) in &self.listed {
            if token.as_ref().is_some_and(|token| bool::from(token.0.ct_eq(given))) {
                found = Some(tenant);
            }
        }
        found.cloned().ok_or_else(|| Failure::new(RequestEnd::Unauthenticated, "the token is not known"))
    }

    fn by_name(&self, name: &str) -> Result<Arc<Tenant>, Failure> {
        if let Some((token, tenant)) = self.listed.iter().find(|(_, tenant)| *tenant.name == *name) {
            if token.is_some() {
                let message = format!("the tenant `{name}` sends with its token");
                return Err(Failure::new(RequestEnd::Unauthenticated, message));
            }
            return Ok(tenant.clone());
        }
        if !self.listed.is_empty() {
            return Err(Failure::new(RequestEnd::Forbidden, format!("there is no tenant `{name}` here")));
        }
        let mut others = self.others.lock();
        if let Some(tenant) = others.get(name) {
            return Ok(tenant.clone());
        }
        if others.len() >= self.others_max {
            self.note_refused(name);
            let message = format!("there are {} tenants already; `max_tenants` allows no more", others.len());
            return Err(Failure::new(RequestEnd::Forbidden, message));
        }
        let tenant = Arc::new(Tenant::new(name, self.others_limits));
        others.insert(name.to_owned(), tenant.clone());
        Ok(tenant)
    }

    /// Counts a request of one tenant too many: its spans are refused for good, so somebody must know.
    fn note_refused(&self, tenant: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if let Some(times) = self.refusals.lock().count(clock::instant(), 1) {
            let max = self.others_max;
            tracing::warn!(
                tenant,
                times,
                max,
                "there are as many tenants as may be: requests of others are refused, raise \
                 receivers.otlp.auth.max_tenants"
            );
        }
    }

    /// Shows how many there are. `created` is when the process started.
    pub(crate) fn show(&self, registry: &mut Registry, created: UnixNanos) {
        let used = Some(self.others.lock().len() as u64);
        let reached = self.refused.load(Ordering::Relaxed);
        let max = self.others_max as u64;
        Standing { limit: Limit::Tenants, max, used, reached }.show(registry, created);
    }
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// A tenant and what it uses.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) name: Arc<str>,
    rate: Option<Rate>,
    inflight: Option<Arc<Inflight>>,
}

impl Tenant {
    fn new(name: &str, limits: TenantLimits) -> Self {
        let inflight = (limits.max_inflight_bytes > 0)
            .then(|| Arc::new(Inflight::new(limits.max_inflight_bytes, RETRY_AFTER_MS)));
        let rate = (limits.rate_limit_bytes > 0).then(|| {
            let burst = limits.burst_size_bytes.max(limits.rate_limit_bytes);
            Rate::new(limits.rate_limit_bytes, burst, clock::instant())
        });
        Self { name: name.into(), rate, inflight }
    }

    /// Whether it may send now.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let Some(rate) = &self.rate else { return Ok(()) };
        rate.check(clock::instant()).map_err(|wait| self.limited(wait))
    }

    /// Counts a request of some bytes, inflated.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), Failure> {
        let Some(rate) = &self.rate else { return Ok(()) };
        rate.spend(bytes as u64, clock::instant()).map_err(|wait| self.limited(wait))
    }

    fn limited(&self, wait: Duration) -> Failure {
        Failure::rate_limited(&self.name, u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1))
    }
}

/// Bytes a second over time, with a burst. A request is taken while the debt is within the burst, and then
/// counts in full: so a request larger than the burst gets through, and is paid for by those after it.
#[derive(Debug)]
struct Rate {
    bytes_per_second: u64,
    burst: Duration,
    /// When everything that was sent is paid for.
    paid_at: Mutex<Instant>,
}

impl Rate {
    fn new(bytes_per_second: u64, burst_bytes: u64, now: Instant) -> Self {
        let burst = Duration::from_secs_f64(burst_bytes as f64 / bytes_per_second as f64);
        Self { bytes_per_second, burst, paid_at: Mutex::new(now) }
    }

    fn check(&self, now: Instant) -> Result<(), Duration> {
        let debt = self.paid_at.lock().saturating_duration_since(now);
        if debt >= self.burst { Err(debt.saturating_sub(self.burst)) } else { Ok(()) }
    }

    fn spend(&self, bytes: u64, now: Instant) -> Result<(), Duration> {
        let mut paid_at = self.paid_at.lock();
        let debt = paid_at.saturating_duration_since(now);
        if debt >= self.burst {
            return Err(debt.saturating_sub(self.burst));
        }
        *paid_at = (*paid_at).max(now) + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        Ok(())
    }
}

/// Room for the bytes of one request: of all that is in flight, and of its tenant's share.
#[derive(Debug)]
pub(super) struct Room {
    of_all: Admission,
    of_tenant: Option<Admission>,
}

impl Room {
    /// No room yet.
    pub(super) fn new(intake: &Intake, tenant: &Tenant, sender: SenderBytes) -> Self {
        Self {
            of_all: intake.inflight().admission_of(sender),
            of_tenant: tenant.inflight.as_ref().map(Inflight::admission),
        }
    }

    /// Room for requests of nobody.
    #[cfg(test)]
    pub(super) fn of(inflight: &Arc<Inflight>) -> Self {
        Self { of_all: inflight.admission(), of_tenant: None }
    }

    /// Asks for more.
    ///
    /// # Errors
    /// [`Refusal::Overloaded`]: the request is to be refused, and gives back what it has.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        if let Some(share) = &mut self.of_tenant {
            share.grow(bytes)?;
        }
        self.of_all.grow(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_takes_its_burst_and_then_tells_when_to_come_back() {
        let now = clock::instant();
        let rate = Rate::new(1000, 2000, now);
        rate.spend(1500, now).unwrap();
        rate.spend(1500, now).unwrap();
        assert_eq!(rate.spend(1, now), Err(Duration::from_secs(1)));
        assert_eq!(rate.check(now), Err(Duration::from_secs(1)));
        rate.spend(10_000, now + Duration::from_millis(1001)).unwrap();
        assert!(rate.check(now + Duration::from_secs(10)).is_err());
        rate.check(now + Duration::from_millis(11_001)).unwrap();
    }
}
