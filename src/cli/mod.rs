//! From the words of the command line to what the user wants. clap lives only here.
//!
//! The rule: whatever cannot be done is said before anything is read.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use gwcap::report::evidence::Reach;
use gwcap::report::{FORMATS, Format, format_by_name};

mod address;
mod amount;
mod filter_file;
mod flags;
mod nearest;
mod settings;
mod words;

use flags::{EXAMPLES, Flags};
pub use nearest::nearest;
pub use settings::{Evidence, Inputs, OnFinding, Output, Settings, Task, Write};

/// Most inputs of one run: each is open at the same time, and systems allow 1,024 open files.
const INPUTS_MAX: usize = 512;

/// What the words ask for.
///
/// # Errors
/// Wrong usage; also --help and --version, which clap treats as errors with exit code 0.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Task, clap::Error> {
    let matches = Flags::command().try_get_matches_from(words)?;
    let flags = Flags::from_arg_matches(&matches)?;
    if let Some(explain) = flags.explain {
        return Ok(explain.map_or(Task::ListCauses, Task::Explain));
    }
    if flags.schema {
        return Ok(Task::Schema);
    }
    if flags.list_interfaces {
        return Ok(Task::ListInterfaces);
    }
    settings(flags, &matches).map(|settings| Task::Analyse(Box::new(settings)))
}

/// An error of usage, in clap's words.
pub fn usage(message: &str) -> clap::Error {
    Flags::command().error(ErrorKind::ValueValidation, message)
}

fn settings(mut flags: Flags, matches: &ArgMatches) -> Result<Settings, clap::Error> {
    let outputs = outputs(&flags, matches)?;
    let (inputs, filter) = inputs(&mut flags)?;
    if flags.write_all.is_some() && matches!(inputs, Inputs::Files(_)) {
        return Err(usage(
            "--write-all belongs to -i: all frames of a file are in the file",
        ));
    }
    let for_others = [
        (flags.metrics.is_some(), "--metrics"),
        (flags.on_finding.is_some(), "--on-finding"),
    ];
    if let Some((_, flag)) = for_others.iter().find(|(asked, _)| *asked)
        && !inputs.ends_elsewhere()
    {
        return Err(usage(&format!(
            "{flag} belongs to -i and to a pipe: files are over before anybody could look"
        )));
    }
    let seconds = flags.on_finding_timeout;
    let on_finding = flags.on_finding.take();
    let write = flags.write.take().map(|path| Write {
        path,
        seconds: flags.rotate_seconds,
        bytes: flags.rotate_bytes,
        count: flags.rotate_count,
    });
    let reach = Reach {
        before_nanos: flags.before,
        after_nanos: flags.after,
    };
    let evidence = flags.evidence.take().map(|path| Evidence {
        path,
        reach,
        ring_bytes: flags.ring,
        keep: flags.keep as usize,
        with_secrets: flags.with_secrets,
    });
    Ok(Settings {
        write,
        write_all: flags.write_all.take(),
        evidence,
        inputs,
        filter,
        outputs,
        count_max: flags.count,
        snap_length: flags.snap_length,
        promiscuous: !flags.not_promiscuous,
        buffer_kib: flags.buffer_kib.unwrap_or(0),
        strict_filter: flags.strict_filter,
        quiet: flags.quiet,
        gateways: flags.gateway,
        upstreams: flags.upstream,
        statuses: flags.status,
        one_machine: flags.one_machine,
        ca_bundle: flags.ca_bundle,
        exit_code: flags.exit_code,
        names: flags.no_names == 0,
        key_logs: flags.keylog,
        private_keys: flags.private_key,
        show_secrets: flags.show_secrets,
        hash: flags.hash,
        user: flags.user,
        require_sandbox: flags.require_sandbox,
        check_sandbox: flags.check_sandbox,
        metrics: flags.metrics,
        on_finding: on_finding.map(|command| OnFinding { command, seconds }),
        threads: flags.threads.map(usize::from),
        batch_bytes: flags
            .batch_bytes
            .and_then(|bytes| usize::try_from(bytes).ok()),
    })
}

