"""The page of examples/cors in a real browser: what one origin may read and send, and another may not."""

import json
import urllib.request

import pytest


def note_of(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/note", timeout=10) as answer:
        return json.load(answer)["note"]


def await_output(page):
    page.wait_for_function("!['', 'asking'].includes(document.querySelector('output').value)")
    return page.locator("output").inner_text()


@pytest.fixture
def ports(serve):
    """Of the server that the pages come from, and of the API, which allows them under the name localhost."""
    pages = serve("cors").port
    return pages, serve("cors", ORIGINS=f"http://localhost:{pages}").port


def test_an_allowed_page_reads_and_writes(ports, browser) -> None:
    pages, api = ports
    page = browser.new_page()
    page.goto(f"http://localhost:{pages}/?api=http://127.0.0.1:{api}")
    page.click("#read")
    assert await_output(page) == "200 read me (7)"  # the length is in a field that is exposed
    page.fill("input", "from afar")
    page.click("#write")
    assert await_output(page).startswith("204 ")
    assert note_of(api) == "from afar"


def test_another_page_reads_nothing_and_its_write_never_leaves(ports, browser) -> None:
    pages, api = ports
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{pages}/?api=http://127.0.0.1:{api}")
    for button in ("#read", "#write"):
        page.click(button)
        assert await_output(page) == "kept from this page"
    assert note_of(api) == "read me"
