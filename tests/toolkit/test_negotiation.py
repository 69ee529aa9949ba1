"""Content negotiation: the tables of RFC 9110 section 12.5, and what RFC 4647 makes of languages."""

import random

import pytest
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from vanilla.toolkit.negotiation import choose_encoding, choose_language, choose_type

# The example of section 12.5.1, which weighs each of these.
RANGES = b"text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, */*;q=0.5"
WEIGHTS = {
    "text/plain;format=flowed": 1.0,
    "text/plain": 0.7,
    "text/html": 0.3,
    "image/jpeg": 0.5,
    "text/plain;format=fixed": 0.4,
    "text/html;level=3": 0.3,
}
CHROME = (
    b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    b"application/signed-exchange;v=b3;q=0.7"
)
JAVA = b"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"

TYPES = [
    pytest.param(None, ("a/b", "c/d"), "a/b", id="missing"),
    pytest.param(b"", ("a/b", "c/d"), "a/b", id="empty"),
    pytest.param(b"*/*", ("a/b", "c/d"), "a/b", id="anything"),
    pytest.param(b"c/d", ("a/b", "c/d"), "c/d", id="named"),
    pytest.param(b"e/f", ("a/b", "c/d"), None, id="none_of_them"),
    pytest.param(b"a/b, c/d", ("c/d", "a/b"), "c/d", id="same_weight"),
    pytest.param(b"a/b;q=0.8, c/d;q=0.9", ("a/b", "c/d"), "c/d", id="heavier"),
    pytest.param(b"a/b;q=0", ("a/b",), None, id="refused"),
    pytest.param(b"a/b;q=0.000, */*", ("a/b", "c/d"), "c/d", id="refused_by_three_zeros"),
    pytest.param(b"a/*;q=0, a/b", ("a/c", "a/b"), "a/b", id="refused_but_for_one"),
    pytest.param(b"*/*;q=0, a/b;q=0.1", ("c/d", "a/b"), "a/b", id="everything_else_refused"),
    pytest.param(b"a/*", ("c/d", "a/b"), "a/b", id="range_of_a_type"),
    pytest.param(b"*/*;q=0.1, a/*;q=0.2, a/b;q=0.3", ("c/d", "a/x", "a/b"), "a/b", id="specific_beats_general"),
    pytest.param(b"a/b;q=0.1, */*;q=0.9", ("a/b", "c/d"), "c/d", id="specific_counts_where_it_is_lighter"),
    pytest.param(b"A/B", ("a/b",), "a/b", id="any_case"),
    pytest.param(b"a/b;Q=0, c/d;Q=1", ("a/b", "c/d"), "c/d", id="weight_in_capitals"),
    pytest.param(b"a/b ; q=0 , c/d", ("a/b", "c/d"), "c/d", id="space_around"),
    pytest.param(b",, a/b,,", ("a/b",), "a/b", id="empty_elements"),
    pytest.param(b"a/b;q=1.001, c/d;q=0.1", ("a/b", "c/d"), "c/d", id="weight_above_1"),
    pytest.param(b"a/b;q=x, c/d;q=0.1", ("a/b", "c/d"), "c/d", id="weight_is_no_number"),
    pytest.param(b"a/b;q=, c/d;q=0.1", ("a/b", "c/d"), "c/d", id="no_weight"),
    pytest.param(b"a/b;q=., c/d;q=0.1", ("a/b", "c/d"), "c/d", id="weight_of_a_dot"),
    pytest.param(b"a/b;q=-1, c/d;q=0.1", ("a/b", "c/d"), "c/d", id="weight_with_a_sign"),
    pytest.param(b"a/b c, c/d;q=0.1", ("a/b", "c/d"), "c/d", id="text_behind_a_range"),
    pytest.param(b'"a/b", c/d;q=0.1', ("a/b", "c/d"), "c/d", id="quoted_range"),
    pytest.param(b"a/b;q=99999999999999999999, c/d;q=0.1", ("a/b", "c/d"), "c/d", id="weight_beyond_all"),
    pytest.param(b"a/b;q=0.99999, c/d;q=0.9", ("c/d", "a/b"), "a/b", id="more_digits_than_three"),
    pytest.param(b"garbage", ("a/b", "c/d"), None, id="a_range_that_is_no_type"),
    pytest.param(b";;;=", ("a/b", "c/d"), "a/b", id="nothing_that_can_be_read"),
    pytest.param(b"a/b;v=1", ("a/b",), None, id="parameter_that_the_offer_lacks"),
    pytest.param(b"a/b;v=1", ("a/b;v=2", "a/b;v=1"), "a/b;v=1", id="parameter"),
    pytest.param(b'a/b;v="1"', ("a/b;v=1",), "a/b;v=1", id="quoted_parameter"),
    pytest.param(b"a/b;V=X", ("a/b;v=x",), "a/b;v=x", id="parameter_in_any_case"),
    pytest.param(
        b'a/b;v="x,y;q=0";q=0.5, c/d;q=0.4', ("c/d", "a/b;v='x'", 'a/b;v="x,y;q=0"'), 'a/b;v="x,y;q=0"', id="quotes"
    ),
    pytest.param(b"a/b;v=1;w=2, a/b;v=1;q=0", ("a/b;v=1;w=2",), "a/b;v=1;w=2", id="two_parameters_are_more_specific"),
    pytest.param(b"a/b", ("a/b;charset=utf-8",), "a/b;charset=utf-8", id="offer_with_a_parameter"),
    pytest.param(CHROME, ("application/json", "text/html"), "text/html", id="chrome"),
    pytest.param(CHROME, ("application/json",), "application/json", id="chrome_takes_anything"),
    pytest.param(JAVA, ("application/json",), "application/json", id="java_takes_anything"),
    pytest.param(b"a/b", (), None, id="no_offers"),
    pytest.param(None, (), None, id="no_offers_and_missing"),
]
ENCODINGS = [
    pytest.param(None, ("br", "gzip"), None, id="missing"),
    pytest.param(b"", ("br", "gzip"), None, id="empty"),
    pytest.param(b"gzip, deflate, br, zstd", ("br", "gzip"), "br", id="same_weight"),
    pytest.param(b"gzip", ("br", "gzip"), "gzip", id="one"),
    pytest.param(b"GZip", ("br", "gzip"), "gzip", id="any_case"),
    pytest.param(b"deflate", ("br", "gzip"), None, id="none_of_them"),
    pytest.param(b"gzip;q=0.5, br;q=0.1", ("br", "gzip"), "gzip", id="heavier"),
    pytest.param(b"gzip;q=0", ("gzip",), None, id="refused"),
    pytest.param(b"*", ("br", "gzip"), "br", id="anything"),
    pytest.param(b"br;q=0, *", ("br", "gzip"), "gzip", id="anything_else"),
    pytest.param(b"*;q=0, gzip", ("br", "gzip"), "gzip", id="nothing_else"),
    pytest.param(b"*;q=0", ("br", "gzip"), None, id="nothing"),
    pytest.param(b"identity;q=0", ("gzip",), None, id="no_identity_and_nothing_else"),
    pytest.param(b"identity, gzip;q=0.5", ("gzip",), None, id="identity_is_heavier"),
    pytest.param(b"identity;q=0.5, gzip", ("gzip",), "gzip", id="identity_is_lighter"),
    pytest.param(b"identity, gzip", ("gzip",), "gzip", id="identity_weighs_the_same"),
    pytest.param(b"x-gzip", ("gzip",), "gzip", id="old_name"),
    pytest.param(b"x-compress", ("compress",), "compress", id="old_name_of_compress"),
    pytest.param(b"x-br", ("br",), None, id="no_old_name"),
    pytest.param(b"pack200-gzip", ("gzip",), None, id="whole_names"),
    pytest.param(b"gzipp, gzi", ("gzip",), None, id="whole_names_again"),
    pytest.param(b"compress;q=0.5, gzip;q=1.0", ("compress", "gzip"), "gzip", id="the_rfcs_example"),
    pytest.param(b"gzip;q=1.0, identity; q=0.5, *;q=0", ("br", "gzip"), "gzip", id="the_rfcs_last_example"),
    pytest.param(b"gzip;q=nan, br;q=0.1", ("gzip", "br"), "br", id="weight_is_no_number"),
    pytest.param(b"gzip", (), None, id="no_offers"),
]
LANGUAGES = [
    pytest.param(None, ("en", "de"), "en", id="missing"),
    pytest.param(b"", ("en", "de"), "en", id="empty"),
    pytest.param(b"da, en-gb;q=0.8, en;q=0.7", ("de", "en", "da"), "da", id="the_rfcs_example"),
    pytest.param(b"da, en-gb;q=0.8, en;q=0.7", ("en-US", "en-GB"), "en-GB", id="the_rfcs_second"),
    pytest.param(b"da, en-gb;q=0.8, en;q=0.7", ("de", "en-US"), "en-US", id="the_rfcs_third"),
    pytest.param(b"fr", ("en", "de"), None, id="none_of_them"),
    pytest.param(b"de-CH", ("en", "de"), "de", id="subtag_cut_off"),
    pytest.param(b"de", ("en", "de-CH"), "de-CH", id="beginning"),
    pytest.param(b"de", ("den", "de"), "de", id="whole_subtags"),
    pytest.param(b"EN-gb", ("en-GB",), "en-GB", id="any_case"),
    pytest.param(b"en-GB, fr;q=0.5", ("fr", "en"), "en", id="cut_off_before_the_lighter"),
    pytest.param(b"de;q=0.1, fr;q=0.2", ("de", "fr"), "fr", id="heavier"),
    pytest.param(b"fr, de", ("de", "fr"), "fr", id="order_of_the_client"),
    pytest.param(b"*", ("en", "de"), "en", id="anything"),
    pytest.param(b"de;q=0.5, *;q=0.1", ("fr", "de"), "de", id="named_beats_anything"),
    pytest.param(b"*;q=0.5, de;q=0.1", ("de", "fr"), "fr", id="anything_else"),
    pytest.param(b"en;q=0, *", ("en", "en-GB", "de"), "de", id="refused"),
    pytest.param(b"en-GB, en;q=0", ("en",), None, id="refused_when_cut_off"),
    pytest.param(b"en;q=0.9, en-GB;q=0.1", ("en-GB", "en-US"), "en-US", id="the_longest_range_weighs"),
    pytest.param(b"zh-Hant-x-CN", ("zh", "zh-Hant"), "zh-Hant", id="single_letter_cut_off_too"),
    pytest.param(b"zh-Hant-CN", ("zh",), "zh", id="cut_off_twice"),
    pytest.param(b";q=1", ("en", "de"), "en", id="nothing_that_can_be_read"),
    pytest.param(b"de;q=2, fr", ("de", "fr"), "fr", id="weight_above_1"),
    pytest.param(b"de", (), None, id="no_offers"),
]


