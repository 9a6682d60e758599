//! What the user's configuration adds to recognition.

use serde::Deserialize;

/// Attributes and webhook paths of the user's own applications.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorrelationConfig {
    /// Span attributes that hold the application's own job id, besides the built-in ones.
    pub job_attributes: Vec<String>,
    /// Span attributes that hold a session or conversation id, besides the built-in ones.
    pub session_attributes: Vec<String>,
    /// Span attributes that hold the provider's task id, besides the built-in ones.
    pub task_attributes: Vec<String>,
    /// Span attributes that hold a task's status or error word, besides the built-in ones.
    pub status_attributes: Vec<String>,
    /// Only requests are calls: a GenAI span never stands for those that are not seen.
    pub requests_only: bool,
    /// Where the application receives webhooks, where the path does not say `webhook` and the provider.
    pub webhooks: Vec<WebhookPath>,
    /// Resource attributes that become extra labels, in this order.
    pub labels: Vec<String>,
}

/// A path at which the application receives webhooks of one provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookPath {
    /// The provider file's name.
    pub provider: String,
    /// A path template as in provider files; `{task}` is the task id.
    pub path: String,
}
