//! Live interfaces. In: a name and options. Out: batches of what arrived in a tick, and the kernel's drops.
//!
//! The rule: the kernel's ring is large and never in immediate mode, which costs the captured machine half of its
//! throughput. Nobody blocks for ever: a silent interface still ticks, so that a stop and a timeout are noticed.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pcap::{Active, Capture, Device, Linktype, PacketHeader, Precision};

use crate::capture::absence::{Absence, Now};
use crate::capture::error::CaptureError;
use crate::capture::filter::{Filter, Verdict, link_type_of, pcap_message};
use crate::capture::follow::Follow;
use crate::capture::kernel_filter;
use crate::capture::ledger::{Found, Ledger};
use crate::capture::source::{FILL_BYTES_MIN, Fill, InputFacts, Source};
use crate::capture::widen::widened;
use crate::frame::{Batch, LinkType, Way};
use crate::loss::{Loss, LossName};
use crate::time::{NANOS_PER_SECOND, Timestamp};

/// Most bytes that are kept of a frame where the user says nothing: what tcpdump keeps.
pub const SNAP_LENGTH: u32 = 256 * 1024;

/// KiB of the kernel's ring where the user says nothing: nothing was dropped with it where 2 MiB, libpcap's choice, lost
/// frames.
pub const BUFFER_KIB: u32 = 16 * 1024;

/// Least time between two changes of the kernel's filter: each costs a program that is compiled.
const CHANGE_PAUSE: Duration = Duration::from_millis(500);

/// Milliseconds after which the kernel hands over what it has.
const TIMEOUT_MS: i32 = 100;

/// A tick is as long as the timeout, in naps short enough for Ctrl-C. The kernel's own timeout starts with the first
/// frame only, so a blocking read of a silent interface would never return.
const NAP: Duration = Duration::from_millis(20);
const NAPS_PER_TICK: u32 = 5;

/// Changes of the filter that were refused: upstreams that are named as followed are not.
const NOT_WIDENED: LossName = "filter_not_widened";

/// Changes of the filter during which frames may have passed that nobody counted.
const FILTER_PAUSES: LossName = "filter_changes_with_a_pause";

/// Times that the interface went away.
const ABSENCES: LossName = "interface_absences";

/// The device that stands for all interfaces on Linux.
const ANY: &str = "any";

/// How to capture on an interface.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// Most bytes that are kept of a frame; 0 stands for [`SNAP_LENGTH`].
    pub snap_length: u32,
    /// Whether frames for other machines are wanted.
    pub promiscuous: bool,
    /// KiB of the kernel's ring; 0 stands for 16 MiB, with which nothing was dropped where 2 MiB lost frames.
    pub buffer_kib: u32,
    /// Whether the filter is taken literally; else it is widened by what diagnosis needs.
    pub strict_filter: bool,
    /// Whether each frame is asked whether the user's own filter lets it pass, for whoever writes what it does.
    pub tell_asked: bool,
    /// Upstreams whose packets pass a filter that is not strict, too.
    pub follow: Follow,
    /// Ends the capture from elsewhere.
    pub stop: StopHandle,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            snap_length: SNAP_LENGTH,
            promiscuous: true,
            buffer_kib: 0,
            strict_filter: false,
            tell_asked: false,
            follow: Follow::default(),
            stop: StopHandle::default(),
        }
    }
}

/// Ends live captures from a signal handler or another thread. All clones are one handle.
///
/// It is a flag and not `pcap_breakloop`, which needs a lock-free capture that is known to be alive; the capture
/// looks at it after each frame and each nap.
#[derive(Clone, Debug, Default)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    /// Asks for the end: frames that the kernel holds are still handed over, then comes [`Fill::End`].
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for `signal_hook::flag::register`.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

/// A capture on an interface.
pub struct LiveSource {
    capture: Capture<Active>,
    link: LinkType,
    ledger: Ledger,
    stop: StopHandle,
    widening: Option<Widening>,
    /// The user's own filter, where a wider one is in the kernel and it matters which frames were asked for.
    own_filter: Option<Filter>,
    dropped: u32,
    /// What the interface itself dropped so far; `None` once it was away, after which the kernel counts another's.
    interface_dropped: Option<u32>,
    /// Waits for an interface that went away; none for `any`, which never does.
    absence: Option<Absence>,
    finished: bool,
}