@pytest.mark.parametrize(("field", "offers", "expected"), TYPES)
def test_a_type_is_chosen(field: bytes | None, offers: tuple[str, ...], expected: str | None) -> None:
    assert choose_type(field, offers) == expected
    assert choose_type(field, [offer.encode() for offer in offers]) == (expected and expected.encode())


@pytest.mark.parametrize(("field", "offers", "expected"), ENCODINGS)
def test_a_coding_is_chosen_or_none(field: bytes | None, offers: tuple[str, ...], expected: str | None) -> None:
    assert choose_encoding(field, offers) == expected
    assert choose_encoding(field, [offer.encode() for offer in offers]) == (expected and expected.encode())


@pytest.mark.parametrize(("field", "offers", "expected"), LANGUAGES)
def test_a_language_is_chosen(field: bytes | None, offers: tuple[str, ...], expected: str | None) -> None:
    assert choose_language(field, offers) == expected
    assert choose_language(field, [offer.encode() for offer in offers]) == (expected and expected.encode())


@pytest.mark.parametrize("heavier", WEIGHTS)
@pytest.mark.parametrize("lighter", WEIGHTS)
def test_types_are_weighed_as_in_the_rfcs_table(heavier: str, lighter: str) -> None:
    chosen = choose_type(RANGES, (lighter, heavier))
    assert chosen == (heavier if WEIGHTS[heavier] > WEIGHTS[lighter] else lighter)


