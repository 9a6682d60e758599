//! The page of the admin port in a real browser: its figures are those of the ledger, its links are places,
//! and text of spans stays text.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../support/browser.rs"]
mod browser;
mod modules;
mod states;
#[path = "../support/mod.rs"]
mod support;
mod traffic;

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

use self::browser::Browser;
use self::support::{sum_of, text};
use self::traffic::{Fed, HOSTILE};

/// Loaded, and with figures.
const SHOWN: &str = "document.getElementById('seen').textContent.startsWith('as of')";

/// A number of the page, without what makes it easy to read.
fn number(shown: &str) -> Decimal {
    let digits = shown.chars().filter(|letter| letter.is_ascii_digit() || matches!(letter, '.' | '-'));
    digits.collect::<String>().parse().unwrap()
}

fn four_places(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(4, RoundingStrategy::MidpointAwayFromZero)
}

/// Sum of the charges of the jobs in US dollars, by cause.
fn charged(jobs: &[Value], wanted: impl Fn(&str) -> bool) -> Decimal {
    let charges = jobs.iter().flat_map(|job| job["charges"].as_array().unwrap());
    let wanted = charges.filter(|charge| charge["currency"] == "USD" && wanted(text(charge, "cause")));
    wanted.map(|charge| text(charge, "cost").parse::<Decimal>().unwrap()).sum()
}

/// What the first text of an element says.
fn first_text(browser: &mut Browser, selector: &str) -> String {
    let found = browser.value(&format!("document.querySelector({}).firstChild.textContent", json!(selector)));
    found.as_str().unwrap().to_owned()
}

