//! Traffic from a seed, in which every span has one job to which it can belong.
//!
//! A service speaks with a provider either in plain spans, one job after the other with a minute between, or
//! below requests, many at a time. Beside these go jobs whose submits name their task, or whose deliveries
//! name their order, and tasks that a worker of another service polls, linked to the submit.

use super::Random;
use crate::scenario::{Answer, Kind, Process, Scenario, Span, Step, Subject};

const SECOND: u64 = 1_000_000_000;
const MILLI: u64 = 1_000_000;
/// From one plain job to the next.
const APART_NS: u64 = 60 * SECOND;

const PROVIDERS: [&str; 4] = ["fal", "replicate", "runway", "openai"];
const SERVICES: [&str; 2] = ["studio", "shop"];
/// The process after those of the services.
const WORKER: usize = SERVICES.len();

/// How the spans of a job hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Request,
    Named,
    Order,
    Linked,
}

/// What becomes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Succeeds,
    Refused,
    GivenUp,
    Abandoned,
    Canceled,
    Fails,
    FailsAndAgain,
    Twice,
}

/// Makes a workload of about so many jobs.
pub fn workload(seed: u64, jobs: usize) -> Scenario {
    let process = |service: &str| Process {
        service: service.to_owned(),
        instance: format!("{service}-1"),
        ..Process::default()
    };
    let scenario = Scenario {
        name: format!("workload-{seed}"),
        processes: SERVICES.iter().chain(&["worker"]).map(|service| process(service)).collect(),
        providers: Vec::new(),
        steps: Vec::new(),
        expected: Vec::new(),
    };
    let mut maker = Maker { random: Random::new(seed), scenario, free: Default::default(), count: 0 };
    let plain: [[bool; 4]; 2] = std::array::from_fn(|_| std::array::from_fn(|_| maker.random.below(2) == 0));
    for _ in 0..jobs {
        let (process, provider) = (maker.random.below(2) as usize, maker.random.below(4) as usize);
        maker.job(process, provider, plain[process][provider]);
        if maker.random.below(4) == 0 {
            maker.noise(process);
        }
    }
    maker.scenario
}

struct Maker {
    random: Random,
    scenario: Scenario,
    /// When a service may begin its next plain job with a provider.
    free: [[u64; 4]; 2],
    count: usize,
}

/// A job in the making.
struct Plan {
    number: usize,
    process: usize,
    /// Who asks for the state.
    poller: usize,
    provider: &'static str,
    style: Style,
    parent: Option<String>,
    interval: u64,
    at: u64,
    calls: usize,
}

impl Maker {
    fn job(&mut self, process: usize, provider: usize, plain: bool) {
        let number = self.count;
        self.count += 1;
        let style = match (PROVIDERS[provider], self.random.below(5)) {
            ("openai", _) => Style::Plain,
            (_, 0) => Style::Named,
            ("fal", 1) => Style::Order,
            (_, 2) if !plain => Style::Linked,
            _ if plain => Style::Plain,
            _ => Style::Request,
        };
        let below = !plain && PROVIDERS[provider] != "openai";
        let at = if below {
            SECOND + self.random.below(1_800 * SECOND)
        } else {
            self.free[process][provider] + APART_NS + self.random.below(30 * SECOND)
        };
        let mut plan = Plan {
            number,
            process,
            poller: if style == Style::Linked { WORKER } else { process },
            provider: PROVIDERS[provider],
            style,
            parent: below.then(|| format!("r{number}")),
            // Every service has a loop of its own for every provider.
            interval: (500 + 170 * provider as u64 + 90 * process as u64) * MILLI,
            at,
            calls: 0,
        };
        let fate = self.fate(style);
        self.play(&mut plan, fate);
        if below {
            let what = Subject::Http { method: "POST".into(), url: "/api/generations".into() };
            let took = plan.at + 2 * MILLI - at + 2 * MILLI;
            let mut request =
                Self::span(&plan, format!("r{number}"), at - 2 * MILLI, took, what, Answer::Status(200));
            request.kind = Kind::Server;
            request.parent = None;
            self.scenario.steps.push(Step::Span(Box::new(request)));
        }
        if !below {
            self.free[process][provider] = plan.at;
        }
    }

    fn fate(&mut self, style: Style) -> Fate {
        let drawn = self.random.below(12);
        match (style, drawn) {
            (_, 0) => Fate::Refused,
            (_, 1) => Fate::GivenUp,
            (Style::Plain | Style::Request, 2) => Fate::Abandoned,
            (Style::Plain | Style::Request | Style::Named | Style::Linked, 3) => Fate::Canceled,
            (Style::Plain | Style::Request | Style::Named | Style::Linked, 4 | 5) => Fate::Fails,
            (Style::Request, 6) => Fate::FailsAndAgain,
            (Style::Request, 7) => Fate::Twice,
            _ => Fate::Succeeds,
        }
    }

