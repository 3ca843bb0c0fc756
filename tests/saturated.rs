//! A gateway under a load that takes all there is, with gwcap beside it. Part of `make test-lab`: it needs root, nginx, wrk and
//! curl. How much it costs the gateway is measured by `tools/live-load`; here frames may be dropped, and truth may not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::live::Place;

/// How long wrk asks, seconds.
const LOAD_SECONDS: u64 = 60;
/// When memory has settled: what went well is remembered for six seconds.
const SETTLED: Duration = Duration::from_secs(25);
/// Requests to a dead upstream in that time, one after the other.
const FAILURES: usize = 100;
/// How long a report may take after Ctrl-C: judging is given ten seconds of it.
const REPORT_MAX: Duration = Duration::from_secs(40);

/// Gateway and upstream are one nginx, which talks to itself over loopback.
fn nginx_conf(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log error;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; \
         fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
         upstream pool {{ server 127.0.0.1:8080; keepalive 64; }}\n\
         server {{ listen 127.0.0.1:8080; location / {{ return 200 fine; }} }}\n\
         server {{ listen 80; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         location /dead {{ proxy_pass http://127.0.0.1:9; }} location / {{ proxy_pass http://pool; }} }} }}\n"
    )
}

/// Waits until gwcap says what it sees beside the filter: then the interface is open.
fn wait_until_it_listens(said: &str) {
    for _ in 0..300 {
        if fs::read_to_string(said)
            .unwrap()
            .contains("seen beside the filter")
        {
            return;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("it did not begin within half a minute");
}

/// Bytes that a process has in memory.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib * 1024
}

/// Ends a process as Ctrl-C does; how long that took.
fn interrupt(child: &mut Child) -> Duration {
    let begun = Instant::now();
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > REPORT_MAX {
            child.kill().unwrap();
            panic!("no report within {REPORT_MAX:?} of Ctrl-C");
        }
        sleep(Duration::from_millis(50));
    }
    begun.elapsed()
}

/// The targets of requests for which the gateway was refused, by its own log.
fn refused(log: &str) -> BTreeSet<String> {
    let lines = log
        .lines()
        .filter(|line| line.contains("connect() failed (111"));
    lines
        .filter_map(|line| line.split("request: \"GET ").nth(1)?.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_load_that_takes_all_there_is_costs_no_truth() {
    if std::env::var_os("GWCAP_LAB").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let place = Place::with_nginx(folder.path(), &nginx_conf(folder.path()));
    let gwcap = assert_cmd::cargo::cargo_bin("gwcap").display().to_string();
    let words = [
        gwcap.as_str(),
        "-i",
        "any",
        "-f",
        "ndjson",
        "port",
        "80",
        "or",
        "port",
        "443",
    ];
    let mut watch = Place::command(&place.gateway, &words)
        .stdout(File::create(path("out")).unwrap())
        .stderr(File::create(path("said")).unwrap())
        .spawn()
        .unwrap();
    wait_until_it_listens(&path("said"));

    let (seconds, begun) = (format!("-d{LOAD_SECONDS}s"), Instant::now());
    let wrk = Place::command(
        &place.client,
        &["wrk", "-t1", "-c32", &seconds, "http://10.76.0.1/"],
    )
    .stdout(File::create(path("wrk")).unwrap())
    .spawn();
    let mut wrk = wrk.expect("wrk of captures/lab/install runs");
    let ask = format!(
        "for n in $(seq {FAILURES}); do curl -s -m 20 -o {} http://10.76.0.1/dead/$n || exit 1; sleep 0.4; done",
        path("page")
    );
    let asked = Place::command(&place.client, &["sh", "-c", &ask]).spawn();
    let mut asked = asked.expect("sh runs");
    sleep(SETTLED.saturating_sub(begun.elapsed()));
    let settled = resident(watch.id());
    assert!(asked.wait().unwrap().success(), "curl got its answers");
    assert!(wrk.wait().unwrap().success());
    let last = resident(watch.id());
    let took = interrupt(&mut watch);

    let out = fs::read_to_string(path("out")).unwrap();
    let mut findings = BTreeMap::new();
    let mut summary = Value::Null;
    for line in out.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        match line["event"].as_str() {
            Some("finding" | "finding_update") => {
                findings.insert(line["id"].as_str().unwrap().to_owned(), line);
            }
            Some("summary") => summary = line,
            _ => {}
        }
    }
    let dropped = summary["capture"]["loss"]["counters"]["kernel_drops"]
        .as_u64()
        .unwrap_or(0);
    let exchanges = summary["exchanges"].as_u64().unwrap();
    let truth = refused(&fs::read_to_string(path("error.log")).unwrap());
    println!(
        "{exchanges} exchanges, {dropped} frames dropped, {} findings on {} failures, {} MB after {SETTLED:?}, {} MB at the end, \
         report after {took:?}",
        findings.len(),
        truth.len(),
        settled / 1_000_000,
        last / 1_000_000,
    );
    assert_eq!(truth.len(), FAILURES, "the gateway's log has each");
    assert!(exchanges > 10_000, "there was a load");
    let mut told = BTreeSet::new();
    for finding in findings.values() {
        let target = finding["exchange"]["target"].as_str().unwrap_or_default();
        let (code, confidence) = (&finding["cause"]["code"], &finding["cause"]["confidence"]);
        if truth.contains(target) {
            told.insert(target.to_owned());
            assert!(
                confidence != "certain" || code == "connect-refused",
                "{finding}"
            );
            assert!(dropped > 0 || code == "connect-refused", "{finding}");
        } else {
            // An upstream connection that was joined while the filter changed is told as what it is.
            let guesses = dropped > 0 && confidence != "certain";
            assert!(
                guesses || confidence == "unknown",
                "nothing else failed: {finding}"
            );
        }
    }
    match dropped {
        0 => assert_eq!(told, truth),
        _ => assert!(told.len() >= FAILURES / 2, "only {told:?}"),
    }
    // It follows the rate, which follows what else the machine does; what is never given back would be ten times as much. An
    // exchange whose end was dropped is kept for as long as a gateway may wait, which this load is too short for.
    assert!(
        dropped > 0 || last < 2 * settled,
        "memory grew under the same load"
    );
}
