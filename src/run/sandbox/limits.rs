//! What a process still needs. In: nothing. Out: the type that the parts of the sandbox read.

use std::path::PathBuf;

use caps::Capability;

use crate::run::sandbox::person::Person;

/// What a process still needs. The default needs nothing.
#[derive(Debug, Default)]
pub struct Limits {
    /// Whom to become; `None` stays who it is.
    pub person: Option<Person>,
    /// Capabilities that stay, as far as they are there.
    pub keep: Vec<Capability>,
    /// Files and folders that stay readable. What does not exist needs no permission.
    pub read: Vec<PathBuf>,
    /// Folders in which files may be made, written, renamed and removed.
    pub write: Vec<PathBuf>,
    /// What it does for others.
    pub errand: Errand,
}

/// What a process does for others, as far as the sandbox must leave room for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Errand {
    /// Nothing: it parses packets.
    #[default]
    None,
    /// It parses packets of an interface, and binds its socket again when that comes back.
    Captures,
    /// It answers on a socket that it holds.
    Accepts,
    /// It runs the user's own programs, which have their own needs: only privileges are given up.
    RunsPrograms,
}
