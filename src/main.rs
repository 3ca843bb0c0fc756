//! The gwcap command: parse, open, feed, finish, write.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use gwcap::analyzer::clock::Look;
use gwcap::analyzer::courtesy::Courtesy;
use gwcap::analyzer::{Analyzer, Options};
use gwcap::capture::{self, CaptureError, Follow, LiveOptions, Roots, StopHandle};
use gwcap::diagnose::cause;
use gwcap::diagnose::clocks::Clocks;
use gwcap::diagnose::finding::Warning;
use gwcap::report::{self, Report};

mod cli;
mod run;

use cli::{Inputs, Settings, Task};
use run::absences::Absences;
use run::companions::Companions;
use run::confine::Confinement;
use run::errands;
use run::failure::{Failure, exit};
use run::feed::{self, Plan};
use run::hurry;
use run::keys::Keys;
use run::output::{self, Follower};
use run::progress::Progress;
use run::recording::Recording;
use run::secrets::Lent;
use run::signals::Starting;
use run::status::Status;
use run::upstreams::Upstreams;

/// Observations and records are many small pieces that one thread makes and another frees: with the C library's allocator
/// that took a third of the time of a capture of short connections.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if let Some(done) = errands::asked(&words) {
        return done;
    }
    let outcome = match cli::parse(words) {
        Ok(task) => perform(&task),
        Err(error) => {
            // Help and version come this way too, with exit code 0; a closed pipe is no error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE));
        }
    };
    outcome.map_or_else(complain, ExitCode::from)
}

fn complain(failure: Failure) -> ExitCode {
    let message = report::escape::for_terminal(&failure.message);
    // Where standard error is closed too, the exit code has to do.
    let _ = writeln!(io::stderr(), "gwcap: {message}");
    ExitCode::from(failure.code)
}

fn perform(task: &Task) -> Result<u8, Failure> {
    match task {
        Task::Analyse(settings) => analyse(settings),
        Task::Explain(code) => explain(code),
        Task::ListCauses => print(&cause::index()),
        Task::ListInterfaces => print(&interfaces()?),
        Task::Schema => print(&(report::schema() + "\n")),
    }
}

/// The whole walk of a capture.
fn analyse(settings: &Settings) -> Result<u8, Failure> {
    let stop = listen_for_signals()?;
    let hashes = hashes(settings)?;
    let roots = roots(settings)?;
    let confinement = Confinement::of(settings)?;
    // Before anything is open that they should not inherit.
    let signals = Starting::of(settings, &confinement.person())?;
    let follow = Follow::default();
    let live = live_options(settings, &stop, &follow);
    let filter = settings.filter.clone();
    let sources = run::open::open(settings.inputs.clone(), filter, live.clone())?;
    let mut sinks = output::open(settings)?;
    let writes_secrets = settings.evidence.as_ref().is_some_and(|it| it.with_secrets);
    let lent = writes_secrets.then(Lent::default);
    let recording = Recording::open(settings, sources.describe(), &confinement, lent.clone())?;
    let threads = threads(settings);
    let mut keys = Keys::open(settings, lent)?;
    confinement.enter()?;
    if settings.check_sandbox {
        return print(&Confinement::tried()?);
    }
    let signals = signals.work();

    let look = first_look(settings, threads, &stop);
    let sources = sources.corrected(&look.clocks.errors());
    let hurry = hurry::after(&stop, settings.inputs.ends_elsewhere());
    let options = options(settings, threads, look.clocks, roots, hurry);
    let plan = plan(settings, stop, &options.courtesy);
    let mut analyzer = Analyzer::new(options);
    keys.begin(&mut analyzer)?;
    let mut progress = Progress::new(settings.inputs.files());
    let follower = Follower::new(
        &mut sinks,
        settings.quiet,
        settings.show_secrets,
        matches!(settings.inputs, Inputs::Interfaces(_)),
    );
    let mut companions = Companions {
        follower: Some(follower).filter(|_| plan.ends_elsewhere),
        recording,
        upstreams: Upstreams::of(settings, follow),
        status: status(settings)?,
        absences: Absences::new(settings.quiet),
        keys,
        signals,
        latest: Instant::now(),
    };
    let fed = feed::feed(
        sources,
        &mut analyzer,
        &plan,
        &mut progress,
        &mut companions,
    );
    progress.clear();
    companions.status.iter_mut().for_each(Status::clear);

    let mut analysis = analyzer.finish();
    let records = fed.as_ref().map_or(0, |fed| fed.records);
    let (recording, signals) = (companions.recording, companions.signals);
    // Also where an input failed: the files hold what was seen until then.
    let recorded = recording.finish(settings, live, &analysis.diagnosis, records);
    let fed = fed?;
    analysis.loss.merge(fed.loss);
    analysis.loss.merge(recorded.loss);
    analysis.loss.merge(companions.keys.into_loss());
    analysis.diagnosis.warnings.splice(0..0, look.warnings);
    analysis.diagnosis.warnings.extend(recorded.warnings);
    let unjudged = hurry::warning(&analysis.loss);
    analysis.diagnosis.warnings.splice(0..0, unjudged);
    if fed.interrupted {
        analysis.diagnosis.warnings.insert(0, interrupted());
    }
    let report = Report::from(&report::Analysis {
        diagnosis: &analysis.diagnosis,
        inputs: &fed.inputs,
        hashes: &hashes,
        loss: &analysis.loss,
        gwcap_version: env!("CARGO_PKG_VERSION"),
        show_secrets: settings.show_secrets,
        show_names: settings.names,
    });
    for sink in sinks {
        sink.write(&report, settings.quiet)?;
    }
    // The report first: programs may take their time.
    signals.finish(&analysis.diagnosis.findings);
    if let Some(failure) = recorded.failure {
        return Err(failure);
    }
    let partial = fed.interrupted || !analysis.loss.damage().is_empty();
    Ok(
        match (partial, settings.exit_code && !report.findings.is_empty()) {
            (true, _) => exit::PARTIAL,
            (false, true) => exit::FINDINGS,
            (false, false) => exit::DONE,
        },
    )
}

