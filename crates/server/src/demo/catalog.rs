//! What the imagined applications ask for: providers as their SDKs call them, and models with a price.
//!
//! Addresses, poll rhythm and retry gaps are those of the official SDKs. Prices are stated here on their own,
//! not read from `config/providers`: the truth of the demo must not be the product's own opinion. The next
//! file of the flow is [`super::scenario`], which decides how a job goes.

use super::rng::Rng;

/// A provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// fal.ai
    Fal,
    /// Replicate
    Replicate,
    /// Runway
    Runway,
    /// Luma
    Luma,
    /// OpenAI
    OpenAi,
    /// ElevenLabs
    ElevenLabs,
}

/// How the official SDK of a provider behaves, and what the provider bills.
#[derive(Debug)]
pub struct Sdk {
    /// The name used in metrics and provider files.
    pub name: &'static str,
    /// `gen_ai.provider.name`, as applications write it.
    pub gen_ai_name: &'static str,
    /// From the end of the submit to the first poll, in milliseconds.
    pub first_poll_ms: (u64, u64),
    /// From one poll to the next, in milliseconds.
    pub poll_ms: (u64, u64),
    /// From a refused submit to the next, in milliseconds; doubles each time.
    pub retry_ms: (u64, u64),
    /// Whether the SDK itself repeats a submit; else the application does.
    pub retries_submits: bool,
    /// When the client stops waiting for an answer, in milliseconds.
    pub timeout_ms: u64,
    /// HTTP status of an accepted submit.
    pub accepted_status: u16,
    /// HTTP status of a moderated or invalid request.
    pub invalid_status: u16,
    /// Whether the provider calls back.
    pub callbacks: bool,
    /// Where outputs are fetched.
    pub output_host: &'static str,
    /// Full price although moderation refused the input or the output.
    pub bills_moderated: bool,
    /// User agent of the Node SDK.
    pub node_agent: &'static str,
}

impl Provider {
    /// Its SDK.
    pub fn sdk(self) -> &'static Sdk {
        match self {
            Self::Fal => &FAL,
            Self::Replicate => &REPLICATE,
            Self::Runway => &RUNWAY,
            Self::Luma => &LUMA,
            Self::OpenAi => &OPENAI,
            Self::ElevenLabs => &ELEVENLABS,
        }
    }

    /// A new task id, in the provider's own shape.
    pub fn task_id(self, rng: &mut Rng) -> String {
        match self {
            Self::Fal | Self::Runway | Self::Luma | Self::ElevenLabs => rng.uuid(),
            Self::Replicate => rng.text(b"0123456789abcdefghjkmnpqrstvwxyz", 26),
            Self::OpenAi => format!("video_{}", rng.text(b"0123456789abcdef", 48)),
        }
    }

    /// Where a task is.
    pub(crate) fn task_url(self, model: &Model, task: &str) -> String {
        match self {
            Self::Fal => format!("https://queue.fal.run/{}/requests/{task}", fal_app(model.name)),
            Self::Replicate => format!("https://api.replicate.com/v1/predictions/{task}"),
            Self::Runway => format!("https://api.dev.runwayml.com/v1/tasks/{task}"),
            Self::Luma => format!("https://api.lumalabs.ai/dream-machine/v1/generations/{task}"),
            Self::OpenAi => format!("https://api.openai.com/v1/videos/{task}"),
            Self::ElevenLabs => format!("https://api.elevenlabs.io/v1/history/{task}"),
        }
    }
}

/// fal cuts the model's path to owner and alias in the addresses of a request.
fn fal_app(model: &str) -> &str {
    let end = model.match_indices('/').nth(1).map_or(model.len(), |(at, _)| at);
    &model[..end]
}