impl LiveSource {
    /// Opens `interface`.
    ///
    /// # Errors
    /// Without the capability, for a name that no interface has, for a filter that does not compile, and when
    /// libpcap refuses.
    pub(super) fn open(
        interface: &str,
        options: &LiveOptions,
        filter: Option<&str>,
        input: u16,
    ) -> Result<Self, CaptureError> {
        check_permission(interface)?;
        check_name(interface)?;
        let snap_length = match options.snap_length {
            0 => SNAP_LENGTH,
            length => length,
        };
        // Promiscuous mode does not exist for `any`: libpcap warns, and the crate takes warnings for errors.
        let promiscuous = options.promiscuous && interface != ANY;
        let buffer_kib = match options.buffer_kib {
            0 => BUFFER_KIB,
            kib => kib,
        };
        let mut capture = match activate(interface, snap_length, promiscuous, buffer_kib) {
            Err(_) if promiscuous => activate(interface, snap_length, false, buffer_kib),
            outcome => outcome,
        }
        .map_err(|error| refused(interface, &error))?;
        if interface == ANY {
            // Version 2 of the cooked header names the interface; where it is not offered, version 1 stays.
            let _ = capture.set_datalink(Linktype(LinkType::LINUX_SLL2.0.cast_signed()));
        }
        let link = link_type_of(capture.get_datalink());
        // After the link type is chosen, because the compiled program depends on it.
        if let Some(expression) = filter {
            set_filter(&mut capture, link, expression)?;
        }
        let widening = filter
            .filter(|_| !options.strict_filter)
            .map(|user| Widening::new(user, options.follow.clone()));
        let widened = widening.as_ref().map(|it| it.expression(link));
        if let Some(expression) = &widened {
            set_filter(&mut capture, link, expression)?;
        }
        let own_filter = match filter.filter(|_| options.tell_asked && widening.is_some()) {
            Some(user) => Some(Filter::new(user)?),
            None => None,
        };
        let capture = capture
            .setnonblock()
            .map_err(|error| refused(interface, &error))?;
        let absence = match interface {
            ANY => None,
            _ => Absence::of(&capture, interface, promiscuous),
        };
        let mut ledger = Ledger::new(input, interface.to_owned(), None);
        ledger.facts.format = "live";
        ledger.facts.filter = filter.map(str::to_owned);
        ledger.facts.widened = widened;
        ledger.facts.note_link(link);
        ledger.facts.note_snap_length(snap_length);
        Ok(Self {
            capture,
            link,
            ledger,
            stop: options.stop.clone(),
            widening,
            own_filter,
            dropped: 0,
            interface_dropped: Some(0),
            absence,
            finished: false,
        })
    }

    /// Widens the kernel's filter by the upstreams that are followed since the last call.
    fn follow(&mut self) {
        if let Some(widening) = &mut self.widening
            && let Some(expression) = widening.changed(self.link)
        {
            let replaced = match kernel_filter::replace(&self.capture, self.link, &expression) {
                Ok(()) => Ok(()),
                Err(_) => set_filter(&mut self.capture, self.link, &expression)
                    .inspect(|()| self.ledger.loss.add(FILTER_PAUSES, 1)),
            };
            match replaced {
                Ok(()) => self.ledger.facts.widened = Some(expression),
                // The user's own words compiled before: a name in them cannot be looked up any more, and the filter of
                // before stays.
                Err(_) => self.ledger.loss.add(NOT_WIDENED, 1),
            }
        }
    }

