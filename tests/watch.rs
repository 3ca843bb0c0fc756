//! What a live capture sees beside its filter, when it tells it, and what it writes. Part of `make test-lab`: it needs root
//! and nginx. The truth is nginx's error log.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, sleep};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::live::Place;

/// An upstream on another port than the filter names: it closes on every other request and keeps its connections else.
const UPSTREAM: &str = "
import socket, threading
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(('10.76.0.3', 8080))
listener.listen(64)
count = 0
def serve(connection):
    global count
    while connection.recv(65536):
        count += 1
        if count % 2 == 0:
            break
        connection.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')
    connection.close()
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
";

/// A gateway whose upstream listens on a port that no filter asks for; POST, so that nothing is retried.
struct Hidden {
    place: Place,
    folder: tempfile::TempDir,
}

/// A gwcap that runs in the gateway's namespace.
struct Watch {
    child: Child,
    errors: std::path::PathBuf,
    /// What it writes, with the time at which it came.
    lines: Receiver<(SystemTime, String)>,
}

impl Hidden {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut place = Place::new();
        let added = Command::new("ip")
            .args([
                "-n",
                &place.client,
                "addr",
                "add",
                "10.76.0.3/24",
                "dev",
                "c0",
            ])
            .status();
        assert!(added.unwrap().success());
        let upstream = Place::command(&place.client, &["python3", "-c", UPSTREAM]).spawn();
        place.running.push(upstream.unwrap());
        let hidden = Self { place, folder };
        fs::write(hidden.path("nginx.conf"), hidden.conf()).unwrap();
        let conf = hidden.path("nginx.conf");
        let mut hidden = hidden;
        hidden.place.start(&["nginx", "-c", &conf]);
        sleep(Duration::from_secs(1));
        hidden
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn conf(&self) -> String {
        let folder = self.folder.path().display();
        format!(
            "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{ }}\n\
             http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; \
             fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
             server {{ listen 80; location / {{ proxy_pass http://10.76.0.3:8080; }} }} }}\n"
        )
    }

    /// What nginx itself says of its upstream: so many errors of that wording.
    fn logged(&self) -> usize {
        let log = fs::read_to_string(self.path("error.log")).unwrap();
        log.matches("upstream prematurely closed connection while reading response header")
            .count()
    }

    fn ask(&self, times: usize) {
        let ask = format!(
            "import http.client, time\nfor _ in range({times}):\n c = http.client.HTTPConnection('10.76.0.1', 80, timeout=5)\n \
             c.request('POST', '/order', 'x=1')\n c.getresponse().read()\n c.close()\n time.sleep(0.3)"
        );
        let asked = Place::command(&self.place.client, &["python3", "-c", &ask]).status();
        assert!(asked.unwrap().success());
    }

    fn watch(&self, words: &[&str]) -> Watch {
        let gwcap = assert_cmd::cargo::cargo_bin("gwcap").display().to_string();
        let errors = self.folder.path().join("stderr");
        let mut child = Place::command(
            &self.place.gateway,
            &[&[gwcap.as_str()][..], words].concat(),
        )
        .stdout(Stdio::piped())
        .stderr(File::create(&errors).unwrap())
        .spawn()
        .unwrap();
        let lines = timed(child.stdout.take().unwrap());
        sleep(Duration::from_secs(2));
        Watch {
            child,
            errors,
            lines,
        }
    }
}

fn timed(out: ChildStdout) -> Receiver<(SystemTime, String)> {
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if send.send((SystemTime::now(), line)).is_err() {
                return;
            }
        }
    });
    lines
}

impl Watch {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Ends it as Ctrl-C does: its exit code, what it wrote, and its standard error.
    fn ends(mut self) -> (Option<i32>, Vec<(SystemTime, String)>, String) {
        self.signal("-INT");
        let code = self.child.wait().unwrap().code();
        (
            code,
            self.lines.iter().collect(),
            fs::read_to_string(&self.errors).unwrap(),
        )
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_lab() -> bool {
    std::env::var_os("GWCAP_LAB").is_some()
}

fn findings(report: &str) -> Vec<Value> {
    let report: Value = serde_json::from_str(report).unwrap();
    report["findings"].as_array().unwrap().clone()
}

#[test]
fn an_upstream_that_the_filter_hides_is_named_within_a_second() {
    if !is_lab() {
        return;
    }
    let hidden = Hidden::new();
    let watch = hidden.watch(&["-i", "any", "-f", "ndjson", "port", "80", "or", "443"]);
    hidden.ask(10);
    sleep(Duration::from_secs(1));
    let (code, lines, errors) = watch.ends();
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        errors.contains("the gateway asks 10.76.0.3:8080, which the filter hides"),
        "{errors}"
    );
    let mut first = Vec::new();
    let mut last = std::collections::BTreeMap::new();
    for (came, line) in lines {
        let line: Value = serde_json::from_str(&line).unwrap();
        let event = line["event"].as_str().unwrap();
        if event == "finding" {
            let at: jiff::Timestamp = line["time"].as_str().unwrap().parse().unwrap();
            let late = came.duration_since(SystemTime::from(at)).unwrap();
            assert!(
                late < Duration::from_millis(1_000),
                "{late:?} after the error: {line}"
            );
            first.push(line["id"].clone());
        }
        if event.starts_with("finding") {
            last.insert(line["id"].to_string(), line);
        }
    }
    assert_eq!(hidden.logged(), 5);
    assert_eq!(first.len(), 5, "each is told once");
    for line in last.values() {
        assert_eq!(line["final"], true, "{line}");
        assert_eq!(line["cause"]["code"], "closed-before-response", "{line}");
        assert_eq!(line["upstream"]["address"], "10.76.0.3:8080", "{line}");
    }
    let certain = last
        .values()
        .filter(|line| line["cause"]["confidence"] == "certain");
    assert!(certain.count() >= 3, "once it is followed it is seen");
}

#[test]
fn a_strict_filter_has_a_blind_spot_and_says_so() {
    if !is_lab() {
        return;
    }
    let hidden = Hidden::new();
    let watch = hidden.watch(&["-i", "any", "--strict-filter", "-f", "json", "port", "80"]);
    hidden.ask(4);
    sleep(Duration::from_secs(1));
    let (_, lines, errors) = watch.ends();
    let report: String = lines.into_iter().map(|(_, line)| line + "\n").collect();
    let found = findings(&report);
    assert_eq!(found.len(), hidden.logged(), "{errors}");
    for finding in found {
        assert_eq!(finding["cause"]["code"], "upstream-leg-not-captured");
        let hidden = finding["not_observable"].to_string();
        assert!(
            hidden.contains("drops upstreams on other ports"),
            "{hidden}"
        );
    }
}

#[test]
fn what_was_asked_for_is_written_and_all_that_was_seen_says_the_same_again() {
    if !is_lab() {
        return;
    }
    let hidden = Hidden::new();
    let (asked, all) = (hidden.path("asked.pcapng"), hidden.path("all.pcapng"));
    let words = [
        "-i",
        "any",
        "-f",
        "json",
        "-w",
        &asked,
        "--write-all",
        &all,
        "port",
        "80",
    ];
    let watch = hidden.watch(&words);
    hidden.ask(6);
    sleep(Duration::from_secs(1));
    let (_, lines, errors) = watch.ends();
    let live: String = lines.into_iter().map(|(_, line)| line + "\n").collect();
    assert_eq!(findings(&live).len(), hidden.logged(), "{errors}");
    let count = |file: &str, filter: &str| {
        let read = Command::new("tcpdump")
            .args(["-n", "-r", file, filter])
            .output()
            .unwrap();
        String::from_utf8_lossy(&read.stdout).lines().count()
    };
    assert!(count(&asked, "port 80") > 0);
    assert_eq!(count(&asked, "not port 80"), 0);
    assert!(count(&all, "port 8080") > 0);
    assert_eq!(count(&all, "port 80"), count(&asked, "port 80"));
    let again = |file: &str| {
        let gwcap = assert_cmd::cargo::cargo_bin("gwcap");
        let read = Command::new(gwcap)
            .args(["-r", file, "-f", "json"])
            .output()
            .unwrap();
        findings(&String::from_utf8(read.stdout).unwrap())
    };
    assert_eq!(
        findings(&live),
        again(&all),
        "live and the file of all frames"
    );
    for finding in again(&asked) {
        assert_eq!(finding["cause"]["code"], "upstream-leg-not-captured");
    }
}

/// The interface is removed, made again under its name, and heard again: by nobody's help, as the watch has no privileges left.
#[test]
fn an_interface_that_comes_back_is_heard_again() {
    if !is_lab() {
        return;
    }
    let hidden = Hidden::new();
    let words = ["-i", "g0", "-f", "json", "--require-sandbox", "port", "80"];
    let watch = hidden.watch(&words);
    hidden.ask(4);
    let (client, gateway) = (&hidden.place.client, &hidden.place.gateway);
    let ip = |words: &[&str]| {
        let done = Command::new("ip").args(words).status();
        assert!(done.unwrap().success(), "{words:?}");
    };
    let says = |word: &str| {
        let read = || fs::read_to_string(&watch.errors).unwrap();
        let said = (0..50).any(|_| {
            sleep(Duration::from_millis(100));
            read().contains(word)
        });
        assert!(said, "{word}: {}", read());
    };
    ip(&["-n", gateway, "link", "del", "g0"]);
    says("g0 went away: waiting");
    let made = "type veth peer name g0 netns";
    ip(&[
        &["link", "add", "c0", "netns", client][..],
        &made.split(' ').collect::<Vec<_>>(),
        &[gateway],
    ]
    .concat());
    for (space, address, link) in [
        (client, "10.76.0.2/24", "c0"),
        (client, "10.76.0.3/24", "c0"),
        (gateway, "10.76.0.1/24", "g0"),
    ] {
        ip(&["-n", space, "addr", "add", address, "dev", link]);
        ip(&["-n", space, "link", "set", link, "up"]);
    }
    says("g0 is back after");
    hidden.ask(4);
    sleep(Duration::from_secs(1));
    let (code, lines, errors) = watch.ends();
    let report: String = lines.iter().map(|(_, line)| line.clone() + "\n").collect();
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(findings(&report).len(), hidden.logged());
    let whole: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        whole["capture"]["loss"]["counters"]["interface_absences"], 1,
        "{report}"
    );
    assert_eq!(
        whole["capture"]["loss"]["counters"]["interface_drops"],
        Value::Null,
        "another interface's counters are not its own"
    );
}

/// Ctrl-C while it is away ends the watch with what was seen.
#[test]
fn an_interface_that_stays_away_ends_with_ctrl_c() {
    if !is_lab() {
        return;
    }
    let hidden = Hidden::new();
    let watch = hidden.watch(&["-i", "g0", "-f", "json", "port", "80"]);
    hidden.ask(4);
    let gone = Command::new("ip")
        .args(["-n", &hidden.place.gateway, "link", "del", "g0"])
        .status();
    assert!(gone.unwrap().success());
    sleep(Duration::from_secs(1));
    let (code, lines, errors) = watch.ends();
    let report: String = lines.iter().map(|(_, line)| line.clone() + "\n").collect();
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(findings(&report).len(), hidden.logged());
}

#[test]
fn sigusr1_asks_for_the_state() {
    if !is_lab() {
        return;
    }
    let hidden = Hidden::new();
    let watch = hidden.watch(&["-i", "any", "port", "80"]);
    hidden.ask(4);
    sleep(Duration::from_secs(1));
    watch.signal("-USR1");
    sleep(Duration::from_secs(1));
    let (_, _, errors) = watch.ends();
    for word in [
        "running for",
        "4 exchanges",
        "2 gateway errors",
        "of memory",
    ] {
        assert!(errors.contains(word), "{word}: {errors}");
    }
}
