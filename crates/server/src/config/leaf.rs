//! Reading one leaf: what `--set` says, else the file; expanded, parsed, and its place remembered.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use serde_saphyr::{Location, Spanned};

use super::Place;
use super::env::expand;
use super::error::{ConfigError, Source};
use super::file::{Leaf, List};
use super::named::{Kind, Named};
use super::text::{AttributeName, FromText};

/// What is known while a configuration is resolved.
pub(super) struct Resolver<'a> {
    pub(super) source: &'a Source,
    environment: &'a dyn Fn(&str) -> Option<String>,
    pub(super) set: BTreeMap<String, String>,
    /// Every key that was read, in order.
    pub(super) known: Vec<&'static str>,
    pub(super) places: RefCell<BTreeMap<String, Place>>,
    /// Names of the lists that only the provider files can tell to be good.
    pub(super) named: RefCell<Vec<Named>>,
}

impl<'a> Resolver<'a> {
    /// Nothing is read yet.
    pub(super) fn new(
        source: &'a Source,
        environment: &'a dyn Fn(&str) -> Option<String>,
        set: BTreeMap<String, String>,
    ) -> Self {
        let (places, named) = (RefCell::default(), RefCell::default());
        Self { source, environment, set, known: Vec::new(), places, named }
    }

    /// Reads one key and hands its value on, if it is given anywhere.
    pub(super) fn read<T: FromText>(
        &mut self,
        key: &'static str,
        leaf: &Leaf,
        take: impl FnOnce(T),
    ) -> Result<(), ConfigError> {
        self.known.push(key);
        if let Some(text) = self.set.get(key) {
            take(self.parse_set_text(key, text)?);
            self.places.borrow_mut().insert(key.to_owned(), Place::CommandLine);
        } else if let Some(leaf) = leaf {
            take(self.parse_leaf(key, &leaf.value, leaf.referenced)?);
            self.remember(key, leaf.referenced);
        }
        Ok(())
    }

    /// Reads a list of attribute names, as [`read_list_of`](Self::read_list_of) does.
    pub(super) fn read_list(
        &mut self,
        key: &'static str,
        list: &List,
        most: usize,
        into: &mut Vec<String>,
    ) -> Result<(), ConfigError> {
        self.read_list_of::<AttributeName>(key, list, most, into)
    }

    /// Reads a list of texts; by `--set` it is written `[a, b]` as in the file, or `a,b`.
    pub(super) fn read_list_of<T: FromText + Into<String>>(
        &mut self,
        key: &'static str,
        list: &List,
        most: usize,
        into: &mut Vec<String>,
    ) -> Result<(), ConfigError> {
        self.known.push(key);
        let command_line = self.set.get(key).map(|text| self.parse_set_list::<T>(key, text)).transpose()?;
        let (texts, places): (Vec<String>, Vec<Location>) = match (command_line, list) {
            (Some(texts), _) => {
                self.places.borrow_mut().insert(key.to_owned(), Place::CommandLine);
                (texts, Vec::new())
            }
            (None, Some(list)) => {
                self.remember(key, list.referenced);
                let parse = |leaf: &Spanned<String>| {
                    let text = self.parse_leaf::<T>(key, &leaf.value, leaf.referenced)?.into();
                    Ok((text, leaf.referenced))
                };
                list.value.iter().map(parse).collect::<Result<_, _>>()?
            }
            (None, None) => return Ok(()),
        };
        for (at, text) in texts.iter().enumerate() {
            if texts[..at].contains(text) {
                let message = format!("{key}: `{text}` is listed twice");
                return Err(self.error_of(key, places.get(at).copied(), &message, "listed before", None));
            }
        }
        if texts.len() > most {
            let message = format!("{key}: {} names, expected at most {most}", texts.len());
            return Err(self.error_of(key, places.get(most).copied(), &message, "one too many", None));
        }
        *into = texts;
        Ok(())
    }

