//! What clients, the gateway and its upstreams say to each other: nginx before a pool of servers, and the ways in which
//! an upstream fails it.

use super::Kind;
use super::lane::{Connection, Cutting, Lane, Leg, Payload, Side};
use super::random::Random;
use super::wire::Endpoint;

/// Where the gateway listens.
pub const FRONT: Endpoint = Endpoint {
    address: [10, 0, 0, 1],
    port: 80,
};
/// The gateway's address on the upstreams' side.
const BACK: [u8; 4] = [10, 0, 1, 1];
/// Number of upstreams, 10.0.1.10 and on, port 8080.
const UPSTREAMS: u64 = 16;
/// Ephemeral ports of Linux.
const PORTS: (u64, u64) = (32_768, 28_232);
/// Idle connections that the gateway keeps.
const POOL_MAX: usize = 64;
/// Bytes of a body that the gateway holds before it passes them on.
const BUFFER: u64 = 32_768;
const SECOND: u64 = 1_000_000_000;

/// The gateway and everything that it talks to.
pub struct Gateway {
    kind: Kind,
    random: Random,
    pool: Vec<Connection>,
    pub connections: u64,
    pub exchanges: u64,
    pub failures: Vec<Failure>,
    clients: u64,
    /// What all servers write of the time.
    date: Date,
}

/// An exchange that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Who asked.
    pub client: Endpoint,
    /// What was asked for: the number at the end of the path.
    pub path: u64,
    /// What the client was told.
    pub status: u16,
    /// The code of the cause, as gwcap names it.
    pub cause: &'static str,
}

/// A second, as HTTP writes it (RFC 9110, section 5.6.7). Captures begin on a Friday, and last some days at most.
#[derive(Clone, Copy)]
struct Date(u64);

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const DAYS: [&str; 7] = ["Fri", "Sat", "Sun", "Mon", "Tue", "Wed", "Thu"];
        let seconds = self.0 - super::FRIDAY;
        let (day, rest) = (seconds / 86_400, seconds % 86_400);
        let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
        let name = DAYS[(day % 7) as usize];
        let day = 20 + day;
        write!(
            f,
            "Date: {name}, {day:02} Nov 2026 {hour:02}:{minute:02}:{second:02} GMT"
        )
    }
}

/// A request and its answer.
struct Exchange {
    path: u64,
    /// Bytes of the body that is posted; 0 for a GET.
    posted: u64,
    /// Bytes of the answer's body.
    len: u64,
    chunked: bool,
    /// Where in all bodies this one begins.
    position: u64,
    date: Date,
}

impl Gateway {
    pub fn new(kind: Kind, random: Random) -> Self {
        Self {
            kind,
            random,
            pool: Vec::new(),
            connections: 0,
            exchanges: 0,
            failures: Vec::new(),
            clients: 0,
            date: Date(super::FRIDAY),
        }
    }

    /// A lane that has done nothing yet.
    pub fn lane(&mut self) -> Lane {
        let cutting = Cutting {
            segments_max: match self.kind {
                Kind::Mixed => 12,
                Kind::Disturbed => 2,
                _ => 1,
            },
            disturbed_per_mille: if self.kind == Kind::Disturbed { 50 } else { 0 },
            acknowledge_all: self.kind == Kind::Short,
        };
        let nobody = Connection::new(FRONT, FRONT, 0, &mut self.random);
        Lane::new([nobody.clone(), nobody], cutting)
    }

    /// Writes a lane's next exchange, which begins at `now`, nanoseconds.
    pub fn next(&mut self, lane: &mut Lane, fails: bool, now: u64) {
        lane.clear();
        self.date = Date(now / SECOND);
        self.exchanges += 1;
        let mut exchange = self.exchange();
        if self.kind != Kind::Short && self.random.chance(50) {
            lane.wait(self.random.between(0, 2 * SECOND));
        }
        if !lane.open {
            lane.connections[0] = self.client();
            lane.open(Leg::Client);
            lane.open = true;
        }
        lane.connections[0].uses += 1;
        let last = lane.connections[0].uses >= lane.connections[0].uses_max;
        let keep = if last { "close" } else { "keep-alive" };
        let request = lane.head(format_args!(
            "{} /api/items/{} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: wrk/4.1\r\n",
            exchange.method(),
            exchange.path
        ));
        let request = exchange.finish_request(lane, request, keep);
        lane.say(Leg::Client, Side::Client, request, &mut self.random);
        if fails {
            lane.failing = true;
            let (status, cause) = self.fail(lane, &exchange, keep);
            self.failures.push(Failure {
                client: lane.connections[0].client(),
                path: exchange.path,
                status,
                cause,
            });
        } else {
            self.serve(lane, &mut exchange, keep);
        }
        if last {
            lane.close(Leg::Client, Side::Server);
            lane.open = false;
        }
    }

