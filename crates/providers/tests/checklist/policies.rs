//! What is charged for what end.

use spantally_price::{Basis, bill};
use spantally_providers::builtin;
use spantally_stitch::{Accepted, Cause, FactSource, FailureReason as Why, Outcome, Role, TaskId, TaskState};

use super::fixture::*;

fn sora(outcome: Outcome, reason: Why) -> String {
    cost(ended(attempt("openai", "sora-2", "video_generation", &[("seconds", "4")]), outcome, reason))
}

#[test]
fn unknown_is_a_bound_and_never_zero_openai() {
    assert_eq!(sora(Outcome::Failed, Why::ProviderError), "[0, 0.2, 0.4] USD");
    assert_eq!(sora(Outcome::Rejected, Why::ModerationOutput), "[0, 0.2, 0.4] USD");
}

#[test]
fn every_term_full_none_prorated_fixed_reported_unknown() {
    let rates = "
  currency: USD
  sources: {list: {url: 'https://own.test/prices', as_of: 2026-11-20}}
  tariffs:
    - models: ['*']
      meters:
        - name: video
          unit: second
          quantity: [{response: seconds}]
          prices: [{price: 0.1, effective_from: 2026-01-01, source: list}]
  policy:
    - {name: made, when: {outcome: [succeeded, partial]}, charge: full, source: list}
    - {name: capacity, when: {outcome: [failed], reason: [capacity]}, charge: none, source: list}
    - {name: quality, when: {outcome: [failed], reason: [quality]}, charge: fixed, quantity: [{constant: 2}], source: list}
    - {name: timeout, when: {outcome: [failed], reason: [provider_timeout]}, charge: reported, source: list}
    - {name: stopped, when: {outcome: [canceled]}, charge: prorated, quantity: [{response: predict_time_seconds}], source: list}
    - {name: other, charge: unknown, probability: 0.1, note: looked in list}
";
    let cards = own("clips", rates);
    let clip = || attempt("clips", "a", "", &[("seconds", "10"), ("predict_time_seconds", "3.5")]);
    for (outcome, reason, expected) in [
        (Outcome::Succeeded, Why::Unknown, "1 USD"),
        (Outcome::Failed, Why::Capacity, "0 USD"),
        (Outcome::Failed, Why::Quality, "0.2 USD"),
        (Outcome::Failed, Why::ProviderTimeout, "[0, 0.5, 1] USD"),
        (Outcome::Canceled, Why::Canceled, "0.35 USD"),
        (Outcome::Failed, Why::ProviderError, "[0, 0.1, 1] USD"),
    ] {
        assert_eq!(cost_by(ended(clip(), outcome, reason), &cards), expected, "{outcome} {reason}");
    }
}

#[test]
fn moderation_by_stage_runway_bfl_kling() {
    let video = || attempt("runway", "gen4_turbo", "image_to_video", &[("seconds", "5")]);
    for reason in [Why::ModerationInput, Why::ModerationOutput] {
        assert_eq!(cost(ended(video(), Outcome::Rejected, reason)), "0.25 USD", "Runway: full, {reason}");
    }
    let kling = attempt("kling", "kling-v3", "text_to_video", &[("seconds", "5"), ("mode", "4k")]);
    assert_eq!(cost(ended(kling, Outcome::Rejected, Why::ModerationOutput)), "0 USD", "Kling: nothing");
    let bfl = |reason| {
        let image = attempt("bfl", "flux-2-pro", "text_to_image", &[("size", "1024x1024")]);
        billed(ended(image, Outcome::Rejected, reason), &built_in()).charges[0].policy.to_string()
    };
    assert_eq!(bfl(Why::ModerationInput), "bfl/moderated_input", "Request Moderated");
    assert_eq!(bfl(Why::ModerationOutput), "bfl/moderated_output", "Content Moderated");
}

#[test]
fn a_request_that_was_not_valid_is_no_moderation_runway() {
    let mut refused = attempt("runway", "gen4_turbo", "image_to_video", &[("seconds", "5")]);
    refused.accepted = Accepted::No;
    refused.calls = vec![call(Role::Submit, 400)];
    assert_eq!(cost(ended(refused, Outcome::Rejected, Why::InvalidInput)), "0 USD");
}