    /// Reads a list of `--set`. Only what begins as one in YAML is read as YAML: `*` is an origin, and would
    /// be an alias there.
    fn parse_set_list<T: FromText + Into<String>>(
        &self,
        key: &str,
        written: &str,
    ) -> Result<Vec<String>, ConfigError> {
        let texts: Vec<String> = if written.starts_with('[') {
            serde_saphyr::from_str(written).map_err(|_| {
                let message = format!("--set {key}: `{written}` is not a list");
                ConfigError::plain(message, Some("write `[a, b]` or `a,b`".to_owned()))
            })?
        } else {
            written.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
        };
        texts.iter().map(|text| self.parse_set_text::<T>(key, text).map(Into::into)).collect()
    }

    /// Keeps where the value of a key is written.
    pub(super) fn remember(&self, key: &str, at: Location) {
        if let Some(path) = self.source.path.clone() {
            let place = Place::File { path, line: at.line(), column: at.column() };
            self.places.borrow_mut().insert(key.to_owned(), place);
        }
    }

    /// What is wrong with a key that is read already: at its line, or by `--set`, which wins.
    pub(super) fn error_of(
        &self,
        key: &str,
        at: Option<Location>,
        message: &str,
        label: &str,
        help: Option<&str>,
    ) -> ConfigError {
        match at {
            Some(at) if !self.set.contains_key(key) => {
                self.source.error(at, message, label, help.map(str::to_owned))
            }
            _ => ConfigError::plain(format!("--set {message}"), help.map(str::to_owned)),
        }
    }

    /// Keeps a name that is to be compared with those of the provider files.
    pub(super) fn note_name(&self, kind: Kind, key: &str, word: &str, at: Location) {
        let named = Named { kind, place: self.place_of(key, at), word: word.to_owned() };
        self.named.borrow_mut().push(named);
    }

    fn place_of(&self, key: &str, at: Location) -> String {
        let file = self.source.path.as_deref().unwrap_or(Path::new("configuration")).display();
        format!("{file}:{}:{}: {key}", at.line(), at.column())
    }

    pub(super) fn parse_leaf<T: FromText>(
        &self,
        key: &str,
        written: &str,
        at: Location,
    ) -> Result<T, ConfigError> {
        let place = || self.place_of(key, at);
        let text = expand(written, self.environment).map_err(|problem| match T::secret_problem(written) {
            Some(_) => secret_error::<T>(&place(), "the value", &problem.of_secret()),
            None => self.source.error(at, &format!("{key}: {problem}"), "this reference", None),
        })?;
        T::from_text(&text).ok_or_else(|| {
            if let Some(problem) = T::secret_problem(&text).or_else(|| T::secret_problem(written)) {
                return secret_error::<T>(&place(), &value_of(written), problem);
            }
            let from = if text == written { String::new() } else { format!(" (from `{written}`)") };
            let message = format!("{key}: `{text}`{from} is not valid");
            self.source.error(at, &message, "not valid", Some(format!("expected {}", T::expected())))
        })
    }

    fn parse_set_text<T: FromText>(&self, key: &str, written: &str) -> Result<T, ConfigError> {
        let place = format!("--set {key}");
        let text = expand(written, self.environment).map_err(|problem| match T::secret_problem(written) {
            Some(_) => secret_error::<T>(&place, "the value", &problem.of_secret()),
            None => ConfigError::plain(format!("{place}: {problem}"), None),
        })?;
        T::from_text(&text).ok_or_else(|| {
            if let Some(problem) = T::secret_problem(&text) {
                return secret_error::<T>(&place, &value_of(written), problem);
            }
            let message = format!("{place}: `{text}` is not valid");
            ConfigError::plain(message, Some(format!("expected {}", T::expected())))
        })
    }
}

/// A secret that cannot be used: neither it nor its line is shown.
fn secret_error<T: FromText>(place: &str, what: &str, problem: &str) -> ConfigError {
    ConfigError::plain(format!("{place}: {what} {problem}"), Some(format!("expected {}", T::expected())))
}

/// Names a secret by the reference that brought it, without the default in it.
fn value_of(written: &str) -> String {
    let inside = written.trim().strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    match inside.filter(|inside| !inside.contains('}')).and_then(|inside| inside.split(":-").next()) {
        Some(name) => format!("the value of `${{{name}}}`"),
        None => "the value".to_owned(),
    }
}
