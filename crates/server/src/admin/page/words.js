// The words of the API, in the order in which they are shown, and what they mean for people. The colours are
// in page.css, by the same words. `explain` says the same in crates/server/src/cli/explain/words.rs.

/** What was worth its money comes first, then what is waste. */
export const CAUSES = ["delivered", "unverified", "retry", "timeout_resubmit", "duplicate", "failed",
  "moderated", "canceled", "abandoned", "poll", "webhook", "interrupted"];
/** Causes that are no waste. */
export const WORTH = new Set(["delivered", "unverified"]);
/** Causes that are attempts made again. */
export const RETRY = new Set(["retry", "timeout_resubmit", "duplicate"]);
/** How jobs end. */
export const OUTCOMES = ["succeeded", "partial", "unknown", "failed", "rejected", "canceled", "abandoned"];
/** Where a job stands. */
export const STATES = ["open", "settled", "superseded"];
/** How sure a join is, and what that means. */
export const CONFIDENCES = {
  exact: "by name",
  strong: "no other match comes near",
  likely: "another match is less likely",
  guess: "another match is nearly as likely",
};
/** What became of a span. */
export const FATES = {
  accepted: "evidence of a job, or of its lineage",
  ignored: "no generation call",
  duplicate: "had come before",
  late: "came after their job was forgotten",
  surplus: "polls that told nothing new",
  rejected: "refused, by reason in /metrics",
};
/** By what something was joined. */
export const RULES = {
  task_id_path: "the URL names the task",
  task_id_attribute: "a header or an attribute names the task",
  ancestor_task_id: "a span above names the task",
  correlation_id: "both show an id that the client chose",
  span_link: "a span links to the other",
  operation_span: "one generation span is above both",
  session: "they are of one session or conversation",
  retry_mark: "the client marked it as a retry",
  retry_order: "the same request again, after an attempt that failed",
  double_submit: "two equal submits at once",
  trace_order: "the trace, the order and the gap in time fit",
  client_rhythm: "the gap in time is this client's own",
  handler_fetch: "the webhook's handler, or a worker right after it, asked for the task",
  redelivery: "the same delivery again",
  webhook_time: "the delivery came when the task was due",
  fallback_poll: "a poll in place of deliveries that were refused",
  download_time: "an output was fetched right after the last call",
  genai_span: "a span around the call stands for it, since no request was seen",
};
/** How sure a charge is. */
export const BASES = {
  reported: "the provider says so in a span",
  documented: "from a cited source",
  assumed: "not all of it is known",
  unpriced: "units only",
};
/** What decided how much is charged; another word names a row of the provider file's policy. */
export const POLICIES = {
  not_sent: "nothing was sent",
  same_task: "another attempt is charged for the same task",
  ambiguous_submit: "nobody knows whether the provider took the submit",
  unverified: "between what a failure and what a success costs, since the spans do not tell which",
  reported: "as the provider reports it",
  per_call: "for every call, whatever came of it",
  no_policy: "whether such an end is billed is not documented",
  no_tariff: "no tariff for the model",
};
/** Why something has no price. */
export const UNPRICED = {
  unknown_model: "no span names the model, on which the price depends",
  no_price: "the provider file has none for the model",
  no_price_at_time: "none was in force at the time",
  no_quantity: "the quantity is not in the spans, and no default is documented",
  no_provider: "there is no provider file of that name",
  out_of_range: "a span states a quantity that no invoice could hold",
};
/** Whether the provider took an attempt. */
export const ACCEPTED = {
  yes: "taken by the provider",
  no: "not taken",
  ambiguous: "nobody knows whether it was taken",
};

/** The meaning of a word; the word of a newer server is left as it is. */
export function meaning(words, word) {
  return Object.hasOwn(words, word) ? words[word] : word;
}

/** A word of the API as people write it. */
export function spaced(word) {
  return word.replaceAll("_", " ");
}
