//! The recorder: frames of failures while a capture goes on. In: batches and findings. Out: a pcapng file an incident.
//!
//! The rule: nothing is written while nothing fails; memory, files and their rate are bounded, and what a bound kept out is
//! counted and told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use gwcap::capture::{Holding, InputFacts, Ring, Section, Writer};
use gwcap::diagnose::finding::{Finding, Warning};
use gwcap::frame::{Batch, Frame, FrameId};
use gwcap::loss::{Loss, LossName};
use gwcap::report::evidence::{Reach, Slice};
use gwcap::time::{NANOS_PER_SECOND, Timestamp};

use crate::cli::Evidence;
use crate::run::dump::APPLICATION;
use crate::run::failure::Failure;
use crate::run::folder::Folder;
use crate::run::secrets::{Lent, OfFile};
use crate::run::slice::remarks_at_the_head;

/// Least nanoseconds between two files of one incident: an outage of an hour is sixty samples and not thousands.
const SAME_INCIDENT_NANOS_MIN: i64 = 60 * NANOS_PER_SECOND;

/// Most files within a minute, whatever fails: each costs a walk over the ring.
const FILES_PER_MINUTE_MAX: usize = 10;

/// Most findings of a file: they are frames enough to understand any incident.
const FINDINGS_PER_FILE_MAX: usize = 1_000;

/// Most findings and incidents that are remembered as known: as many as an analysis keeps.
const KNOWN_MAX: usize = gwcap::diagnose::FINDINGS_MAX;

/// How long after its error a finding may get a new revision, nanoseconds: no file is written before.
const REVISED_NANOS: i64 = 3 * NANOS_PER_SECOND;

/// How long after its time a file is written where no frame tells the time any more.
const QUIET: Duration = Duration::from_secs(2);

/// Findings whose frames were not written, because there were many.
const NOT_WRITTEN: LossName = "evidence_findings_not_written";
/// Frames that findings name and that had left the ring.
const GONE: LossName = "evidence_frames_gone_from_ring";
/// Files that could not be written.
const FAILED: LossName = "evidence_files_not_written";

/// What waits for its last frames.
struct Pending {
    incident: String,
    /// Id of the one that began it.
    first: String,
    /// Each in its last revision, by id.
    findings: BTreeMap<String, Finding>,
    due: Timestamp,
    since: Instant,
}

/// The recorder.
pub struct Incidents {
    ring: Ring,
    folder: Folder,
    reach: Reach,
    ring_bytes: usize,
    show_secrets: bool,
    lent: Option<Lent>,
    clock: Timestamp,
    pending: Vec<Pending>,
    known: BTreeSet<String>,
    /// When each incident was written last.
    written: BTreeMap<String, Timestamp>,
    /// The files of the last minute.
    recent: VecDeque<Timestamp>,
    loss: Loss,
    failure: Option<Failure>,
}

