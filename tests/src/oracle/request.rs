//! What a request of a workload is, read from its URL in the plainest way.

use crate::scenario::{Answer, Kind, Span, Subject};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Does {
    /// Asks for a generation.
    Submit,
    /// Asks for one and waits for it.
    Sync,
    /// Asks for its state.
    Poll,
    /// Fetches its result.
    Result,
    /// Stops it.
    Cancel,
    /// Is a delivery.
    Webhook,
    /// Fetches a file.
    Download,
}

impl Does {
    /// The word of scenario files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Sync => "sync",
            Self::Poll => "poll",
            Self::Result => "result",
            Self::Cancel => "cancel",
            Self::Webhook => "webhook",
            Self::Download => "download",
        }
    }
}

/// A request that concerns a generation.
#[derive(Clone, Debug)]
pub struct Request<'s> {
    /// The span.
    pub span: &'s Span,
    /// What it does.
    pub does: Does,
    /// The provider.
    pub provider: &'static str,
    /// The task that its URL names.
    pub task: Option<String>,
    /// What the task's URL has in common with that of its submit.
    pub family: String,
}

impl<'s> Request<'s> {
    /// Reads a span; none if it is no such request.
    pub fn read(span: &'s Span) -> Option<Self> {
        let Subject::Http { method, url } = &span.subject else { return None };
        let bare = url.split('?').next().unwrap_or_default();
        let request = |does, provider, task: Option<&str>, family: &str| {
            let task = task.map(ToOwned::to_owned);
            Some(Self { span, does, provider, task, family: family.to_owned() })
        };
        if span.kind == Kind::Server {
            return (bare == "/webhooks/fal").then(|| request(Does::Webhook, "fal", None, ""))?;
        }
        let rest = bare.strip_prefix("https://")?;
        let parts: Vec<&str> = rest.split('/').collect();
        match (method.as_str(), &parts[..]) {
            ("POST", ["queue.fal.run", owner, app, ..]) => {
                request(Does::Submit, "fal", None, &format!("{owner}/{app}"))
            }
            ("GET", ["queue.fal.run", owner, app, "requests", task, "status"]) => {
                request(Does::Poll, "fal", Some(task), &format!("{owner}/{app}"))
            }
            ("GET", ["queue.fal.run", owner, app, "requests", task]) => {
                request(Does::Result, "fal", Some(task), &format!("{owner}/{app}"))
            }
            ("PUT", ["queue.fal.run", owner, app, "requests", task, "cancel"]) => {
                request(Does::Cancel, "fal", Some(task), &format!("{owner}/{app}"))
            }
            ("GET", ["v3.fal.media", ..]) => request(Does::Download, "fal", None, ""),
            ("POST", ["api.replicate.com", "v1", "predictions", task, "cancel"]) => {
                request(Does::Cancel, "replicate", Some(task), "")
            }
            ("POST", ["api.replicate.com", "v1", "models", _, _, "predictions"]) => {
                request(Does::Submit, "replicate", None, "")
            }
            ("GET", ["api.replicate.com", "v1", "predictions", task]) => {
                request(Does::Poll, "replicate", Some(task), "")
            }
            ("POST", ["api.dev.runwayml.com", "v1", _]) => request(Does::Submit, "runway", None, ""),
            ("GET", ["api.dev.runwayml.com", "v1", "tasks", task]) => {
                request(Does::Poll, "runway", Some(task), "")
            }
            ("DELETE", ["api.dev.runwayml.com", "v1", "tasks", task]) => {
                request(Does::Cancel, "runway", Some(task), "")
            }
            ("POST", ["api.openai.com", "v1", "images", "generations"]) => {
                request(Does::Sync, "openai", None, "")
            }
            _ => None,
        }
    }

    /// It asks for a generation.
    pub fn asks(&self) -> bool {
        matches!(self.does, Does::Submit | Does::Sync)
    }

    /// The provider took it.
    pub fn is_taken(&self) -> bool {
        matches!(self.span.answer, Answer::Status(200..=299))
    }

    /// The provider did not take it.
    pub fn is_refused(&self) -> bool {
        matches!(self.span.answer, Answer::Status(400..=499))
    }

    /// The end of the span.
    pub fn end_ns(&self) -> u64 {
        self.span.start_ns + self.span.took_ns
    }

    /// The order number in its callback URL, or in the URL by which a delivery came.
    pub fn order(&self) -> Option<&str> {
        let Subject::Http { url, .. } = &self.span.subject else { return None };
        let after = url.split("order%3D").nth(1).or_else(|| url.split("order=").nth(1))?;
        after.split('&').next()
    }

    /// Method and URL.
    pub fn line(&self) -> String {
        match &self.span.subject {
            Subject::Http { method, url } => format!("{method} {url}"),
            Subject::Named(name) => name.clone(),
        }
    }

    /// The value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        attribute(self.span, key)
    }
}

/// The value of an attribute.
pub fn attribute<'s>(span: &'s Span, key: &str) -> Option<&'s str> {
    span.attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
}
