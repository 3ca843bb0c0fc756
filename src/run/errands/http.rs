//! As much of HTTP/1.1 as a scraper needs. In: a connection and the page. Out: one answer, and the connection is over.
//!
//! The rule: the head of a request is bounded in bytes and in time, whatever trickles in; nothing of it is repeated.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Longest time from the connection to the end of its request's head, and again to the end of the answer.
const CLIENT_TIME: Duration = Duration::from_secs(5);

/// Bytes that are written before the clock is looked at.
const CHUNK_BYTES: usize = 16 * 1024;

/// Where the page is.
const PATH: &str = "/metrics";

/// Answers one request.
///
/// # Errors
/// A client that is too slow, or gone.
pub fn answer(client: &TcpStream, page: Option<&str>) -> io::Result<()> {
    let until = Instant::now() + CLIENT_TIME;
    let head = read_head(client, until)?;
    let until = Instant::now() + CLIENT_TIME;
    let answer = answer_to(head.as_deref(), page);
    for chunk in answer.as_bytes().chunks(CHUNK_BYTES) {
        client.set_write_timeout(Some(left(until)?))?;
        (&mut &*client).write_all(chunk)?;
    }
    Ok(())
}

/// The head of the request; `None` where it is too long.
fn read_head(client: &TcpStream, until: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1_024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX {
            return Ok(None);
        }
        client.set_read_timeout(Some(left(until)?))?;
        let read = (&mut &*client).read(&mut chunk)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(chunk.get(..read).unwrap_or_default());
    }
    Ok(Some(head))
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

/// The whole answer to a head.
fn answer_to(head: Option<&[u8]>, page: Option<&str>) -> String {
    let Some(head) = head else {
        return whole(
            "431 Request Header Fields Too Large",
            "too long\n",
            false,
            "",
        );
    };
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(version)) = (method, target, version) else {
        return whole("400 Bad Request", "no HTTP\n", false, "");
    };
    if !version.starts_with(b"HTTP/1.") || words.next().is_some() {
        return whole("400 Bad Request", "no HTTP/1\n", false, "");
    }
    let bare = method == b"HEAD";
    if method != b"GET" && !bare {
        return whole(
            "405 Method Not Allowed",
            "GET or HEAD\n",
            false,
            "Allow: GET, HEAD\r\n",
        );
    }
    let path = target
        .split(|byte| *byte == b'?')
        .next()
        .unwrap_or_default();
    if path != PATH.as_bytes() {
        return whole("404 Not Found", "see /metrics\n", bare, "");
    }
    match page {
        Some(page) => whole("200 OK", page, bare, ""),
        None => whole(
            "503 Service Unavailable",
            "not yet\n",
            bare,
            "Retry-After: 1\r\n",
        ),
    }
}

/// Errors are plain text too, so that one line of type serves all.
fn whole(status: &str, body: &str, bare: bool, more: &str) -> String {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{more}Connection: close\r\n\r\n",
        body.len()
    );
    if bare { head } else { head + body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn status(head: &str) -> String {
        let answer = answer_to(Some(head.as_bytes()), Some("a 1\n"));
        answer.split(' ').nth(1).unwrap().to_owned()
    }

    #[test]
    fn each_request_has_its_status() {
        for (head, expected) in [
            ("GET /metrics HTTP/1.1\r\n\r\n", "200"),
            ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200"),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", "200"),
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("GET /metrics HTTP/2\r\n\r\n", "400"),
            ("GET  /metrics HTTP/1.1\r\n\r\n", "400"),
            ("\r\n\r\n", "400"),
        ] {
            assert_eq!(status(head), expected, "{head:?}");
        }
        let head = b"GET /metrics HTTP/1.1\r\n\r\n";
        assert!(answer_to(Some(head), None).starts_with("HTTP/1.1 503 "));
        assert!(answer_to(None, None).starts_with("HTTP/1.1 431 "));
        let page = answer_to(Some(head), Some("a 1\n"));
        assert!(page.contains("\r\nContent-Length: 4\r\n") && page.ends_with("\r\n\r\na 1\n"));
        let bare = answer_to(Some(b"HEAD /metrics HTTP/1.1\r\n\r\n"), Some("a 1\n"));
        assert!(bare.contains("\r\nContent-Length: 4\r\n") && bare.ends_with("\r\n\r\n"));
    }

    #[test]
    fn a_client_over_a_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asks = |words: Vec<u8>| {
            let client = thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                let _ = stream.write_all(&words);
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer);
                String::from_utf8(answer).unwrap()
            });
            let (stream, _) = listener.accept().unwrap();
            let outcome = answer(&stream, Some("a 1\n"));
            drop(stream);
            (outcome, client.join().unwrap())
        };
        let (outcome, text) = asks(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".to_vec());
        assert!(outcome.is_ok() && text.ends_with("a 1\n"), "{text}");
        // Never ends its head; more than is read.
        let (outcome, _) = asks(vec![b'a'; HEAD_BYTES_MAX + 1_025]);
        assert!(outcome.is_ok());
    }

    #[test]
    fn a_client_that_says_nothing_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let begun = Instant::now();
        assert!(read_head(&stream, begun + Duration::from_millis(50)).is_err());
        assert!(begun.elapsed() < Duration::from_secs(4));
    }
}