fn inputs(flags: &mut Flags) -> Result<(Inputs, Option<String>), clap::Error> {
    let typed = std::mem::take(&mut flags.words);
    let live = !flags.interfaces.is_empty();
    let (named, mut filter) = words::split(typed, |path| !live && words::exists(path));
    filter.append(&mut flags.filter);
    if let Some(path) = &flags.filter_file {
        filter = vec![filter_file::read(path).map_err(|error| usage(&error))?];
    }
    let filter = Some(filter.join(" ")).filter(|filter| !filter.trim().is_empty());
    if live {
        if let Some(file) = named.first() {
            return Err(usage(&format!(
                "{} and -i do not go together",
                file.display()
            )));
        }
        return Ok((
            Inputs::Interfaces(std::mem::take(&mut flags.interfaces)),
            filter,
        ));
    }
    let asked = std::mem::take(&mut flags.files);
    let files: Vec<_> = asked
        .into_iter()
        .chain(named)
        .flat_map(words::expanded)
        .collect();
    if files.is_empty() {
        return Err(short_help());
    }
    if files.iter().filter(|file| file.as_os_str() == "-").count() > 1 {
        return Err(usage("standard input can be read once"));
    }
    if files.len() > INPUTS_MAX {
        return Err(usage(&format!(
            "{} inputs; at most {INPUTS_MAX} are read together",
            files.len()
        )));
    }
    Ok((Inputs::Files(files), filter))
}

/// What to type when nothing was typed: on standard error, exit code 2.
fn short_help() -> clap::Error {
    let usage = Flags::command().render_usage();
    clap::Error::raw(
        ErrorKind::MissingRequiredArgument,
        format!(
            "name a capture file, or an interface with -i\n\n{usage}\n\n{EXAMPLES}\n\nAll flags: gwcap --help\n"
        ),
    )
}

/// Pairs formats and files in the order in which they were typed: each -o belongs to the -f before it, or,
/// where there is none, to the one after it.
fn outputs(flags: &Flags, matches: &ArgMatches) -> Result<Vec<Output>, clap::Error> {
    let typed = |id: &str| {
        let given = matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine);
        matches
            .indices_of(id)
            .filter(|_| given)
            .into_iter()
            .flatten()
    };
    let formats = typed("formats").zip(flags.formats.iter().map(Typed::Format));
    let files = typed("outputs").zip(flags.outputs.iter().map(Typed::File));
    let mut in_order: Vec<_> = formats.chain(files).collect();
    in_order.sort_by_key(|(index, _)| *index);

    let mut pairs: Vec<(Option<&'static Format>, Option<&std::path::PathBuf>)> = Vec::new();
    for (_, typed) in in_order {
        match (typed, pairs.last_mut()) {
            (Typed::Format(name), Some((open @ None, _))) => *open = Some(format_named(name)?),
            (Typed::Format(name), _) => pairs.push((Some(format_named(name)?), None)),
            (Typed::File(path), Some((_, open @ None))) => *open = Some(path),
            (Typed::File(path), _) => pairs.push((None, Some(path))),
        }
    }
    if pairs.is_empty() {
        pairs.push((None, None));
    }
    let outputs: Vec<Output> = pairs
        .into_iter()
        .filter_map(|(format, path)| {
            Some(Output {
                format: format.or(FORMATS.first())?,
                path: path.filter(|path| path.as_os_str() != "-").cloned(),
            })
        })
        .collect();
    if outputs
        .iter()
        .filter(|output| output.path.is_none())
        .count()
        > 1
    {
        return Err(usage(
            "only one report fits on standard output: give the others a file with -o",
        ));
    }
    Ok(outputs)
}

