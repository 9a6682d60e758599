//! Which configuration a command uses.

use std::path::PathBuf;

use super::Failure;
use crate::config::Config;

/// Arguments of every command that reads the configuration.
#[derive(Debug, Default, clap::Args)]
pub struct ConfigArgs {
    /// Configuration file; without one everything has its default.
    #[arg(long, value_name = "FILE", env = "SPANTALLY_CONFIG")]
    config: Option<PathBuf>,
    /// Override one field, by its full name, as in storage.directory=/srv/spantally; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Directory of provider files beside the built-in ones (providers.directory).
    #[arg(long, value_name = "DIR")]
    providers: Option<PathBuf>,
}

impl ConfigArgs {
    /// Reads and checks the configuration.
    pub fn load(&self) -> Result<Config, Failure> {
        let mut set = self.set.clone();
        if let Some(directory) = &self.providers {
            set.push(format!("providers.directory={}", directory.display()));
        }
        Ok(Config::load(self.config.as_deref(), &set)?)
    }
}
