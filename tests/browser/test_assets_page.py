"""The bundle of examples/static_assets in a real browser: WebAssembly is compiled as it arrives."""

WASM = "/assets/add-7e42b9d0.wasm"
BY_HAND = """
async (path) => {
  const { instance } = await WebAssembly.instantiateStreaming(fetch(path));
  return instance.exports.add(2, 40);
}
"""


def test_a_module_is_instantiated_while_it_streams(serve, browser) -> None:
    port = serve("static_assets").port
    page = browser.new_page()
    with page.expect_response(lambda answer: answer.url.endswith(WASM)) as found:
        page.goto(f"http://127.0.0.1:{port}/settings/profile")  # a path that the page itself knows
    page.wait_for_function("document.querySelector('#sum').textContent === '20 + 22 = 42'")
    assert page.locator("#path").inner_text() == "/settings/profile"
    headers = found.value.headers
    assert (found.value.status, headers["content-type"]) == (200, "application/wasm")
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert page.evaluate(BY_HAND, WASM) == 42
