//! Everything else that a service does: web requests, databases, other HTTP. None of it may enter a job.
//!
//! One kind is shaped like a status poll on purpose, at a host that is no provider's.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use spantally_stitch::UnixNanos;

use super::recorder::{APPLICATION, Answer, Closing, Exchange, Place, Recorder, number, text};

/// Plays one web request that generates nothing.
pub(crate) fn browse(recorder: &mut Recorder<'_>, start: UnixNanos) {
    let root = recorder.open(None, start);
    let mut now = start.plus_ms(1);
    for _ in 0..recorder.rng.between((1, 4)) {
        now = if recorder.rng.chance(0.7) {
            query(recorder, root.inside(), now)
        } else {
            call(recorder, root.inside(), now)
        };
    }
    let (route, path) = recorder.rng.pick(ROUTES).copied().unwrap_or(("/", "/"));
    let attributes = vec![
        text("http.request.method", "GET"),
        text("http.route", route),
        text("url.path", path),
        text("url.scheme", "http"),
        number("http.response.status_code", 200),
        text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"),
    ];
    let closing = Closing {
        kind: SpanKind::Server,
        scope: APPLICATION,
        name: format!("GET {route}"),
        attributes,
        error: None,
        link: None,
    };
    recorder.close(root, now, closing);
}

const ROUTES: &[(&str, &str)] =
    &[("/api/projects/{id}", "/api/projects/4711"), ("/api/assets", "/api/assets"), ("/healthz", "/healthz")];

const QUERIES: &[&str] = &["SELECT projects", "SELECT assets", "UPDATE projects", "INSERT events"];

fn query(recorder: &mut Recorder<'_>, place: Place, start: UnixNanos) -> UnixNanos {
    let open = recorder.open(Some(place), start);
    let name = recorder.rng.pick(QUERIES).copied().unwrap_or_default();
    let end = start.plus_ms(recorder.rng.between((1, 25)));
    let (operation, table) = name.split_once(' ').unwrap_or((name, ""));
    let attributes = vec![
        text("db.system.name", "postgresql"),
        text("db.namespace", "studio"),
        text("db.operation.name", operation),
        text("db.collection.name", table),
        text("server.address", "db.acme-studio.test"),
        number("server.port", 5432),
    ];
    let scope = "opentelemetry.instrumentation.psycopg";
    let name = name.into();
    recorder.close(
        open,
        end,
        Closing { kind: SpanKind::Client, scope, name, attributes, error: None, link: None },
    );
    end
}

fn call(recorder: &mut Recorder<'_>, place: Place, start: UnixNanos) -> UnixNanos {
    let end = start.plus_ms(recorder.rng.between((4, 80)));
    let job = recorder.rng.below(9_000);
    let urls = [
        format!("https://jobs.acme-studio.test/v1/jobs/{job}/status"),
        "https://assets.acme-studio.test/v1/uploads".to_owned(),
        format!("https://billing.acme-studio.test/v1/customers/{job}"),
    ];
    let url = recorder.rng.pick(&urls).map_or("", String::as_str);
    let answer = Answer::Status(200);
    recorder.request(Some(place), Exchange { method: "GET", url, start, end, answer, headers: Vec::new() });
    end
}
