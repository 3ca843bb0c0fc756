//! What a run may still do, and what it tells others. The parts with an interface need root and nginx (`make test-lab`).

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::live::{Place, ask, nginx_conf};

const GWCAP: &str = env!("CARGO_BIN_EXE_gwcap");
const CAPTURE: &str = "captures/nginx-stale-post/capture.pcapng";

fn gwcap() -> Command {
    let mut command = Command::new(GWCAP);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// Waits for something, ten seconds at most.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        sleep(Duration::from_millis(50));
    }
}

fn in_lab() -> bool {
    std::env::var_os("GWCAP_LAB").is_some()
}

/// A port that was free a moment ago.
fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// gwcap on a pipe that stays open after a capture was written into it.
fn on_a_pipe(words: &[&str]) -> (Child, ChildStdin) {
    let mut child = gwcap()
        .args(["-r", "-"])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(CAPTURE);
    pipe.write_all(&fs::read(path).unwrap()).unwrap();
    (child, pipe)
}

#[test]
fn a_file_is_read_within_the_sandbox_too() {
    let output = gwcap().args(["--check-sandbox", CAPTURE]).output().unwrap();
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    if output.status.code() == Some(0) {
        assert_eq!(out.matches("refused  ").count(), 10, "{out}");
        let strict = gwcap().args(["--require-sandbox", "-q", CAPTURE]).status();
        assert!(strict.unwrap().success());
    } else {
        // A kernel without Landlock or seccomp: then that is said.
        assert!(!in_lab(), "{err}");
        assert!(err.contains("POSSIBLE"), "{err}");
        let strict = gwcap().args(["--require-sandbox", "-q", CAPTURE]).status();
        assert_eq!(strict.unwrap().code(), Some(3));
    }
}

#[test]
fn an_errand_takes_only_its_own_requests_and_ends_with_its_pipe() {
    let address = format!("127.0.0.1:{}", port());
    for (words, request, said) in [
        (
            vec![":serve-metrics", "65534", "65534", "", &address],
            &b""[..],
            "ready\n",
        ),
        (
            vec![":serve-metrics", "65534", "65534", "", &address],
            b"F\0\0\0\x21{\"environment\":{},\"input\":\"echo\"}",
            "programs are not run",
        ),
        (
            vec![":run-programs", "65534", "65534", "", "true", "5"],
            b"P\0\0\0\0",
            "nothing else",
        ),
        (
            vec![":run-programs", "65534", "65534", "", "true", "5"],
            b"X\0\0\0\0",
            "nothing else",
        ),
        (
            vec![":run-programs", "65534", "65534", "", "true", "5"],
            b"E\0\0\0\0",
            "\"ran\":0",
        ),
        (vec![":serve-metrics"], b"", "started by gwcap itself"),
        (
            vec![":run-programs", "x", "y", "", "true", "5"],
            b"",
            "started by gwcap itself",
        ),
    ] {
        let mut child = gwcap()
            .args(&words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let _ = pipe.write_all(request);
        if !request.is_empty() {
            // It must not need the end of its pipe to refuse.
            wait_for("it ends", || child.try_wait().unwrap());
        }
        drop(pipe);
        let output = child.wait_with_output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(out.contains(said), "{words:?} {request:?}: {out}");
    }
}

#[test]
fn an_address_that_is_taken_is_told_before_anything_is_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (child, pipe) = on_a_pipe(&["--metrics", &address]);
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(err.contains("Address already in use"), "{err}");
}

/// The page of metrics, as a scraper gets it; `None` while nobody answers or there is none.
fn scrape(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, page) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200 ").then(|| page.to_owned())
}

/// Holds a page against the rules of the text format 0.0.4 and against those of `promtool check metrics`.
fn check_page(page: &str) {
    assert!(page.ends_with('\n'));
    let is_name = |name: &str| {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        name.starts_with("gwcap_") && name.chars().all(word)
    };
    let (mut known, mut samples, mut of) = (BTreeSet::new(), BTreeSet::new(), None);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect(line);
            assert!(is_name(name) && text.ends_with('.'), "{line}");
            assert!(known.insert(name), "twice: {line}");
            let kind = lines.next().unwrap();
            let counter = kind == format!("# TYPE {name} counter");
            assert!(counter || kind == format!("# TYPE {name} gauge"), "{kind}");
            assert_eq!(name.ends_with("_total"), counter, "{name}");
            of = Some(name);
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect(line);
        value.parse::<f64>().expect(line);
        assert!(samples.insert(series), "twice: {line}");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        assert_eq!(Some(name), of, "not below its own lines: {line}");
        for label in labels.strip_suffix('}').expect(line).split(',') {
            if let Some((label, value)) = label.split_once('=') {
                assert!(label.chars().all(|c| c.is_ascii_lowercase()), "{line}");
                assert!(value.starts_with('"') && value.ends_with('"'), "{line}");
            }
        }
    }
    assert!(known.len() >= 9, "{page}");
}

