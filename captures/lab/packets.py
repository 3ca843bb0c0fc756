"""The few facts of a capture that the lab itself needs: who sent which TCP segment when.

In: a pcap or pcapng file as the recorder writes it (little endian; Ethernet, Linux cooked v2 or raw IP; TCP in VXLAN too). Out: `Segment`s
in file order.
Left out on purpose: everything that a diagnosis needs. The truth of a case must not come from an analysis of its packets.
"""

import ipaddress
import struct
from dataclasses import dataclass

FIN, SYN, RST, ACK = 1, 2, 4, 16
ETHERNET, RAW, COOKED_V2 = 1, 101, 276
TCP, UDP = 6, 17
VXLAN_PORT, VXLAN_HEADERS = 4789, 16


@dataclass(frozen=True)
class Segment:
    frame: int
    time: float
    source: str
    destination: str
    flags: int
    payload: bytes
    acknowledged: int
    sequence: int
    length: int             # bytes of payload on the wire; more than in `payload` where the recording cut the frame
    window: int             # as it stands in the header, before any scaling


def segments(path):
    for number, (time, link, data) in enumerate(frames(path), 1):
        found = _segment(number, time, link, data)
        if found:
            yield found


def frames(path):
    """(time, link type, bytes) of every frame."""
    data = path.read_bytes()
    return _pcapng(data) if data[:4] == b"\x0a\x0d\x0d\x0a" else _pcap(data)


def dropped(path):
    """How many frames the capturing program says it lost: the counter of the interface statistics block, 0 without one."""
    lost = 0
    for kind, body in _blocks(path.read_bytes()):
        if kind == 5:
            lost += sum(int.from_bytes(value, "little") for code, value in _options(body[12:]) if code in (5, 7))
    return lost


def without_machine(data):
    """A pcapng file without the names of the processor and the kernel that recorded it."""
    out = bytearray()
    for kind, body in _blocks(data):
        if kind == 0x0A0D0D0A:
            body = body[:16] + _pack_options([option for option in _options(body[16:]) if option[0] == 4])
        elif kind == 1:
            body = body[:8] + _pack_options([option for option in _options(body[8:]) if option[0] != 12])
        out += _block(kind, body)
    return bytes(out)


def with_clock(data, ahead, drift):
    """A pcapng file as a machine would have recorded it whose clock was `ahead` seconds and gains `drift` millionths of the time since
    the first frame."""
    out, units, start = bytearray(), [], None
    for kind, body in _blocks(data):
        if kind == 1:
            units.append(_unit(body))
        elif kind in (5, 6):
            unit = units[int.from_bytes(body[:4], "little")]
            stamp = _stamp(body[4:12])
            start = stamp if start is None else start
            body = body[:4] + _stamped(_shown(stamp, start, ahead, drift, unit)) + body[12:]
        if kind == 5:
            options = [(code, _stamped(_shown(_stamp(value), start, ahead, drift, unit)) if code in (2, 3) else value)
                       for code, value in _options(body[12:])]
            body = body[:12] + _pack_options(options)
        out += _block(kind, body)
    return bytes(out)


def true_time(shown, start, ahead, drift):
    """The inverse of `with_clock` for one time: `start` is the first frame's as the file shows it."""
    return start - ahead + (shown - start) / (1 + drift / 1e6)


def _shown(stamp, start, ahead, drift, unit):
    return stamp + round(ahead * unit) + round((stamp - start) * drift / 1e6)


def _stamp(data):
    high, low = struct.unpack("<II", data)
    return (high << 32) + low


def _stamped(stamp):
    return struct.pack("<II", stamp >> 32, stamp & 0xFFFFFFFF)


def _unit(body):
    resolution = [value[0] for code, value in _options(body[8:]) if code == 9] or [6]
    return 10 ** resolution[0]


def _block(kind, body):
    total = len(body) + 12
    return struct.pack("<II", kind, total) + body + struct.pack("<I", total)


def _pcap(data):
    magic, link = struct.unpack_from("<I", data)[0], struct.unpack_from("<I", data, 20)[0]
    unit = 1e9 if magic == 0xA1B23C4D else 1e6
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, length = struct.unpack_from("<III", data, at)
        yield seconds + fraction / unit, link, data[at + 16:at + 16 + length]
        at += 16 + length


def _pcapng(data):
    links, units = [], []
    for kind, body in _blocks(data):
        if kind == 1:
            links.append(struct.unpack_from("<H", body)[0])
            units.append(_unit(body))
        elif kind == 6:
            interface, length = struct.unpack_from("<I8xI", body)
            yield _stamp(body[4:12]) / units[interface], links[interface], body[20:20 + length]


def _blocks(data):
    at = 0
    while data[:4] == b"\x0a\x0d\x0d\x0a" and at + 12 <= len(data):
        kind, total = struct.unpack_from("<II", data, at)
        yield kind, data[at + 8:at + total - 4]
        at += total


def _options(data):
    at, found = 0, []
    while at + 4 <= len(data):
        code, length = struct.unpack_from("<HH", data, at)
        if code == 0:
            break
        found.append((code, data[at + 4:at + 4 + length]))
        at += 4 + (length + 3) // 4 * 4
    return found


def _pack_options(options):
    packed = b"".join(struct.pack("<HH", code, len(value)) + value + b"\0" * (-len(value) % 4) for code, value in options)
    return packed + b"\0\0\0\0" if packed else b""


def _segment(number, time, link, data):
    if link == ETHERNET:
        protocol, network = int.from_bytes(data[12:14], "big"), data[14:]
    elif link == COOKED_V2:
        protocol, network = int.from_bytes(data[:2], "big"), data[20:]
    elif link == RAW:
        protocol, network = {4: 0x0800, 6: 0x86DD}.get(data[0] >> 4), data
    else:
        raise ValueError(f"link type {link} is not one the recorder writes")
    if protocol == 0x0800:
        carries, header = network[9], (network[0] & 15) * 4
        total = int.from_bytes(network[2:4], "big") or len(network)
        source, destination = ".".join(map(str, network[12:16])), ".".join(map(str, network[16:20]))
    elif protocol == 0x86DD:
        carries, header, total = network[6], 40, 40 + int.from_bytes(network[4:6], "big")
        source, destination = _address6(network[8:24]), _address6(network[24:40])
    else:
        return None
    if carries == UDP and int.from_bytes(network[header + 2:header + 4], "big") == VXLAN_PORT:
        return _segment(number, time, ETHERNET, network[header + VXLAN_HEADERS:total])
    if carries != TCP:
        return None
    tcp = network[header:total]
    source_port, destination_port, sequence, acknowledged = struct.unpack_from("!HHII", tcp)
    start = (tcp[12] >> 4) * 4
    return Segment(number, time, f"{source}:{source_port}", f"{destination}:{destination_port}", tcp[13],
                   tcp[start:], acknowledged, sequence, total - header - start, int.from_bytes(tcp[14:16], "big"))


def _address6(data):
    return f"[{ipaddress.IPv6Address(data).compressed}]"
