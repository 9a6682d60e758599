//! A span around a call, read as the call: what is left where the HTTP client shows nothing.
//!
//! Which words of which provider stand for which call is in the `spans` of its file. Whether the requests
//! were seen after all is for stitching to say.

use spantally_stitch::{Answer, Call, CallRare, FrameRare, Rare, Role, TaskState, Verdict};

use crate::answer;
use crate::endpoint::EndpointCache;
use crate::fingerprint::Fingerprint;
use crate::provider::SpanWord;
use crate::recogniser::Recogniser;
use crate::route::Captures;
use crate::span::SpanView;
use crate::url::Target;

impl Recogniser {
    /// The call that a span stands for, by its operation or the first word of its name; `told` is what it
    /// says as a frame.
    pub(crate) fn stand_in(
        &self,
        span: &SpanView<'_>,
        provider: u16,
        operation: &str,
        told: (Option<Verdict>, &FrameRare),
        cache: &mut EndpointCache,
    ) -> Option<Call> {
        let (verdict, frame) = told;
        let named = span.name.split(' ').next().unwrap_or_default();
        let words = &self.provider(provider).spans;
        let by = |word: &str| words.iter().find(|known| *known.word == *word);
        let &SpanWord { rule: index, role, .. } = by(named).or_else(|| by(operation))?;
        let rule = &self.rules[index as usize];
        let captures = Captures::new();
        let ended = answer::answer(span, &self.slots);
        // A span that ended well says so by saying nothing, and not by a word that nobody knows.
        let says_nothing = verdict.is_some() || !self.is_worded_unknown(span);
        let answer = match ended {
            Answer::Missing if says_nothing && !answer::is_error(span, &self.slots) => Answer::Status(200),
            ended => ended,
        };
        // It lasts until the output is there, unless it says that there is none yet.
        let waits = verdict.is_some_and(|verdict| is_under_way(verdict.state));
        let role = if role == Role::Sync && waits { Role::Submit } else { role };
        let (accepted, by_answer) = rule.judge(role, answer);
        // An error without a word is that of the request here, and its answer tells what it was.
        let worded = verdict.filter(|verdict| verdict.state != TaskState::Errored);
        let target = Target { host: "", path: "", query: "" };
        let model = self.named_model(span, rule, &captures);
        let request = Fingerprint::new().part(named).part(operation).part(model.unwrap_or_default());
        Some(Call {
            role,
            endpoint: self.endpoint(index, rule, &captures, model, cache),
            task: frame.task.clone(),
            answer,
            accepted,
            verdict: answer::unnamed_error(span, &self.slots, role, answer, worded.or(by_answer)),
            request: request.value(),
            agent: self.agent(span, role, target, cache),
            rare: Rare::new(CallRare {
                links: frame.links.clone(),
                correlations: frame.correlations.clone(),
                facts: frame.facts.clone(),
                stands_in: true,
                ..CallRare::default()
            }),
        })
    }
}

fn is_under_way(state: TaskState) -> bool {
    matches!(state, TaskState::Running | TaskState::NotReady)
}
