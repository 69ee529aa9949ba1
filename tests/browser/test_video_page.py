"""The page of examples/video_stream in a real browser."""

import wave

import pytest

SEEK = """
([video, seconds]) => new Promise((resolve, reject) => {
  video.onseeked = () => resolve(video.currentTime);
  video.onerror = () => reject(video.error.message);
  video.currentTime = seconds;
})
"""


@pytest.fixture
def long_film(tmp_path):
    """An hour of silence: so long that no browser fetches it all before it is asked to seek."""
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as film:
        film.setnchannels(1)
        film.setsampwidth(2)
        film.setframerate(8_000)
        film.writeframes(bytes(2 * 8_000 * 3_600))
    return path


def open_page(browser, port):
    """The page, its video once the length is known, and (status, Content-Range) of each answer with a part of it."""
    answers = []
    page = browser.new_page()
    page.on(
        "response",
        lambda answer: (
            answer.url.endswith("/film") and answers.append((answer.status, answer.headers.get("content-range", "")))
        ),
    )
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_function("document.querySelector('video').readyState >= HTMLMediaElement.HAVE_METADATA")
    return page, page.query_selector("video"), answers


def test_the_film_plays(serve, browser) -> None:
    page, video, answers = open_page(browser, serve("video_stream").port)
    assert page.evaluate("video => [video.duration, video.videoWidth, video.videoHeight]", video) == [20, 160, 90]
    page.evaluate("video => { video.muted = true; return video.play(); }", video)
    page.wait_for_function("video => video.currentTime > 0.5 && !video.paused", arg=video)
    assert {status for status, _ in answers} == {206}


def test_the_film_seeks_to_and_fro(serve, browser) -> None:
    page, video, answers = open_page(browser, serve("video_stream").port)
    for seconds in (15, 2, 19):
        assert page.evaluate(SEEK, [video, seconds]) == seconds
    assert {status for status, _ in answers} == {206}


def test_a_seek_far_ahead_fetches_the_part_that_is_there_and_plays_it(serve, browser, long_film) -> None:
    page, video, answers = open_page(browser, serve("video_stream", FILM=str(long_film)).port)
    assert page.evaluate(SEEK, [video, 3_000]) == 3_000
    page.evaluate("video => { video.muted = true; return video.play(); }", video)
    page.wait_for_function("video => video.currentTime > 3000.5", arg=video)
    assert {status for status, _ in answers} == {206}
    assert any(int(part.removeprefix("bytes ").partition("-")[0]) > 40_000_000 for _, part in answers), answers
