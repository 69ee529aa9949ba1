"""PROXY headers: proxy-protocol.txt section 2, compiled and not, split at every byte, with requests behind."""

from __future__ import annotations

import importlib.util
import ipaddress
import struct
from pathlib import Path
from types import ModuleType

import pytest

import vanilla.proxy.header

NEIGHBOURS = (b"", b"G", b"GET / HTTP/1.1\r\n", b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n", b"\x00\xff" * 9)
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture(scope="module", params=[True, False], ids=["compiled", "uncompiled"])
def header(request: pytest.FixtureRequest) -> ModuleType:
    """vanilla.proxy.header, or its source as Python runs it."""
    if request.param:
        return vanilla.proxy.header
    path = Path(vanilla.proxy.header.__file__).parent / "header.py"
    spec = importlib.util.spec_from_file_location("uncompiled_proxy_header", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def binary(kind: int, content: bytes, command: int = 0x21, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, kind, len(content) if length is None else length) + content


def ipv4(source: str = "192.0.2.1", port: int = 54321) -> bytes:
    return packed(source) + packed("198.51.100.1") + struct.pack(">HH", port, 443)


def ipv6(source: str = "2001:db8::1", port: int = 54321) -> bytes:
    return packed(source) + packed("2001:db8::ffff") + struct.pack(">HH", port, 443)


def row(name: str, wire: bytes, address: str | None, port: int = 0) -> object:
    octets = None if address is None else b"" if address == "unix" else packed(address)
    return pytest.param(wire, octets, port, id=name)


VALID = [
    row("tcp4", b"PROXY TCP4 192.0.2.1 198.51.100.1 54321 443\r\n", "192.0.2.1", 54321),
    row("tcp4_bounds", b"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", "255.255.255.255", 65535),
    row("tcp6", b"PROXY TCP6 2001:db8::1 2001:db8::2 54321 443\r\n", "2001:db8::1", 54321),
    row(
        "longest_line",
        b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
        + b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        65535,
    ),
    row("nothing_is_an_address", b"PROXY TCP6 :: ::1 1 2\r\n", "::", 1),
    row("gap_at_the_front", b"PROXY TCP6 ::2:3:4:5:6:7:8 :: 1 2\r\n", "0:2:3:4:5:6:7:8", 1),
    row("gap_at_the_end", b"PROXY TCP6 1:2:3:4:5:6:7:: :: 1 2\r\n", "1:2:3:4:5:6:7:0", 1),
    row("gap_inside", b"PROXY TCP6 1:2::7:8 :: 1 2\r\n", "1:2::7:8", 1),
    row("gap_before_the_fourth_group", b"PROXY TCP6 1:2:3::5:6 :: 1 2\r\n", "1:2:3::5:6", 1),
    row("no_gap", b"PROXY TCP6 1:2:3:4:5:6:7:8 :: 1 2\r\n", "1:2:3:4:5:6:7:8", 1),
    row("ipv4_in_ipv6", b"PROXY TCP6 ::ffff:192.0.2.1 :: 1 2\r\n", "::ffff:192.0.2.1", 1),
    row("ipv4_behind_six_groups", b"PROXY TCP6 1:2:3:4:5:6:7.8.9.10 :: 1 2\r\n", "1:2:3:4:5:6:7.8.9.10", 1),
    row("capitals", b"PROXY TCP6 2001:DB8::AbCd :: 1 2\r\n", "2001:db8::abcd", 1),
    row("unknown", b"PROXY UNKNOWN\r\n", None),
    row("unknown_with_addresses", b"PROXY UNKNOWN ffff::1 whatever 65535 65535\r\n", None),
    row("binary_tcp4", binary(0x11, ipv4()), "192.0.2.1", 54321),
    row("binary_tcp4_bounds", binary(0x11, ipv4("255.255.255.255", 65535)), "255.255.255.255", 65535),
    row("binary_tcp6", binary(0x21, ipv6()), "2001:db8::1", 54321),
    row("binary_tcp6_of_ones", binary(0x21, ipv6("ffff:" * 7 + "ffff", 65535)), "ffff:" * 7 + "ffff", 65535),
    row("binary_with_tlvs", binary(0x11, ipv4() + b"\x01\x00\x02h2\x04\x00\x00"), "192.0.2.1", 54321),
    row("binary_longest", binary(0x21, ipv6().ljust(4080, b"\0")), "2001:db8::1", 54321),
    row("binary_unix", binary(0x31, bytes(216)), "unix"),
    row("binary_unspecified", binary(0x00, b""), None),
    row("binary_unspecified_with_content", binary(0x00, b"anything"), None),
    row("binary_local", binary(0x11, ipv4(), command=0x20), None),
    row("binary_local_of_nothing", binary(0x00, b"", command=0x20), None),
    row("binary_local_of_what_is_unknown", binary(0xFF, b"", command=0x20), None),
]

MALFORMED = [
    pytest.param(b"GET / HTTP/1.1\r\n", id="no_header"),
    pytest.param(b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", id="lower_case"),
    pytest.param(b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", id="two_spaces"),
    pytest.param(b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", id="two_spaces_later"),
    pytest.param(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", id="space_at_the_end"),
    pytest.param(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", id="one_word_too_many"),
    pytest.param(b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", id="one_word_missing"),
    pytest.param(b"PROXY TCP4 1.2.3.4\r\n", id="three_words_missing"),
    pytest.param(b"PROXY TCP4\r\n", id="nothing_behind_the_family"),
    pytest.param(b"PROXY \r\n", id="no_family"),
    pytest.param(b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", id="unheard_of_family"),
    pytest.param(b"PROXY UNKNOWNS\r\n", id="unknown_and_a_letter"),
    pytest.param(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", id="no_cr"),
    pytest.param(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx", id="lone_cr"),
    pytest.param(b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", id="line_of_108"),
    pytest.param(b"PROXY UNKNOWN " + b"x" * 1000, id="line_without_end"),
    *(
        pytest.param(b"PROXY TCP4 %b 1.2.3.4 1 2\r\n" % address, id=name)
        for name, address in (
            ("ipv4_of_three", b"1.2.3"),
            ("ipv4_of_five", b"1.2.3.4.5"),
            ("ipv4_with_256", b"1.2.3.256"),
            ("ipv4_with_a_leading_zero", b"1.2.3.04"),
            ("ipv4_with_a_hole", b"1..3.4"),
            ("ipv4_with_a_dot_behind", b"1.2.3.4."),
            ("ipv4_with_a_letter", b"1.2.3.a"),
            ("ipv4_with_a_sign", b"1.2.3.-4"),
            ("ipv4_that_is_ipv6", b"::1"),
        )
    ),
    *(
        pytest.param(b"PROXY TCP6 %b :: 1 2\r\n" % address, id=name)
        for name, address in (
            ("ipv6_of_seven", b"1:2:3:4:5:6:7"),
            ("ipv6_of_nine", b"1:2:3:4:5:6:7:8:9"),
            ("ipv6_with_a_gap_for_nothing", b"1:2:3:4::5:6:7:8"),
            ("ipv6_with_two_gaps", b"1::2::3"),
            ("ipv6_with_three_colons", b"1:::2"),
            ("ipv6_with_a_colon_in_front", b":1:2:3:4:5:6:7:8"),
            ("ipv6_with_a_colon_behind", b"1:2:3:4:5:6:7:"),
            ("ipv6_with_a_colon_behind_the_eighth", b"1:2:3:4:5:6:7:8:"),
            ("ipv6_with_five_digits", b"12345::"),
            ("ipv6_with_a_zone", b"fe80::1%eth0"),
            ("ipv6_with_ipv4_in_the_middle", b"::1.2.3.4:5"),
            ("ipv6_with_ipv4_behind_seven", b"1:2:3:4:5:6:7:1.2.3.4"),
            ("ipv6_with_half_an_ipv4", b"::1.2.3"),
            ("ipv6_in_brackets", b"[::1]"),
            ("ipv6_that_is_a_colon", b":"),
            ("ipv6_that_is_ipv4", b"1.2.3.4"),
        )
    ),
    *(
        pytest.param(b"PROXY TCP4 1.2.3.4 1.2.3.4 %b\r\n" % ports, id=name)
        for name, ports in (
            ("port_too_large", b"65536 1"),
            ("other_port_too_large", b"1 65536"),
            ("port_of_six_digits", b"000001 1"),
            ("port_with_a_leading_zero", b"01 1"),
            ("port_with_a_sign", b"+1 1"),
            ("port_of_letters", b"a 1"),
            ("port_empty", b" 1"),
        )
    ),
    pytest.param(b"PROXY TCP4 1.2.3.4 x 1 2\r\n", id="destination_that_is_none"),
    pytest.param(b"\r\n\r\n\0\r\nQUIT\r", id="binary_signature_with_a_wrong_end"),
    pytest.param(b"\r\nGET / HTTP/1.1\r\n", id="empty_line_first"),
    pytest.param(binary(0x11, ipv4(), command=0x11), id="binary_version_1"),
    pytest.param(binary(0x11, ipv4(), command=0x22), id="binary_unheard_of_command"),
    pytest.param(binary(0x12, ipv4()), id="binary_datagrams"),
    pytest.param(binary(0x41, ipv4()), id="binary_unheard_of_family"),
    pytest.param(binary(0x11, ipv4()[:11]), id="binary_ipv4_cut_short"),
    pytest.param(binary(0x21, ipv6()[:35]), id="binary_ipv6_cut_short"),
    pytest.param(binary(0x31, bytes(215)), id="binary_unix_cut_short"),
    pytest.param(binary(0x11, ipv4().ljust(4081, b"\0")), id="binary_too_long"),
    pytest.param(binary(0x00, b"", length=65535), id="binary_much_too_long"),
]


@pytest.mark.parametrize(("wire", "address", "port"), VALID)
def test_a_header_is_read_whatever_follows(header, wire: bytes, address: bytes | None, port: int) -> None:
    for neighbour in NEIGHBOURS:
        assert header.read_proxy_header(wire + neighbour) == (len(wire), address, port), neighbour


@pytest.mark.parametrize(("wire", "address", "port"), VALID)
def test_a_header_is_incomplete_until_its_last_byte(header, wire: bytes, address: bytes | None, port: int) -> None:
    for split in range(len(wire)):
        assert header.read_proxy_header(wire[:split]) is None, split


@pytest.mark.parametrize("wire", MALFORMED)
def test_what_is_no_header_is_malformed(header, wire: bytes) -> None:
    for neighbour in NEIGHBOURS:
        with pytest.raises(ValueError, match="no PROXY header"):
            header.read_proxy_header(wire + neighbour)


@pytest.mark.parametrize("wire", MALFORMED)
def test_no_beginning_of_what_is_malformed_is_a_header(header, wire: bytes) -> None:
    was_refused = False
    for split in range(len(wire)):
        try:
            assert header.read_proxy_header(wire[:split]) is None, split
            assert not was_refused, split
        except ValueError:
            was_refused = True


@pytest.mark.parametrize("first", sorted(set(range(256)) - {ord("P"), ord("\r")}))
def test_a_wrong_first_byte_is_enough(header, first: int) -> None:
    with pytest.raises(ValueError, match="no PROXY header"):
        header.read_proxy_header(bytes([first]))