const FAL: Sdk = Sdk {
    name: "fal",
    gen_ai_name: "fal_ai",
    first_poll_ms: (1, 4),
    poll_ms: (100, 104),
    retry_ms: (50, 150),
    retries_submits: true,
    timeout_ms: 120_000,
    accepted_status: 200,
    invalid_status: 422,
    callbacks: true,
    output_host: "v3.fal.media",
    bills_moderated: false,
    node_agent: "@fal-ai/client/1.10.1",
};

const REPLICATE: Sdk = Sdk {
    name: "replicate",
    gen_ai_name: "replicate",
    first_poll_ms: (500, 505),
    poll_ms: (500, 505),
    retry_ms: (800, 1_600),
    retries_submits: false,
    timeout_ms: 30_000,
    accepted_status: 201,
    invalid_status: 422,
    callbacks: true,
    output_host: "replicate.delivery",
    bills_moderated: false,
    node_agent: "replicate-javascript/1.4.0",
};

const RUNWAY: Sdk = Sdk {
    name: "runway",
    gen_ai_name: "runway",
    first_poll_ms: (4_500, 7_500),
    poll_ms: (4_500, 7_500),
    retry_ms: (400, 500),
    retries_submits: true,
    timeout_ms: 60_000,
    accepted_status: 200,
    invalid_status: 400,
    callbacks: false,
    output_host: "dnznrvs05pmza.cloudfront.net",
    // docs.dev.runwayml.com, moderation: charged at full cost, input or output.
    bills_moderated: true,
    node_agent: "RunwayML/JS 4.20.1",
};

const LUMA: Sdk = Sdk {
    name: "luma",
    gen_ai_name: "luma",
    first_poll_ms: (700, 704),
    poll_ms: (700, 704),
    retry_ms: (400, 500),
    retries_submits: true,
    timeout_ms: 60_000,
    accepted_status: 201,
    invalid_status: 400,
    callbacks: true,
    output_host: "storage.cdn-luma.com",
    bills_moderated: false,
    node_agent: "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
};

const OPENAI: Sdk = Sdk {
    name: "openai",
    gen_ai_name: "openai",
    first_poll_ms: (1, 3),
    poll_ms: (1_000, 1_010),
    retry_ms: (400, 500),
    retries_submits: true,
    timeout_ms: 60_000,
    accepted_status: 200,
    invalid_status: 400,
    callbacks: false,
    output_host: "oaidalleapiprodscus.blob.core.windows.net",
    bills_moderated: false,
    node_agent: "OpenAI/JS 6.9.0",
};

const ELEVENLABS: Sdk = Sdk {
    name: "elevenlabs",
    gen_ai_name: "elevenlabs",
    first_poll_ms: (0, 0),
    poll_ms: (0, 0),
    retry_ms: (1_000, 1_100),
    retries_submits: true,
    timeout_ms: 60_000,
    accepted_status: 200,
    invalid_status: 422,
    callbacks: false,
    output_host: "",
    bills_moderated: false,
    node_agent: "elevenlabs-js/2.24.0",
};

/// What a generation makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Billed by the second.
    Video,
    /// Billed by the piece.
    Image,
    /// Billed by the character.
    Speech,
}

impl Output {
    /// `gen_ai.output.type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Image => "image",
            Self::Speech => "speech",
        }
    }

    /// The unit of billing.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Video => "second",
            Self::Image => "image",
            Self::Speech => "character",
        }
    }

    /// File name ending of an output.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Video => "mp4",
            Self::Image => "png",
            Self::Speech => "mp3",
        }
    }
}

/// A model, how it is called and what it costs.
#[derive(Debug)]
pub struct Model {
    /// Whose.
    pub provider: Provider,
    /// Its name, as the provider writes it.
    pub name: &'static str,
    /// Where it is asked for.
    pub submit_url: &'static str,
    /// What it makes.
    pub output: Output,
    /// The answer to the submit holds the output: there is no task to poll.
    pub is_sync: bool,
    /// Requested units, one of which is drawn.
    pub quantities: &'static [u32],
    /// As the application writes it.
    pub resolution: &'static str,
    /// Price of one unit, in billionths of a US dollar.
    pub price_nano_usd: u64,
    /// How long it takes, in milliseconds, on the provider's side.
    pub render_ms: (u64, u64),
    /// How often it is asked for, beside the others.
    pub weight: u32,
}