    fn play(&mut self, plan: &mut Plan, fate: Fate) {
        match fate {
            Fate::Refused => {
                self.submit(plan, Answer::Status(422), None);
                return;
            }
            Fate::GivenUp => {
                for _ in 0..=self.random.below(3) {
                    self.submit(plan, Answer::Status(429), None);
                    plan.at += self.random.below(100) * MILLI + 400 * MILLI;
                }
                return;
            }
            _ => self.troubles(plan),
        }
        if fate == Fate::Twice && plan.provider != "openai" {
            self.submit(plan, Answer::Status(200), None);
            plan.at += 300 * MILLI;
        }
        let task = format!("t{}", plan.number);
        self.submit(plan, Answer::Status(200), Some(&task));
        if plan.provider == "openai" || fate == Fate::Abandoned {
            return;
        }
        if plan.style == Style::Order {
            self.deliveries(plan);
            return;
        }
        self.follow(plan, &task, fate);
        if fate == Fate::FailsAndAgain {
            plan.at += 500 * MILLI;
            let task = format!("t{}b", plan.number);
            self.submit(plan, Answer::Status(200), Some(&task));
            self.follow(plan, &task, Fate::Succeeds);
        }
    }

    /// What goes wrong before a submit is taken: refusals for load, errors, time-outs.
    fn troubles(&mut self, plan: &mut Plan) {
        let answers = [Answer::Status(429), Answer::Status(500), Answer::Timeout];
        let drawn = self.random.below(12) as usize;
        let Some(&answer) = answers.get(drawn) else { return };
        let mut wait = 380 * MILLI + self.random.below(80) * MILLI;
        for _ in 0..=self.random.below(2) {
            self.submit(plan, answer, None);
            plan.at += wait;
            wait *= 2;
        }
    }

    fn submit(&mut self, plan: &mut Plan, answer: Answer, task: Option<&str>) {
        let (label, number) = (plan.label('s'), plan.number);
        let url = match (plan.provider, plan.style) {
            ("fal", Style::Order) => format!(
                "https://queue.fal.run/fal-ai/flux/dev?fal_webhook=https%3A%2F%2Fstudio.example%2Fwebhooks%2Ffal%3Forder%3Dno-{number}"
            ),
            ("fal", _) => "https://queue.fal.run/fal-ai/flux/dev".to_owned(),
            ("replicate", _) => {
                "https://api.replicate.com/v1/models/stability-ai/sdxl/predictions".to_owned()
            }
            ("runway", _) => "https://api.dev.runwayml.com/v1/text_to_image".to_owned(),
            _ => "https://api.openai.com/v1/images/generations".to_owned(),
        };
        let took =
            if answer == Answer::Timeout { 8 * SECOND } else { (100 + self.random.below(200)) * MILLI };
        let what = Subject::Http { method: "POST".into(), url };
        let mut span = Self::span(plan, label, plan.at, took, what, answer);
        if let (Style::Named, Some(task)) = (plan.style, task) {
            span.attributes.push(("gen_ai.response.id".to_owned(), task.to_owned()));
        }
        self.scenario.steps.push(Step::Span(Box::new(span)));
        plan.at += took;
    }

    /// Polls, and what comes after them.
    fn follow(&mut self, plan: &mut Plan, task: &str, fate: Fate) {
        let base = match plan.provider {
            "fal" => format!("https://queue.fal.run/fal-ai/flux/requests/{task}"),
            "replicate" => format!("https://api.replicate.com/v1/predictions/{task}"),
            _ => format!("https://api.dev.runwayml.com/v1/tasks/{task}"),
        };
        let state = if plan.provider == "fal" { format!("{base}/status") } else { base.clone() };
        let worker = (plan.style == Style::Linked).then(|| self.worker(plan));
        let polls = 2 + self.random.below(5);
        for poll in 1..=polls {
            plan.at += plan.interval + self.random.below(1500) * 1000;
            let mut told = None;
            if poll == polls && plan.provider != "fal" && fate != Fate::Canceled {
                told = match fate {
                    Fate::Fails | Fate::FailsAndAgain => Some("failed"),
                    _ => (self.random.below(2) == 0).then_some("succeeded"),
                };
            }
            self.call(plan, 'p', "GET", &state, 200, worker.as_deref(), told);
        }
        match (fate, plan.provider) {
            (Fate::Canceled, "fal") => {
                self.call(plan, 'c', "PUT", &format!("{base}/cancel"), 202, worker.as_deref(), None);
            }
            (Fate::Canceled, "runway") => self.call(plan, 'c', "DELETE", &base, 204, worker.as_deref(), None),
            (Fate::Canceled, _) => {
                self.call(plan, 'c', "POST", &format!("{base}/cancel"), 200, worker.as_deref(), None);
            }
            (Fate::Fails | Fate::FailsAndAgain, "fal") => {
                self.call(plan, 'g', "GET", &base, 500, worker.as_deref(), None);
            }
            (_, "fal") => {
                plan.at += 3 * MILLI;
                self.call(plan, 'g', "GET", &base, 200, worker.as_deref(), None);
                if plan.style == Style::Request {
                    let file = format!("https://v3.fal.media/files/{}.png", self.random.draw());
                    self.call(plan, 'd', "GET", &file, 200, None, None);
                }
            }
            _ => {}
        }
    }

