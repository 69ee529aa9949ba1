"""Which of several representations a client likes best: Accept, Accept-Encoding, Accept-Language. RFC 9110 section 12.

# Facts about negotiation
Each element of these lists is a range with a weight from 0 to 1, by default 1; 0 means not acceptable. Of the ranges
that match an offer the most specific one weighs it (12.5.1). A server may always answer as if the field was not there
(12.1), which is what is done here with a field of which no element can be read.

Weights are read leniently, as `.2` and with more than three digits: Java's URLConnection sends `*/*; q=.2` unless it is
told otherwise. An element that is malformed beyond that is passed over.
"""

from __future__ import annotations

from collections.abc import Sequence

import cython

from vanilla.toolkit.grammar import parse_parameters

TAB, SPACE, QUOTE, ASTERISK, COMMA, DOT, SLASH = 9, 32, 34, 42, 44, 46, 47
ZERO, NINE, SEMICOLON, EQUALS, BACKSLASH, LOWER_Q = 48, 57, 59, 61, 92, 113

_HAVE_OLD_NAMES = (b"gzip", b"compress")  # x-gzip and x-compress, RFC 9110 section 8.4.1


@cython.final
@cython.cclass
class Elements:
    """A cursor over the elements of such a list."""

    def __init__(self, value: bytes) -> None:
        self.value = value
        self.at = 0
        self.count = 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def advance(self) -> cython.bint:
        """Go to the next element that is well-formed: its range, its weight in thousandths, whether it has more
        parameters; False at the end.
        """
        source: cython.p_const_uchar = self.value
        length: cython.Py_ssize_t = len(self.value)
        while self.at < length:
            self.start = skip_space(source, self.at, length)
            self.end = self.start
            while self.end < length and not is_range_end(source[self.end]):
                self.end += 1
            self.weight = 1000
            self.has_parameters = False
            self.read_parameters(source, length)
            self.element_end = self.at
            if self.at < length and source[self.at] != COMMA:
                self.weight = -1
                self.skip_element(source, length)
            self.at += 1
            if self.end > self.start and self.weight >= 0:
                self.count += 1
                return True
        return False

    @cython.cfunc
    @cython.exceptval(check=False)
    def read_parameters(self, source: cython.p_const_uchar, length: cython.Py_ssize_t) -> cython.void:
        """Go from the end of the range to that of the element, or to what cannot stand there."""
        at: cython.Py_ssize_t = skip_space(source, self.end, length)
        while at < length and source[at] == SEMICOLON:
            at = skip_space(source, at + 1, length)
            if at + 1 < length and (source[at] | 32) == LOWER_Q and source[at + 1] == EQUALS:
                at = self.read_weight(source, at + 2, length)
            else:
                self.has_parameters = self.has_parameters or (at < length and source[at] not in (SEMICOLON, COMMA))
                at = skip_parameter(source, at, length)
            at = skip_space(source, at, length)
        self.at = at

    @cython.cfunc
    @cython.exceptval(check=False)
    def read_weight(
        self, source: cython.p_const_uchar, at: cython.Py_ssize_t, length: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Read what follows `q=`, and return where it ends; a weight of -1 is malformed."""
        scale: cython.int = 1000
        digits: cython.int = 0
        self.weight = 0
        while at < length and ZERO <= source[at] <= NINE:
            self.weight = min(self.weight * 10 + (source[at] - ZERO) * 1000, 2000)
            digits += 1
            at += 1
        if at < length and source[at] == DOT:
            at += 1
            while at < length and ZERO <= source[at] <= NINE:
                scale //= 10
                self.weight += (source[at] - ZERO) * scale
                digits = 1
                at += 1
        if digits == 0 or self.weight > 1000:
            self.weight = -1
        return at

    @cython.cfunc
    @cython.exceptval(check=False)
    def skip_element(self, source: cython.p_const_uchar, length: cython.Py_ssize_t) -> cython.void:
        """Go to the comma that ends a malformed element."""
        at: cython.Py_ssize_t = self.at
        while at < length and source[at] != COMMA:
            at = max(skip_parameter(source, at, length), at + 1)
        self.at = at

    @cython.cfunc
    @cython.exceptval(check=False)
    def matches(self, name: bytes) -> cython.bint:
        """Whether the range is `name`, in any case."""
        return self.end - self.start == len(name) and starts_alike(self.value, self.start, name, len(name))

    @cython.cfunc
    @cython.exceptval(check=False)
    def is_any(self) -> cython.bint:
        """Whether the range is `*`."""
        source: cython.p_const_uchar = self.value
        return self.end - self.start == 1 and source[self.start] == ASTERISK


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def skip_space(source: cython.p_const_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Offset of the first byte that is no space and no tab."""
    while at < end and (source[at] == SPACE or source[at] == TAB):
        at += 1
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def is_range_end(octet: cython.int) -> cython.bint:
    """Whether a range ends before this byte."""
    return octet == COMMA or octet == SEMICOLON or octet == SPACE or octet == TAB or octet == QUOTE


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def skip_parameter(source: cython.p_const_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Offset of the semicolon or the comma that ends a parameter, past any in a quoted string; else `end`."""
    is_quoted: cython.bint = False
    while at < end and (is_quoted or (source[at] != SEMICOLON and source[at] != COMMA)):
        if source[at] == QUOTE:
            is_quoted = not is_quoted
        elif source[at] == BACKSLASH and is_quoted and at + 1 < end:
            at += 1
        at += 1
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lower(octet: cython.int) -> cython.int:
    """The octet, a capital letter in lower case."""
    return octet | 32 if 65 <= octet <= 90 else octet


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def starts_alike(
    source: cython.p_const_uchar, start: cython.Py_ssize_t, name: cython.p_const_uchar, length: cython.Py_ssize_t
) -> cython.bint:
    """Whether `length` bytes from `start` are those of `name`, in any case."""
    at: cython.Py_ssize_t
    for at in range(length):
        if lower(source[start + at]) != lower(name[at]):
            return False
    return True


@cython.cfunc
def _to_bytes(offer: object) -> bytes:
    """An offer as the bytes that it is compared with."""
    return offer.encode("ascii") if isinstance(offer, str) else offer


def choose_encoding(accept_encoding: bytes | None, offers: Sequence[str | bytes]) -> str | bytes | None:
    """The content coding that the client likes best of `offers`; None to send the content as it is.

    None is the answer where the field is missing: RFC 9110 then admits any coding, but many clients that send none
    understand none. It is the answer too where no offer is acceptable, and where `identity` is weighed higher.

    Args:
        accept_encoding: the field's value, of all its lines: `combined(request, "accept-encoding")`; None if missing.
        offers: the names of the codings, such as `("br", "gzip")`; of two with the same weight, the first is taken.

    Returns: the offer, as it was given.
    Source: RFC 9110 section 12.5.3. `x-gzip` and `x-compress` mean gzip and compress (8.4.1).
    """
    best: object = None
    best_weight: cython.int = 0
    if not accept_encoding:
        return None
    for offer in offers:
        weight = _weigh_coding(accept_encoding, _to_bytes(offer))
        if weight > best_weight:
            best, best_weight = offer, weight
    if best is not None and b"identity" in accept_encoding.lower():
        elements = Elements(accept_encoding)
        while elements.advance():
            if elements.matches(b"identity") and elements.weight > best_weight:
                return None
    return best


@cython.cfunc
@cython.exceptval(-2, check=False)
def _weigh_coding(value: bytes, offer: bytes) -> cython.int:
    """The weight of a coding, in thousandths; 0 where it is not acceptable."""
    other: cython.int = 0
    elements: Elements = Elements(value)
    while elements.advance():
        if elements.matches(offer):
            return elements.weight
        if elements.is_any():
            other = elements.weight
        elif elements.end - elements.start == len(offer) + 2 and offer in _HAVE_OLD_NAMES:
            if elements.matches(b"x-" + offer):
                return elements.weight
    return other


def choose_type(accept: bytes | None, offers: Sequence[str | bytes]) -> str | bytes | None:
    """The media type that the client likes best of `offers`; None where it accepts none of them: answer 406, or
    whatever you have.

    Args:
        accept: the field's value, of all its lines: `combined(request, "accept")`; None if it is missing.
        offers: media types such as `("application/json", "text/html;charset=utf-8")`; of two with the same weight, the
            first is taken, and so is the first of all where the field is missing or says nothing that can be read.

    Returns: the offer, as it was given.
    Source: RFC 9110 section 12.5.1. A range with parameters matches an offer that has them all, in any case.
    """
    best: object = None
    best_weight: cython.int = 0
    is_read: cython.bint = False
    if not accept or accept == b"*/*":
        return offers[0] if offers else None
    for offer in offers:
        elements: Elements = Elements(accept)
        weight = _weigh_type(elements, _to_bytes(offer))
        is_read = elements.count > 0
        if weight > best_weight:
            best, best_weight = offer, weight
    return best if is_read or not offers else offers[0]


@cython.cfunc
@cython.exceptval(-2, check=False)
def _weigh_type(elements: Elements, offer: bytes) -> cython.int:
    """The weight that the most specific range gives to a media type, in thousandths; 0 where it is not acceptable."""
    source: cython.p_const_uchar = elements.value
    name: cython.p_const_uchar = offer
    length: cython.Py_ssize_t = len(offer)
    slash: cython.Py_ssize_t = 0
    end: cython.Py_ssize_t = 0
    start: cython.Py_ssize_t
    range_length: cython.Py_ssize_t
    weight: cython.int = 0
    precedence: cython.Py_ssize_t
    best_precedence: cython.Py_ssize_t = 0
    while end < length and not is_range_end(name[end]):
        if name[end] == SLASH and slash == 0:
            slash = end
        end += 1
    while elements.advance():
        start = elements.start
        range_length = elements.end - start
        if range_length == 3 and starts_alike(source, start, b"*/*", 3):
            precedence = 1
        elif (
            range_length == slash + 2
            and source[elements.end - 1] == ASTERISK
            and starts_alike(source, start, name, slash + 1)
        ):
            precedence = 2
        elif range_length == end and starts_alike(source, start, name, end):
            precedence = 3
        else:
            precedence = 0
        if precedence > 0 and elements.has_parameters:
            parameters: cython.Py_ssize_t = _count_parameters(elements.value[start : elements.element_end], offer)
            precedence = precedence + parameters if parameters >= 0 else 0
        if precedence > best_precedence:
            best_precedence = precedence
            weight = elements.weight
    return weight


def _count_parameters(media_range: bytes, offer: bytes) -> int:
    """How many parameters the offer shares with a range that has no others; -1 where it lacks one."""
    wanted = parse_parameters(media_range)
    given = parse_parameters(offer)
    if wanted is None or given is None:
        return -1
    wanted[1].pop(b"q", None)
    for name, value in wanted[1].items():
        if given[1].get(name, b"").lower() != value.lower() or name not in given[1]:
            return -1
    return len(wanted[1])


def choose_language(accept_language: bytes | None, offers: Sequence[str | bytes]) -> str | bytes | None:
    """The language that the client likes best of `offers`; None where it likes none of them: take your default.

    The ranges are gone through from the highest weight down, in their order where they weigh the same. Each takes the
    first offer that it is or begins (`en` takes `en-GB`, RFC 4647 section 3.3.1), unless a longer range weighs that
    one; if there is none, the offer that it is when subtags are cut off (`en-GB` takes `en`, section 3.4).

    Args:
        accept_language: the field's value, of all its lines: `combined(request, "accept-language")`; None if missing.
        offers: language tags such as `("en", "de-CH")`.

    Returns: the offer, as it was given; the first where the field is missing or says nothing that can be read.
    Source: RFC 9110 section 12.5.4.
    """
    if not accept_language:
        return offers[0] if offers else None
    elements: Elements = Elements(accept_language)
    ranges: list = []
    while elements.advance():
        ranges.append((-elements.weight, len(ranges), elements.value[elements.start : elements.end].lower()))
    if not ranges:
        return offers[0] if offers else None
    tags = [_to_bytes(offer).lower() for offer in offers]
    owners = [_find_owner(tag, ranges) for tag in tags]
    refused = {owner for owner in owners if owner is not None and owner[0] == 0}
    for weighed in sorted(ranges):
        if weighed[0] == 0:
            break
        for offer, owner in zip(offers, owners, strict=True):
            if owner is weighed:
                return offer
        shorter = _cut_off(weighed[2])
        while shorter:
            for offer, tag, owner in zip(offers, tags, owners, strict=True):
                if tag == shorter and owner not in refused:
                    return offer
            shorter = _cut_off(shorter)
    return None


def _cut_off(tag: bytes) -> bytes:
    """A language tag without its last subtag, and without a single letter before that: RFC 4647 section 3.4."""
    shorter = tag.rpartition(b"-")[0]
    last = shorter.rpartition(b"-")
    return last[0] if len(last[2]) == 1 else shorter


def _find_owner(tag: bytes, ranges: list[tuple[int, int, bytes]]) -> tuple[int, int, bytes] | None:
    """The longest range that a tag is or begins with, else `*`, else None."""
    owner = None
    for weighed in ranges:
        name = weighed[2]
        if name == tag or tag.startswith(name + b"-"):
            if owner is None or owner[2] == b"*" or len(name) > len(owner[2]):
                owner = weighed
        elif name == b"*" and owner is None:
            owner = weighed
    return owner
