//! Values that a file does not list, and facts that no span shows: a bound, never the dearest case as if it
//! were known, and never less known for more seen.

use spantally_price::Basis;
use spantally_stitch::FactSource;

use super::fixture::*;

#[test]
fn a_quality_or_a_size_that_is_not_listed_gpt_image() {
    let image = |facts: &[(&str, &str)]| {
        let facts = [&[("images", "1"), ("input_tokens", "0")], facts].concat();
        cost(attempt("openai", "gpt-image-1", "text_to_image", &facts))
    };
    let unseen = "[0.01088, 0.04224, 0.2496] USD";
    assert_eq!(image(&[]), unseen);
    for quality in ["auto", "standard", "hd"] {
        assert_eq!(image(&[("quality", quality), ("size", "1024x1024")]), unseen, "{quality}");
    }
    assert_eq!(image(&[("quality", "high"), ("size", "1024x1024")]), "0.1664 USD");
    assert_eq!(image(&[("quality", "high"), ("size", "1024x1536")]), "0.2496 USD");
    assert_eq!(image(&[("quality", "low"), ("size", "auto")]), "[0.01088, 0.01088, 0.01632] USD");
}

#[test]
fn a_picture_of_a_model_that_no_span_names_openai() {
    let image = |quality| {
        let facts = [("images", "1"), ("quality", quality), ("size", "1024x1024")];
        cost(attempt("openai", "", "text_to_image", &facts))
    };
    assert_eq!(image("auto"), "[0.0039, 0.042, 0.442] USD", "from the least of -2.5 to the most of -2");
    assert_eq!(image("high"), "[0.036, 0.167, 0.442] USD", "-1-mini costs less, -2 takes more tokens");
    assert_eq!(image("standard"), "0.04 USD", "a word of DALL-E 3 alone");
}

#[test]
fn auto_is_any_of_the_prices_dall_e_3() {
    let image = |quality, size| {
        cost(attempt("openai", "dall-e-3", "text_to_image", &[("quality", quality), ("size", size)]))
    };
    assert_eq!(image("auto", "1024x1024"), "[0.04, 0.04, 0.12] USD");
    assert_eq!(image("standard", "auto"), "[0.04, 0.04, 0.08] USD");
    assert_eq!(image("hd", "auto"), "[0.08, 0.08, 0.12] USD");
}

#[test]
fn an_edit_bills_its_pictures_apart_and_as_a_bound_where_nobody_told_them_apart_openai() {
    let edit = |model, facts: &[(&str, &str)]| {
        let facts = [&[("output_tokens", "1000")], facts].concat();
        attempt("openai", model, "image_to_image", &facts)
    };
    let mixed = [("input_tokens", "3000")];
    assert_eq!(cost(edit("gpt-image-1", &mixed)), "[0.055, 0.07, 0.07] USD");
    assert_eq!(cost(edit("gpt-image-2", &mixed)), "[0.045, 0.054, 0.054] USD");
    let apart = [("input_tokens", "3000"), ("input_image_tokens", "2000")];
    assert_eq!(cost(edit("gpt-image-1", &apart)), "0.065 USD", "1,000 of text at 5, 2,000 at 10");
    assert_eq!(cost(edit("gpt-image-1", &[])), "unpriced no_quantity", "an edit without input is none");
}

#[test]
fn mode_and_sound_each_on_their_own_kling() {
    let clip = |facts: &[(&str, &str)]| {
        let facts = [&[("seconds", "5")], facts].concat();
        cost(attempt("kling", "kling-v3", "text_to_video", &facts))
    };
    for (mode, audio, expected) in [
        ("std", "false", "0.882 USD"),
        ("std", "true", "1.323 USD"),
        ("pro", "false", "1.176 USD"),
        ("pro", "true", "1.764 USD"),
        ("4k", "true", "2.205 USD"),
    ] {
        assert_eq!(clip(&[("mode", mode), ("audio", audio)]), expected, "{mode} {audio}");
    }
    assert_eq!(clip(&[("mode", "std")]), "[0.882, 0.882, 1.323] USD");
    assert_eq!(clip(&[("mode", "pro")]), "[1.176, 1.176, 1.764] USD");
    assert_eq!(clip(&[]), "[0.882, 0.882, 2.205] USD");
}

#[test]
fn a_size_that_counts_as_neither_of_two_runway() {
    let image = |size| cost(attempt("runway", "gen4_image", "text_to_image", &[("resolution", size)]));
    for size in ["720p", "720P", "1280:720", "1280x720", "720x1280"] {
        assert_eq!(image(size), "0.05 USD", "{size}");
    }
    for size in ["1080p", "1920:1080", "1080x1440"] {
        assert_eq!(image(size), "0.08 USD", "{size}");
    }
    for size in ["1024:1024", "1168x880", "auto"] {
        assert_eq!(image(size), "[0.05, 0.08, 0.08] USD", "{size}");
    }
}

#[test]
fn a_model_that_no_span_names_may_be_the_dearest_of_the_file_runway() {
    let clip = |model| cost(attempt("runway", model, "image_to_video", &[("seconds", "10")]));
    assert_eq!(clip(""), "[0.5, 0.5, 20.28] USD", "with an input video and nine references");
    assert_eq!(clip("gen4.5"), "1.2 USD");
}

#[test]
fn the_frame_by_its_size_or_by_a_word_in_any_case_seedance() {
    let clip = |name, value: &str| {
        let facts = [("seconds", "5"), (name, value)];
        cost(attempt("volcengine", "doubao-seedance-2-0-260128", "video_generation", &facts))
    };
    assert_eq!(clip("resolution", "720p"), "4.968 CNY");
    assert_eq!(clip("resolution", "720P"), "4.968 CNY");
    assert_eq!(clip("size", "1280x720"), "4.968 CNY");
    assert_eq!(clip("resolution", "1080P"), "12.393 CNY");
    assert_eq!(clip("resolution", "adaptive"), "[1.30572, 4.968, 49.572] CNY");
    assert_eq!(clip("voice", "unseen"), "[1.30572, 4.968, 49.572] CNY", "as if it were not seen");
    assert_eq!(clip("input_seconds", "3"), "unpriced no_price", "its rate was not found");
}

#[test]
fn credits_of_every_tariff_runway_and_of_an_answer_bfl() {
    for (provider, model, operation) in [
        ("runway", "aleph2", "video_to_video"),
        ("runway", "seedance2_5", "image_to_video"),
        ("runway", "seedance2_mini", "image_to_video"),
        ("runway", "seedance2", "image_to_video"),
        ("runway", "hailuo3", "image_to_video"),
        ("runway", "", "text_to_speech"),
        ("runway", "", "dubbing"),
        ("runway", "", "audio_isolation"),
        ("bfl", "flux-2-pro", "text_to_image"),
        ("bfl", "flux-dev", "text_to_image"),
    ] {
        let mut task = attempt(provider, model, operation, &[("seconds", "5")]);
        task.facts.push(fact("credits", "9", FactSource::Reported));
        let bill = billed(task.clone(), &built_in());
        assert_eq!(bill.charges[0].basis, Basis::Reported, "{model} {operation}");
        assert_eq!(cost(task), "0.09 USD", "{model} {operation}");
    }
}
