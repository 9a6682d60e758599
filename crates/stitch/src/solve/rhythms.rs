//! Usual waits and latencies: what is bound where only they tell, and many submits are under way.

use crate::call::Role;
use crate::id::{TaskId, UnixNanos};
use crate::settings::Settings;
use crate::solve::storm::{BEGIN, Storm, ask_for, drawn};
use crate::solve::{Solution, solve};

/// How many of these submits, in order, are bound to the task of their number.
fn right(storm: &Storm, begun: &[UnixNanos]) -> usize {
    let pool = storm.pool();
    let Solution { task_shot, .. } = solve(&pool, &Settings::default(), &[]);
    let is_right = |(submit, &began): (usize, &UnixNanos)| {
        let id = TaskId::new(&format!("task-{submit}"));
        let task = pool.tasks.iter().position(|task| task.id == Some(&id)).unwrap();
        let start = |shot: usize| pool.shots[shot].evidence.start;
        task_shot[task].as_ref().is_some_and(|bound| start(bound.shot) == began)
    };
    begun.iter().enumerate().filter(|&submit| is_right(submit)).count()
}

#[test]
fn a_wait_is_known_however_many_submits_lie_between_a_submit_and_its_poll() {
    // Eight submits a second, each asked for after so many seconds, once or with two more polls.
    for (submits, wait, polls) in [(300, 10, 1), (300, 10, 3), (600, 40, 1)] {
        let mut storm = Storm::new();
        let (mut gap, mut late) = (drawn(250), drawn(3));
        let mut at = 0;
        let mut begun = Vec::new();
        for submit in 0..submits {
            at += gap();
            begun.push(BEGIN.plus_ms(at));
            storm.call(at, Role::Submit, 200);
            let first = at + wait * 1000 + late();
            for poll in 0..polls {
                ask_for(storm.call(first + poll * 2000 + late(), Role::Poll, 200), submit);
            }
        }
        let right = right(&storm, &begun);
        assert!(right as u64 >= submits * 14 / 15, "{wait} s, {polls} polls: {right} of {submits}");
    }
}

#[test]
fn a_wait_that_varies_is_known_where_several_submits_are_under_way() {
    // One in three seconds, each asked for once, after 4.6 to 7.4 s.
    let mut storm = Storm::new();
    let (mut gap, mut late) = (drawn(6000), drawn(2800));
    let mut at = 0;
    let mut begun = Vec::new();
    for submit in 0..200_u64 {
        at += gap();
        begun.push(BEGIN.plus_ms(at));
        storm.call(at, Role::Submit, 200);
        ask_for(storm.call(at + 4610 + late(), Role::Poll, 200), submit);
    }
    let right = right(&storm, &begun);
    assert!(right >= 150, "{right} of 200");
}

#[test]
fn a_latency_is_known_however_many_submits_lie_between_a_submit_and_its_delivery() {
    // One in four seconds, each delivered after forty seconds, more or less.
    let mut storm = Storm::new();
    let (mut gap, mut late) = (drawn(8000), drawn(6000));
    let mut at = 0;
    for _ in 0..60 {
        at += gap();
        storm.call(at, Role::Submit, 200);
        storm.call(at + 37_000 + late(), Role::Webhook, 200);
    }
    let pool = storm.pool();
    let Solution { group_shot, groups, .. } = solve(&pool, &Settings::default(), &[]);
    let latencies = groups.iter().zip(&group_shot).filter_map(|(group, bound)| {
        let delivered = group.first(&pool).evidence.start;
        Some(delivered.seconds_since(pool.shots[bound.as_ref()?.shot].evidence.end))
    });
    let latencies: Vec<f64> = latencies.collect();
    assert_eq!(latencies.len(), 60);
    assert!(latencies.iter().all(|latency| (30.0..=50.0).contains(latency)), "{latencies:?}");
}