fn value(page: &str, series: &str) -> Option<f64> {
    let of = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    page.lines().find_map(of)
}

#[test]
fn metrics_of_a_pipe_are_served_and_stay_fresh() {
    let address = format!("127.0.0.1:{}", port());
    let (mut child, pipe) = on_a_pipe(&["--metrics", &address]);
    let page = wait_for("a finding", || {
        scrape(&address).filter(|page| value(page, "gwcap_findings_total") == Some(1.0))
    });
    check_page(&page);
    assert_eq!(value(&page, "gwcap_frames_total"), Some(36.0));
    let build = format!(
        "gwcap_build_info{{version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(value(&page, &build), Some(1.0));
    // No frame comes to settle it; after a while it counts as it was told.
    let error = "gwcap_gateway_errors_total{cause=\"stale-keepalive-reuse\",gateway=\"10.77.0.1:80\",\
                 upstream=\"10.77.0.3:8080\"}";
    let later = wait_for("its cause", || {
        scrape(&address).filter(|page| value(page, error) == Some(1.0))
    });
    check_page(&later);
    let behind = |page: &str| value(page, "gwcap_behind_seconds").unwrap();
    assert!(behind(&later) > behind(&page), "{page}{later}");
    assert!(value(&later, "gwcap_resident_memory_bytes") > Some(1e6));
    drop(pipe);
    assert!(child.wait().unwrap().success());
    wait_for("the server ends", || {
        TcpStream::connect(&address).is_err().then_some(())
    });
}

#[test]
fn a_program_runs_once_for_each_finding() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let command = format!(
        "echo $GWCAP_CAUSE $GWCAP_UPSTREAM >> {0}; cat >> {0}",
        out.display()
    );
    let (child, pipe) = on_a_pipe(&["--on-finding", &command, "-q"]);
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let text = fs::read_to_string(out).unwrap();
    let (told, line) = text.split_once('\n').unwrap();
    assert_eq!(told, "stale-keepalive-reuse 10.77.0.3:8080");
    let finding: Value = serde_json::from_str(line).unwrap();
    assert_eq!(finding["event"], "finding");
    assert_eq!(finding["cause"]["code"], "stale-keepalive-reuse");
    assert_eq!(line.lines().count(), 1);
}

#[test]
fn a_program_that_hangs_is_ended_and_told() {
    let words = [
        "--on-finding",
        "sleep 600",
        "--on-finding-timeout",
        "1",
        "-q",
    ];
    let (child, pipe) = on_a_pipe(&words);
    drop(pipe);
    let begun = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "gwcap: --on-finding ran 1 times: 1 ran out of time\n"
    );
}

#[test]
fn files_tell_nobody() {
    for flag in [["--metrics", "9100"], ["--on-finding", "true"]] {
        let output = gwcap().args(flag).arg(CAPTURE).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains("a pipe"));
    }
}

