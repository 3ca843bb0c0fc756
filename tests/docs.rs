//! What the documents say is what the program does: docs/causes.md, and the example of the README.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use gwcap::diagnose::cause::{CAUSES, manual_page};

/// The case whose report the README shows.
const EXAMPLE: &str = "captures/nginx-stale-post/capture.pcapng";

/// GWCAP_DOCS=write in the environment writes pages instead of comparing with them.
fn is_current(path: &str, text: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("GWCAP_DOCS").is_some_and(|value| value == "write") {
        fs::write(&path, text).unwrap();
    }
    fs::read_to_string(&path).unwrap_or_default() == text
}

/// The example in the README is what gwcap prints today.
#[test]
fn the_example_of_the_readme_is_real() {
    let run = Command::cargo_bin("gwcap")
        .unwrap()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg(EXAMPLE)
        .output()
        .unwrap();
    let report = String::from_utf8(run.stdout).unwrap();
    let shown: Vec<String> = report
        .lines()
        .map(|line| format!("    {line}").trim_end().to_owned())
        .collect();
    let (begin, end) = ("<!-- example: begin -->", "<!-- example: end -->");
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (before, rest) = readme.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let text = format!(
        "{before}{begin}\n    $ gwcap {EXAMPLE}\n{}\n{end}{after}",
        shown.join("\n")
    );
    assert!(
        is_current("README.md", &text),
        "the example in README.md is out of date: run make docs-causes"
    );
}

/// The page is made from the same values as the manual.
#[test]
fn the_page_of_causes_is_what_explain_prints() {
    let pages: Vec<String> = CAUSES
        .iter()
        .map(|cause| {
            format!(
                "## {}\n\n```text\n{}\n```\n",
                cause.code,
                manual_page(cause).trim_end()
            )
        })
        .collect();
    let text = format!(
        "# The causes\n\nWhat `gwcap --explain CODE` prints. Written by `make docs-causes`; change the cause's own \
         file in\n`src/diagnose/cause/` and never this page.\n\n{}",
        pages.join("\n")
    );
    assert!(
        is_current("docs/causes.md", &text),
        "docs/causes.md is out of date: run make docs-causes"
    );
}