    /// Copies frames that the kernel holds, until it has none or the batch is full.
    fn drain(&mut self, batch: &mut Batch, bytes_max: usize) -> Result<(), CaptureError> {
        while batch.bytes.len() < bytes_max.max(FILL_BYTES_MIN) {
            let packet = match self.capture.next_packet() {
                Ok(packet) => packet,
                Err(pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets) => return Ok(()),
                Err(error) => match self.find(&pcap_message(&error)) {
                    Now::Here => continue,
                    Now::Away => return Ok(()),
                    Now::Lost(_) if self.ledger.facts.frames == 0 => {
                        return Err(refused(&self.ledger.facts.path, &error));
                    }
                    Now::Lost(why) => {
                        self.give_up(&why);
                        return Ok(());
                    }
                },
            };
            let found = Found {
                start: batch.bytes.len(),
                captured_len: u32::try_from(packet.data.len()).unwrap_or(u32::MAX),
                original_len: packet.header.len,
                time: Some(time(packet.header)),
                link: self.link,
                way: Way::Unknown,
                offset: self.ledger.facts.bytes,
            };
            batch.bytes.extend_from_slice(packet.data);
            let read = u64::from(found.captured_len);
            self.ledger.facts.bytes = self.ledger.facts.bytes.saturating_add(read);
            let asked = match &mut self.own_filter {
                Some(filter) => filter.judge(self.link, packet.data)? == Verdict::Pass,
                None => true,
            };
            self.ledger.frame(&batch.bytes, &mut batch.records, found)?;
            if let Some(record) = batch.records.last_mut() {
                record.asked = asked;
            }
        }
        Ok(())
    }

    /// Looks for the interface after libpcap has said `error`, and notes when it goes and comes.
    fn find(&mut self, error: &str) -> Now {
        let Some(absence) = &mut self.absence else {
            return Now::Lost(error.to_owned());
        };
        let was_away = absence.is_away();
        let now = absence.look(&self.capture, error);
        // One that was made again at once was away too.
        if !was_away && !matches!(now, Now::Lost(_)) {
            self.ledger.loss.add(ABSENCES, 1);
            self.interface_dropped = None;
        }
        self.ledger.facts.away = absence.is_away();
        now
    }

    /// Ends the capture: what was seen until then is judged all the same.
    fn give_up(&mut self, why: &str) {
        let offset = self.ledger.facts.bytes;
        let what = format!("the capture ended by itself: {why}");
        self.ledger.unreadable(offset, what);
        self.finished = true;
    }

    /// Adds what the kernel dropped since the last call. Its counters are 32 bits wide and turn over.
    fn count_drops(&mut self) {
        let Ok(now) = self.capture.stats() else {
            return;
        };
        let dropped = now.dropped.wrapping_sub(self.dropped);
        let by_interface = self
            .interface_dropped
            .map_or(0, |before| now.if_dropped.wrapping_sub(before));
        self.ledger
            .dropped(u64::from(dropped), u64::from(by_interface));
        self.dropped = now.dropped;
        self.interface_dropped = self.interface_dropped.and(Some(now.if_dropped));
    }
}

impl Source for LiveSource {
    fn fill(&mut self, batch: &mut Batch, bytes_max: usize) -> Result<Fill, CaptureError> {
        batch.clear();
        if self.finished {
            return Ok(Fill::End);
        }
        if self.ledger.facts.away {
            std::thread::sleep(NAP.saturating_mul(NAPS_PER_TICK));
            if self.stop.is_stopped() {
                self.finished = true;
                return Ok(Fill::End);
            }
            if let Now::Lost(why) = self.find("") {
                self.give_up(&why);
                return Ok(Fill::End);
            }
            return Ok(Fill::Quiet);
        }
        for _ in 0..NAPS_PER_TICK {
            self.follow();
            if self.stop.is_stopped() {
                // The kernel hands over a block that is not full only after its timeout.
                std::thread::sleep(NAP.saturating_mul(NAPS_PER_TICK.saturating_add(1)));
                self.finished = true;
                self.drain(batch, bytes_max)?;
                return Ok(Fill::End);
            }
            self.drain(batch, bytes_max)?;
            if self.finished {
                return Ok(Fill::End);
            }
            if !batch.records.is_empty() {
                return Ok(Fill::More);
            }
            std::thread::sleep(NAP);
        }
        Ok(Fill::Quiet)
    }

    fn describe(&self) -> InputFacts {
        self.ledger.facts.clone()
    }

    fn loss(&mut self) -> Loss {
        self.count_drops();
        std::mem::take(&mut self.ledger.loss)
    }
}

/// The user's filter and what it is widened by while the capture runs.
struct Widening {
    user: String,
    follow: Follow,
    followed: usize,
    since: Instant,
}