#[test]
fn cancel_before_and_after_the_start_replicate_and_ark() {
    let canceled = |provider, model, before_start| {
        let facts = [
            ("seconds", "4"),
            ("images", "1"),
            ("predict_time_seconds", "2.5"),
            ("output_tokens", "1000000"),
            ("resolution", "720p"),
        ];
        let mut attempt = ended(attempt(provider, model, "", &facts), Outcome::Canceled, Why::Canceled);
        attempt.canceled_before_start = before_start;
        attempt
    };
    let sdxl = "stability-ai/sdxl";
    assert_eq!(units(canceled("replicate", sdxl, true)), ["hardware_time 0 gpu_second"], "aborted: free");
    assert_eq!(
        units(canceled("replicate", sdxl, false)),
        ["hardware_time 2.5 gpu_second"],
        "the time that ran"
    );
    let seedance = "doubao-seedance-2-0-260128";
    assert_eq!(cost(canceled("volcengine", seedance, true)), "0 CNY");
    assert_eq!(cost(canceled("volcengine", seedance, false)), "[0, 23, 46] CNY");
}

#[test]
fn failed_by_code_and_by_class_runway_and_fal() {
    let fal = |status, reason| {
        let mut clip = attempt("fal", "fal-ai/veo3", "", &[("seconds", "8")]);
        clip.calls = vec![call(Role::Submit, 200), call(Role::Result, status)];
        cost(ended(clip, Outcome::Failed, reason))
    };
    assert_eq!(fal(500, Why::ProviderError), "0 USD");
    assert_eq!(fal(422, Why::InvalidInput), "[0, 1.6, 3.2] USD", "no header on a 4xx: unknown, not zero");
    let rates = "
  currency: USD
  sources: {list: {url: 'https://own.test/prices', as_of: 2026-11-20}}
  tariffs:
    - models: ['*']
      meters: [{name: clip, unit: clip, quantity: [{constant: 1}], prices: [{price: 1, effective_from: 2026-01-01, source: list}]}]
  policy:
    - {name: made, when: {outcome: [succeeded, partial]}, charge: full, source: list}
    - {name: safety, when: {outcome: [failed], facts: {error_code: 'SAFETY.*'}}, charge: full, source: list}
    - {name: failed, when: {outcome: [failed]}, charge: none, source: list}
    - {name: other, charge: unknown, note: looked in list}
";
    let cards = own("runway", rates);
    let failed =
        |code| ended(attempt("runway", "a", "", &[("error_code", code)]), Outcome::Failed, Why::Unknown);
    assert_eq!(cost_by(failed("SAFETY.OUTPUT.VIDEO"), &cards), "1 USD");
    assert_eq!(cost_by(failed("INTERNAL.BAD_OUTPUT"), &cards), "0 USD");
}

#[test]
fn a_quantity_on_an_error_response_fal_and_xai() {
    let mut error = attempt("fal", KLING_ON_FAL, "", &[("seconds", "8")]);
    error.calls.push(call(Role::Result, 422));
    error.facts.push(fact("billable_units", "3.14159265", FactSource::Reported));
    assert_eq!(cost(ended(error, Outcome::Failed, Why::InvalidInput)), "0.2199114855 USD");
    let mut rejected = attempt("xai", "grok-imagine-video", "video_generation", &[]);
    rejected.facts.push(fact("cost_ticks", "2500000000", FactSource::Reported));
    assert_eq!(cost(ended(rejected, Outcome::Rejected, Why::ModerationOutput)), "0.25 USD");
}

/// Charged when it is submitted and given back when it fails: a later revision of the job costs nothing, and
/// the ledger has the difference as an entry of its own.
#[test]
fn a_refund_takes_back_all_that_was_charged_luma() {
    let cards = built_in();
    let unverified = {
        let mut clip = attempt("luma", "ray-2", "video_generation", &[("seconds", "5")]);
        clip.outcome = Outcome::Unknown;
        job(vec![clip])
    };
    let failed = {
        let clip = attempt("luma", "ray-2", "video_generation", &[("seconds", "5")]);
        let mut clip = ended(clip, Outcome::Failed, Why::ProviderError);
        clip.cause = Cause::Unverified;
        job(vec![clip])
    };
    let cost = |job| bill(job, &cards).cost().remove("USD").unwrap_or_default().expected;
    assert_eq!((cost(&unverified), cost(&failed)), (dec("0.4"), dec("0")));
}

#[test]
fn an_end_that_is_no_success_fal_completed_and_veo_all_filtered() {
    let files = builtin::files().unwrap();
    let state = |provider: &str, word: &str| {
        let file = files.iter().find(|file| file.file.provider.value == provider).unwrap();
        let rule = file.file.words.iter().find(|rule| rule.is.iter().any(|is| is == word)).unwrap();
        rule.state.value.0
    };
    assert_eq!(state("fal", "COMPLETED"), TaskState::Ended);
    assert_eq!(state("google", "rai_filtered"), TaskState::Rejected);
}

