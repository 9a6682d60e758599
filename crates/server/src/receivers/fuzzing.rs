//! Request headers of any kind.

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::compression::Coding;
use super::http::Format;
use super::{Tenants, cors};
use crate::config::{Auth, Cors, Secret, Tenant, TenantLimits, is_tenant_name};

/// Reads lines of `name: value` as the receivers read headers. A tenant is only ever one that may be.
///
/// # Panics
/// It is another.
pub fn headers(text: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()))
        {
            headers.append(name, value);
        }
    }
    let text_of = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let _: Option<Format> = Format::parse(text_of(CONTENT_TYPE));
    let _: Option<Coding> = Coding::parse(text_of(CONTENT_ENCODING));
    let origins = ["https://*.example.com", "*", "http://localhost:3000"].map(str::to_owned);
    for origin in origins {
        let cors = Cors { allowed_origins: vec![origin], ..Cors::default() };
        let _: Option<&HeaderValue> = cors::allowed(&cors, &headers);
    }
    crate::forward::fuzzing::retry_after(&headers);
    let header = Some("x-scope-orgid".to_owned());
    let clips = Tenant {
        name: "clips".to_owned(),
        token: Some(Secret("first".to_owned())),
        token_file: None,
        limits: TenantLimits::default(),
    };
    for (tenant_header, tenants) in
        [(None, vec![]), (header.clone(), vec![]), (None, vec![clips.clone()]), (header, vec![clips])]
    {
        let auth = Auth { tenant_header, tenants, ..Auth::default() };
        let is_open = auth.tenant_header.is_none() && auth.tenants.is_empty();
        let has_tokens = auth.has_tokens();
        let Ok(known) = Tenants::new(&auth) else { continue };
        if let Ok(tenant) = known.of(&headers) {
            let is_valid = if is_open { tenant.name.is_empty() } else { is_tenant_name(&tenant.name) };
            assert!(is_valid, "the tenant `{}`", tenant.name);
            let with_token =
                headers.get("authorization").is_some_and(|value| value.as_bytes().ends_with(b"first"));
            assert!(!has_tokens || with_token, "let in without the token");
        }
    }
}