/// The first Ctrl-C or SIGTERM ends the capture, and what was seen is judged; the second ends the program.
fn listen_for_signals() -> Result<StopHandle, Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let stop = StopHandle::default();
    for signal in [SIGINT, SIGTERM] {
        // In this order: the signal that sets the flag must not see it set.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.flag())
            .and_then(|_| signal_hook::flag::register(signal, stop.flag()))
            .map_err(no_signals)?;
    }
    Ok(stop)
}

/// Tells where a live run stands.
fn status(settings: &Settings) -> Result<Option<Status>, Failure> {
    if !matches!(settings.inputs, Inputs::Interfaces(_)) {
        return Ok(None);
    }
    Status::new(settings.quiet).map(Some).map_err(no_signals)
}

fn no_signals(error: io::Error) -> Failure {
    Failure {
        code: exit::INPUT,
        message: format!("cannot listen for signals: {error}"),
    }
}

fn hashes(settings: &Settings) -> Result<Vec<Option<String>>, Failure> {
    if !settings.hash {
        return Ok(Vec::new());
    }
    run::hash::of_files(settings.inputs.files()).map_err(|(path, error)| Failure {
        code: exit::INPUT,
        message: format!("cannot read {}: {error}", path.display()),
    })
}

fn live_options(settings: &Settings, stop: &StopHandle, follow: &Follow) -> LiveOptions {
    LiveOptions {
        snap_length: settings.snap_length,
        promiscuous: settings.promiscuous,
        buffer_kib: settings.buffer_kib,
        strict_filter: settings.strict_filter,
        tell_asked: settings.write.is_some(),
        follow: follow.clone(),
        stop: stop.clone(),
    }
}

/// Which machine captured each file, and by which clock.
fn first_look(settings: &Settings, threads: usize, stop: &StopHandle) -> Look {
    if settings.one_machine {
        return Look::default();
    }
    let files = settings.inputs.files();
    run::look::look(files, threads, stop)
}

/// Threads of the analysis; 0 leaves it to RAYON_NUM_THREADS. Asked for before the sandbox hides what a container may use.
fn threads(settings: &Settings) -> usize {
    settings.threads.unwrap_or_else(|| {
        if std::env::var_os("RAYON_NUM_THREADS").is_some() {
            return 0;
        }
        std::thread::available_parallelism().map_or(0, usize::from)
    })
}

fn options(
    settings: &Settings,
    threads: usize,
    clocks: Clocks,
    roots: Roots,
    hurry: Arc<AtomicBool>,
) -> Options {
    Options {
        threads,
        gateways: settings.gateways.clone(),
        upstreams: settings.upstreams.clone(),
        statuses: settings.statuses.clone(),
        clocks,
        roots,
        hurry,
        courtesy: Courtesy::default(),
    }
}

/// The roots that judge certificates, read before the sandbox hides them.
fn roots(settings: &Settings) -> Result<Roots, Failure> {
    match &settings.ca_bundle {
        Some(path) => Roots::of_file(path).map_err(|why| Failure {
            code: exit::INPUT,
            message: format!("--ca-bundle {}: {why}", path.display()),
        }),
        None => Ok(Roots::of_machine()),
    }
}

fn plan(settings: &Settings, stop: StopHandle, courtesy: &Courtesy) -> Plan {
    let live = matches!(settings.inputs, Inputs::Interfaces(_));
    Plan {
        courtesy: live.then(|| courtesy.clone()),
        batch_bytes: settings.batch_bytes,
        count_max: settings.count_max,
        ends_elsewhere: settings.inputs.ends_elsewhere(),
        stop,
    }
}

fn interrupted() -> Warning {
    Warning {
        code: "interrupted",
        message: "Reading was interrupted: the rest of the input was not analysed.".to_owned(),
        remedy: "Run again and let it finish.".to_owned(),
    }
}

fn explain(code: &str) -> Result<u8, Failure> {
    let Some(cause) = cause::by_code(code) else {
        let codes = cause::CAUSES.iter().map(|cause| cause.code);
        let advice = match cli::nearest(code, codes) {
            Some(nearest) => format!("did you mean {nearest}?"),
            None => "gwcap --explain lists them".to_owned(),
        };
        return Err(Failure::usage(format!(
            "there is no cause '{code}'; {advice}"
        )));
    };
    print(&cause::manual_page(cause))
}

/// One line an interface, as tcpdump -D numbers them.
fn interfaces() -> Result<String, CaptureError> {
    let line = |(number, interface): (usize, capture::Interface)| {
        let state = if interface.up { "up" } else { "down" };
        let kind = if interface.loopback { ", loopback" } else { "" };
        let about = interface
            .description
            .map(|text| format!(" ({text})"))
            .unwrap_or_default();
        let addresses: Vec<String> = interface
            .addresses
            .iter()
            .map(ToString::to_string)
            .collect();
        let line = format!(
            "{number}.{}{about} [{state}{kind}] {}",
            interface.name,
            addresses.join(" ")
        );
        format!("{}\n", report::escape::for_terminal(line.trim_end()))
    };
    Ok((1..).zip(capture::interfaces()?).map(line).collect())
}

fn print(text: &str) -> Result<u8, Failure> {
    output::to_stdout(|out| out.write_all(text.as_bytes()))?;
    Ok(exit::DONE)
}
