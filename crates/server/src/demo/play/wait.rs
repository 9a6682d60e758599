//! What a client does between an accepted submit and the output: polls or is called back, then fetches.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use spantally_stitch::{FailureReason, UnixNanos};

use super::{Player, Task};
use crate::demo::catalog::{Output, Provider};
use crate::demo::fleet::{Language, Lineage};
use crate::demo::recorder::{APPLICATION, Answer, Closing, Exchange, Hook, Place, text};
use crate::demo::scenario::{Fate, Watch};

/// A client polls no longer than this, whatever the render time: keeps a week of fal traffic within bounds.
const MAX_POLLS: u64 = 2_000;

impl Player<'_, '_> {
    /// Waits for a task as the client does, then fetches what there is.
    pub(super) fn wait(&mut self, task: &Task, fate: Fate) {
        match self.order.scenario.watch {
            Watch::Poll => self.poll(task, fate),
            Watch::Webhook => self.deliveries(task, 0, true),
            Watch::WebhookRedelivered => {
                let refused = self.recorder.rng.between((1, 3));
                self.deliveries(task, refused, true);
            }
            Watch::WebhookDead => {
                self.deliveries(task, 4, false);
                self.poll(task, fate);
            }
        }
        if fate == Fate::Succeed {
            self.download(task);
        }
    }

    fn poll(&mut self, task: &Task, fate: Fate) {
        let begun = self.now;
        let life = task.done.0.saturating_sub(begun.0);
        let stops = match fate {
            Fate::GiveUp | Fate::Cancel => UnixNanos(begun.0 + life / 2),
            _ => UnixNanos(u64::MAX),
        };
        self.now = self.now.plus_ms(self.recorder.rng.between(self.sdk.first_poll_ms));
        for _ in 0..MAX_POLLS {
            if self.now >= stops {
                break;
            }
            let done = self.now >= task.done;
            self.status(task, done, None);
            if done {
                break;
            }
            let gap = match self.service.language {
                // The JavaScript client of fal waits half a second.
                Language::Node if self.order.model.provider == Provider::Fal => (500, 504),
                _ => self.sdk.poll_ms,
            };
            self.now = self.now.plus_ms(self.recorder.rng.between(gap));
        }
        match (fate, self.order.model.provider) {
            (Fate::Cancel, provider) => self.cancel(task, provider),
            (Fate::GiveUp | Fate::Nothing, _) => {}
            (_, Provider::Fal) => self.fal_result(task, fate, None),
            _ => {}
        }
    }

    fn status(&mut self, task: &Task, done: bool, place: Option<Place>) {
        let model = self.order.model;
        let mut url = model.provider.task_url(model, &task.id);
        let mut status = 200;
        if model.provider == Provider::Fal {
            url.push_str(match self.service.language {
                Language::Python => "/status?logs=false",
                Language::Node => "/status?logs=0",
            });
            status = if done { 200 } else { 202 };
        }
        self.job.attempts[task.attempt].polls += 1;
        self.fetch("GET", &url, status, place, (1, 6));
    }

    /// fal's client asks once more, then fetches the result: the only place where it shows a failure.
    fn fal_result(&mut self, task: &Task, fate: Fate, place: Option<Place>) {
        self.status(task, true, place);
        let status = match fate {
            Fate::Fail(FailureReason::ProviderTimeout) => 504,
            Fate::Fail(_) => 500,
            Fate::Moderate => 422,
            _ => 200,
        };
        let url = Provider::Fal.task_url(self.order.model, &task.id);
        self.fetch("GET", &url, status, place, (1, 12));
    }

    fn cancel(&mut self, task: &Task, provider: Provider) {
        let url = provider.task_url(self.order.model, &task.id);
        let (method, suffix, status) = match provider {
            Provider::Fal => ("PUT", "/cancel", 202),
            Provider::Replicate => ("POST", "/cancel", 200),
            _ => ("DELETE", "", 204),
        };
        self.fetch(method, &format!("{url}{suffix}"), status, None, (2, 40));
    }

    /// Deliveries of the provider: some refused, then perhaps one that is taken.
    fn deliveries(&mut self, task: &Task, refused: u64, taken: bool) {
        let last = refused + u64::from(taken);
        self.now = task.done.max(self.now).plus_ms(self.recorder.rng.between((50, 300)));
        for delivery in 0..last {
            if delivery > 0 {
                self.now = self.now.plus_ms(self.order.pace.ms(4_000 << (delivery - 1)).max(100));
            }
            let open = self.recorder.open(None, self.now);
            let status = if delivery < refused { 503 } else { 200 };
            self.now = self.now.plus_ms(1);
            if status == 200 && self.order.model.provider == Provider::Fal {
                self.status(task, true, Some(open.inside()));
                self.fal_result(task, Fate::Succeed, Some(open.inside()));
            }
            let mut attributes = Vec::new();
            if self.service.lineage == Lineage::Rich {
                attributes.push(text("app.generation.job_id", &task.id));
                attributes.push(text("app.generation.event", "webhook"));
            }
            let order = self.order_id.clone();
            let hook = Hook { provider: self.sdk.name, order: order.as_deref(), status, attributes };
            self.recorder.delivery(open, self.now, &hook);
            self.job.webhooks += 1;
        }
    }

    /// Three in five applications fetch the file in the same process; OpenAI's videos need it.
    fn download(&mut self, task: &Task) {
        let model = self.order.model;
        let is_openai = model.provider == Provider::OpenAi;
        if !is_openai && (model.output == Output::Speech || !self.recorder.rng.chance(0.6)) {
            return;
        }
        let url = if is_openai {
            format!("{}/content", model.provider.task_url(model, &task.id))
        } else {
            let name = self.recorder.rng.text(b"abcdefghijklmnopqrstuvwxyz0123456789", 24);
            format!("https://{}/files/b/{name}.{}", self.sdk.output_host, model.output.extension())
        };
        self.now = self.now.plus_ms(self.recorder.rng.between((1, 9)));
        self.fetch("GET", &url, 200, None, (20, 400));
    }

    /// One short request at `now`, which moves on to its end.
    fn fetch(
        &mut self,
        method: &'static str,
        url: &str,
        status: u16,
        place: Option<Place>,
        took_ms: (u64, u64),
    ) {
        let start = self.now;
        let end = start.plus_ms(self.recorder.rng.between(took_ms));
        self.now = end;
        let answer = Answer::Status(status);
        let exchange = |headers| Exchange { method, url, start, end, answer, headers };
        if place.is_none() && self.service.lineage == Lineage::Worker {
            let open = self.recorder.open(None, start);
            self.recorder.request(Some(open.inside()), exchange(Vec::new()));
            let link = self.above.filter(|_| self.links_to_submit).map(Place::above);
            let closing = Closing {
                kind: SpanKind::Consumer,
                scope: APPLICATION,
                name: "worker.check_generation".into(),
                link,
                ..Closing::default()
            };
            self.recorder.close(open, end, closing);
            return;
        }
        let place = place.or_else(|| self.traced());
        self.recorder.request(place, exchange(Vec::new()));
    }
}
