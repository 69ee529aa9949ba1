"""The page of examples/cookies_sessions in a real browser."""

import urllib.error
import urllib.request

import pytest


def log_in(page, user):
    page.fill("input[name=user]", user)
    page.click("text=Log in")
    page.wait_for_function("user => document.querySelector('#user').value === user", arg=user)


def session_of(browser):
    """The cookie, or None."""
    return next((cookie for cookie in browser.cookies() if cookie["name"] == "__Host-session"), None)


def test_the_browser_keeps_a_session_that_no_script_sees(serve, browser) -> None:
    page = browser.new_page()
    page.goto(f"http://localhost:{serve('cookies_sessions').port}/")
    assert page.locator("#user").inner_text() == "stranger"
    assert session_of(browser) is None
    log_in(page, "Ann <b>")
    cookie = session_of(browser)
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"], cookie["expires"]) == (True, True, "Lax", -1)
    assert page.evaluate("document.cookie") == ""
    another = browser.new_page()
    another.goto(page.url)
    assert another.locator("#user").inner_text() == "Ann <b>"
    assert another.locator("#seen").inner_text() == "2"
    assert session_of(browser)["value"] == cookie["value"]


def test_it_is_another_one_after_each_login_and_none_after_the_logout(serve, browser) -> None:
    port = serve("cookies_sessions").port
    page = browser.new_page()
    page.goto(f"http://localhost:{port}/")
    values = []
    for user in ("Ann", "Bob"):
        log_in(page, user)
        values.append(session_of(browser)["value"])
    assert values[0] != values[1]
    page.click("text=Log out")
    page.wait_for_function("document.querySelector('#user').value === 'stranger'")
    assert session_of(browser) is None
    copied = urllib.request.Request(f"http://127.0.0.1:{port}/me", headers={"Cookie": f"__Host-session={values[1]}"})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(copied, timeout=10)
