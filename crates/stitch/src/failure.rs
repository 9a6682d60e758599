//! Why something failed: what a span says of a call, and what a job says in the end.

use crate::words::words;

words! {
    /// Why something failed.
    FailureReason {
        /// The client stopped waiting.
        ClientTimeout = "client_timeout",
        /// The provider gave up.
        ProviderTimeout = "provider_timeout",
        /// Too many requests.
        RateLimit = "rate_limit",
        /// The request was not valid.
        InvalidInput = "invalid_input",
        /// An input file was not usable.
        InvalidMedia = "invalid_media",
        /// Moderation refused the input.
        ModerationInput = "moderation_input",
        /// Moderation refused the output.
        ModerationOutput = "moderation_output",
        /// The output was not good enough.
        Quality = "quality",
        /// No machine, no model, shed load.
        Capacity = "capacity",
        /// A delivery was not taken.
        WebhookDelivery = "webhook_delivery",
        /// A success without output.
        EmptyResponse = "empty_response",
        /// Polled too early.
        NotReady = "not_ready",
        /// Canceled.
        Canceled = "canceled",
        /// The provider failed.
        ProviderError = "provider_error",
        /// The spans do not tell.
        Unknown = "unknown",
    }
}