#[test]
fn the_overview_has_the_sums_of_the_ledger() {
    let fed = traffic::fed();
    let Fed { server, jobs, .. } = &fed;
    let mut browser = Browser::start();
    browser.open(&format!("http://{}/", server.admin));
    browser.wait_for(SHOWN);

    let stat = |name: &str| format!("[data-currency=USD] [data-stat={name}] dd");
    let all = charged(jobs, |_| true);
    assert!(all > Decimal::ZERO);
    assert_eq!(number(&first_text(&mut browser, &stat("spend"))), four_places(all));
    let retry = charged(jobs, |cause| matches!(cause, "retry" | "timeout_resubmit" | "duplicate"));
    assert!(retry > Decimal::ZERO, "the traffic has no retries");
    assert_eq!(number(&first_text(&mut browser, &stat("retry"))), four_places(retry));
    let waste = charged(jobs, |cause| !matches!(cause, "delivered" | "unverified"));
    let share = (waste / all * Decimal::ONE_HUNDRED)
        .round_dp_with_strategy(1, RoundingStrategy::MidpointAwayFromZero);
    assert_eq!(number(&first_text(&mut browser, &stat("waste"))), share);

    let rows = browser.value(
        "[...document.querySelectorAll('[data-currency=USD] .panel:first-child tbody tr')]
            .map(row => [...row.children].map(cell => cell.textContent))",
    );
    let mut sum = Decimal::ZERO;
    for row in rows.as_array().unwrap() {
        let cause = row[0].as_str().unwrap().replace(' ', "_");
        let shown = number(row[1].as_str().unwrap());
        assert_eq!(shown, four_places(charged(jobs, |one| one == cause)), "{row}");
        sum += charged(jobs, |one| one == cause);
    }
    assert_eq!(rows[0][0], "delivered");
    assert_eq!(sum, all, "a cause has no row");

    let received = sum_of(&server.page("/metrics"), "spantally_spans_received_total", &[]);
    assert_eq!(number(&browser.text("[data-stat=received]")), received);
    let fates = browser.value(
        "[...document.querySelectorAll('.panel')].find(panel => panel.innerText.startsWith('Spans'))
            .querySelector('tbody').innerText",
    );
    assert!(fates.as_str().unwrap().contains("accepted"), "{fates}");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_list_and_a_job_are_what_the_api_says_and_have_addresses() {
    let fed = traffic::fed();
    let Fed { server, jobs, .. } = &fed;
    let mut browser = Browser::start();
    let page = format!("http://{}/", server.admin);
    let ids = "[...document.querySelectorAll('tbody th a')].map(link => link.hash.slice('#/jobs/'.length))";
    let of = |jobs: &[Value]| -> Vec<Value> { jobs.iter().map(|job| job["job_id"].clone()).collect() };

    let query = "outcome=failed&outcome=rejected&provider=fal";
    browser.open(&format!("{page}#/jobs?{query}"));
    browser.wait_for(SHOWN);
    let expected = server.jobs(&format!("&{query}"));
    assert!(expected.len() > 3, "{} jobs", expected.len());
    assert_eq!(browser.value(ids), json!(of(&expected)));
    let chosen = "[...document.querySelectorAll('form :checked')].map(one => one.value).filter(Boolean)";
    assert_eq!(browser.value(chosen), json!(["failed", "rejected"]));
    assert_eq!(browser.value("document.querySelector('[name=provider]').value"), "fal");

    // The next page is a place too; the filter goes with it.
    browser.open(&format!("{page}#/jobs?{query}&limit=2"));
    browser.wait_for("document.querySelector('#next')");
    browser.value("document.querySelector('#next').click()");
    browser.wait_for("document.querySelector('.pages a').textContent === 'First page'");
    assert_eq!(browser.value(ids), json!(of(&expected[2..4])));

    // What is filled in becomes the address.
    browser.value("document.querySelector('[name=state]').value = 'settled'");
    browser.value("document.querySelector('form button').click()");
    browser.wait_for("location.hash.includes('state=settled') && !location.hash.includes('cursor=')");

    let priced = jobs.iter().filter(|job| job["unpriced"].is_null() && job["cost"]["USD"].is_object());
    let job = priced.max_by_key(|job| job["attempts"].as_array().unwrap().len()).unwrap();
    browser.open(&format!("{page}#/jobs/{}", text(job, "job_id")));
    browser.wait_for(&format!("{SHOWN} && document.querySelector('h1 code')"));
    is_shown(&mut browser, job);

    browser.open(&format!("{page}#/jobs/{:032}", 7));
    browser.wait_for("document.getElementById('notice').textContent.includes('there is no job')");
    browser.open(&format!("{page}#/jobs?outcome=good"));
    browser.wait_for("document.getElementById('notice').textContent.includes('expected one of succeeded')");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Attempts, charges, cost, joins and calls of a job stand on its page as they stand in its document.
fn is_shown(browser: &mut Browser, job: &Value) {
    let attempts = job["attempts"].as_array().unwrap();
    assert!(attempts.len() > 1, "the traffic has no job of two attempts");
    let count = "document.querySelectorAll('[data-attempt]').length";
    assert_eq!(browser.value(count), attempts.len());
    let task = attempts.iter().find_map(|attempt| attempt["task_id"].as_str()).unwrap();
    assert!(browser.text("#view").contains(task), "{task}");
    let bars = browser.value("document.querySelectorAll('.track i').length");
    let calls = attempts.iter().flat_map(|attempt| attempt["spans"].as_object().unwrap().values());
    assert_eq!(bars, calls.map(|of| of.as_array().unwrap().len()).sum::<usize>());
    let rows = browser.value(
        "[...document.querySelectorAll('table')].find(table => table.caption.textContent.includes('price'))
            .tBodies[0].innerText",
    );
    let rows = rows.as_str().unwrap().replace(',', "");
    for charge in job["charges"].as_array().unwrap() {
        for field in ["quantity", "unit_price", "cost", "currency", "rule"] {
            assert!(rows.contains(text(charge, field)), "{field} of {charge}\n{rows}");
        }
    }
    let costs = browser.text(".grid.few tbody").replace(',', "");
    let amounts = ["expected", "min", "max"].map(|field| text(&job["cost"]["USD"], field));
    assert_eq!(costs, format!("USD{}", amounts.concat()));
}

/// A service may be called anything. What would be markup is shown as it is, and does nothing.
#[test]
fn text_of_spans_is_text() {
    let fed = traffic::fed();
    let Fed { server, jobs, .. } = &fed;
    let mut browser = Browser::start();
    let page = format!("http://{}/", server.admin);
    browser.open(&page);
    browser.wait_for(SHOWN);
    let link =
        "[...document.querySelectorAll('[data-currency] a')].find(link => link.hash.includes('%3Cimg'))";
    assert_eq!(browser.value(&format!("{link}.textContent")), HOSTILE);
    browser.value(&format!("{link}.click()"));
    browser.wait_for("document.querySelector('form') && document.querySelectorAll('tbody tr').length === 1");
    assert_eq!(browser.value("document.querySelector('[name=service]').value"), HOSTILE);
    let job = jobs.iter().find(|job| job["service"] == HOSTILE).unwrap();
    browser.open(&format!("{page}#/jobs/{}", text(job, "job_id")));
    browser.wait_for(&format!("{SHOWN} && document.querySelector('h1 code')"));
    assert!(browser.text("#view").contains(HOSTILE));
    assert_eq!(browser.value("document.querySelectorAll('#view :is(img, script, svg, iframe)').length"), 0);
    assert_eq!(browser.value("typeof window.harmed"), "undefined");
    assert_eq!(browser.complaints(), [""; 0]);

    // The policy holds even if a script were to make markup of it.
    browser.value(&format!("document.body.insertAdjacentHTML('beforeend', {})", json!(HOSTILE)));
    browser.wait_for("document.querySelector('body > img')");
    assert_eq!(browser.value("typeof window.harmed"), "undefined");
}
