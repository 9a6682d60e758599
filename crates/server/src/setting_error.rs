//! A value of the configuration that cannot be used, told at the place where it is written.

use std::fmt::Display;

use crate::config::{Config, Place};

/// What a key of the configuration names and what cannot be used, with the place of the key.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{place}{message}")]
pub struct SettingError {
    place: String,
    message: String,
    #[help]
    help: Option<String>,
}

impl SettingError {
    pub(crate) fn new(config: &Config, key: &str, message: &dyn Display, help: Option<String>) -> Self {
        let place = match config.place(key) {
            Place::Default => String::new(),
            place => format!("{place}: "),
        };
        Self { place, message: message.to_string(), help }
    }
}
