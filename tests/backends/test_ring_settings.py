"""VANILLA_IO_URING: how large a ring is, and which features it uses."""

import pytest

from vanilla import ConfigError
from vanilla.backends.ring_settings import FEATURES, Settings, read_settings

EVERY = frozenset(FEATURES)


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        pytest.param("", Settings(0, 512, 4096, EVERY), id="nothing"),
        pytest.param("buffers=4", Settings(4, 512, 4096, EVERY), id="buffers"),
        pytest.param("buffers=4,submissions=8,completions=16", Settings(4, 8, 16, EVERY), id="sizes"),
        pytest.param("submissions=32768", Settings(0, 32768, 4096, EVERY), id="the_most"),
        pytest.param("without=deferred", Settings(features=EVERY - {"deferred"}), id="without_one"),
        pytest.param(
            "without=shared_buffers,buffers=1,without=multishot_receive",
            Settings(buffers=1, features=EVERY - {"shared_buffers", "multishot_receive"}),
            id="without_two",
        ),
        pytest.param(",buffers=2,", Settings(buffers=2), id="spare_commas"),
    ],
)
def test_what_is_not_named_has_its_default(text: str, settings: Settings) -> None:
    assert read_settings(text) == settings


@pytest.mark.parametrize(
    "word",
    ["buffers", "buffers=", "buffers=x", "buffers=-1", "buffers=²", "bufers=4", "without=", "without=speed", "4"],
)
def test_anything_else_is_refused_with_what_may_be_given(word: str) -> None:
    with pytest.raises(ConfigError, match=r"VANILLA_IO_URING: .*: give buffers=, submissions=, completions= with"):
        read_settings(f"submissions=8,{word}")


@pytest.mark.parametrize("word", ["buffers=0", "buffers=3", "submissions=65536", "completions=100"])
def test_a_number_that_a_ring_cannot_have_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="give a power of two up to 32768"):
        read_settings(word)
