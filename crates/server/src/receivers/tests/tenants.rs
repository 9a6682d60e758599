//! Tokens, tenants and what each may use, over real sockets.

use hyper::header::HeaderMap;
use tonic::Code;

use super::grpc::{EXPORT, Headers, call, connect, framed, whole};
use super::raw::{Answer, PROTOBUF, good, post, send};
use crate::config::{Auth, Secret, Tenant, TenantLimits};
use crate::export::{LabelSets, MetricId, Registry};
use crate::receivers::testing::Server;
use crate::receivers::{GrpcSettings, HttpSettings, Tenants};

fn tenant(name: &str, token: Option<&str>) -> Tenant {
    let token = token.map(|token| Secret(token.to_owned()));
    Tenant { name: name.to_owned(), token, token_file: None, limits: TenantLimits::default() }
}

async fn server(auth: &Auth) -> Server {
    Server::start_for(GrpcSettings::default(), HttpSettings::default(), 1 << 20, auth, None).await
}

async fn post_with(server: &Server, headers: &str) -> Answer {
    send(server.http, &post(&format!("{PROTOBUF}{headers}"), &good())).await
}

async fn call_with(server: &Server, headers: Headers<'_>) -> Result<(), Code> {
    let body = whole(framed(0, &good()));
    let answer = call(&mut connect(server).await, EXPORT, headers, body).await;
    answer.map(drop).map_err(|refused| refused.0.code())
}

#[tokio::test]
async fn a_token_names_its_tenant_and_none_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ads");
    std::fs::write(&file, "second\n").unwrap();
    let ads = Tenant { token_file: Some(file), ..tenant("ads", None) };
    let auth = Auth {
        tenant_header: Some("x-scope-orgid".to_owned()),
        tenants: vec![tenant("clips", Some("first")), ads],
        ..Auth::default()
    };
    let server = server(&auth).await;
    for (headers, code) in [
        ("Authorization: Bearer first\r\n", 200),
        ("authorization: bearer second\r\nX-Scope-OrgID: ads\r\n", 200),
        ("", 401),
        ("Authorization: Bearer third\r\n", 401),
        ("Authorization: Bearer firs\r\n", 401),
        ("Authorization: Bearer \r\n", 401),
        ("Authorization: Basic first\r\n", 401),
        ("X-Scope-OrgID: clips\r\n", 401),
        ("Authorization: Bearer first\r\nX-Scope-OrgID: ads\r\n", 403),
        ("X-Scope-OrgID: other\r\n", 403),
        ("Authorization: Bearer first\r\nX-Scope-OrgID: clips\r\nX-Scope-OrgID: clips\r\n", 401),
    ] {
        let answer = post_with(&server, headers).await;
        assert_eq!(answer.code, code, "{headers}");
        assert_eq!(answer.header("www-authenticate").is_some(), code == 401, "{headers}");
        assert_eq!(answer.header("retry-after"), None);
        if code != 200 {
            assert!(!answer.status().message.contains("first"), "a token is never told");
        }
    }
    assert_eq!(call_with(&server, &[("authorization", "Bearer second")]).await, Ok(()));
    assert_eq!(call_with(&server, &[]).await, Err(Code::Unauthenticated));
    let both = [("authorization", "Bearer second"), ("x-scope-orgid", "clips")];
    assert_eq!(call_with(&server, &both).await, Err(Code::PermissionDenied));
    assert_eq!(
        server.ends(),
        [
            ("grpc", "accepted", 1),
            ("grpc", "unauthenticated", 1),
            ("grpc", "forbidden", 1),
            ("http_protobuf", "accepted", 2),
            ("http_protobuf", "unauthenticated", 7),
            ("http_protobuf", "forbidden", 2),
        ]
    );
    assert_eq!(server.tenants_committed(3), ["clips", "ads", "ads"]);
}