/// Every model that the applications use.
pub(crate) const MODELS: &[Model] = &[
    Model {
        provider: Provider::Fal,
        name: "fal-ai/flux/dev",
        submit_url: "https://queue.fal.run/fal-ai/flux/dev",
        output: Output::Image,
        is_sync: false,
        quantities: &[1, 1, 2, 4],
        resolution: "1024x1024",
        price_nano_usd: 25_000_000,
        render_ms: (4_000, 12_000),
        weight: 22,
    },
    Model {
        provider: Provider::Fal,
        name: "fal-ai/kling-video/v2.5-turbo/pro/text-to-video",
        submit_url: "https://queue.fal.run/fal-ai/kling-video/v2.5-turbo/pro/text-to-video",
        output: Output::Video,
        is_sync: false,
        quantities: &[5, 5, 10],
        resolution: "1080p",
        price_nano_usd: 70_000_000,
        render_ms: (50_000, 150_000),
        weight: 12,
    },
    Model {
        provider: Provider::Replicate,
        name: "black-forest-labs/flux-schnell",
        submit_url: "https://api.replicate.com/v1/models/black-forest-labs/flux-schnell/predictions",
        output: Output::Image,
        is_sync: false,
        quantities: &[1, 4],
        resolution: "1024x1024",
        price_nano_usd: 3_000_000,
        render_ms: (8_000, 20_000),
        weight: 16,
    },
    Model {
        provider: Provider::Replicate,
        name: "black-forest-labs/flux-1.1-pro",
        submit_url: "https://api.replicate.com/v1/models/black-forest-labs/flux-1.1-pro/predictions",
        output: Output::Image,
        is_sync: false,
        quantities: &[1],
        resolution: "1024x1024",
        price_nano_usd: 40_000_000,
        render_ms: (10_000, 30_000),
        weight: 8,
    },
    Model {
        provider: Provider::Runway,
        name: "gen4_turbo",
        submit_url: "https://api.dev.runwayml.com/v1/image_to_video",
        output: Output::Video,
        is_sync: false,
        quantities: &[5, 10],
        resolution: "1280:720",
        price_nano_usd: 50_000_000,
        render_ms: (40_000, 110_000),
        weight: 12,
    },
    Model {
        provider: Provider::Luma,
        name: "ray-2",
        submit_url: "https://api.lumalabs.ai/dream-machine/v1/generations/video",
        output: Output::Video,
        is_sync: false,
        quantities: &[5, 9],
        resolution: "720p",
        price_nano_usd: 80_000_000,
        render_ms: (30_000, 100_000),
        weight: 8,
    },
    Model {
        provider: Provider::OpenAi,
        name: "sora-2",
        submit_url: "https://api.openai.com/v1/videos",
        output: Output::Video,
        is_sync: false,
        quantities: &[4, 8, 12],
        resolution: "1280x720",
        price_nano_usd: 100_000_000,
        render_ms: (60_000, 150_000),
        weight: 8,
    },
    Model {
        provider: Provider::OpenAi,
        name: "dall-e-3",
        submit_url: "https://api.openai.com/v1/images/generations",
        output: Output::Image,
        is_sync: true,
        quantities: &[1],
        resolution: "1024x1024",
        price_nano_usd: 40_000_000,
        render_ms: (9_000, 20_000),
        weight: 8,
    },
    Model {
        provider: Provider::ElevenLabs,
        name: "eleven_multilingual_v2",
        submit_url: "https://api.elevenlabs.io/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb",
        output: Output::Speech,
        is_sync: true,
        quantities: &[120, 400, 900],
        resolution: "mp3_44100_128",
        price_nano_usd: 80_000,
        render_ms: (2_000, 9_000),
        weight: 6,
    },
];