impl Incidents {
    /// Opens the folder.
    ///
    /// # Errors
    /// A folder in which nothing can be written.
    pub fn open(
        evidence: &Evidence,
        show_secrets: bool,
        lent: Option<Lent>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            ring: Ring::new(evidence.ring_bytes),
            folder: Folder::open(&evidence.path, evidence.keep)?,
            reach: evidence.reach,
            ring_bytes: evidence.ring_bytes,
            show_secrets,
            lent,
            clock: Timestamp::MIN,
            pending: Vec::new(),
            known: BTreeSet::new(),
            written: BTreeMap::new(),
            recent: VecDeque::new(),
            loss: Loss::default(),
            failure: None,
        })
    }

    /// Keeps the frames of a batch.
    pub fn frames(&mut self, batch: &Batch) {
        self.ring.push(batch);
        let times = batch.records.iter().map(|record| record.mark.time);
        self.clock = times.fold(self.clock, Timestamp::max);
    }

    /// Takes a finding, or a new revision of one: its frames are written when what follows it has come.
    pub fn note(&mut self, finding: &Finding) {
        if self.known.contains(&finding.id) {
            let mut pending = self.pending.iter_mut();
            if let Some(old) = pending.find_map(|it| it.findings.get_mut(&finding.id)) {
                old.clone_from(finding);
            }
            return;
        }
        if self.known.len() >= KNOWN_MAX {
            self.loss.add(NOT_WRITTEN, 1);
            return;
        }
        self.known.insert(finding.id.clone());
        let waiting = |pending: &&mut Pending| pending.incident == finding.incident;
        if let Some(pending) = self.pending.iter_mut().find(waiting) {
            if pending.findings.len() < FINDINGS_PER_FILE_MAX {
                pending.findings.insert(finding.id.clone(), finding.clone());
            } else {
                self.loss.add(NOT_WRITTEN, 1);
            }
            return;
        }
        if !self.may_begin(finding) {
            self.loss.add(NOT_WRITTEN, 1);
            return;
        }
        let wait = self.reach.after_nanos.max(REVISED_NANOS);
        self.pending.push(Pending {
            incident: finding.incident.clone(),
            first: finding.id.clone(),
            findings: BTreeMap::from([(finding.id.clone(), finding.clone())]),
            due: finding.at.time.plus_nanos(wait),
            since: Instant::now(),
        });
    }

    /// Writes what has waited long enough.
    pub fn settle(&mut self, inputs: &[InputFacts]) {
        let wait = self.reach.after_nanos.max(REVISED_NANOS);
        let patience = Duration::from_nanos(u64::try_from(wait).unwrap_or(0)).saturating_add(QUIET);
        let clock = self.clock;
        let is_due =
            |pending: &Pending| pending.due <= clock || pending.since.elapsed() >= patience;
        if !self.pending.iter().any(is_due) {
            return;
        }
        let (due, waiting) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(is_due);
        self.pending = waiting;
        for pending in due {
            self.write(&pending, inputs);
        }
    }

    /// The run is over: writes all that waits. What was lost, what to warn of, and the first file that failed.
    pub fn finish(
        mut self,
        findings: &[Finding],
        inputs: &[InputFacts],
    ) -> (Loss, Vec<Warning>, Option<Failure>) {
        findings.iter().for_each(|finding| self.note(finding));
        for pending in std::mem::take(&mut self.pending) {
            self.write(&pending, inputs);
        }
        let mut warnings = Vec::new();
        let (gone, not_written) = (self.loss.get(GONE), self.loss.get(NOT_WRITTEN));
        if gone > 0 {
            warnings.push(Warning {
                code: "evidence-left-the-ring",
                message: format!(
                    "{gone} frames of findings had left the ring before they were written."
                ),
                remedy: "Give --ring more memory.".to_owned(),
            });
        }
        if not_written > 0 {
            warnings.push(Warning {
                code: "evidence-limited",
                message: format!(
                    "The frames of {not_written} findings were not written: an incident has a file a minute."
                ),
                remedy: "Write all frames with --write-all, or look at the files of the same cause."
                    .to_owned(),
            });
        }
        (self.loss, warnings, self.failure)
    }

    /// Whether a file more is within the limits.
    fn may_begin(&mut self, finding: &Finding) -> bool {
        let now = finding.at.time;
        let minute_ago = now.plus_nanos(-60 * NANOS_PER_SECOND);
        while self.recent.front().is_some_and(|time| *time < minute_ago) {
            self.recent.pop_front();
        }
        let again = self.written.get(&finding.incident);
        let too_soon = again.is_some_and(|last| now.nanos_since(*last) < SAME_INCIDENT_NANOS_MIN);
        if too_soon || self.recent.len() >= FILES_PER_MINUTE_MAX {
            return false;
        }
        self.recent.push_back(now);
        if self.written.len() < KNOWN_MAX || self.written.contains_key(&finding.incident) {
            self.written.insert(finding.incident.clone(), now);
        }
        true
    }

    fn write(&mut self, pending: &Pending, inputs: &[InputFacts]) {
        let Some(first) = pending.findings.get(&pending.first) else {
            return;
        };
        let slice = &mut Slice::default();
        let mut findings: Vec<&Finding> = pending.findings.values().collect();
        findings.sort_by_key(|finding| finding.at);
        for finding in findings {
            slice.add(finding, self.reach, self.show_secrets);
        }
        let mut missing: BTreeSet<FrameId> = slice.decisive().collect();
        let until = slice.span().map_or(Timestamp::MIN, |span| span.until);
        let around = self.ring.frames(slice.from(), until);
        let frames: Vec<Frame<'_>> = around.filter(|frame| slice.wants(frame)).collect();
        for frame in &frames {
            missing.remove(&frame.mark.frame);
        }
        let mut comments = remarks_at_the_head(slice, self.lent.is_some());
        comments.extend(self.gap(slice, missing.len()));
        self.loss.add(GONE, missing.len() as u64);
        let section = Section {
            holding: Holding::Slice,
            application: APPLICATION,
            comments: &comments,
        };
        let mut lost = Loss::default();
        let write = |out: &mut dyn io::Write| {
            let mut writer = Writer::new(out, &section, inputs)?;
            let mut secrets = OfFile::new(self.lent.as_ref());
            for frame in &frames {
                if let Some(lines) = secrets.before(frame) {
                    writer.secrets(&lines)?;
                }
                writer.frame(frame, slice.remarks(frame.mark.frame), inputs)?;
            }
            lost = writer.finish(inputs)?.1;
            Ok(())
        };
        if let Err(failure) = self.folder.store(&stem(first), write) {
            self.loss.add(FAILED, 1);
            self.failure.get_or_insert(failure);
        }
        self.loss.merge(lost);
    }

    /// What had left the ring before it could be written, in words.
    fn gap(&self, slice: &Slice, missing: usize) -> Option<String> {
        let left = self.ring.left()?;
        let span = slice.span()?;
        (left.until >= span.from || missing > 0).then(|| {
            format!(
                "Frames up to {} had left the ring of {} bytes: earlier ones are not here, {missing} of them decisive.",
                left.until.rfc3339(),
                self.ring_bytes
            )
        })
    }
}

