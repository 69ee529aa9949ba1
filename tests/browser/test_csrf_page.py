"""The page of examples/csrf in a real browser, and pages of another site that want to send its form."""

import pytest

FORGED = """
<form method="post" action="http://localhost:{port}/transfer">
  <input name="to" value="Eve"><input name="csrf_token" value="{token}"><button>Win a prize</button>
</form>
"""
FETCH = """
async ([port, token]) => {
  const body = new URLSearchParams({ to: "Eve", csrf_token: token });
  const options = { method: "POST", mode: "no-cors", credentials: "include", body };
  return (await fetch(`http://localhost:${port}/transfer`, options)).type;
}
"""


def open_form(browser, port):
    page = browser.new_page()
    page.goto(f"http://localhost:{port}/")
    return page


def sent(page):
    page.reload()
    return page.locator("output").inner_text()


def test_the_page_sends_by_its_form_and_by_its_script(serve, browser) -> None:
    page = open_form(browser, serve("csrf").port)
    page.click("#form")
    page.wait_for_function("document.querySelector('output').value === 'Ann'")
    page.fill("input[name=to]", "Bob")
    page.click("#script")
    page.wait_for_function("document.querySelector('output').value === 'Ann, Bob'")
    assert page.evaluate("document.cookie") == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_another_origin_cannot_even_with_a_token_of_the_user(host: str, serve, browser) -> None:
    port = serve("csrf").port
    page = open_form(browser, port)
    token = page.locator("form input[name=csrf_token]").input_value()
    elsewhere = browser.new_page()
    elsewhere.goto(f"http://{host}:{serve('csrf').port}/")  # another site, or another port of this one
    with elsewhere.expect_response(lambda answer: answer.url.endswith("/transfer")) as refused:
        assert elsewhere.evaluate(FETCH, [port, token]) == "opaque"
    assert refused.value.status == 403
    elsewhere.set_content(FORGED.format(port=port, token=token))
    with elsewhere.expect_response(lambda answer: answer.url.endswith("/transfer")) as refused:
        elsewhere.click("button", no_wait_after=True)
    assert refused.value.status == 403
    assert sent(page) == ""