#[test]
fn some_of_what_was_asked_for_veo_and_nova_reel() {
    let mut clips = attempt(
        "google",
        "veo-3.1-generate-001",
        "",
        &[("seconds", "8"), ("outputs", "3"), ("resolution", "720p")],
    );
    clips.outcome = Outcome::Partial;
    assert_eq!(cost(clips), "9.6 USD", "three of four");
    let mut shots = attempt("bedrock", "amazon.nova-reel-v1:1", "video_generation", &[("seconds", "12")]);
    shots.outcome = Outcome::Partial;
    assert_eq!(units(shots), ["nova_reel 12 second"]);
}

#[test]
fn every_accepted_duplicate_is_charged_and_a_submit_without_an_answer_is_a_bound() {
    let clip = || attempt("openai", "sora-2", "video_generation", &[("seconds", "4")]);
    let (mut lost, mut second) = (clip(), clip());
    lost.accepted = Accepted::Ambiguous;
    lost.outcome = Outcome::Unknown;
    second.cause = Cause::Duplicate;
    let bill = bill(&job(vec![lost, clip(), second]), &built_in());
    let costs: Vec<String> = bill.charges.iter().map(|charge| text(charge.cost)).collect();
    assert_eq!(costs, ["[0, 0.2, 0.4]", "0.4", "0.4"]);
}

#[test]
fn a_replay_of_one_idempotency_token_is_charged_once_bedrock() {
    let image = || {
        let mut image = attempt("bedrock", "stability.stable-image-core-v1:1", "image_generation", &[]);
        image.task_id = Some(TaskId::new("arn:1"));
        image
    };
    let mut replay = image();
    replay.cause = Cause::TimeoutResubmit;
    replay.accepted = Accepted::Ambiguous;
    let bill = bill(&job(vec![replay, image()]), &built_in());
    let costs: Vec<String> = bill.charges.iter().map(|charge| text(charge.cost)).collect();
    assert_eq!(costs, ["0", "0.04"]);
}

#[test]
fn polls_results_downloads_and_deliveries_cost_nothing_anywhere() {
    for (name, _) in builtin::TEXTS {
        let provider = name.trim_start_matches("providers/").trim_end_matches(".yaml");
        let cards = built_in();
        let card = cards.get(provider).unwrap();
        let meters = card.tariffs().iter().flat_map(|tariff| &tariff.meters);
        assert!(meters.into_iter().all(|meter| meter.cause.is_none()), "{provider} charges for calls");
    }
    let mut clip = attempt("fal", KLING_ON_FAL, "", &[("seconds", "8")]);
    clip.calls.extend((0..1800).map(|_| call(Role::Poll, 200)));
    clip.calls.extend((0..10).map(|_| call(Role::Webhook, 200)));
    assert_eq!(cost(clip), "0.56 USD");
}

/// An extension tells the stitched total; what is billed is what was added.
#[test]
fn an_extension_bills_what_it_adds_openai() {
    let rates = format!(
        "
  currency: USD
  sources: {{list: {{url: 'https://own.test/prices', as_of: 2026-11-20}}}}
  tariffs:
    - models: ['*', '']
      meters:
        - name: extension
          unit: second
          quantity: [{{formula: 'max(seconds - input_seconds, 0)'}}]
          prices: [{{price: 0.1, effective_from: 2026-01-01, source: list}}]
{MADE}"
    );
    let cards = own("openai", &rates);
    let facts = [("seconds", "20"), ("input_seconds", "8")];
    assert_eq!(cost_by(attempt("openai", "sora-2", "video_extension", &facts), &cards), "1.2 USD");
}

#[test]
fn the_model_that_was_billed_is_the_one_that_is_priced_fal_fallback() {
    let facts = [("seconds", "5"), ("billed_model", "fal-ai/kling-video/v2.5-turbo/pro/text-to-video")];
    assert_eq!(cost(attempt("fal", "fal-ai/veo3", "", &facts)), "0.35 USD");
}

#[test]
fn estimate_and_final_are_told_apart_by_their_basis() {
    let basis = |attempt| billed(attempt, &built_in()).charges[0].basis;
    let clip = |facts: &[_]| attempt("fal", KLING_ON_FAL, "", facts);
    let mut reported = clip(&[]);
    reported.facts.push(fact("billable_units", "8", FactSource::Reported));
    assert_eq!(basis(reported), Basis::Reported);
    assert_eq!(basis(clip(&[("seconds", "8")])), Basis::Documented);
    assert_eq!(basis(clip(&[])), Basis::Assumed);
    assert_eq!(basis(attempt("fal", "somebody/else", "", &[])), Basis::Unpriced);
}
