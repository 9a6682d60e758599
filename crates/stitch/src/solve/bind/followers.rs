//! Who follows whose tasks.
//!
//! A service that submits to a provider follows its own tasks there, and a service that asks for tasks there
//! leaves them to no other. A service that only polls, or only receives deliveries, may follow anyone's.

use std::collections::BTreeSet;

use crate::call::Call;
use crate::evidence::{Client, Evidence};
use crate::solve::pool::{Pool, Shot, Task};

/// A service and a provider.
type Part<'a> = (&'a str, &'a str);

/// What services do at a provider themselves.
pub(super) struct Followers<'a> {
    submit: BTreeSet<Part<'a>>,
    ask: BTreeSet<Part<'a>>,
    receive: BTreeSet<Part<'a>>,
}

fn part<'a>(client: &'a Client, provider: &'a str) -> Part<'a> {
    (&client.service, provider)
}

impl<'a> Followers<'a> {
    pub(super) fn new(pool: &Pool<'a>) -> Self {
        let of = |evidence: &'a Evidence, call: &'a Call| part(&evidence.client, &call.endpoint.provider);
        let asks = pool.tasks.iter().flat_map(Task::followups);
        Self {
            submit: pool.shots.iter().map(|shot| of(shot.evidence, shot.call)).collect(),
            ask: asks.map(|(evidence, call)| of(evidence, call)).collect(),
            receive: pool.hooks.iter().map(|hook| of(hook.evidence, hook.call)).collect(),
        }
    }

    /// What speaks against a submit whose task another process asks for, or whose delivery another one takes,
    /// in nats. Any instance of a service may be asked to.
    pub(super) fn away(&self, shot: &Shot<'_>, first: &Evidence, delivered: bool) -> f64 {
        let (asked, polled) = (&shot.evidence.client, &first.client);
        let provider = &*shot.call.endpoint.provider;
        let submits = self.submit.contains(&part(polled, provider));
        let follows = if delivered { &self.receive } else { &self.ask };
        match () {
            () if asked == polled => 0.0,
            () if asked.service == polled.service => {
                if submits && !delivered {
                    -1.0
                } else {
                    0.0
                }
            }
            () if submits => -8.0,
            () if follows.contains(&part(asked, provider)) => -4.0,
            () => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::call::{Accepted, Role};
    use crate::evidence::What;
    use crate::settings::Settings;
    use crate::solve::storm::{Storm, ask_for};
    use crate::solve::{Solution, solve};

    /// Calls of services at these milliseconds; those that name a task ask for it.
    fn storm(calls: &[(&str, u64, Role, u16, Option<u64>)]) -> Storm {
        let mut storm = Storm::new();
        for &(service, at_ms, role, status, task) in calls {
            let call = storm.call(at_ms, role, status);
            call.client = Arc::new(Client { service: service.into(), ..Client::default() });
            if let Some(task) = task {
                ask_for(call, task);
            }
            let What::Call(made) = &mut call.what else { continue };
            if status == 504 {
                made.accepted = Accepted::Ambiguous;
            }
        }
        storm
    }

    /// By task, and by delivery: the service that submitted it.
    fn submitters(storm: &Storm) -> (Vec<Option<String>>, Vec<Option<String>>) {
        let pool = storm.pool();
        let Solution { task_shot, group_shot, .. } = solve(&pool, &Settings::default(), &[]);
        let service = |shot: usize| pool.shots[shot].evidence.client.service.to_string();
        let of = |ties: Vec<Option<crate::solve::Tied>>| {
            ties.into_iter().map(|tied| tied.map(|tied| service(tied.shot))).collect()
        };
        (of(task_shot), of(group_shot))
    }

    #[test]
    fn who_asks_for_tasks_itself_leaves_them_to_no_other() {
        let (tasks, _) = submitters(&storm(&[
            ("studio", 0, Role::Submit, 200, None),
            ("watcher", 3500, Role::Poll, 200, Some(1)),
            ("studio", 6000, Role::Poll, 200, Some(2)),
        ]));
        assert_eq!(tasks, [None, Some("studio".to_owned())]);
        let (tasks, _) = submitters(&storm(&[
            ("studio", 0, Role::Submit, 200, None),
            ("watcher", 3500, Role::Poll, 200, Some(1)),
        ]));
        assert_eq!(tasks, [Some("studio".to_owned())], "a worker that only polls");
    }

    #[test]
    fn a_delivery_goes_to_the_service_that_takes_it() {
        let (_, groups) = submitters(&storm(&[
            ("studio", 0, Role::Submit, 200, None),
            ("shop", 30_000, Role::Submit, 200, None),
            ("studio", 40_000, Role::Webhook, 200, None),
            ("shop", 90_000, Role::Webhook, 200, None),
        ]));
        assert_eq!(groups, [Some("studio".to_owned()), Some("shop".to_owned())]);
    }

    #[test]
    fn a_client_without_an_answer_asks_for_no_task() {
        let (tasks, _) = submitters(&storm(&[
            ("studio", 0, Role::Submit, 504, None),
            ("watcher", 3500, Role::Poll, 200, Some(1)),
        ]));
        assert_eq!(tasks, [None]);
    }
}
