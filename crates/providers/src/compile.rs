//! Checked files to one lookup: host, then method and path, then a rule; and procedure, then a rule.
//!
//! [`crate::load`] has checked each file by itself; here files meet, and two rules that claim the same
//! requests are an error. Next: [`crate::recognise`].

use std::sync::Arc;

use hashbrown::HashMap;
use spantally_stitch::Role;

use crate::attributes::AttributeKeys;
use crate::config::CorrelationConfig;
use crate::error::{LoadError, Source};
use crate::facts;
use crate::format::{CallRule, IdempotencyKey, ProviderFile};
use crate::keys::{self, Slots};
use crate::load::LoadedFile;
use crate::masks::Masks;
use crate::provider::{Host, Provider, SpanWord};
use crate::recogniser::Recogniser;
use crate::route::{Method, Routes, Template};
use crate::rule::{Rule, spots};
use crate::unrecognised;

impl Recogniser {
    /// Compiles provider files. `extra` is what the user's configuration adds.
    pub fn compile(files: &[LoadedFile], extra: &CorrelationConfig) -> Result<Self, Vec<LoadError>> {
        let mut keys = AttributeKeys::default();
        let slots = Slots::new(&mut keys, extra);
        let facts = facts::slots(&mut keys);
        let further = facts::further(&mut keys);
        let recogniser = Self {
            keys,
            slots,
            facts,
            further,
            masks: Masks::default(),
            requests_only: extra.requests_only,
            providers: Vec::new(),
            rules: Vec::new(),
            hosts: Vec::new(),
            exact: HashMap::default(),
            endings: HashMap::default(),
            procedures: HashMap::default(),
            names: HashMap::default(),
            webhooks: Routes::default(),
        };
        let mut compiler = Compiler { recogniser, findings: Vec::new() };
        for loaded in files {
            compiler.file(loaded);
        }
        compiler.webhooks(extra);
        let Compiler { mut recogniser, mut findings } = compiler;
        findings.extend(recogniser.add_backup_hosts(files));
        recogniser.masks =
            Masks::new(&recogniser.slots, [&recogniser.facts, &recogniser.further], &recogniser.providers);
        if findings.is_empty() { Ok(recogniser) } else { Err(findings) }
    }
}

struct Compiler {
    recogniser: Recogniser,
    findings: Vec<LoadError>,
}

impl Compiler {
    fn file(&mut self, loaded: &LoadedFile) {
        let file = &loaded.file;
        let provider = self.recogniser.providers.len() as u16;
        let webhook = self.rule(Rule::webhook(provider, file.webhooks));
        let keys = &mut self.recogniser.keys;
        let compiled = Provider {
            name: file.provider.value.as_str().into(),
            operations: file.operations_by_model(),
            words: file.words.clone(),
            word_slots: file.words_from.iter().filter_map(|from| keys::place(&from.value, keys)).collect(),
            spans: Vec::new(),
            tasks: spots(&file.task_from, keys),
            facts: file.facts.iter().filter_map(|rule| facts::slot(rule, keys)).collect(),
            honours_idempotency_key: file.idempotency_key == IdempotencyKey::Honoured,
            webhooks: file.webhooks,
            webhook,
        };
        self.recogniser.providers.push(compiled);
        let aliases = file.aliases.iter().map(|alias| ("aliases", alias));
        for (field, written) in std::iter::once(("provider", &file.provider)).chain(aliases) {
            let name = written.value.to_ascii_lowercase();
            if let Some(other) = self.recogniser.names.insert(name.as_str().into(), provider)
                && other != provider
            {
                let problem = format!("the provider `{}` has this name too", self.provider_name(other));
                let finding = loaded.source.finding(written.referenced, field, problem);
                self.findings.push(finding.value(&written.value));
            }
        }
        for call in &file.calls {
            let first = self.recogniser.rules.len() as u32;
            self.call(loaded, provider, call);
            self.procedures(loaded, call, first);
            self.spans(file, provider, call, first);
        }
        let other = unrecognised::other(file);
        for host in unrecognised::own_hosts(file) {
            let host = self.host(host);
            self.recogniser.hosts[host].ownership.own(provider, &other);
        }
        if !file.output_hosts.is_empty() {
            let rule = self.rule(Rule::plain(provider, "download", Role::Download));
            for output in &file.output_hosts {
                let host = self.host(&output.host.value);
                let query = output.query.as_deref().map(Box::from);
                self.recogniser.hosts[host].output.get_or_insert((rule, query));
            }
        }
    }