    /// A lane's exchange is over: its upstream connection is kept.
    pub fn finished(&mut self, lane: &mut Lane) {
        lane.failing = false;
        if std::mem::take(&mut lane.pooled) {
            self.pool.push(lane.connections[1].clone());
        }
    }

    fn exchange(&mut self) -> Exchange {
        let len = match self.kind {
            Kind::Short | Kind::Flood => self.random.between(20, 160),
            Kind::Bulk => self.random.between(1_000_000, 8_000_000),
            Kind::Mixed | Kind::Disturbed => match self.random.next() % 10 {
                0..6 => self.random.between(200, 8_000),
                6..9 => self.random.between(8_000, 30_000),
                _ => self.random.between(30_000, 100_000),
            },
        };
        let posts = self.kind != Kind::Short && self.random.chance(50);
        Exchange {
            path: self.random.between(0, 9_999),
            posted: if posts {
                self.random.between(20, 3_000)
            } else {
                0
            },
            len,
            chunked: self.kind != Kind::Short && self.random.chance(200),
            position: self.random.next() >> 20,
            date: self.date,
        }
    }

    fn client(&mut self) -> Connection {
        let number = self.clients;
        self.clients += 1;
        self.connections += 1;
        let uses_max = match self.kind {
            Kind::Short => 1,
            _ => self.random.between(20, 200),
        };
        let client = Endpoint {
            address: [10, 16, (number >> 8 & 15) as u8, number as u8],
            port: (20_000 + (number >> 12) % 40_000) as u16,
        };
        Connection::new(client, FRONT, uses_max, &mut self.random)
    }

    /// A new upstream connection, not yet open.
    fn upstream(&mut self) -> Connection {
        let number = self.connections;
        self.connections += 1;
        let client = Endpoint {
            address: BACK,
            port: (PORTS.0 + number / UPSTREAMS % PORTS.1) as u16,
        };
        let server = Endpoint {
            address: [10, 0, 1, 10 + (number % UPSTREAMS) as u8],
            port: 8080,
        };
        Connection::new(client, server, 1000, &mut self.random)
    }

    /// Gives the lane an open upstream connection: one of the pool, else a new one.
    fn connect(&mut self, lane: &mut Lane) {
        match self.pool.pop() {
            Some(connection) if self.kind != Kind::Short => lane.connections[1] = connection,
            _ => {
                lane.connections[1] = self.upstream();
                lane.open(Leg::Upstream);
            }
        }
        lane.connections[1].uses += 1;
    }

    /// Sends the request on to the upstream.
    fn ask(&mut self, lane: &mut Lane, exchange: &Exchange, keep: &str) {
        let request = lane.head(format_args!(
            "{} /api/items/{} HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 10.16.0.9\r\n",
            exchange.method(),
            exchange.path
        ));
        let request = exchange.finish_request(lane, request, keep);
        lane.say(Leg::Upstream, Side::Client, request, &mut self.random);
    }

    fn serve(&mut self, lane: &mut Lane, exchange: &mut Exchange, keep: &str) {
        self.connect(lane);
        let spent = self.kind == Kind::Short
            || lane.connections[1].uses >= lane.connections[1].uses_max
            || self.pool.len() >= POOL_MAX;
        let keep_upstream = if spent { "close" } else { "keep-alive" };
        self.ask(lane, exchange, keep_upstream);
        self.relay(lane, exchange, keep_upstream, keep);
        if spent {
            lane.close(Leg::Upstream, Side::Server);
        }
        lane.pooled = !spent;
    }

    /// The answer, from the upstream to the gateway and on, a buffer at a time.
    fn relay(&mut self, lane: &mut Lane, exchange: &Exchange, keep_upstream: &str, keep: &str) {
        let mut at = 0;
        while at < exchange.len || at == 0 {
            let len = BUFFER.min(exchange.len - at);
            for (leg, server, keep) in [
                (Leg::Upstream, "gunicorn", keep_upstream),
                (Leg::Client, "nginx/1.22.1", keep),
            ] {
                let message = exchange.part(lane, at, len, server, keep);
                lane.say(leg, Side::Server, message, &mut self.random);
            }
            at += len;
        }
        if exchange.chunked {
            for leg in [Leg::Upstream, Leg::Client] {
                let end = lane.head(format_args!("\r\n0\r\n\r\n"));
                lane.say(leg, Side::Server, end, &mut self.random);
            }
        }
    }

