//! Hosts that stand in for another: a client that cannot connect to the one sends its request to the other.
//!
//! The same calls are there, and a request that is sent to both is one request: its fingerprint is that of
//! the host that was asked first, and at the other it counts as sent again. So what was refused there and was
//! taken here are tries of one job.

use crate::error::LoadError;
use crate::load::LoadedFile;
use crate::provider::Host;
use crate::recogniser::Recogniser;

impl Recogniser {
    /// Adds the backup hosts of files of which the calls are compiled.
    pub(crate) fn add_backup_hosts(&mut self, files: &[LoadedFile]) -> Vec<LoadError> {
        let mut findings = Vec::new();
        let backups =
            files.iter().flat_map(|loaded| loaded.file.backup_hosts.iter().map(move |it| (loaded, it)));
        for (LoadedFile { source, file, .. }, backup) in backups {
            let called = file.hosts.iter().chain(file.calls.iter().flat_map(|call| &call.hosts));
            let called: Vec<&str> = called.map(|host| host.value.as_str()).collect();
            let (host, of) = (&backup.host, &backup.of);
            let known = self.exact.get(of.value.as_str()).filter(|_| called.contains(&of.value.as_str()));
            let Some(&first) = known else {
                let finding = source.finding(of.referenced, "backup_hosts.of", "no call has this host");
                findings.push(finding.value(&of.value).allowed(&of.value, &called));
                continue;
            };
            if host.value.starts_with('*') || self.exact.contains_key(host.value.as_str()) {
                let problem = "a backup host is one host, of which no call is said already";
                findings
                    .push(source.finding(host.referenced, "backup_hosts.host", problem).value(&host.value));
                continue;
            }
            self.exact.insert(host.value.as_str().into(), self.hosts.len() as u32);
            let stands_for = Some(of.value.as_str().into());
            self.hosts.push(Host { stands_for, ..self.hosts[first as usize].clone() });
        }
        findings
    }

    /// The rules of a host, and the host of which its requests have the fingerprint: itself, or the one that
    /// it stands in for.
    pub(crate) fn known_host<'n>(&'n self, name: &'n str) -> (Option<u32>, &'n str) {
        let index = self.host(name);
        let stands_for = index.and_then(|index| self.hosts[index as usize].stands_for.as_deref());
        (index, stands_for.unwrap_or(name))
    }
}