/// A file's name: the time, the cause, the gateway and the upstream, in characters that every system takes.
fn stem(finding: &Finding) -> String {
    let time = finding.at.time.rfc3339();
    // To the millisecond, without what separates: 20261120T134239.812Z.
    let time: String = time
        .chars()
        .filter(|c| !"-:Z".contains(*c))
        .take(19)
        .collect();
    let gateway = finding.exchange.connection.server.to_string();
    let upstream = finding.upstream.map(|upstream| upstream.to_string());
    let upstream = upstream.unwrap_or_else(|| "no-upstream".to_owned());
    let safe = |text: &str| -> String {
        let kept = text.chars().filter(|c| !"[]".contains(*c));
        kept.map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
            _ => '_',
        })
        .collect()
    };
    format!(
        "{time}Z-{}-{}-{}",
        safe(finding.code),
        safe(&gateway),
        safe(&upstream)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    use gwcap::analyzer::{Analyzer, Options};
    use gwcap::capture;
    use gwcap::frame::{LinkType, Mark, Record, Way};

    const CASE: &str = "captures/nginx-connect-refused/capture.pcapng";

    /// The frames of a case, and its first finding.
    fn case() -> (Batch, Finding) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(CASE);
        let mut source = capture::open_file(&path, 0, None).unwrap();
        let mut batch = Batch::default();
        source.fill(&mut batch, 1 << 20).unwrap();
        let mut analyzer = Analyzer::new(Options::default());
        analyzer.feed(&batch);
        let finding = analyzer.finish().diagnosis.findings.swap_remove(0);
        (batch, finding)
    }

    /// Frames that nobody decodes, one microsecond apart from `time` on.
    fn noise(time: Timestamp, bytes: usize) -> Batch {
        let mut batch = Batch {
            bytes: vec![0; 1_500],
            ..Batch::default()
        };
        for number in 0..bytes as u64 / 1_500 {
            batch.records.push(Record {
                start: 0,
                captured_len: 1_500,
                original_len: 1_500,
                mark: Mark {
                    time: time.plus_nanos(number as i64 * 1_000),
                    frame: FrameId::new(0, 1_000_000 + number),
                },
                link: LinkType::ETHERNET,
                way: Way::Unknown,
                offset: 0,
                asked: true,
            });
        }
        batch
    }

    fn recorder(folder: &Path) -> Incidents {
        let evidence = Evidence {
            path: folder.to_owned(),
            reach: Reach {
                before_nanos: 10 * NANOS_PER_SECOND,
                after_nanos: 5 * NANOS_PER_SECOND,
            },
            ring_bytes: 4 << 20,
            keep: 1_000,
            with_secrets: false,
        };
        Incidents::open(&evidence, false, None).unwrap()
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The same failure `seconds` later, as another finding of `incident`.
    fn later(finding: &Finding, seconds: i64, incident: &str) -> Finding {
        let mut later = finding.clone();
        later.at.time = later.at.time.plus_millis(seconds * 1_000);
        later.id = format!("f-{seconds}-{incident}");
        incident.clone_into(&mut later.incident);
        later
    }

    #[test]
    fn a_file_is_written_when_what_follows_has_come() {
        let folder = tempfile::tempdir().unwrap();
        let (batch, finding) = case();
        let mut recorder = recorder(folder.path());
        recorder.frames(&batch);
        recorder.settle(&[]);
        recorder.note(&finding);
        recorder.note(&finding);
        recorder.settle(&[]);
        assert_eq!(files(folder.path()).len(), 0, "five seconds are not over");
        recorder.frames(&noise(finding.at.time.plus_millis(5_100), 1_500));
        recorder.settle(&[]);
        assert_eq!(files(folder.path()).len(), 1);
        let (loss, warnings, failure) = recorder.finish(&[finding], &[]);
        assert_eq!((loss, warnings.len()), (Loss::default(), 0));
        assert!(failure.is_none());
        assert_eq!(files(folder.path()).len(), 1, "the finding was known");
    }

    #[test]
    fn a_file_tells_the_last_revision() {
        let folder = tempfile::tempdir().unwrap();
        let (batch, finding) = case();
        let mut recorder = recorder(folder.path());
        recorder.frames(&batch);
        let early = Finding {
            code: "connect-timeout",
            incident: "i9".to_owned(),
            ..finding.clone()
        };
        recorder.note(&early);
        recorder.note(&finding);
        let (_, _, failure) = recorder.finish(&[finding], &[]);
        assert!(failure.is_none());
        let files = files(folder.path());
        assert_eq!(files.len(), 1);
        assert!(
            files[0]
                .display()
                .to_string()
                .contains("Z-connect-refused-")
        );
        let bytes = std::fs::read(&files[0]).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("connect-timeout"));
    }

    #[test]
    fn what_has_left_the_ring_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (batch, finding) = case();
        let mut recorder = recorder(folder.path());
        recorder.frames(&batch);
        recorder.frames(&noise(finding.at.time, 8 << 20));
        let (loss, warnings, _) = recorder.finish(std::slice::from_ref(&finding), &[]);
        let decisive = finding.evidence.iter().map(|evidence| evidence.mark.frame);
        let decisive: BTreeSet<FrameId> = decisive.collect();
        assert!(loss.get(GONE) >= decisive.len() as u64);
        assert_eq!(warnings[0].code, "evidence-left-the-ring");
        let bytes = std::fs::read(&files(folder.path())[0]).unwrap();
        assert!(String::from_utf8_lossy(&bytes).contains("had left the ring of 4194304 bytes"));
    }

    #[test]
    fn an_outage_has_a_file_a_minute_and_many_have_ten() {
        let folder = tempfile::tempdir().unwrap();
        let (batch, finding) = case();
        let mut recorder = recorder(folder.path());
        recorder.frames(&batch);
        // Ten minutes of one failure a second; what comes while a file waits for its last frames is in that file.
        for second in 0..600 {
            let next = later(&finding, second, "i1");
            recorder.frames(&noise(next.at.time, 1_500));
            recorder.note(&next);
            recorder.settle(&[]);
        }
        assert_eq!(files(folder.path()).len(), 10);
        for other in 0..20 {
            recorder.note(&later(&finding, 1_000, &format!("j{other}")));
        }
        let (loss, warnings, _) = recorder.finish(&[], &[]);
        assert_eq!(files(folder.path()).len(), 20);
        assert!(loss.get(NOT_WRITTEN) > 500);
        assert_eq!(warnings.last().unwrap().code, "evidence-limited");
    }

    #[test]
    fn a_disk_that_is_full_does_not_end_the_watch() {
        let folder = tempfile::tempdir().unwrap();
        let (batch, finding) = case();
        let mut recorder = recorder(folder.path());
        recorder.frames(&batch);
        recorder.note(&finding);
        std::fs::remove_dir(folder.path()).unwrap();
        let (loss, _, failure) = recorder.finish(&[], &[]);
        assert_eq!(loss.get(FAILED), 1);
        assert_eq!(failure.unwrap().code, 5);
    }

    #[test]
    fn names_have_safe_characters_only() {
        let (_, mut finding) = case();
        finding.at.time = Timestamp(1_795_182_159_812_941_360);
        finding.exchange.connection.server = "[fe80::1]:443"
            .parse::<std::net::SocketAddr>()
            .map(|addr| gwcap::flow::Endpoint::new(addr.ip(), addr.port()))
            .unwrap();
        finding.upstream = None;
        let name = stem(&finding);
        assert_eq!(
            name,
            "20261120T134239.812Z-connect-refused-fe80__1_443-no-upstream"
        );
    }
}
