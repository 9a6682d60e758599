//! Units and quantities.

use spantally_price::Basis;
use spantally_stitch::{FactSource, Role, UnixNanos};

use super::fixture::*;

#[test]
fn per_second_of_the_delivered_file_fal() {
    let mut kling = attempt("fal", KLING_ON_FAL, "video_generation", &[("seconds", "3")]);
    kling.facts.push(fact("billable_units", "3.008", FactSource::Reported));
    assert_eq!(cost(kling), "0.21056 USD", "3.008 units, no rounding, though 3 were asked for");
}

#[test]
fn per_requested_second_where_the_output_is_not_seen_openai() {
    let mut sora = attempt("openai", "sora-2", "video_generation", &[]);
    sora.facts.push(fact("seconds", "12", FactSource::Request));
    assert_eq!(cost(sora), "1.2 USD");
}

#[test]
fn rounded_up_to_a_block_fal_music_and_runway_audio() {
    for (provider, model, operation, facts, expected) in [
        ("fal", "elevenlabs/music/v2.5", "text_to_music", [("seconds", "61")], "1.2 USD"),
        ("runway", "eleven", "text_to_speech", [("characters", "51")], "0.02 USD"),
        ("runway", "dub", "dubbing", [("audio_seconds", "2.1")], "0.02 USD"),
        ("runway", "clean", "audio_isolation", [("audio_seconds", "6.5")], "0.02 USD"),
    ] {
        assert_eq!(cost(attempt(provider, model, operation, &facts)), expected, "{provider} {operation}");
    }
}

#[test]
fn per_delivered_sample_veo() {
    let clips = |outputs| {
        let facts = [("seconds", "8"), ("outputs", outputs), ("resolution", "720p")];
        cost(attempt("google", "veo-3.1-generate-001", "video_generation", &facts))
    };
    assert_eq!((clips("4").as_str(), clips("2").as_str()), ("12.8 USD", "6.4 USD"));
}

#[test]
fn by_quality_and_size_openai_images() {
    for (quality, size, expected) in [
        ("standard", "1024x1024", "0.04 USD"),
        ("standard", "1792x1024", "0.08 USD"),
        ("hd", "1024x1024", "0.08 USD"),
        ("hd", "1792x1024", "0.12 USD"),
    ] {
        let facts = [("quality", quality), ("size", size)];
        assert_eq!(cost(attempt("openai", "dall-e-3", "text_to_image", &facts)), expected);
    }
}

/// A gateway takes the row whose size is nearest: here the number of pixels selects it.
#[test]
fn by_the_nearest_size_gpt_image_on_fal() {
    let rates = format!(
        "
  currency: USD
  sources: {{list: {{url: 'https://own.test/prices', as_of: 2026-11-20}}}}
  tariffs:
    - models: ['*']
      meters:
        - name: image
          unit: image
          quantity: [{{constant: 1}}]
          prices:
            - {{price: 0.04, when: {{pixels: {{at_most: 1310720}}}}, effective_from: 2026-01-01, source: list}}
            - {{price: 0.06, when: {{pixels: {{at_least: 1310721}}}}, effective_from: 2026-01-01, source: list}}
{MADE}"
    );
    let cards = own("fal", &rates);
    let image = |size| cost_by(attempt("fal", "fal-ai/gpt-image", "", &[("size", size)]), &cards);
    assert_eq!(image("1100x1000"), "0.04 USD");
    assert_eq!(image("1536x1024"), "0.06 USD");
}

#[test]
fn megapixels_in_two_parts_flux_2() {
    let image = |width, height, input| {
        let facts = [("width", width), ("height", height), ("input_megapixels", input)];
        cost(attempt("bfl", "flux-2-pro", "text_to_image", &facts))
    };
    assert_eq!(image("1024", "1024", "0"), "0.03 USD");
    assert_eq!(image("2048", "1024", "0"), "0.045 USD", "the second megapixel is cheaper");
    assert_eq!(image("1024", "1024", "2"), "0.06 USD", "inputs are billed as well");
}

#[test]
fn tokens_of_pixels_seedance() {
    let facts = [("seconds", "5"), ("input_seconds", "3"), ("resolution", "480p")];
    let clip = attempt("volcengine", "doubao-seedance-2-0-260128", "video_generation", &facts);
    let tokens = "seedance_20 80352 pixel_token";
    assert_eq!(units(clip), [tokens], "(3 + 5) x 864 x 496 x 24 / 1024: the real frame");
}