    /// The span of a worker below which a task is polled, linked to the last submit.
    fn worker(&mut self, plan: &mut Plan) -> String {
        let label = format!("k{}", plan.number);
        let what = Subject::Named("worker.check".to_owned());
        let mut span = Self::span(plan, label.clone(), plan.at + MILLI, 60 * SECOND, what, Answer::Silent);
        span.kind = Kind::Consumer;
        span.process = WORKER;
        span.parent = None;
        span.trace.clone_from(&label);
        span.links = vec![format!("s{}x{}", plan.number, plan.calls)];
        self.scenario.steps.push(Step::Span(Box::new(span)));
        label
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of a line")]
    fn call(
        &mut self,
        plan: &mut Plan,
        kind: char,
        method: &str,
        url: &str,
        status: u16,
        below: Option<&str>,
        told: Option<&str>,
    ) {
        let label = plan.label(kind);
        let took = (8 + self.random.below(12)) * MILLI;
        plan.at += MILLI;
        let what = Subject::Http { method: method.to_owned(), url: url.to_owned() };
        let mut span = Self::span(plan, label, plan.at, took, what, Answer::Status(status));
        span.process = plan.poller;
        if let Some(below) = below {
            span.parent = Some(below.to_owned());
            below.clone_into(&mut span.trace);
        }
        if let Some(told) = told {
            span.attributes.push(("spantally.task.status".to_owned(), told.to_owned()));
        }
        self.scenario.steps.push(Step::Span(Box::new(span)));
        plan.at += took;
    }

    /// Deliveries that carry the order: up to two are refused, the last is taken.
    fn deliveries(&mut self, plan: &mut Plan) {
        plan.at += 3 * SECOND + self.random.below(20 * SECOND);
        let refused = self.random.below(3);
        for delivery in 0..=refused {
            let url = format!("/webhooks/fal?order=no-{}", plan.number);
            let what = Subject::Http { method: "POST".to_owned(), url };
            let status = if delivery == refused { 200 } else { 503 };
            let label = plan.label('w');
            let mut span = Self::span(plan, label, plan.at, 5 * MILLI, what, Answer::Status(status));
            span.kind = Kind::Server;
            if delivery == refused {
                span.attributes.push(("spantally.task.status".to_owned(), "OK".to_owned()));
            }
            self.scenario.steps.push(Step::Span(Box::new(span)));
            plan.at += SECOND << delivery;
        }
    }

    /// Traffic that is nobody's job.
    fn noise(&mut self, process: usize) {
        let number = self.count;
        let at = self.random.below(1_800 * SECOND);
        let urls = ["https://queue.acme.test/v1/jobs/17/status", "https://cdn.acme.test/logo.png"];
        let url = urls[self.random.below(2) as usize].to_owned();
        let label = format!("n{number}x{}", self.scenario.steps.len());
        self.scenario.steps.push(Step::Span(Box::new(Span {
            process,
            trace: label.clone(),
            label,
            parent: None,
            start_ns: at,
            took_ns: 20 * MILLI,
            kind: Kind::Client,
            subject: Subject::Http { method: "GET".to_owned(), url },
            answer: Answer::Status(200),
            attributes: Vec::new(),
            links: Vec::new(),
        })));
    }

    fn span(plan: &Plan, label: String, start: u64, took: u64, what: Subject, answer: Answer) -> Span {
        let own = format!("trace of {label}");
        Span {
            process: plan.process,
            trace: plan.parent.clone().unwrap_or(own),
            parent: plan.parent.clone(),
            label,
            start_ns: start,
            took_ns: took,
            kind: Kind::Client,
            subject: what,
            answer,
            attributes: Vec::new(),
            links: Vec::new(),
        }
    }
}

impl Plan {
    fn label(&mut self, kind: char) -> String {
        self.calls += 1;
        format!("{kind}{}x{}", self.number, self.calls)
    }
}
