//! The built-in files, and everything that must be refused.

use rust_decimal::Decimal;
use spantally_price::{Cards, Terms};
use spantally_stitch::UnixNanos;

use crate::load;

#[test]
fn the_built_in_files_are_good() {
    if let Err(findings) = crate::builtin::files() {
        panic!("{}", findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    }
}

/// Every figure of the built-in files has an address and a day; what others say of a provider is marked so.
#[test]
fn built_in_figures_are_cited() {
    let files = crate::builtin::files().unwrap();
    for card in files.iter().map(|file| &file.card) {
        let prices = card.tariffs().iter().flat_map(|tariff| &tariff.meters).flat_map(|meter| &meter.prices);
        let credits = card.credits().iter().map(|credit| &credit.citation);
        let rows = card.tariffs().iter().flat_map(|tariff| &tariff.policy).chain(card.policy());
        let rows = rows.filter(|row| !matches!(row.terms, Terms::Unknown { .. })).map(|row| &row.citation);
        let mut cited = 0;
        for citation in prices.map(|row| &row.citation).chain(credits).chain(rows) {
            assert!(citation.source.starts_with("https://"), "{}: {citation:?}", card.provider);
            assert!(citation.as_of > UnixNanos(0), "{}: {citation:?}", card.provider);
            if citation.third_party {
                assert!(!citation.note.is_empty(), "{}: {citation:?}", card.provider);
            }
            cited += 1;
        }
        let has_prices =
            card.tariffs().iter().any(|tariff| tariff.meters.iter().any(|m| !m.prices.is_empty()));
        assert!(cited > if has_prices { 5 } else { 2 }, "{} says nothing", card.provider);
        let unknown = card.policy().iter().filter(|row| matches!(row.terms, Terms::Unknown { .. }));
        for row in unknown {
            assert!(!row.citation.note.is_empty(), "{} says nothing of where it was looked for", row.name);
        }
    }
}

/// The price of one unit of the expected row, for a model and an operation.
fn price(cards: &Cards, provider: &str, model: &str, operation: &str) -> Option<Decimal> {
    let tariff = cards.get(provider)?.tariff(model, operation)?;
    let rows = &tariff.meters.first()?.prices;
    let row = rows.iter().find(|row| row.is_default).or(rows.first())?;
    Some(row.unit_price)
}

#[test]
fn models_find_their_tariff() {
    let mut cards = Cards::default();
    for file in crate::builtin::files().unwrap() {
        cards.insert(file.card);
    }
    let sdxl = "stability-ai/sdxl:39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b";
    for (provider, model, operation, expected) in [
        ("fal", "fal-ai/flux/dev", "text_to_image", Some("0.025")),
        ("fal", "fal-ai/flux/schnell", "text_to_image", Some("0.003")),
        ("fal", "fal-ai/recraft-v3", "text_to_image", Some("0.04")),
        ("fal", "fal-ai/kling-video/v2/master/text-to-video", "text_to_video", Some("0.28")),
        ("fal", "fal-ai/wan/v2.2/turbo", "video_generation", Some("0.10")),
        ("fal", "somebody/something", "", None),
        ("replicate", "black-forest-labs/flux-dev", "text_to_image", Some("0.025")),
        ("replicate", "minimax/video-01", "video_generation", Some("0.50")),
        ("replicate", sdxl, "text_to_image", Some("0.000975")),
        ("runway", "gen4_turbo", "image_to_video", Some("5")),
        ("runway", "", "image_to_video", Some("5")),
        ("runway", "gen4_image", "text_to_image", Some("5")),
        ("runway", "", "", None),
        ("luma", "ray-2", "video_generation", Some("0.08")),
        ("luma", "photon-1", "image_generation", None),
        ("openai", "sora-2", "video_generation", Some("0.10")),
        ("openai", "", "video_generation", Some("0.10")),
        ("openai", "gpt-image-1", "text_to_image", Some("0.00004")),
        ("openai", "gpt-4o-mini", "chat", Some("0.00000015")),
        ("openai", "whisper-1", "speech_to_text", Some("0.0001")),
        ("elevenlabs", "eleven_flash_v2_5", "text_to_speech", Some("0.00004")),
        ("elevenlabs", "", "text_to_speech", Some("0.00008")),
    ] {
        let expected = expected.map(|price| price.parse().unwrap());
        assert_eq!(price(&cards, provider, model, operation), expected, "{provider} {model} {operation}");
    }
}

const HEAD: &str = "\
provider: clips
title: Clips
hosts: [api.clips.test]
calls: [{name: make, role: submit, method: POST, paths: [/v1/make]}]
rates:
  currency: USD
  sources: {page: {url: 'https://clips.test/pricing', as_of: 2026-11-20}}
";

const POLICY: &str = "
  policy:
    - {name: success, when: {outcome: [succeeded, partial]}, charge: full, source: page}
    - {name: other, charge: unknown, note: looked in page}
";

const TARIFF: &str = "
  tariffs:
    - models: [fast]
      meters:
        - name: seconds
          unit: second
          quantity: [{reported: billable_units}, {request: seconds}, {constant: 1}]
          prices:
            - {price: 0.1, effective_from: 2026-01-01, effective_until: 2026-06-01, source: page}
            - {price: 0.2, effective_from: 2026-06-01, source: page}
";

fn findings(text: &str) -> String {
    match load("clips.yaml", text) {
        Ok(_) => String::new(),
        Err(findings) => findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn the_example_of_the_documentation_is_good() {
    let page = include_str!("../../../../docs/pricing.md");
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let head = HEAD.split("rates:").next().unwrap();
    assert_eq!(findings(&format!("{head}{example}")), "");
}

#[test]
fn a_good_section_is_good() {
    assert_eq!(findings(&format!("{HEAD}{TARIFF}{POLICY}")), "");
    assert_eq!(findings(HEAD), "", "a provider whose prices nobody has written down");
}

/// What is replaced in the good file, by what, and what the finding must say.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("unit: second", "unit: seconds", &["13:17", "`seconds`", "did you mean `second`?"]),
    ("reported: billable_units", "reported: billable_unit", &["`billable_unit`", "did you mean"]),
    ("{request: seconds}", "{request: seconds, count: poll}", &["exactly one of its keys, this one has 2"]),
    ("{request: seconds}", "{formula: 'ceil(seconds'}", &["not a formula that can be computed"]),
    ("{request: seconds}", "{formula: 'sqrt(seconds)'}", &["`sqrt`", "ceil(x)"]),
    ("{request: seconds}", "{formula: 'second + 1'}", &["`second`", "did you mean `seconds`?"]),
    ("{request: seconds}", "{count: polls}", &["polls", "did you mean `poll`?"]),
    (
        "{request: seconds}",
        "{assume: {smallest: 9, default: 5, largest: 10, source: page}}",
        &["9, 5, 10", "smallest <= default <= largest", "never read"],
    ),
    ("[{reported: billable_units}, {request: seconds}, {constant: 1}]", "[]", &["a meter needs a source"]),
    ("{request: seconds}", "{constant: 2}", &["never read: the source at line 14"]),
    ("{constant: 1}", "{constant: 0}", &["clips.yaml:14:81", "what no span shows is not nothing"]),
    ("price: 0.1,", "price: -0.1,", &["`-0.1`", "a price is not negative"]),
    ("price: 0.1,", "price: ten,", &["`ten` is not a decimal number"]),
    ("price: 0.1,", "price: 0.1, per: 3,", &["more than 10 decimal places"]),
    ("price: 0.1,", "price: 0.00000000001,", &["more than 10 decimal places"]),
    (
        "2026-06-01, source: page}\n            -",
        "2026-06-02, source: page}\n            -",
        &["line 16", "the same time"],
    ),
    ("until: 2026-06-01", "until: 2025-06-01", &["not after `effective_from`"]),
    ("effective_from: 2026-06-01", "effective_from: 2026-06-31", &["`2026-06-31` is not a day"]),
    ("effective_from: 2026-06-01, ", "", &["effective_from", "this key is required"]),
    (
        "{price: 0.2, effective_from: 2026-06-01, source: page}",
        "{price: 0.2, effective_from: 2026-06-01}",
        &["source", "this key is required"],
    ),
    ("until: 2026-06-01, source: page", "until: 2026-06-01, source: pag", &["`pag`", "did you mean `page`?"]),
    ("currency: USD", "currency: dollars", &["`dollars`", "neither a currency nor a credit"]),
    ("  currency: USD\n", "", &["neither the meter nor the section names a currency"]),
    ("models: [fast]", "models: []", &["names no model"]),
    ("models: [fast]", "models: ['*']\n    - models: [fast]", &["never used: the tariff at line 10"]),
    ("[succeeded, partial]", "[succeeded]\n    ", &[]),
    ("[succeeded, partial]", "[succeded]", &["succeded", "did you mean `succeeded`?"]),
    ("[succeeded, partial]", "[unknown]", &["unknown", "allowed"]),
    ("    - {name: other, charge: unknown, note: looked in page}\n", "", &["rejected", "charge: unknown"]),
    (", note: looked in page", "", &["where was it looked for"]),
    ("charge: full, source: page", "charge: full", &["must have a source, or be `unknown`"]),
    ("charge: full", "charge: ful", &["did you mean `full`?"]),
    ("charge: full", "charge: prorated", &["needs a quantity"]),
    ("charge: full", "charge: full, quantity: [{constant: 1}]", &["belongs to `charge: prorated`"]),
    ("charge: full", "charge: fixed, quantity: [{request: seconds}]", &["a fixed charge is one `constant`"]),
    (
        "charge: full",
        "charge: fixed, quantity: [{constant: 1}, {constant: 2}]",
        &["never read", "one `constant`"],
    ),
    ("charge: full", "charge: prorated, quantity: [{formula: 'second'}]", &["`second`", "did you mean"]),
    ("charge: full", "charge: full, probability: 0.5", &["with `charge: unknown` only"]),
    ("charge: unknown", "charge: unknown, probability: 1.5", &["`1.5`", "between 0 and 1"]),
    (
        "    - {name: other,",
        "    - name: late\n      when: {outcome: [succeeded], reason: [quality]}\n      \
         charge: none\n      \
         source: page\n    - {name: other,",
        &["never used: the row at line 20"],
    ),
    (
        "when: {outcome: [succeeded, partial]}",
        "when: {canceled: before_start}",
        &["needs `outcome: [canceled]`"],
    ),
    (
        "when: {outcome: [succeeded, partial]}",
        "when: {reason: [rate_limits]}",
        &["did you mean `rate_limit`?"],
    ),
    (
        "when: {outcome: [succeeded, partial]}",
        "when: {status: [timed_out]}",
        &["a status such as 422 or 5xx"],
    ),
    ("name: other", "name: success", &["line 20 has this name too"]),
    ("name: seconds", "name: Per Second", &["lower-case letters"]),
    ("unit: second", "unit: second\n          credit_minimum: 5", &["no credit of this file"]),
    ("unit: second", "unit: second\n          cause: polls", &["polls", "poll"]),
    ("unit: second", "unit: second\n          block: 0", &["must be more than 0"]),
    (
        "  currency: USD\n",
        "  currency: USD\n  credits:\n    \
         - {name: c, price: 1, currency: USD, effective_from: 2026-01-01, source: page}\n    \
         - {name: c, price: 2, currency: USD, effective_from: 2026-02-01, source: page}\n",
        &["line 8 has a price of this credit for the same time"],
    ),
];

#[test]
fn mistakes_are_found_where_they_are() {
    let good = format!("{HEAD}{TARIFF}{POLICY}");
    for (from, to, expected) in MISTAKES {
        assert!(good.contains(from), "{from}");
        let found = findings(&good.replacen(from, to, 1));
        assert_eq!(found.is_empty(), expected.is_empty(), "{to}: {found}");
        for part in *expected {
            assert!(found.contains(part), "{to}: no {part} in: {found}");
        }
    }
}

const MONEY: &str = "
  credits:
    - {name: pack, pack: small, default: true, price: 0.14, currency: USD, effective_from: 2026-01-01, source: page}
    - {name: pack, pack: large, price: 0.1, currency: USD, effective_from: 2026-01-01, source: page}
  discounts:
    - {name: contract, percent: 12.5, effective_from: 2026-01-01, effective_until: 2026-12-01, source: page}
  exchange:
    - {from: CNY, to: EUR, rate: 0.1208, effective_from: 2026-01-01, source: page}
  tariffs:
    - models: [fast]
      meters:
        - name: seconds
          unit: second
          quantity: [{constant: 1}]
          currency: CNY
          prices: [{price: 0.5, effective_from: 2026-01-01, source: page}]
          multipliers:
            - name: voice
              factors:
                - {factor: 2.5, when: {voice: a}, effective_from: 2026-01-01, source: page}
                - {factor: 3, when: {voice: b}, effective_from: 2026-01-01, source: page}
";

/// The same for what a price goes through on its way to a charge.
const MONEY_MISTAKES: &[(&str, &str, &str)] = &[
    ("pack: large", "pack: small", "line 10 has a price of this credit for the same time"),
    ("pack: large,", "pack: large, default: true,", "the pack at line 10 is the default at the same time"),
    ("0.1, currency: USD", "0.1, currency: EUR", "the pack at line 10 is sold in another currency"),
    ("percent: 12.5", "percent: 0", "more than 0 and at most 100 percent"),
    ("percent: 12.5", "percent: 101", "more than 0 and at most 100 percent"),
    ("until: 2026-12-01", "until: 2025-12-01", "not after `effective_from`"),
    ("to: EUR", "to: CNY", "not exchanged for itself"),
    ("from: CNY", "from: yuan", "not an ISO 4217 code"),
    ("rate: 0.1208", "rate: -1", "must be more than 0"),
    (
        "0.1208, effective_from: 2026-01-01, source: page}",
        "0.1208, effective_from: 2026-01-01, source: page}\n    \
         - {from: CNY, to: USD, rate: 0.14, effective_from: 2026-02-01, source: page}",
        "line 15 has a rate of this currency for the same time",
    ),
    ("factor: 2.5", "factor: -2.5", "a factor is not negative"),
    ("voice: b", "voice: a", "the factor at line 27 is in force at the same time"),
    ("when: {voice: a}, ", "", "never used: the factor at line 27 has no `when`"),
    ("voice: a", "voce: a", "did you mean `voice`?"),
    ("price: 0.5", "price: 0.55555", "needs 13 decimal places, of at most 10"),
    (
        "3, when: {voice: b}, effective_from: 2026-01-01, source: page",
        "3, when: {voice: b}, source: page",
        "effective_from",
    ),
];

/// A discount counts for the places of the prices that it may be on, and of no others.
#[test]
fn a_discount_of_other_models_makes_no_price_too_fine() {
    let fine = "price: 0.5, effective_from";
    for (when, is_refused) in [
        ("{}", true),
        ("{model: fast}", true),
        ("{model: \"f*\"}", true),
        ("{tenant: ads}", true),
        ("{operation: upscale}", true),
        ("{model: slow}", false),
        ("{model: [slow, \"slower-*\"]}", false),
    ] {
        let discount = format!("percent: 12.5, when: {when}");
        let text = MONEY.replace("percent: 12.5", &discount).replace(fine, "price: 0.511, effective_from");
        let found = findings(&format!("{HEAD}{text}{POLICY}"));
        assert_eq!(found.contains("decimal places"), is_refused, "{when}: {found}");
    }
    let other_operation = MONEY
        .replace("percent: 12.5", "percent: 12.5, when: {operation: upscale}")
        .replace("models: [fast]", "models: [fast]\n      operations: [text_to_video]")
        .replace(fine, "price: 0.511, effective_from");
    assert!(!findings(&format!("{HEAD}{other_operation}{POLICY}")).contains("decimal places"));
}

#[test]
fn mistakes_in_credits_discounts_factors_and_rates_are_found() {
    let good = format!("{HEAD}{MONEY}{POLICY}");
    assert_eq!(findings(&good), "");
    for (from, to, expected) in MONEY_MISTAKES {
        assert!(good.contains(from), "{from}");
        let found = findings(&good.replacen(from, to, 1));
        assert!(found.contains(expected), "{to}: no {expected} in: {found}");
    }
}