impl Widening {
    fn new(user: &str, follow: Follow) -> Self {
        Self {
            user: user.to_owned(),
            followed: follow.count(),
            follow,
            since: Instant::now(),
        }
    }

    fn expression(&self, link: LinkType) -> String {
        widened(&self.user, link, self.follow.all().iter())
    }

    /// The new expression, where upstreams were added since the last one.
    fn changed(&mut self, link: LinkType) -> Option<String> {
        let count = self.follow.count();
        if count == self.followed || self.since.elapsed() < CHANGE_PAUSE {
            return None;
        }
        self.followed = count;
        self.since = Instant::now();
        Some(self.expression(link))
    }
}

fn set_filter(
    capture: &mut Capture<impl pcap::Activated + ?Sized>,
    link: LinkType,
    expression: &str,
) -> Result<(), CaptureError> {
    capture
        .filter(expression, true)
        .map_err(|error| CaptureError::Filter {
            expression: expression.to_owned(),
            link,
            message: pcap_message(&error),
        })
}

fn activate(
    interface: &str,
    snap_length: u32,
    promiscuous: bool,
    buffer_kib: u32,
) -> Result<Capture<Active>, pcap::Error> {
    Capture::from_device(interface)?
        .snaplen(i32::try_from(snap_length).unwrap_or(i32::MAX))
        .promisc(promiscuous)
        .timeout(TIMEOUT_MS)
        .buffer_size(i32::try_from(u64::from(buffer_kib) * 1024).unwrap_or(i32::MAX))
        .precision(Precision::Nano)
        .open()
}

fn refused(interface: &str, error: &pcap::Error) -> CaptureError {
    CaptureError::Live {
        interface: interface.to_owned(),
        message: pcap_message(error),
    }
}

/// libpcap tells a missing permission in words that differ by version; the capability itself is certain.
fn check_permission(interface: &str) -> Result<(), CaptureError> {
    match caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_NET_RAW) {
        Ok(false) => Err(CaptureError::NoPermission {
            interface: interface.to_owned(),
        }),
        // Where it cannot be asked for, libpcap may try.
        Ok(true) | Err(_) => Ok(()),
    }
}

fn check_name(interface: &str) -> Result<(), CaptureError> {
    let Ok(devices) = Device::list() else {
        return Ok(());
    };
    if devices.iter().any(|device| device.name == interface) {
        return Ok(());
    }
    Err(CaptureError::NoSuchInterface {
        interface: interface.to_owned(),
        available: devices.into_iter().map(|device| device.name).collect(),
    })
}

/// The ring is asked for nanoseconds; on Linux libpcap always grants them.
fn time(header: &PacketHeader) -> Timestamp {
    #[allow(
        clippy::useless_conversion,
        reason = "the width of timeval differs between platforms"
    )]
    let (seconds, fraction) = (i64::from(header.ts.tv_sec), i64::from(header.ts.tv_usec));
    Timestamp(seconds.saturating_mul(NANOS_PER_SECOND)).plus_nanos(fraction)
}

/// An interface that can be captured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The name for `-i`.
    pub name: String,
    /// libpcap's description, where it has one.
    pub description: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is a loopback interface.
    pub loopback: bool,
}

