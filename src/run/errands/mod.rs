//! What must happen beside the sandbox, in processes of its own. In: requests over a pipe. Out: metrics served, programs run.
//!
//! The rule: the list of errands is closed, and each process knows one. It is this program with a first word that no user
//! types; it starts before privileges are given up, gives up its own, and ends when its pipe does.

pub mod commands;
pub mod http;
pub mod run;
pub mod serve;
pub mod start;
pub mod wire;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::run::failure::{Failure, exit};
use crate::run::sandbox::person::Person;

/// Does the errand that the words of the command line ask for; `None` where they ask for none.
pub fn asked(words: &[OsString]) -> Option<ExitCode> {
    let words: Vec<&str> = words
        .iter()
        .map(|word| word.to_str().unwrap_or(""))
        .collect();
    let (errand, rest) = match words.as_slice() {
        [_, errand @ (start::SERVE | start::RUN), rest @ ..] => (*errand, rest),
        _ => return None,
    };
    let done = started(errand, rest);
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // The other end reads it as the answer to its start; where it is gone nobody wants to know.
            let _ = writeln!(io::stdout(), "{}", failure.message);
            ExitCode::from(failure.code)
        }
    })
}

fn started(errand: &str, words: &[&str]) -> Result<(), Failure> {
    let wrong = || Failure {
        code: exit::USAGE,
        message: "an errand is started by gwcap itself".to_owned(),
    };
    let [uid, gid, name, what, rest @ ..] = words else {
        return Err(wrong());
    };
    let person = Person {
        name: Some((*name).to_owned()).filter(|name| !name.is_empty()),
        uid: uid.parse().map_err(|_| wrong())?,
        gid: gid.parse().map_err(|_| wrong())?,
    };
    start::outlive_signals()?;
    match (errand, rest) {
        (start::SERVE, []) => serve::metrics(what.parse().map_err(|_| wrong())?, person),
        (start::RUN, [seconds]) => {
            run::programs(what, seconds.parse().map_err(|_| wrong())?, person)
        }
        _ => Err(wrong()),
    }
}