#[test]
fn the_provider_s_own_count_wins_seedance() {
    let facts = [("seconds", "5"), ("resolution", "480p"), ("output_tokens", "50000")];
    let clip = attempt("volcengine", "doubao-seedance-2-0-260128", "video_generation", &facts);
    assert_eq!(units(clip), ["seedance_20 50000 pixel_token"]);
}

#[test]
fn seconds_of_hardware_by_its_name_replicate() {
    let rates = format!(
        "
  currency: USD
  sources: {{list: {{url: 'https://replicate.com/docs/billing', as_of: 2026-11-20}}}}
  tariffs:
    - models: ['*']
      meters:
        - name: hardware
          unit: gpu_second
          quantity: [{{response: predict_time_seconds}}]
          prices:
            - {{price: 0.000225, when: {{hardware: gpu-t4}}, effective_from: 2026-01-01, source: list}}
            - {{price: 0.0014, when: {{hardware: gpu-a100-large}}, effective_from: 2026-01-01, source: list}}
{MADE}"
    );
    let cards = own("replicate", &rates);
    let run = |facts: &[_]| cost_by(attempt("replicate", "me/mine:1", "", facts), &cards);
    assert_eq!(run(&[("predict_time_seconds", "10"), ("hardware", "gpu-t4")]), "0.00225 USD");
    assert_eq!(run(&[("predict_time_seconds", "10")]), "[0.00225, 0.00225, 0.014] USD", "not seen: a bound");
}

#[test]
fn characters_by_a_voice_that_costs_more_elevenlabs() {
    let rates = format!(
        "
  currency: USD
  sources: {{list: {{url: 'https://own.test/prices', as_of: 2026-11-20}}}}
  tariffs:
    - models: ['*']
      meters:
        - name: speech
          unit: character
          quantity: [{{response: characters}}]
          prices: [{{price: 0.08, per: 1000, effective_from: 2026-01-01, source: list}}]
          multipliers:
            - name: voice
              factors:
                - {{factor: 2.5, when: {{voice: 'library-*'}}, effective_from: 2026-01-01, source: list}}
{MADE}"
    );
    let cards = own("elevenlabs", &rates);
    let speech = |facts: &[_]| cost_by(attempt("elevenlabs", "eleven_v3", "", facts), &cards);
    assert_eq!(speech(&[("characters", "1000"), ("voice", "library-7")]), "0.2 USD");
    assert_eq!(speech(&[("characters", "1000"), ("voice", "mine")]), "0.08 USD");
    assert_eq!(speech(&[("characters", "1000")]), "[0.08, 0.08, 0.2] USD", "which voice, no span says");
}

#[test]
fn audio_seconds_by_channel_deepgram() {
    let facts = [("audio_seconds", "30"), ("channels", "2")];
    assert_eq!(
        units(attempt("deepgram", "whisper-large", "speech_to_text", &facts)),
        ["whisper 60 audio_second"]
    );
}

#[test]
fn tokens_by_modality_less_those_that_were_cached_openai_realtime() {
    let facts = [("input_audio_tokens", "100"), ("cached_audio_tokens", "40"), ("output_audio_tokens", "50")];
    let session = units(attempt("openai", "gpt-realtime-1.5", "realtime", &facts));
    for expected in
        ["realtime_audio_input 60 token", "realtime_audio_cached 40 token", "realtime_audio_output 50 token"]
    {
        assert!(session.contains(&expected.to_owned()), "{expected}: {session:?}");
    }
}

#[test]
fn seconds_of_an_open_connection_deepgram_agent() {
    let mut agent = attempt("deepgram", "", "voice_agent", &[]);
    agent.calls = vec![call(Role::Session, 101)];
    assert_eq!(units(agent), ["agent 2.5 session_second"]);
}

#[test]
fn a_flat_price_for_a_call_heygen_avatar() {
    assert_eq!(cost(attempt("heygen", "", "avatar_creation", &[])), "1 USD");
}

#[test]
fn reference_images_beyond_those_that_are_free_minimax_luma_runway() {
    let h3 = |images| {
        let facts =
            [("seconds", "5"), ("resolution", "768p"), ("reference_images", images), ("input_seconds", "0")];
        cost(attempt("minimax", "MiniMax-H3", "video_generation", &facts))
    };
    assert_eq!((h3("5").as_str(), h3("6").as_str()), ("0.4 USD", "0.44 USD"));
    let luma = [("images", "1"), ("reference_images", "2")];
    assert_eq!(cost(attempt("luma", "uni-1", "text_to_image", &luma)), "0.0464 USD");
    let hailuo = [("seconds", "5"), ("resolution", "768p"), ("reference_images", "3")];
    assert_eq!(cost(attempt("runway", "hailuo3", "video_generation", &hailuo)), "0.56 USD");
}

