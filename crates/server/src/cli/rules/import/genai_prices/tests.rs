//! Entries as genai-prices writes them, and what becomes of them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use rust_decimal::Decimal;
use serde_json::json;

use super::*;
use crate::cli::rules::import::GENAI_PRICES;
use crate::cli::rules::import::model::with_tariffs;

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn openai() -> &'static str {
    spantally_providers::builtin::TEXTS.iter().find(|(name, _)| name.ends_with("/openai.yaml")).unwrap().1
}

fn import(models: &Value) -> Vec<Imported> {
    let card = spantally_providers::load("openai.yaml", openai()).unwrap().card;
    let list = [json!({"id": "anthropic", "models": []}), json!({"id": "openai", "models": models})];
    read(&list, "openai", &card, day("2026-11-20")).unwrap()
}

fn one(prices: &Value) -> Imported {
    let models = json!([{"id": "new-1", "match": {"equals": "new-1"}, "prices": prices}]);
    import(&models).remove(0)
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (prices, part) in [
        (json!({"input_mtok": 0, "output_mtok": 1}), "no media model is free"),
        (json!({"input_mtok": 1, "cache_read_mtok": 2}), "cache_read_mtok 2 is more than input_mtok 1"),
        (
            json!({"input_audio_mtok": 1, "cache_audio_read_mtok": 1.5}),
            "cache_audio_read_mtok 1.5 is more than input_audio_mtok 1",
        ),
        (json!({"audio_hours": 0.36, "requests_kcount": 2}), "by time and a price a request"),
        (json!({"cache_write_1h_mtok": 3.75}), "cache_write_1h_mtok 3.75: no span shows"),
        (json!({"input_mtok": 0.141_942_857}), "a converted figure"),
        (json!({}), "it has no price"),
        (
            json!([{"prices": {"input_mtok": 1}}, {"constraint": {"start_time": "16:30:00Z"}, "prices": {}}]),
            "which no row can say",
        ),
    ] {
        let problem = one(&prices).meters.unwrap_err();
        assert!(problem.contains(part), "{prices}: {problem}");
    }
}

#[test]
fn names_are_patterns_and_what_cannot_be_one_is_told() {
    let rule = json!({"or": [
        {"equals": "a"}, {"starts_with": "b-"}, {"contains": "c"}, {"ends_with": "d"}, {"regex": "^e"},
    ]});
    let models = json!([
        {"id": "a", "match": rule, "prices": {"input_mtok": 1}},
        {"id": "f", "match": {"regex": "^f"}, "prices": {"input_mtok": 1}},
        {"id": "gpt-4o-mini", "match": {"equals": "gpt-4o-mini"}, "prices": {"input_mtok": 9}},
        {"id": "h", "removed": true, "match": {"equals": "h"}, "prices": {"input_mtok": 1}},
    ]);
    let found = import(&models);
    let names: Vec<_> = found.iter().map(|model| (&*model.name, model.meters.is_ok())).collect();
    assert_eq!(names, [("a", true), ("f", false)], "gpt-4o-mini has a price, h is gone");
    assert_eq!(found[0].models, ["a", "b-*", "*c*", "*d"]);
    assert_eq!(found[0].notes, ["names that match by regex are left out: \"^e\""]);
}

#[test]
fn each_price_is_for_what_no_narrower_price_takes() {
    let found = one(&json!({
        "input_mtok": 4, "cache_read_mtok": 0.4, "input_audio_mtok": 32, "cache_audio_read_mtok": 0.4,
        "output_mtok": 16, "output_audio_mtok": 64, "web_searches_kcount": 10,
    }));
    assert_eq!(found.notes, ["web_searches_kcount is left out: no span shows how often a tool was used"]);
    let meters = found.meters.unwrap();
    let quantities: Vec<_> = meters.iter().map(|meter| (&*meter.name, &*meter.quantity)).collect();
    assert_eq!(
        quantities,
        [
            (
                "input",
                "[{formula: \"input_tokens - cached_tokens - (input_audio_tokens - cached_audio_tokens)\"}, \
                 {formula: \"input_tokens - (input_audio_tokens - cached_audio_tokens)\"}, \
                 {formula: \"input_tokens - cached_tokens - input_audio_tokens\"}, \
                 {formula: \"input_tokens - cached_tokens\"}, {formula: \"input_tokens - input_audio_tokens\"}, \
                 {response: input_tokens}]",
            ),
            (
                "cache_read",
                "[{formula: \"cached_tokens - cached_audio_tokens\"}, {response: cached_tokens}, \
                 {constant: 0}]",
            ),
            (
                "input_audio",
                "[{formula: \"input_audio_tokens - cached_audio_tokens\"}, {response: input_audio_tokens}, \
                 {constant: 0}]",
            ),
            ("cache_audio_read", "[{response: cached_audio_tokens}, {constant: 0}]"),
            ("output", "[{formula: \"output_tokens - output_audio_tokens\"}, {response: output_tokens}]"),
            ("output_audio", "[{response: output_audio_tokens}, {constant: 0}]"),
        ]
    );
}

#[test]
fn days_and_tiers_are_rows_and_what_comes_out_is_a_good_file() {
    let tiered = json!({"base": 1.25, "tiers": [{"start": 200_000, "price": 2.5}]});
    let models = json!([{
        "id": "new-1",
        "match": {"starts_with": "new-1"},
        "prices_checked": "2026-10-01",
        "prices": [
            {"prices": {"input_mtok": 3, "output_mtok": 9}},
            {"constraint": {"start_date": "2026-09-01"}, "prices": {"input_mtok": 2, "output_mtok": 8}},
            {"constraint": {"start_date": "2026-11-01"}, "prices": {"input_mtok": tiered, "output_mtok": 7}},
        ],
    }]);
    let found = import(&models);
    let file = with_tariffs(openai(), &found, &GENAI_PRICES, day("2026-11-20"));
    let loaded = spantally_providers::load("openai.yaml", &file).unwrap_or_else(|all| panic!("{}", all[0]));
    let meters = &loaded.card.tariff("new-1-mini", "").unwrap().meters;
    let prices = |at: usize| -> Vec<String> {
        meters[at]
            .prices
            .iter()
            .map(|row| (row.unit_price * Decimal::from(MILLION)).normalize())
            .map(|price| price.to_string())
            .collect()
    };
    assert_eq!(prices(0), ["2", "2.5", "1.25"], "the undated price had ended before the list was fetched");
    assert_eq!(prices(1), ["8", "7"]);
    assert!(meters[0].prices[0].citation.third_party);
    assert!(meters[0].prices[0].citation.note.contains("genai-prices"));
}