/// The interfaces of this machine, in libpcap's order: the likely ones first.
///
/// # Errors
/// When libpcap cannot list them.
pub fn interfaces() -> Result<Vec<Interface>, CaptureError> {
    let devices = Device::list().map_err(|error| CaptureError::Interfaces {
        message: pcap_message(&error),
    })?;
    let interfaces = devices.into_iter().map(|device| Interface {
        up: device.flags.is_up(),
        loopback: device.flags.is_loopback(),
        name: device.name,
        description: device.desc,
        addresses: device
            .addresses
            .iter()
            .map(|address| address.addr)
            .collect(),
    });
    Ok(interfaces.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::ledger::KERNEL_DROPS;
    use std::net::UdpSocket;

    /// Whether this process may capture; without the capability only the refusal can be tested.
    fn may_capture() -> bool {
        check_permission("lo").is_ok()
    }

    /// Captures what `socket` sends to itself until the frame with `word` is seen, for two seconds at most.
    fn capture_own_datagram(interface: &str, word: &[u8]) -> (LinkType, u64) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let options = LiveOptions::default();
        let filter = format!("udp and port {}", address.port());
        let mut source = LiveSource::open(interface, &options, Some(&filter), 0).unwrap();
        let mut batch = Batch::default();
        assert_eq!(source.fill(&mut batch, 0).unwrap(), Fill::Quiet);
        socket.send_to(word, address).unwrap();
        for _ in 0..20 {
            source.fill(&mut batch, 1 << 20).unwrap();
            if let Some(record) = batch.records.first() {
                assert!(batch.frame(record).data.ends_with(word));
                options.stop.stop();
                assert_eq!(source.fill(&mut batch, 1 << 20).unwrap(), Fill::End);
                assert_eq!(source.loss().get(KERNEL_DROPS), 0);
                let facts = source.describe();
                assert!(facts.first_time > Some(Timestamp(1_700_000_000 * NANOS_PER_SECOND)));
                return (record_link(&facts), facts.frames);
            }
        }
        panic!("the datagram was not captured");
    }

    fn record_link(facts: &InputFacts) -> LinkType {
        facts.link_types[0]
    }

    #[test]
    fn a_datagram_on_loopback_and_on_any() {
        if may_capture() {
            assert_eq!(capture_own_datagram("lo", b"one").0, LinkType::ETHERNET);
            assert_eq!(capture_own_datagram(ANY, b"two").0, LinkType::LINUX_SLL2);
        }
    }

    /// While datagrams come without a pause the filter is exchanged again and again, and all of them are there.
    #[test]
    fn a_wider_filter_loses_nothing() {
        const CHANGES: u16 = 3;
        if !may_capture() {
            return;
        }
        for interface in ["lo", ANY] {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let address = socket.local_addr().unwrap();
            let options = LiveOptions::default();
            let filter = format!("udp and dst port {}", address.port());
            let mut source = LiveSource::open(interface, &options, Some(&filter), 0).unwrap();
            let done = Arc::new(AtomicBool::new(false));
            let over = Arc::clone(&done);
            let sender = std::thread::spawn(move || {
                let mut sent = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    socket.send_to(b"again", address).unwrap();
                    sent += 1;
                    std::thread::sleep(Duration::from_micros(50));
                }
                sent
            });
            let (mut batch, mut changed, mut seen) = (Batch::default(), 0, 0);
            // Others may speak meanwhile, and the wider filter lets them pass.
            let count = |batch: &Batch| {
                let records = batch.records.iter();
                let own = records.filter(|record| batch.frame(record).data.ends_with(b"again"));
                own.count() as u64
            };
            let mut expression = source.describe().widened;
            while changed < CHANGES {
                let host = IpAddr::from([10, 0, 0, 7]);
                let (addr, port) = (host, 9_000 + changed);
                options.follow.add(crate::flow::Endpoint { addr, port });
                source.fill(&mut batch, 1 << 20).unwrap();
                seen += count(&batch);
                let now = source.describe().widened;
                changed += u16::from(now != expression);
                expression = now;
            }
            done.store(true, Ordering::Relaxed);
            let sent = sender.join().unwrap();
            options.stop.stop();
            while source.fill(&mut batch, 1 << 20).unwrap() != Fill::End {
                seen += count(&batch);
            }
            seen += count(&batch);
            let loss = source.loss();
            assert_eq!(loss.get(KERNEL_DROPS), 0);
            assert_eq!(loss.get(FILTER_PAUSES), 0);
            assert_eq!(seen, sent, "{interface}");
        }
    }

    #[test]
    fn refusals_say_why() {
        let open = |name: &str, filter| {
            let error = LiveSource::open(name, &LiveOptions::default(), filter, 0).err();
            error.map(|error| error.to_string()).unwrap_or_default()
        };
        if may_capture() {
            assert!(
                open("nosuch0", None).contains("there is no interface nosuch0; choose one of: ")
            );
            assert!(open("lo", Some("port what-is-this")).contains("does not compile"));
        } else {
            assert!(open("lo", None).contains("setcap"));
        }
    }

    #[test]
    fn interfaces_have_names() {
        if let Ok(interfaces) = interfaces() {
            assert!(
                interfaces
                    .iter()
                    .all(|interface| !interface.name.is_empty())
            );
        }
    }
}
