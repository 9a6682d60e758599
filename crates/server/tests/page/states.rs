//! What the page says when there is nothing to show, or nobody to ask.

use std::time::Duration;

use crate::SHOWN;
use crate::browser::Browser;
use crate::support::Server;

/// Waits for words above the view.
fn wait_for_notice(browser: &mut Browser, words: &str) {
    browser.wait_for(&format!("document.getElementById('notice').textContent.includes('{words}')"));
}

#[test]
fn a_server_without_spans_says_how_to_send_them() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let mut browser = Browser::start();
    browser.open(&format!("http://{}/", server.admin));
    browser.wait_for(SHOWN);
    let said = browser.text("#how-to-send");
    assert!(said.contains(&format!("OTEL_EXPORTER_OTLP_ENDPOINT=http://{}", server.http)), "{said}");
    assert!(said.contains("OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"), "{said}");
    let view = browser.text("#view");
    assert!(view.contains("No job has settled yet") && !view.contains("Spend"), "{view}");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// What was there stays, marked as old, and goes on when the server is back.
#[test]
fn a_stopped_server_is_said_to_be_and_asked_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path());
    let admin = server.admin;
    let mut browser = Browser::start();
    browser.open(&format!("http://{admin}/"));
    browser.wait_for(SHOWN);
    assert!(server.terminate().success());
    wait_for_notice(&mut browser, "No answer from");
    assert_eq!(browser.value("document.querySelector('main').className"), "stale");
    assert!(browser.text("#view").contains("Overview"));
    let _again = Server::start_at(directory.path(), admin);
    browser.wait_for("document.getElementById('notice').hidden");
    assert_eq!(browser.value("document.querySelector('main').className"), "");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// In place of the server, an answer that it gives only for a moment.
fn with_answer(path: &str, status: u16, body: &str) -> Browser {
    let mut browser = Browser::start();
    browser.before_pages(&format!(
        "const real = window.fetch;
         window.answers = 0;
         window.fetch = (path, options) => {{
             if (!path.startsWith('{path}')) return real(path, options);
             window.answers += 1;
             return Promise.resolve(new Response({}, {{status: {status}}}));
         }};",
        serde_json::json!(body)
    ));
    browser
}

#[test]
fn a_server_that_starts_or_stops_is_said_to() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let page = format!("http://{}/", server.admin);

    let starting = r#"{"error":{"code":"starting","message":"the state of the last run is taken back"}}"#;
    let mut browser = with_answer("/metrics", 503, starting);
    browser.open(&page);
    wait_for_notice(&mut browser, "the state of the last run is taken back");
    browser.wait_for("window.answers > 1");
    assert!(browser.text("#view").contains("Asking again"));

    let mut browser = with_answer("/readyz", 503, "draining\n");
    browser.open(&page);
    wait_for_notice(&mut browser, "The server is stopping");
    browser.wait_for(SHOWN);

    // Nobody looks at a hidden page, so it asks for nothing.
    let mut browser = with_answer("/readyz", 200, "ready\n");
    browser.before_pages("Object.defineProperty(document, 'hidden', {get: () => true})");
    browser.open(&page);
    browser.wait_for(SHOWN);
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(browser.value("window.answers"), 1);
}