/// A field of /proc/PID/status.
fn status(process: &Path, field: &str) -> String {
    let text = fs::read_to_string(process.join("status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let words = line.expect(field).trim_start_matches(':');
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The processes that a process has started and that are there.
fn children(id: u32) -> Vec<PathBuf> {
    let list = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let path = |id: &str| Path::new("/proc").join(id);
    list.split_whitespace().map(path).collect()
}

const NO_CAPABILITY: &str = "0000000000000000";

fn is_confined(process: &Path, seccomp: &str) {
    let what = process.display();
    let nobody = Command::new("id").args(["-u", "nobody"]).output().unwrap();
    let nobody = String::from_utf8(nobody.stdout).unwrap().trim().to_owned();
    assert_eq!(
        status(process, "Uid"),
        [nobody.as_str(); 4].join(" "),
        "{what}"
    );
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(process, set), NO_CAPABILITY, "{what} {set}");
    }
    assert_eq!(status(process, "NoNewPrivs"), "1", "{what}");
    assert_eq!(status(process, "Seccomp"), seccomp, "{what}");
    assert!(
        !status(process, "Groups")
            .split(' ')
            .any(|group| group == "0"),
        "{what}"
    );
}

/// The gateway of the lab with gwcap before it.
struct Watched {
    place: Place,
    folder: tempfile::TempDir,
    gwcap: usize,
    id: u32,
}

impl Watched {
    fn new(words: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let conf = folder.path().join("nginx.conf");
        fs::write(&conf, nginx_conf(folder.path())).unwrap();
        let mut place = Place::new();
        place.start(&["nginx", "-c", conf.to_str().unwrap()]);
        let report = folder.path().join("report.json");
        let mut all = vec![
            GWCAP,
            "-i",
            "any",
            "-f",
            "json",
            "-o",
            report.to_str().unwrap(),
        ];
        let out = folder.path().join("out");
        let words: Vec<String> = words
            .iter()
            .map(|word| word.replace("OUT", out.to_str().unwrap()))
            .collect();
        all.extend(words.iter().map(String::as_str));
        all.extend(["port", "80", "or", "port", "9"]);
        let err = fs::File::create(folder.path().join("err")).unwrap();
        let child = Place::command(&place.gateway, &all)
            .stderr(err)
            .spawn()
            .unwrap();
        let id = child.id();
        place.running.push(child);
        let gwcap = place.running.len() - 1;
        wait_for("it captures", || {
            let confined = status(Path::new(&format!("/proc/{id}")), "Seccomp") == "2";
            confined.then_some(())
        });
        sleep(Duration::from_millis(500));
        Self {
            place,
            folder,
            gwcap,
            id,
        }
    }

    fn written(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn in_gateway(&self, words: &[&str]) -> String {
        let output = Place::command(&self.place.gateway, words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn live_it_is_nobody_and_still_tells_others() {
    if !in_lab() {
        return;
    }
    let mut run = Watched::new(&[
        "--require-sandbox",
        "--metrics",
        "9100",
        "--on-finding",
        "echo $GWCAP_CAUSE $(id -u) >> OUT",
    ]);
    let process = PathBuf::from(format!("/proc/{}", run.id));
    let threads: Vec<_> = process.join("task").read_dir().unwrap().collect();
    assert!(threads.len() > 1);
    for thread in threads {
        is_confined(&thread.unwrap().path(), "2");
    }
    let errands = children(run.id);
    assert_eq!(errands.len(), 2);
    is_confined(&errands[0], "2");
    is_confined(&errands[1], "0");

    ask(&run.place, "/", 3);
    ask(&run.place, "/fine", 2);
    let get = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9100/metrics').read().decode(), end='')";
    let page = wait_for("the findings", || {
        let page = run.in_gateway(&["python3", "-c", get]);
        (value(&page, "gwcap_findings_total") == Some(3.0)).then_some(page)
    });
    check_page(&page);
    assert!(value(&page, "gwcap_behind_seconds") < Some(5.0), "{page}");
    let error = "gwcap_gateway_errors_total{cause=\"connect-refused\",gateway=\"10.76.0.1:80\",\
                 upstream=\"10.76.0.2:9\"}";
    wait_for("their cause", || {
        let page = run.in_gateway(&["python3", "-c", get]);
        (value(&page, error) == Some(3.0)).then_some(())
    });
    let uid = status(&process, "Uid");
    let uid = uid.split(' ').next().unwrap();
    wait_for("the program", || {
        (run.written("out").lines().count() == 3).then_some(())
    });
    assert_eq!(
        run.written("out"),
        format!("connect-refused {uid}\n").repeat(3)
    );

    run.place.interrupt(run.gwcap);
    wait_for("all processes end", || {
        errands.iter().all(|errand| !errand.exists()).then_some(())
    });
    assert_eq!(
        run.written("out").lines().count(),
        3,
        "once for each finding"
    );
    assert!(run.written("report.json").contains("connect-refused"));
    assert!(
        !run.written("err").contains("sandbox"),
        "{}",
        run.written("err")
    );
}

#[test]
fn live_a_killed_run_leaves_no_process() {
    if !in_lab() {
        return;
    }
    let mut run = Watched::new(&[
        "--metrics",
        "9100",
        "--on-finding",
        "echo $$ > OUT; sleep 600",
    ]);
    let errands = children(run.id);
    ask(&run.place, "/", 1);
    let program = wait_for("the program", || {
        let id = run.written("out").trim().to_owned();
        (!id.is_empty()).then(|| PathBuf::from("/proc").join(id))
    });
    assert!(program.exists());
    run.place.running[run.gwcap].kill().unwrap();
    run.place.running[run.gwcap].wait().unwrap();
    wait_for("nothing is left", || {
        let gone = |path: &PathBuf| {
            let stat = fs::read_to_string(path.join("stat"));
            stat.map_or(true, |stat| stat.contains(") Z "))
        };
        (errands.iter().all(gone) && gone(&program)).then_some(())
    });
}

#[test]
fn what_cannot_be_confined_is_told_or_fatal() {
    if !in_lab() {
        return;
    }
    // Without /proc nobody can tell how many threads there are.
    let run = |flag: &str| {
        let script = format!(
            "mount -t tmpfs none /proc && exec timeout -s INT 2 {GWCAP} -i lo {flag} port 9"
        );
        let output = Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, err) = run("--require-sandbox");
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("--require-sandbox: not all of it"), "{err}");
    let (_, err) = run("-q");
    assert!(err.contains("gwcap: sandbox: /proc does not tell"), "{err}");
}

/// Becomes the program of its words in a kernel that knows no Landlock, as far as that program can tell: a seccomp filter answers
/// landlock_create_ruleset (444 on every architecture) with ENOSYS, as kernels before 5.13 do.
const WITHOUT_LANDLOCK: &str = "
import ctypes, os, struct, sys
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7fff0000)]
program = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('steps', ctypes.c_void_p)]
prog, libc = Program(len(steps), ctypes.addressof(program)), ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(prog), 0, 0) == 0, ctypes.get_errno()
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn live_without_landlock_the_rest_holds_and_what_is_missing_is_told() {
    if !in_lab() {
        return;
    }
    let run = |words: &[&str]| {
        let mut command = Command::new("timeout");
        command.args(["-s", "INT", "8", "python3", "-c", WITHOUT_LANDLOCK, GWCAP]);
        let output = command.args(words).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let interface = ["-i", "lo", "port", "9"];
    let (code, _, err) = run(&[&interface[..], &["--check-sandbox"]].concat());
    assert_eq!(code, Some(3), "{err}");
    // Files of its user are within reach; what another user, no capability and seccomp forbid is not.
    for (word, what) in [
        ("POSSIBLE", "open /etc/passwd"),
        ("POSSIBLE", "make a file in /var/tmp"),
        ("refused", "open /etc/shadow"),
        ("refused", "a UDP socket"),
        ("refused", "a UDP socket in a thread"),
        ("refused", "run a program"),
    ] {
        assert!(err.contains(&format!("{word}  {what}:")), "{what}: {err}");
    }
    let (code, _, err) = run(&[&interface[..], &["--require-sandbox"]].concat());
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("Landlock is missing in this kernel"), "{err}");
    let (_, out, err) = run(&interface);
    assert!(
        err.contains("gwcap: sandbox: Landlock is missing in this kernel"),
        "{err}"
    );
    assert!(out.starts_with("lo  live, "), "{out}");
}

