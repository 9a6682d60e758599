//! A provider file as it is written. `docs/providers.md` explains it to those who write one.
//!
//! Reading is strict: an unknown key or word is an error with its place. [`crate::load`] reads and checks,
//! [`crate::compile`] turns checked files into the recogniser.

use std::sync::Arc;

use serde::Deserialize;
use serde_saphyr::Spanned;
use spantally_price::Pattern;
use spantally_stitch::{Accepted, FailureReason, Role, TaskState};

use crate::rates::RatesSection;
use crate::vocabulary::{StatusPattern, Word};

/// A whole provider file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderFile {
    /// The name in metrics and in the ledger, for example `fal`.
    pub provider: Spanned<String>,
    /// The name for people.
    pub title: String,
    /// Where the facts of this file come from.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Other names of the provider: in `gen_ai.provider.name`, or as a segment of a webhook path.
    #[serde(default)]
    pub aliases: Vec<Spanned<String>>,
    /// API hosts; `*.x` matches any host that ends in `.x`.
    #[serde(default)]
    pub hosts: Vec<Spanned<String>>,
    /// Those of all hosts that other services have too: what no call takes there is not told.
    #[serde(default)]
    pub shared_hosts: Vec<Spanned<String>>,
    /// Hosts at which a client sends a request once more that it could not send to another.
    #[serde(default)]
    pub backup_hosts: Vec<BackupHost>,
    /// Hosts that serve outputs: a GET there is a download.
    #[serde(default)]
    pub output_hosts: Vec<OutputHost>,
    /// What is a call, in any order.
    #[serde(default)]
    pub calls: Vec<CallRule>,
    /// Requests that are known to be no calls, `GET /v1/models`: they are not told.
    #[serde(default)]
    pub other: Vec<Spanned<String>>,
    /// Spans of GenAI instrumentations and applications that are a call where its requests are not seen.
    #[serde(default)]
    pub spans: Vec<SpanRule>,
    /// Operation by model, first match wins; for calls that do not name their operation.
    #[serde(default)]
    pub operations: Vec<OperationRule>,
    /// Places besides the path that hold the task id of any call of this provider.
    #[serde(default)]
    pub task_from: Vec<Place>,
    /// Whether the provider makes one task of two submits with equal `Idempotency-Key`.
    #[serde(default)]
    pub idempotency_key: IdempotencyKey,
    /// When the provider delivers to a callback URL.
    #[serde(default)]
    pub webhooks: Webhooks,
    /// The provider's own status and error words, first match wins.
    #[serde(default)]
    pub words: Vec<WordRule>,
    /// Places, besides the general attributes, in which the provider's words stand.
    #[serde(default)]
    pub words_from: Vec<Spanned<Place>>,
    /// Quantities and dimensions in places of this provider (the general ones are built in).
    #[serde(default)]
    pub facts: Vec<FactRule>,
    /// What the provider charges for, at which price, and by which policy.
    #[serde(default)]
    pub rates: RatesSection,
    /// The provider's own usage and billing exports, which `reconcile` reads.
    #[serde(default)]
    pub exports: Vec<crate::exports::ExportRule>,
}

impl ProviderFile {
    /// The operations, to be looked up by a model's name; first match wins.
    pub(crate) fn operations_by_model(&self) -> Vec<(Pattern, Arc<str>)> {
        let by_model =
            |rule: &OperationRule| (Pattern::new(&rule.model.value), rule.operation.as_str().into());
        self.operations.iter().map(by_model).collect()
    }
}

/// A host that stands in for another where a client cannot connect to that one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupHost {
    /// The host.
    pub host: Spanned<String>,
    /// The host of calls that it stands in for.
    pub of: Spanned<String>,
}

/// A host that serves outputs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputHost {
    /// The host; `*.x` matches any host that ends in `.x`.
    pub host: Spanned<String>,
    /// Only URLs with this query parameter: for hosts that others use too.
    pub query: Option<String>,
}

