//! The page's modules, each asked in the browser: decimals, the text of metrics, and the words.

use serde_json::json;
use spantally_price::{Basis, UnpricedReason, decided_by};
use spantally_stitch::{Cause, Confidence, JoinRule, Outcome, State};
use spantally_tests::dashboards::palette;

use crate::SHOWN;
use crate::browser::Browser;
use crate::support::Server;

/// Asks the modules, and returns what was not as expected.
const CHECKS: &str = include_str!("modules.js");

#[test]
fn the_modules_of_the_page() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let mut browser = Browser::start();
    browser.open(&format!("http://{}/", server.admin));
    browser.wait_for(SHOWN);
    assert_eq!(browser.value(&format!("({CHECKS})()")), json!([]));
    words(&mut browser);
    colours(&mut browser);
}

/// The page knows every word of this program, in order where they are shown in one.
fn words(browser: &mut Browser) {
    let mut known = |list: &str| {
        let names = format!("Array.isArray(m.{list}) ? m.{list} : Object.keys(m.{list})");
        let mut names: Vec<String> =
            serde_json::from_value(browser.value(&format!("import('/page/words.js').then(m => {names})")))
                .unwrap();
        names.sort();
        names
    };
    let mut holds = |list: &str, mut words: Vec<&str>| {
        words.sort_unstable();
        assert_eq!(known(list), words, "{list}");
    };
    holds("CAUSES", Cause::ALL.iter().map(|one| one.as_str()).collect());
    holds("OUTCOMES", Outcome::ALL.iter().map(|one| one.as_str()).collect());
    holds("STATES", State::ALL.iter().map(|one| one.as_str()).collect());
    holds("CONFIDENCES", Confidence::ALL.iter().map(|one| one.as_str()).collect());
    holds("RULES", JoinRule::ALL.iter().map(|one| one.as_str()).collect());
    holds("BASES", Basis::ALL.iter().map(|one| one.as_str()).collect());
    holds("UNPRICED", UnpricedReason::ALL.iter().map(|one| one.as_str()).collect());
    holds(
        "POLICIES",
        vec![
            decided_by::NOT_SENT,
            decided_by::SAME_TASK,
            decided_by::AMBIGUOUS,
            decided_by::UNVERIFIED,
            decided_by::REPORTED,
            decided_by::PER_CALL,
            decided_by::NO_POLICY,
            decided_by::NO_TARIFF,
        ],
    );
}

/// A word has the colour that it has on the dashboards.
fn colours(browser: &mut Browser) {
    let fates = palette::FATES.map(|(fate, colour)| (format!("fate_{fate}"), colour));
    let others = [&palette::CAUSES[..], &palette::OUTCOMES, &palette::BASES].concat();
    let others = others.into_iter().map(|(word, colour)| (word.to_owned(), colour));
    for (word, colour) in others.chain(fates) {
        let shown = browser.value(&format!(
            "(() => {{
                const dot = document.createElement('i');
                dot.dataset.word = {};
                document.body.append(dot);
                return getComputedStyle(dot).getPropertyValue('--colour');
            }})()",
            json!(word)
        ));
        assert_eq!(shown, colour, "{word}");
    }
}
