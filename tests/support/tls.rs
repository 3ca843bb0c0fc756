//! A little TLS: what a capture shows of a handshake in clear, and records of which nobody knows the content.

/// Bytes of a record's header.
const HEADER_LEN: usize = 5;

/// A ClientHello (RFC 8446, section 4.1.2) for this server name.
pub fn client_hello(name: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let named = [&[0][..], &length(name), name].concat();
    let list = [&length(&named)[..], &named].concat();
    let extension = [&[0, 0][..], &length(&list), &list].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend(length(&extension));
    body.extend(extension);
    let message = [&[1, 0][..], &length(&body), &body].concat();
    [&[22, 3, 1][..], &length(&message), &message].concat()
}

/// A ServerHello of TLS 1.2 (RFC 5246, section 7.4.1.3): after it application data is what it says.
pub fn server_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([9; 32]);
    body.extend([0, 0xc0, 0x2f, 0]);
    let message = [&[2, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat();
    record(22, &message)
}

/// A record of application data that is this long with its header.
pub fn sealed(len: usize) -> Vec<u8> {
    record(23, &vec![0xa5; len - HEADER_LEN])
}

fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3][..], &len, payload].concat()
}
