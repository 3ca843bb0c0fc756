//! docs/causes.md is the manual pages of all causes, in the order of their precedence.

use std::fs;
use std::path::Path;

use gwcap::diagnose::cause::{CAUSES, manual_page};

/// GWCAP_DOCS=write in the environment writes the page instead of comparing with it.
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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/causes.md");
    if std::env::var_os("GWCAP_DOCS").is_some_and(|value| value == "write") {
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/causes.md is out of date: run make docs-causes"
    );
}
