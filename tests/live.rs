//! A live capture gives what the file of the same frames gives. Part of `make test-lab`: it needs root and nginx.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::recording::frames;

/// Two network namespaces joined by a veth pair: a client, and a gateway whose upstream refuses. Removed at the
/// end, with what runs in them.
pub(crate) struct Place {
    pub(crate) client: String,
    pub(crate) gateway: String,
    pub(crate) running: Vec<Child>,
}

impl Place {
    pub(crate) fn new() -> Self {
        // Tests of one process have places of their own.
        static PLACES: AtomicU32 = AtomicU32::new(0);
        let number = PLACES.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", std::process::id());
        let place = Self {
            client: format!("gwlc{id}"),
            gateway: format!("gwlg{id}"),
            running: Vec::new(),
        };
        let (client, gateway) = (&place.client, &place.gateway);
        for line in [
            format!("netns add {client}"),
            format!("netns add {gateway}"),
            format!("link add c0 netns {client} type veth peer name g0 netns {gateway}"),
            format!("-n {client} addr add 10.76.0.2/24 dev c0"),
            format!("-n {gateway} addr add 10.76.0.1/24 dev g0"),
            format!("-n {client} link set c0 up"),
            format!("-n {gateway} link set g0 up"),
            format!("-n {gateway} link set lo up"),
        ] {
            let done = Command::new("ip")
                .args(line.split(' '))
                .status()
                .expect("ip of iproute2 runs");
            assert!(done.success(), "ip {line}");
        }
        place
    }

    /// The same with an nginx in the gateway's namespace; its configuration is written into `folder`.
    pub(crate) fn with_nginx(folder: &Path, conf: &str) -> Self {
        let file = folder.join("nginx.conf");
        fs::write(&file, conf).unwrap();
        let mut place = Self::new();
        place.start(&["nginx", "-c", &file.display().to_string()]);
        place
    }

    /// A command inside a namespace.
    pub(crate) fn command(space: &str, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", space]).args(words);
        command
    }

    pub(crate) fn start(&mut self, words: &[&str]) -> usize {
        let child = Self::command(&self.gateway, words)
            .stderr(Stdio::null())
            .spawn();
        self.running
            .push(child.unwrap_or_else(|error| panic!("{words:?}: {error}")));
        self.running.len() - 1
    }

    /// Ends a started command as Ctrl-C does and waits for it.
    pub(crate) fn interrupt(&mut self, index: usize) {
        let child = &mut self.running[index];
        let _ = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status();
        child.wait().expect("it ends");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
        for space in [&self.client, &self.gateway] {
            let _ = Command::new("ip").args(["netns", "del", space]).status();
        }
    }
}