#[test]
fn input_seconds_at_a_rate_of_their_own_runway() {
    let facts = [("seconds", "10"), ("input_seconds", "4"), ("resolution", "480p")];
    assert_eq!(
        cost(attempt("runway", "seedance2_5", "video_to_video", &facts)),
        "2.4 USD",
        "200 + 40 credits"
    );
}

#[test]
fn a_minimum_for_a_task_runway() {
    let aleph = |seconds| cost(attempt("runway", "aleph2", "video_to_video", &[("seconds", seconds)]));
    assert_eq!((aleph("1").as_str(), aleph("3").as_str()), ("0.56 USD", "0.84 USD"));
}

#[test]
fn rates_by_resolution_audio_mode_and_tier() {
    for (provider, model, operation, facts, expected) in [
        ("runway", "veo3.1", "image_to_video", [("seconds", "5"), ("audio", "false")], "1 USD"),
        ("runway", "veo3.1", "image_to_video", [("seconds", "5"), ("audio", "true")], "2 USD"),
        ("kling", "kling-v3", "text_to_video", [("seconds", "5"), ("mode", "4k")], "2.205 USD"),
    ] {
        assert_eq!(cost(attempt(provider, model, operation, &facts)), expected, "{provider} {model}");
    }
    let lite = [("seconds", "8"), ("resolution", "1080p"), ("outputs", "1")];
    assert_eq!(cost(attempt("google", "veo-3.1-lite-generate-001", "", &lite)), "0.64 USD");
}

#[test]
fn a_factor_of_a_rate_ark_flex_and_a_rate_of_its_own_veo_tiers() {
    let ark = |tier| {
        let facts = [("output_tokens", "1000000"), ("audio", "on"), ("tier", tier)];
        cost(attempt("byteplus", "seedance-1-5-pro-251215", "video_generation", &facts))
    };
    assert_eq!((ark("default").as_str(), ark("flex").as_str()), ("2.4 USD", "1.2 USD"));
    let clip = [("seconds", "8"), ("resolution", "720p"), ("outputs", "1")];
    let veo = |model: &str| cost(attempt("google", model, "", &clip));
    assert_eq!(veo("veo-3.1-generate-001"), "3.2 USD");
    assert_eq!(veo("veo-3.1-fast-generate-001"), "0.8 USD");
}

const KLING: &str = "
  currency: kling_unit
  sources: {list: {url: 'https://own.test/contract', as_of: 2026-11-20}}
  credits:
    - &small
      {name: kling_unit, pack: small, default: true, price: 0.14, currency: USD, effective_from: 2026-01-01, source: list}
    - {<<: *small, pack: large, default: false, price: 0.098}
  tariffs:
    - models: ['*']
      meters:
        - name: video
          unit: second
          quantity: [{response: seconds}]
          prices: [{price: 2, effective_from: 2026-01-01, source: list}]
";

#[test]
fn credits_of_packs_at_different_prices_kling() {
    let cards = own("kling", &format!("{KLING}{MADE}"));
    let clip = attempt("kling", "kling-v3", "", &[("seconds", "5")]);
    assert_eq!(cost_by(clip.clone(), &cards), "[0.98, 1.4, 1.4] USD", "from which pack, no span says");
    assert_eq!(billed(clip, &cards).charges[0].basis, Basis::Assumed);
}

#[test]
fn a_discount_of_a_contract_kling() {
    let one_pack = |line: &&str| !line.contains("pack: large");
    let kling: Vec<&str> = KLING.lines().filter(one_pack).collect();
    let rates = format!(
        "{}
  discounts:
    - name: contract
      percent: 12.5
      when: {{model: 'kling-v3*'}}
      effective_from: 2026-06-01
      source: list
{MADE}",
        kling.join("\n")
    );
    let cards = own("kling", &rates);
    let clip = |model: &str| attempt("kling", model, "", &[("seconds", "5")]);
    assert_eq!(cost_by(clip("kling-v3"), &cards), "1.225 USD");
    assert_eq!(cost_by(clip("other"), &cards), "1.4 USD", "the contract is for one family");
    let mut earlier = clip("kling-v3");
    earlier.started_at = UnixNanos(DAY - 300 * 86_400_000_000_000);
    assert_eq!(cost_by(earlier, &cards), "1.4 USD", "before the contract began");
}

