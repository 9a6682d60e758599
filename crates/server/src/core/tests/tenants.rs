//! Tenants that send the same spans: each is counted as if it were alone, also after a kill.

use std::sync::Arc;

use spantally_stitch::{Client, Evidence, TaskState};
use spantally_store::{DataDir, Ledger};

use super::fixture::*;
use crate::commit::CommitMessage;
use crate::core::Core;
use crate::export::{INVENTORY, Kind};

/// Two jobs, one in two parts, as a tenant sends them.
fn groups(tenant: &str) -> [Vec<Evidence>; 3] {
    let mut second = unfinished("task-002", 40);
    second.push(result("task-002", 40, TaskState::Succeeded));
    let groups = [unfinished("task-001", 0), second, vec![result("task-001", 0, TaskState::Succeeded)]];
    groups.map(|mut group| {
        for evidence in &mut group {
            evidence.client = Arc::new(Client { tenant: tenant.into(), ..(*evidence.client).clone() });
        }
        group
    })
}

/// What those tenants send, group by group, each group twice.
fn journal(tenants: &[&str]) -> Vec<CommitMessage> {
    let mut messages = Vec::new();
    for group in 0..3 {
        for tenant in tenants.iter().chain(tenants) {
            messages.push(message(messages.len() as u64 + 1, groups(tenant)[group].clone()));
        }
    }
    messages
}

/// What is counted of a tenant in the end, by metric and labels.
fn counted(core: &Core, tenant: &str) -> Vec<String> {
    let own = format!("tenant=\"{tenant}\"");
    let mut lines = Vec::new();
    for metric in INVENTORY.iter().filter(|metric| metric.kind != Kind::Gauge) {
        let values = core.registry().values(metric.id).filter(|(labels, _)| labels.contains(&own));
        lines.extend(
            values.map(|(labels, value)| format!("{}{{{labels}}} {}", metric.name, value.normalize())),
        );
    }
    lines.sort();
    lines
}

/// Applies a journal with a turn after each group, and a kill after the first `killed`.
fn lived(journal: &[CommitMessage], killed: Option<usize>) -> Core {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    let mut core = core();
    for (position, message) in journal.iter().enumerate() {
        if killed == Some(position) {
            core = restarted(&ledger, &journal[..position]);
        }
        core.apply(message.clone());
        turn(&mut core, &mut ledger, 2000 * (position as u64 + 1));
    }
    core.advance(at(100_000));
    core.finish();
    core
}

#[test]
fn tenants_that_send_the_same_spans_are_counted_each_as_if_alone() {
    for tenants in [["red", "blue"], ["blue", "red"], ["", "red"]] {
        let alone = tenants.map(|tenant| counted(&lived(&journal(&[tenant]), None), tenant));
        assert!(alone.iter().all(|lines| lines.len() > 10), "{alone:#?}");
        let together = journal(&tenants);
        for killed in [None, Some(4), Some(7)] {
            let core = lived(&together, killed);
            for (tenant, alone) in tenants.into_iter().zip(&alone) {
                let found = counted(&core, tenant);
                let differs = |line: &&String| !found.contains(line) || !alone.contains(line);
                let differing: Vec<&String> = alone.iter().chain(&found).filter(differs).collect();
                assert!(differing.is_empty(), "{tenant} of {tenants:?}, {killed:?}: {differing:#?}");
            }
        }
    }
}