pub(crate) fn nginx_conf(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log /dev/null; events {{ }}\n\
         http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; \
         fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
         server {{ listen 80; location /fine {{ return 200 fine; }} location / {{ proxy_pass http://10.76.0.2:9; }} }} }}\n"
    )
}

/// What a finding says, without what differs between a file and an interface.
fn told(report: &Path) -> Vec<String> {
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|finding| {
            let cause = &finding["cause"];
            format!(
                "{} {} {} {} {}",
                finding["status"],
                cause["code"],
                cause["confidence"],
                finding["exchange"]["client"],
                finding["upstream"]
            )
        })
        .collect()
}

#[test]
fn live_and_file_say_the_same() {
    if std::env::var_os("GWCAP_LAB").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut place = Place::with_nginx(folder.path(), &nginx_conf(folder.path()));
    let gwcap = assert_cmd::cargo::cargo_bin("gwcap").display().to_string();
    let (live, file) = (path("live.json"), path("file.json"));
    let filter = ["port", "80", "or", "port", "9"];
    let dump = place.start(
        &[
            &["tcpdump", "-i", "any", "-U", "-w", &path("all.pcap")][..],
            &filter,
        ]
        .concat(),
    );
    let watch = place.start(
        &[
            &[gwcap.as_str(), "-i", "any", "-f", "json", "-o", &live][..],
            &filter,
        ]
        .concat(),
    );
    sleep(Duration::from_secs(2));
    let ask = "import http.client\nfor _ in range(3):\n c = http.client.HTTPConnection('10.76.0.1', 80, timeout=5)\n c.request('GET', '/')\n c.getresponse().read()\n c.close()";
    let asked = Place::command(&place.client, &["python3", "-c", ask])
        .status()
        .unwrap();
    assert!(asked.success());
    sleep(Duration::from_secs(1));
    place.interrupt(watch);
    place.interrupt(dump);
    let read = Command::new(&gwcap)
        .args(["-r", &path("all.pcap"), "-f", "json", "-o", &file])
        .status()
        .unwrap();
    assert!(read.success());
    let live = told(Path::new(&live));
    assert_eq!(live.len(), 3, "{live:?}");
    assert!(
        live.iter()
            .all(|finding| finding.starts_with("502 \"connect-refused\" \"certain\"")),
        "{live:?}"
    );
    assert_eq!(live, told(Path::new(&file)));
}

/// Asks the gateway for a path so many times, each on a connection of its own.
pub(crate) fn ask(place: &Place, path: &str, times: usize) {
    let ask = format!(
        "import http.client\nfor _ in range({times}):\n c = http.client.HTTPConnection('10.76.0.1', 80, timeout=5)\n \
         c.request('GET', '{path}')\n c.getresponse().read()\n c.close()"
    );
    let asked = Place::command(&place.client, &["python3", "-c", &ask]).status();
    assert!(asked.unwrap().success());
}

/// The frames that the findings of a report name, with their times.
fn proofs(report: &Path) -> Vec<String> {
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let evidence = findings
        .iter()
        .flat_map(|one| one["evidence"].as_array().unwrap());
    evidence
        .map(|one| format!("{} {} {}", one["frame"], one["time"], one["summary"]))
        .collect()
}

#[test]
fn the_recorder_writes_a_file_an_incident_and_nothing_while_nothing_fails() {
    if std::env::var_os("GWCAP_LAB").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut place = Place::with_nginx(folder.path(), &nginx_conf(folder.path()));
    let gwcap = assert_cmd::cargo::cargo_bin("gwcap").display().to_string();
    let (evidence, live, all) = (path("evidence"), path("live.json"), path("all.pcapng"));
    // The recorder is nobody: it must be able to get there.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Two interfaces: their frames are numbered as in the one file that they are written to.
    let watch = [
        &[
            gwcap.as_str(),
            "-i",
            "g0",
            "-i",
            "lo",
            "--evidence",
            &evidence,
            "--after",
            "1s",
        ][..],
        &[
            "-w",
            &path("asked.pcapng"),
            "--write-all",
            &all,
            "-f",
            "json",
            "-o",
            &live,
        ],
        &["port", "80"],
    ];
    let watch = place.start(&watch.concat());
    sleep(Duration::from_secs(2));
    let files = || {
        fs::read_dir(&evidence)
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    for _ in 0..4 {
        ask(&place, "/fine", 5);
        sleep(Duration::from_millis(500));
    }
    assert_eq!(files().count(), 0, "nothing failed");
    ask(&place, "/", 3);
    for _ in 0..12 {
        ask(&place, "/fine", 1);
        sleep(Duration::from_millis(500));
    }
    let written: Vec<_> = files().collect();
    assert_eq!(written.len(), 1, "{written:?}");
    let name = written[0].display().to_string();
    assert!(
        name.ends_with("Z-connect-refused-10.76.0.1_80-10.76.0.2_9.pcapng"),
        "{name}"
    );
    place.interrupt(watch);

    let read = |what: &str, report: &str| {
        let words = ["-r", what, "-f", "json", "-o", report];
        assert!(Command::new(&gwcap).args(words).status().unwrap().success());
    };
    read(&name, &path("evidence.json"));
    // Streams have other numbers where there are fewer of them.
    let causes = |report: &str| -> Vec<String> {
        let told = told(Path::new(report));
        let cut = told
            .iter()
            .map(|line| line.split(" {").next().unwrap().to_owned());
        cut.collect()
    };
    let found = causes(&path("evidence.json"));
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found, causes(&live));
    read(&all, &path("all.json"));
    assert_eq!(
        proofs(Path::new(&path("all.json"))),
        proofs(Path::new(&live))
    );
    // The user's own filter asked for one leg only.
    let asked = frames(Path::new(&path("asked.pcapng")), None);
    assert_eq!(asked, frames(Path::new(&all), Some("port 80")));
    assert!(frames(Path::new(&all), Some("port 9")).len() >= 6);
}

#[test]
fn a_key_log_that_is_written_while_it_runs_shows_the_answers() {
    if std::env::var_os("GWCAP_LAB").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let made = Command::new("openssl")
        .args("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=shop.example".split(' '))
        .args(["-out", &certificate, "-keyout", &key])
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl runs").success());
    let tls = format!("listen 443 ssl; ssl_certificate {certificate}; ssl_certificate_key {key};");
    let conf = nginx_conf(folder.path()).replace("listen 80;", &tls);
    fs::write(path("nginx.conf"), conf).unwrap();
    fs::write(path("keys.log"), "").unwrap();
    let mut place = Place::new();
    place.start(&["nginx", "-c", &path("nginx.conf")]);
    let gwcap = assert_cmd::cargo::cargo_bin("gwcap").display().to_string();
    let live = path("live.json");
    let (keys, all) = (path("keys.log"), path("all.pcapng"));
    let watch = place.start(&[
        &gwcap,
        "-i",
        "any",
        "--keylog",
        &keys,
        "-f",
        "json",
        "-o",
        &live,
        "--write-all",
        &all,
        "port",
        "443",
    ]);
    sleep(Duration::from_secs(2));
    let ask = format!(
        "import http.client, ssl, time\ncontext = ssl._create_unverified_context()\ncontext.keylog_filename = '{keys}'\n\
         for _ in range(3):\n c = http.client.HTTPSConnection('10.76.0.1', 443, timeout=5, context=context)\n \
         c.request('GET', '/')\n c.getresponse().read()\n c.close()\n time.sleep(0.3)"
    );
    let asked = Place::command(&place.client, &["python3", "-c", &ask]).status();
    assert!(asked.unwrap().success());
    sleep(Duration::from_secs(2));
    place.interrupt(watch);
    let read = |more: &[&str]| {
        let file = path("file.json");
        let words = ["-r", &all, "-f", "json", "-o", &file];
        let read = Command::new(&gwcap).args(words).args(more).status();
        assert!(read.unwrap().success());
        told(Path::new(&file))
    };
    let found = told(Path::new(&live));
    assert_eq!(found.len(), 3, "{found:?}");
    let named = |line: &String| line.starts_with("502 \"connect-refused\" \"certain\"");
    assert!(found.iter().all(named), "{found:?}");
    assert_eq!(found, read(&["--keylog", &keys]));
    assert!(!read(&[]).iter().any(named));
}