#[test]
fn packs_and_discounts_by_account_kling() {
    let accounts = "
    - {<<: *small, pack: enterprise, default: false, price: 0.08, when: {tenant: ads}}
    - {<<: *small, pack: trial, default: false, price: 0.1, when: {service: 'lab-*'}}
  discounts:
    - {name: ads, percent: 20, when: {tenant: ads}, effective_from: 2026-01-01, source: list}
  tariffs:";
    let cards = own("kling", &format!("{}{MADE}", KLING.replace("\n  tariffs:", accounts)));
    let clip = |tenant: &str, service: &str| {
        let mut job = job(vec![attempt("kling", "kling-v3", "", &[("seconds", "5")])]);
        (job.tenant, job.service) = (tenant.into(), service.into());
        let bill = spantally_price::bill(&job, &cards);
        text(bill.cost()["USD"])
    };
    assert_eq!(clip("ads", "web"), "0.64", "8 credits of its own pack, a fifth off");
    assert_eq!(clip("films", "lab-1"), "1");
    assert_eq!(clip("films", "web"), "[0.98, 1.4, 1.4]", "the packs of everybody");
    assert_eq!(clip("", ""), "[0.98, 1.4, 1.4]");
}

#[test]
fn yuan_stay_yuan_unless_a_dated_rate_says_otherwise_volcengine() {
    let clip = || {
        attempt(
            "volcengine",
            "doubao-seedance-2-0-260128",
            "",
            &[("output_tokens", "1000000"), ("resolution", "720p")],
        )
    };
    assert_eq!(cost(clip()), "46 CNY");
    let rates = format!(
        "
  currency: CNY
  sources: {{list: {{url: 'https://own.test/prices', as_of: 2026-11-20}}}}
  exchange:
    - {{from: CNY, to: USD, rate: 0.1408, effective_from: 2026-11-01, effective_until: 2026-12-01, source: list}}
  tariffs:
    - models: ['*']
      meters:
        - name: tokens
          unit: pixel_token
          quantity: [{{response: output_tokens}}]
          prices: [{{price: 46, per: 1000000, effective_from: 2026-01-01, source: list}}]
{MADE}"
    );
    let cards = own("volcengine", &rates);
    assert_eq!(cost_by(clip(), &cards), "6.4768 USD");
    let mut later = clip();
    later.started_at = UnixNanos(DAY + 30 * 86_400_000_000_000);
    assert_eq!(cost_by(later, &cards), "unpriced no_price_at_time", "no rate is ever assumed");
}

#[test]
fn prices_by_day_veo_fast() {
    let at = |days: u64| {
        let facts = [("seconds", "4"), ("resolution", "720p"), ("outputs", "1")];
        let mut clip = attempt("google", "veo-3.1-fast-generate-001", "", &facts);
        clip.started_at = UnixNanos(DAY - days * 86_400_000_000_000);
        cost(clip)
    };
    assert_eq!((at(0).as_str(), at(240).as_str()), ("0.4 USD", "0.6 USD"));
    assert_eq!(at(800), "unpriced no_price_at_time");
}

#[test]
fn money_and_units_that_the_provider_reports_win_with_their_scale() {
    for (provider, model, operation, name, value, expected) in [
        ("xai", "grok-imagine-video", "video_generation", "cost_ticks", "2500000000", "0.25 USD"),
        ("fal", "fal-ai/veo3", "", "cost_nano_usd", "90240000", "0.09024 USD"),
        ("fal", "somebody/else", "", "cost_nano_usd", "1", "0.000000001 USD"),
        ("elevenlabs", "eleven_v3", "text_to_speech", "credits", "120", "0.0096 USD"),
        ("kling", "kling-v3", "text_to_video", "credits", "3.5", "0.49 USD"),
        ("google", "gemini-9-image", "", "cost_usd", "0.041", "0.041 USD"),
    ] {
        let mut attempt = attempt(provider, model, operation, &[("seconds", "5"), ("characters", "9")]);
        attempt.facts.push(fact(name, value, FactSource::Reported));
        let bill = billed(attempt.clone(), &built_in());
        assert_eq!(bill.charges[0].basis, Basis::Reported, "{provider} {name}");
        assert_eq!(cost(attempt), expected, "{provider} {name}");
    }
}

#[test]
fn decimals_to_the_last_digit_luma_and_xai() {
    let uni = attempt("luma", "uni-1", "text_to_image", &[("images", "3"), ("reference_images", "7")]);
    assert_eq!(cost(uni), "0.1422 USD", "3 x 0.0404 + 7 x 0.0030");
    let mut tick = attempt("xai", "grok-imagine-video", "video_generation", &[]);
    tick.facts.push(fact("cost_ticks", "1", FactSource::Reported));
    assert_eq!(cost(tick), "0.0000000001 USD");
}