/// A word that says something of an output.
enum Typed<'a> {
    Format(&'a String),
    File(&'a std::path::PathBuf),
}

fn format_named(name: &str) -> Result<&'static Format, clap::Error> {
    format_by_name(name).ok_or_else(|| {
        let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
        usage(&format!(
            "there is no format '{name}' in this version; there is {}",
            names.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Task, clap::Error> {
        parse(
            std::iter::once("gwcap")
                .chain(words.split_whitespace())
                .map(OsString::from),
        )
    }

    fn settings_of(words: &str) -> Settings {
        match parsed(words) {
            Ok(Task::Analyse(settings)) => *settings,
            other => panic!("{words}: {other:?}"),
        }
    }

    fn pairs(words: &str) -> Vec<(&'static str, Option<String>)> {
        let outputs = settings_of(words).outputs;
        outputs
            .iter()
            .map(|output| {
                let path = output.path.as_ref().map(|path| path.display().to_string());
                (output.format.name, path)
            })
            .collect()
    }

    #[test]
    fn the_flags_are_sound() {
        Flags::command().debug_assert();
    }

    #[test]
    fn formats_and_files_pair_as_typed() {
        let file = |name: &str| Some(name.to_owned());
        assert_eq!(pairs("-r x"), [("text", None)]);
        assert_eq!(pairs("-r x -f json"), [("json", None)]);
        assert_eq!(pairs("-r x -o a"), [("text", file("a"))]);
        assert_eq!(pairs("-r x -o a -f json"), [("json", file("a"))]);
        assert_eq!(
            pairs("-r x -f text -f json -o a"),
            [("text", None), ("json", file("a"))]
        );
        assert_eq!(
            pairs("-r x -f json -o a -f ndjson -o b -o c"),
            [
                ("json", file("a")),
                ("ndjson", file("b")),
                ("text", file("c"))
            ]
        );
        assert!(parsed("-r x -f json -f text").is_err());
    }

    #[test]
    fn words_after_the_dashes_are_filter() {
        let settings = settings_of("-r x tcp -- Cargo.toml port 80");
        assert_eq!(settings.filter.as_deref(), Some("tcp Cargo.toml port 80"));
        let settings = settings_of("Cargo.toml -q port 80");
        assert_eq!(settings.inputs, Inputs::Files(vec!["Cargo.toml".into()]));
        assert_eq!(settings.filter.as_deref(), Some("port 80"));
        assert!(settings.quiet);
        let live = settings_of("-i any Cargo.toml");
        assert_eq!(live.filter.as_deref(), Some("Cargo.toml"));
    }

    #[test]
    fn what_cannot_be_done_is_wrong_usage() {
        for words in [
            "",
            "port 80",
            "-r x --write-all y",
            "-r x -C 1",
            "-r x -w y -C 0",
            "-r x -w y -C 1T",
            "-r x --evidence y --before 5y",
            "-r x --evidence y --ring 1k",
            "-r x --with-secrets",
            "-r x -B none",
            "-r x -f markdown",
            "-r x -f html",
            "-r x -i any",
            "-r x -c 0",
            "-r x --status 42",
            "-r x --gateway host",
            "-r - -r -",
            "-r x --nonsense",
            "-r x --batch-bytes 1",
        ] {
            let error = parsed(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{words}");
        }
        let error = parsed("-r x -f markdown").unwrap_err().to_string();
        assert!(error.contains("text, json, ndjson"), "{error}");
    }

    #[test]
    fn what_is_written_and_how_it_rotates() {
        let settings = settings_of("-i any -w x%H -G 60 -C 2 -W 3 -U port 80");
        let write = settings.write.unwrap();
        assert_eq!(
            (write.seconds, write.bytes, write.count),
            (Some(60), Some(2_000_000), Some(3))
        );
        assert_eq!(settings.filter.as_deref(), Some("port 80"));
        let evidence = settings_of("-r x --evidence y --before 500ms --ring 1G").evidence;
        let evidence = evidence.unwrap();
        assert_eq!(evidence.reach.before_nanos, 500_000_000);
        assert_eq!(evidence.reach.after_nanos, 5_000_000_000);
        assert_eq!((evidence.ring_bytes, evidence.keep), (1 << 30, 100));
    }

    #[test]
    fn tasks_that_need_no_input() {
        assert!(matches!(parsed("--explain"), Ok(Task::ListCauses)));
        assert!(matches!(parsed("--explain x"), Ok(Task::Explain(code)) if code == "x"));
        assert!(matches!(parsed("--schema"), Ok(Task::Schema)));
        assert!(matches!(parsed("-D"), Ok(Task::ListInterfaces)));
        assert_eq!(parsed("--version").unwrap_err().exit_code(), 0);
    }
}
