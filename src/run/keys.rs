//! Secrets that the user gives. In: settings. Out: an analyzer that has them, and has more of them when key logs grow.
//!
//! The rule: files are opened before the sandbox is entered and stay open. Offline a key log is read whole before the first
//! frame; live it is read on whenever frames are waited for.

use gwcap::analyzer::Analyzer;
use gwcap::capture::{InputFacts, KeyLogFile, PrivateKey};
use gwcap::loss::Loss;

use crate::cli::Settings;
use crate::run::failure::Failure;
use crate::run::secrets::Lent;

/// Key logs and private keys.
#[derive(Debug, Default)]
pub struct Keys {
    logs: Vec<KeyLogFile>,
    private: Vec<PrivateKey>,
    /// How many key logs of each input were given already.
    brought: Vec<usize>,
    grows: bool,
    /// Those who write evidence with secrets.
    lent: Option<Lent>,
    loss: Loss,
}

impl Keys {
    /// Opens what the settings name.
    ///
    /// # Errors
    /// A file that cannot be read, or is of no use.
    pub fn open(settings: &Settings, lent: Option<Lent>) -> Result<Self, Failure> {
        let logs: Result<Vec<_>, _> = settings
            .key_logs
            .iter()
            .map(|p| KeyLogFile::open(p))
            .collect();
        let keys: Result<Vec<_>, _> = settings
            .private_keys
            .iter()
            .map(|p| PrivateKey::open(p))
            .collect();
        Ok(Self {
            logs: logs?,
            private: keys?,
            brought: Vec::new(),
            grows: settings.inputs.ends_elsewhere(),
            lent,
            loss: Loss::default(),
        })
    }

    /// Gives the analyzer all that is there.
    ///
    /// # Errors
    /// A key log that cannot be read.
    pub fn begin(&mut self, analyzer: &mut Analyzer) -> Result<(), Failure> {
        for key in self.private.drain(..) {
            analyzer.add_private_key(key);
        }
        let lent = self.lent.clone();
        for log in &mut self.logs {
            if self.grows && log.is_regular() {
                log.read_on(&mut self.loss, |lines, _| give(&lent, analyzer, lines))?;
                analyzer.wait_for_keys();
            } else {
                log.read_all(&mut self.loss, |lines, _| give(&lent, analyzer, lines))?;
            }
            // A log without any line was given all the same.
            analyzer.add_key_log(b"");
        }
        Ok(())
    }

    /// Gives the analyzer what has come since.
    ///
    /// # Errors
    /// A key log that cannot be read.
    pub fn look(&mut self, analyzer: &mut Analyzer) -> Result<(), Failure> {
        if self.grows {
            let lent = self.lent.clone();
            for log in &mut self.logs {
                log.read_on(&mut self.loss, |lines, _| give(&lent, analyzer, lines))?;
            }
        }
        Ok(())
    }

    /// Gives the analyzer what the captures themselves have brought along since: secrets stand before the frames that they
    /// decrypt (pcapng, section 4.7).
    pub fn bring(&mut self, inputs: &[InputFacts], analyzer: &mut Analyzer) {
        self.brought.resize(inputs.len(), 0);
        for (input, known) in inputs.iter().zip(&mut self.brought) {
            for log in input.secrets.key_logs(*known) {
                give(&self.lent, analyzer, log);
                *known = known.saturating_add(1);
            }
        }
    }

    /// What of key logs was not read.
    pub fn into_loss(self) -> Loss {
        self.loss
    }
}

/// Gives lines of a key log to the analyzer, and to whoever writes them.
fn give(lent: &Option<Lent>, analyzer: &mut Analyzer, lines: &[u8]) {
    analyzer.add_key_log(lines);
    if let Some(lent) = lent {
        lent.add(lines);
    }
}