#[test]
fn live_the_sandbox_refuses_what_it_must_as_nobody_and_as_root() {
    if !in_lab() {
        return;
    }
    for words in [&["-i", "any"][..], &["-i", "lo", "-Z", "root"]] {
        let output = gwcap().args(words).arg("--check-sandbox").output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{out}");
        assert_eq!(out.matches("refused  ").count(), 10, "{out}");
    }
    let missing = gwcap()
        .args(["-i", "lo", "-Z", "no-such-user"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn files_that_the_user_cannot_read_again_are_told() {
    if !in_lab() {
        return;
    }
    // Only root can get there.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let path = folder.path().join("capture.pcapng");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(CAPTURE), &path).unwrap();
    let read = |words: &[&str]| gwcap().args(words).arg("-q").arg(&path).output().unwrap();
    assert!(read(&[]).status.success());
    let refused = read(&["-Z", "nobody"]);
    assert_eq!(refused.status.code(), Some(3));
    let err = String::from_utf8(refused.stderr).unwrap();
    assert!(err.contains("nobody cannot read "), "{err}");
}

#[test]
fn live_files_are_begun_anew_as_who_called_sudo() {
    if !in_lab() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let first = folder.path().join("x");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let filter = format!("udp port {}", socket.local_addr().unwrap().port());
    let mut child = gwcap()
        .env("SUDO_UID", "12345")
        .env("SUDO_GID", "12346")
        .args([
            "-i",
            "lo",
            "-q",
            "-w",
            first.to_str().unwrap(),
            "-C",
            "20K",
            "-W",
            "3",
        ])
        .args(["--strict-filter", &filter])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let files = || {
        let entries = folder.path().read_dir().unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    wait_for("three files", || {
        socket
            .send_to(&[0; 1_000], socket.local_addr().unwrap())
            .unwrap();
        (files().len() == 3).then_some(())
    });
    // The first one is written over.
    wait_for("the ring goes round", || {
        socket
            .send_to(&[0; 1_000], socket.local_addr().unwrap())
            .unwrap();
        let bytes = |name: &str| folder.path().join(name).metadata().unwrap().len();
        (bytes("x2") > 20_000 && bytes("x0") < 20_000).then_some(())
    });
    for file in files() {
        let facts = file.metadata().unwrap();
        assert_eq!((facts.uid(), facts.gid()), (12_345, 12_346), "{file:?}");
    }
    let end = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(end.unwrap().success());
    assert!(child.wait().unwrap().success());
}