#[test]
fn two_tenants_of_one_token_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ads");
    std::fs::write(&file, "first\n").unwrap();
    let ads = Tenant { token_file: Some(file.clone()), ..tenant("ads", None) };
    for tenants in [[tenant("clips", Some("first")), ads.clone()], [ads, tenant("clips", Some("first"))]] {
        let auth = Auth { tenants: tenants.to_vec(), ..Auth::default() };
        let error = Tenants::new(&auth).unwrap_err().to_string();
        for part in ["`ads`", "`clips`", file.to_str().unwrap()] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("first"), "a token is never told");
    }
}

#[tokio::test]
async fn a_header_names_the_tenant_up_to_a_number_of_them() {
    let auth = Auth { tenant_header: Some("x-scope-orgid".to_owned()), max_tenants: 2, ..Auth::default() };
    let server = server(&auth).await;
    for (headers, code) in [
        ("X-Scope-OrgID: one\r\n", 200),
        ("X-Scope-OrgID: two\r\n", 200),
        ("X-Scope-OrgID: one\r\n", 200),
        ("X-Scope-OrgID: three\r\n", 403),
        ("X-Scope-OrgID: a/b\r\n", 401),
        ("X-Scope-OrgID: ..\r\n", 401),
        ("X-Scope-OrgID: \r\n", 401),
        ("", 401),
    ] {
        assert_eq!(post_with(&server, headers).await.code, code, "{headers}");
    }
    assert_eq!(server.tenants_committed(3), ["one", "two", "one"]);
}

#[test]
fn a_tenant_too_many_is_counted() {
    let auth = Auth { tenant_header: Some("x-scope-orgid".to_owned()), max_tenants: 2, ..Auth::default() };
    let tenants = Tenants::new(&auth).unwrap();
    for name in ["one", "two", "three", "one", "four"] {
        let headers = HeaderMap::from_iter([("x-scope-orgid".parse().unwrap(), name.parse().unwrap())]);
        drop(tenants.of(&headers));
    }
    let mut registry = Registry::new(LabelSets::new(9, &[]));
    tenants.show(&mut registry, crate::clock::now());
    let metrics = [MetricId::Limit, MetricId::LimitUsed, MetricId::LimitReached];
    let of_tenants = |metric| {
        let mut values = registry.values(metric);
        values.find(|(own, _)| own.contains(r#""tenants""#)).map(|(_, value)| value)
    };
    assert_eq!(metrics.map(of_tenants), [2, 2, 2].map(|value| Some(value.into())));
}

#[tokio::test]
async fn a_tenant_over_its_rate_is_told_when_to_come_back_and_others_go_on() {
    let slow = TenantLimits { rate_limit_bytes: 1, burst_size_bytes: 10, ..TenantLimits::default() };
    let auth = Auth {
        tenants: vec![
            Tenant { limits: slow, ..tenant("slow", Some("s")) },
            Tenant {
                limits: TenantLimits { max_inflight_bytes: 1 << 20, ..TenantLimits::default() },
                ..tenant("fast", Some("f"))
            },
        ],
        ..Auth::default()
    };
    let server = server(&auth).await;
    let slow = "Authorization: Bearer s\r\n";
    assert_eq!(post_with(&server, slow).await.code, 200, "a request larger than the burst gets through");
    let answer = post_with(&server, slow).await;
    assert_eq!(answer.code, 429);
    let seconds: usize = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=good().len()).contains(&seconds), "{seconds}");
    assert_eq!(answer.status().details[0].type_url, "type.googleapis.com/google.rpc.RetryInfo");
    let body = whole(framed(0, &good()));
    let refused =
        *call(&mut connect(&server).await, EXPORT, &[("authorization", "Bearer s")], body).await.unwrap_err();
    assert_eq!(refused.0.code(), Code::ResourceExhausted);
    assert!(!refused.1.details.is_empty(), "without RetryInfo the spans would be lost");
    for _ in 0..3 {
        assert_eq!(post_with(&server, "Authorization: Bearer f\r\n").await.code, 200);
    }
    assert_eq!(server.intake.inflight().used_bytes(), 0);
}