    /// An exchange that fails, in one of the ways in which upstreams do. Gives the status and the cause.
    fn fail(&mut self, lane: &mut Lane, exchange: &Exchange, keep: &str) -> (u16, &'static str) {
        lane.connections[1] = self.upstream();
        let way = self.failures.len() % 8;
        if way >= 3 && way != 6 {
            lane.open(Leg::Upstream);
            self.ask(lane, exchange, "close");
        }
        let (status, cause) = match way {
            0..3 => {
                lane.refuse(Leg::Upstream);
                (502, "connect-refused")
            }
            3 => {
                lane.reset(Leg::Upstream, Side::Server);
                (502, "reset-before-response")
            }
            4 => {
                lane.close(Leg::Upstream, Side::Server);
                (502, "closed-before-response")
            }
            5 => {
                lane.wait(3 * SECOND);
                lane.close(Leg::Upstream, Side::Client);
                (504, "response-timeout")
            }
            6 => {
                lane.knock(Leg::Upstream, &[SECOND, 2 * SECOND]);
                lane.wait(SECOND);
                (504, "connect-timeout")
            }
            _ => {
                self.fail_behind(lane, keep);
                return (503, "upstream-returned-5xx");
            }
        };
        let phrase = if status == 502 {
            "502 Bad Gateway"
        } else {
            "504 Gateway Time-out"
        };
        let page = format!(
            "<html>\r\n<head><title>{phrase}</title></head>\r\n<body>\r\n<center><h1>{phrase}</h1></center>\r\n\
             <hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
        );
        let date = self.date;
        let answer = lane.head(format_args!(
            "HTTP/1.1 {phrase}\r\nServer: nginx/1.22.1\r\n{date}\r\nContent-Type: text/html\r\n\
             Content-Length: {}\r\nConnection: {keep}\r\n\r\n{page}",
            page.len()
        ));
        lane.say(Leg::Client, Side::Server, answer, &mut self.random);
        (status, cause)
    }

    /// The upstream itself answers 503, and the gateway passes that on.
    fn fail_behind(&mut self, lane: &mut Lane, keep: &str) {
        let date = self.date;
        for (leg, server, keep) in [
            (Leg::Upstream, "gunicorn", "close"),
            (Leg::Client, "nginx/1.22.1", keep),
        ] {
            let answer = lane.head(format_args!(
                "HTTP/1.1 503 Service Unavailable\r\nServer: {server}\r\n{date}\r\nContent-Length: 5\r\n\
                 Connection: {keep}\r\n\r\nbusy\n"
            ));
            lane.say(leg, Side::Server, answer, &mut self.random);
        }
        lane.close(Leg::Upstream, Side::Server);
    }
}

impl Exchange {
    fn method(&self) -> &'static str {
        if self.posted == 0 { "GET" } else { "POST" }
    }

    /// The end of a request's head, and its body.
    fn finish_request(&self, lane: &mut Lane, begun: Payload, keep: &str) -> Payload {
        let rest = if self.posted == 0 {
            lane.head(format_args!("Accept: */*\r\nConnection: {keep}\r\n\r\n"))
        } else {
            lane.head(format_args!(
                "Content-Type: application/json\r\nContent-Length: {}\r\nConnection: {keep}\r\n\r\n",
                self.posted
            ))
        };
        Payload {
            head: (begun.head.0, rest.head.1),
            body: (self.position, self.posted as u32),
        }
    }

    /// A part of the answer; the head before the first.
    fn part(&self, lane: &mut Lane, at: u64, len: u64, server: &str, keep: &str) -> Payload {
        let date = self.date;
        let head = match (at, self.chunked) {
            (0, false) => lane.head(format_args!(
                "HTTP/1.1 200 OK\r\nServer: {server}\r\n{date}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\nConnection: {keep}\r\n\r\n",
                self.len
            )),
            (0, true) => lane.head(format_args!(
                "HTTP/1.1 200 OK\r\nServer: {server}\r\n{date}\r\nContent-Type: application/json\r\n\
                 Transfer-Encoding: chunked\r\nConnection: {keep}\r\n\r\n{len:x}\r\n"
            )),
            (_, false) => Payload::default(),
            (_, true) => lane.head(format_args!("\r\n{len:x}\r\n")),
        };
        Payload {
            body: (self.position + at, len as u32),
            ..head
        }
    }
}
