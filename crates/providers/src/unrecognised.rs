//! Requests to a provider's own host that no call takes: an API has grown, and its file has not.
//!
//! They are in no job and in no sum, so they are counted, by provider and method and nothing else: what a
//! path holds is not kept where no rule names it. A host is the provider's own if its file names it and does
//! not say that other services have it too (`shared_hosts`). What is known to be no call (lists of models,
//! the account) stands in `other`, and is not told.

use std::collections::BTreeSet;

use serde_saphyr::Spanned;

use crate::error::{LoadError, Source};
use crate::format::ProviderFile;
use crate::route::{Method, Routes, Template};

/// A request to a provider's own host that no rule of its file takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unrecognised {
    /// Index of the provider.
    pub(crate) provider: u16,
    method: Method,
}

impl Unrecognised {
    /// Its method, `POST`.
    pub fn method(self) -> &'static str {
        self.method.as_str()
    }
}

/// Whose a host is, and which requests there are known to be no calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ownership {
    /// None of a host that other services have too, or that no file names as one of an API.
    owner: Option<u16>,
    other: Routes,
}

impl Ownership {
    /// The host is a provider's own. Of two providers that name it, it is that of the first.
    pub(crate) fn own(&mut self, provider: u16, other: &[(Method, Template)]) {
        if *self.owner.get_or_insert(provider) != provider {
            return;
        }
        for (method, template) in other {
            // Equal ones are one.
            let _: Result<(), u32> = self.other.insert(template, *method, 0);
        }
    }

    /// What is told of a request that no route takes.
    pub(crate) fn unrecognised(&self, method: Method, path: &str) -> Option<Unrecognised> {
        let provider = self.owner?;
        self.other.find(method, path).is_none().then_some(Unrecognised { provider, method })
    }
}

/// A method and a path template, `GET /v1/models`.
fn parse(text: &str) -> Result<(Method, Template), String> {
    let (method, path) = text.split_once(' ').ok_or("write a method and a path, `GET /v1/models`")?;
    let method = Method::parse(method).ok_or("not a method that rules can name")?;
    Ok((method, Template::parse(path)?))
}

/// The requests of a file that are known to be no calls. The loader has checked them.
pub(crate) fn other(file: &ProviderFile) -> Vec<(Method, Template)> {
    file.other.iter().filter_map(|request| parse(&request.value).ok()).collect()
}

/// The hosts of a file that are its own.
pub(crate) fn own_hosts(file: &ProviderFile) -> impl Iterator<Item = &str> {
    let shared: BTreeSet<&str> = file.shared_hosts.iter().map(|host| host.value.as_str()).collect();
    hosts(file).map(|host| host.value.as_str()).filter(move |host| !shared.contains(host))
}

fn hosts(file: &ProviderFile) -> impl Iterator<Item = &Spanned<String>> {
    file.hosts.iter().chain(file.calls.iter().flat_map(|call| &call.hosts))
}

/// What of `other` and `shared_hosts` can mean nothing.
pub(crate) fn check(source: &Source, file: &ProviderFile) -> Vec<LoadError> {
    let named: Vec<&str> = hosts(file).map(|host| host.value.as_str()).collect();
    let strange = file.shared_hosts.iter().filter(|host| !named.contains(&host.value.as_str())).map(|host| {
        let problem = "neither the file nor a call of it has this host";
        source
            .finding(host.referenced, "shared_hosts", problem)
            .value(&host.value)
            .allowed(&host.value, &named)
    });
    let wrong = file.other.iter().filter_map(|request| {
        let problem = parse(&request.value).err()?;
        Some(source.finding(request.referenced, "other", problem).value(&request.value))
    });
    strange.chain(wrong).collect()
}