    fn call(&mut self, loaded: &LoadedFile, provider: u16, call: &CallRule) {
        let hosts = if call.hosts.is_empty() { &loaded.file.hosts } else { &call.hosts };
        for path in &call.paths {
            let (Ok(template), Some(method)) =
                (Template::parse(&path.value), Method::parse(&call.method.value))
            else {
                continue; // the loader refuses such a file
            };
            let rule = Rule::new(provider, call, &template, &mut self.recogniser.keys);
            let rule = self.rule(rule);
            for host in hosts {
                let host = self.host(&host.value);
                let routes = &mut self.recogniser.hosts[host].routes;
                if let Err(earlier) = routes.insert(&template, method, rule) {
                    let what = ("calls.paths", path.value.as_str());
                    self.shadowed(&loaded.source, path.referenced, what, earlier);
                }
            }
        }
    }

    /// The remote procedures that are a call, of which this is the first rule.
    fn procedures(&mut self, loaded: &LoadedFile, call: &CallRule, rule: u32) {
        for procedure in &call.rpc {
            let name = procedure.value.as_str();
            let earlier = *self.recogniser.procedures.entry(name.into()).or_insert(rule);
            if earlier != rule {
                self.shadowed(&loaded.source, procedure.referenced, ("calls.rpc", name), earlier);
            }
        }
    }

    /// The spans that stand for a call, of which this is the first rule.
    fn spans(&mut self, file: &ProviderFile, provider: u16, call: &CallRule, rule: u32) {
        for span in file.spans.iter().filter(|span| span.call.value == call.name.value) {
            let role = span.role.as_ref().unwrap_or(&call.role).value.0;
            let words = span.is.iter().map(|word| SpanWord { word: word.value.as_str().into(), rule, role });
            self.recogniser.providers[usize::from(provider)].spans.extend(words);
        }
    }

    /// `what` is the field and the text in it that an earlier rule takes.
    fn shadowed(&mut self, source: &Source, at: serde_saphyr::Location, what: (&str, &str), earlier: u32) {
        let (field, text) = what;
        let rule = &self.recogniser.rules[earlier as usize];
        let (taken, help) = match field {
            "calls.rpc" => ("procedure", "a procedure is one call of one provider; remove one"),
            _ => (
                "method and path",
                "templates that differ only in the names of their captures are equal; remove one",
            ),
        };
        let problem = format!(
            "this can never match: call `{}` of `{}` takes the same {taken}",
            rule.name,
            self.provider_name(rule.provider),
        );
        self.findings.push(source.finding(at, field, problem).value(text).help(help));
    }

    fn webhooks(&mut self, extra: &CorrelationConfig) {
        for webhook in &extra.webhooks {
            let source = Source { name: "configuration".into(), text: "".into() };
            let unknown = serde_saphyr::Location::UNKNOWN;
            let provider = self.recogniser.names.get(webhook.provider.as_str()).copied();
            let Some(provider) = provider else {
                let names: Vec<_> = self.recogniser.providers.iter().map(|p| p.name.clone()).collect();
                let names: Vec<&str> = names.iter().map(|name| &**name).collect();
                let finding = source.finding(unknown, "webhooks.provider", "no provider file has this name");
                self.findings.push(finding.value(&webhook.provider).allowed(&webhook.provider, &names));
                continue;
            };
            match Template::parse(&webhook.path) {
                Ok(template) => {
                    let webhooks = self.recogniser.provider(provider).webhooks;
                    let mut rule = Rule::webhook(provider, webhooks);
                    rule.bind_ids(&template);
                    let rule = self.rule(rule);
                    if let Err(earlier) = self.recogniser.webhooks.insert(&template, Method::Post, rule) {
                        self.shadowed(&source, unknown, ("calls.paths", &webhook.path), earlier);
                    }
                }
                Err(problem) => {
                    let finding = source.finding(unknown, "webhooks.path", problem);
                    self.findings.push(finding.value(&webhook.path));
                }
            }
        }
    }

    fn rule(&mut self, rule: Rule) -> u32 {
        self.recogniser.rules.push(rule);
        self.recogniser.rules.len() as u32 - 1
    }

    fn host(&mut self, name: &str) -> usize {
        let new = self.recogniser.hosts.len() as u32;
        let (map, key) = match name.strip_prefix("*.") {
            Some(ending) => (&mut self.recogniser.endings, ending),
            None => (&mut self.recogniser.exact, name),
        };
        let index = *map.entry(key.into()).or_insert(new);
        if index == new {
            self.recogniser.hosts.push(Host::default());
        }
        index as usize
    }

    fn provider_name(&self, provider: u16) -> Arc<str> {
        self.recogniser.providers.get(usize::from(provider)).map(|p| p.name.clone()).unwrap_or_default()
    }
}