/// One kind of API call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallRule {
    /// Unique in the file, for example `queue_submit`.
    pub name: Spanned<String>,
    /// What the call does.
    pub role: Spanned<Word<Role>>,
    /// HTTP method.
    pub method: Spanned<String>,
    /// Hosts of this call; all hosts of the file when absent.
    #[serde(default)]
    pub hosts: Vec<Spanned<String>>,
    /// Path templates. The captures `{task}`, `{task_alias}` and `{parent_task}` are ids.
    pub paths: Vec<Spanned<String>>,
    /// Remote procedures that are this call, `Service/Method`: for spans that show no URL.
    #[serde(default)]
    pub rpc: Vec<Spanned<String>>,
    /// The model: text with captures in it, for example `{owner}/{name}`.
    pub model: Option<Spanned<String>>,
    /// Narrows which submit may belong to which poll: text with captures in it.
    pub family: Option<Spanned<String>>,
    /// The operation; from the file's `operations` when absent.
    pub operation: Option<String>,
    /// Whether the task's result must be fetched by another call, without which it is *abandoned*.
    #[serde(default)]
    pub needs_result: bool,
    /// The leg of a voice session that this call may be.
    pub leg: Option<Leg>,
    /// Places besides the path that hold the task id.
    #[serde(default)]
    pub task_from: Vec<Place>,
    /// Places besides the path that hold a second id of the task.
    #[serde(default)]
    pub alias_from: Vec<Place>,
    /// What stands in the task id behind the last of this text is a second id of the task.
    pub alias_after: Option<String>,
    /// Query parameter that holds the callback URL.
    pub callback_query: Option<String>,
    /// What an answer means, first match wins; then the general table for the role.
    #[serde(default)]
    pub answers: Vec<AnswerRule>,
}

/// Which spans that name the provider stand for a call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpanRule {
    /// Operations (`gen_ai.operation.name`), or first words of span names.
    pub is: Vec<Spanned<String>>,
    /// The call that such a span stands for, by name.
    pub call: Spanned<String>,
    /// What such a span does, where the call does something else: `sync` if it lasts until the output.
    pub role: Option<Spanned<Word<Role>>>,
}

/// A leg of a voice session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leg {
    /// Speech to text.
    SpeechToText,
    /// Language model.
    LanguageModel,
    /// Text to speech.
    TextToSpeech,
}

impl Leg {
    /// The word in jobs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SpeechToText => "speech_to_text",
            Self::LanguageModel => "language_model",
            Self::TextToSpeech => "text_to_speech",
        }
    }
}

/// What the provider does with an `Idempotency-Key` header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdempotencyKey {
    /// Not documented, or documented to do nothing: equal keys are one wish, not one task.
    #[default]
    Ignored,
    /// Equal keys are one task.
    Honoured,
}

/// When a provider delivers to a callback URL: what a delivery tells that shows no word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Webhooks {
    /// When the task has ended.
    #[default]
    AtEnd,
    /// At every change of its state, so a delivery alone does not tell that it has ended.
    EveryState,
}

/// A place in a span that holds a value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A query parameter of the URL.
    Query(String),
    /// A captured request header, in lower case with hyphens.
    RequestHeader(String),
    /// A captured response header, in lower case with hyphens.
    ResponseHeader(String),
    /// A span attribute.
    Attribute(String),
}

/// Operation of the models that a pattern matches.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationRule {
    /// Model pattern; `*` stands for any text.
    pub model: Spanned<String>,
    /// For example `text_to_video`.
    pub operation: String,
}

/// What status or error words mean.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WordRule {
    /// The words, in any case; a trailing `*` matches any ending.
    pub is: Vec<String>,
    /// The task's state.
    pub state: Spanned<Word<TaskState>>,
    /// Why it failed.
    pub reason: Option<Word<FailureReason>>,
}

/// A quantity or a dimension that the provider shows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactRule {
    /// Its name in meters.
    pub name: Spanned<String>,
    /// Where it is.
    pub from: Place,
    /// Whether the request asks for it, the response tells it, or the provider bills by it.
    pub source: FactOrigin,
}

/// How good a fact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactOrigin {
    /// The request asks for it.
    Request,
    /// The response tells it.
    Response,
    /// The provider bills by it.
    Reported,
}

/// What some answers to a call mean.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRule {
    /// Which answers.
    pub status: Spanned<Vec<StatusPattern>>,
    /// For submit and sync: whether the provider took the request.
    pub accepted: Option<Spanned<Word<Accepted>>>,
    /// What it tells of the task.
    pub state: Option<Spanned<Word<TaskState>>>,
    /// Why the task failed.
    pub reason: Option<Spanned<Word<FailureReason>>>,
}