def test_the_offer_itself_is_returned() -> None:
    offer = "text/" + "html" * 1
    assert choose_type(b"text/html", (offer,)) is offer


def test_types_are_chosen_as_another_library_does() -> None:
    chance = random.Random(7)
    offers = ["a/b", "a/c", "d/e"]
    for _ in range(2000):
        weights = [chance.choice(["", ";q=0.2", ";q=0.5", ";q=0.8", ";q=1"]) for _ in range(4)]
        ranges = chance.sample(["a/b", "a/c", "d/e", "a/*", "d/*", "*/*"], 4)
        field = ", ".join(name + weight for name, weight in zip(ranges, weights, strict=True))
        theirs = parse_accept_header(field, MIMEAccept)
        # Theirs prefers the client's order among equal weights, ours the server's: only the weight has to agree.
        chosen = choose_type(field.encode(), offers)
        best = max((weigh(field, offer), -at) for at, offer in enumerate(offers))
        assert chosen == (offers[-best[1]] if best[0] > 0 else None), field
        assert (chosen is None) == (theirs.best_match(offers) is None), field


def weigh(field: str, offer: str) -> float:
    """The weight of the most specific range, read as plainly as can be."""
    weight, specificity = 0.0, -1
    for element in field.split(", "):
        name, _, q = element.partition(";q=")
        rank = (
            [name == "*/*", name == offer.split("/")[0] + "/*", name == offer].index(True)
            if (name in ("*/*", offer.split("/")[0] + "/*", offer))
            else -1
        )
        if rank > specificity:
            weight, specificity = float(q or 1), rank
    return weight


@pytest.mark.parametrize("choose", [choose_type, choose_encoding, choose_language])
@pytest.mark.parametrize("piece", [b",", b";", b"a/b;q=0.1,", b'"', b'a;b="', b"\\", b"*,", b"q=", b" ", b"en-"])
def test_no_field_fails_or_takes_long(choose, piece: bytes) -> None:
    """A field as long as a server takes them."""
    field = piece * (32 * 1024 // len(piece))
    assert choose(field, ("en",)) in (None, "en")
