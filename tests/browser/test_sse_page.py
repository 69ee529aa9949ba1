"""The page of examples/sse in two tabs of a real browser."""

import urllib.request


def open_tabs(browser, port):
    tabs = [browser.new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto(f"http://127.0.0.1:{port}/")
        await_state(tab, "connected")
    return tabs


def await_state(tab, state):
    tab.wait_for_function("wanted => document.querySelector('#state').value === wanted", arg=state)


def await_messages(tab, count):
    """The texts of the messages, once there are so many."""
    tab.wait_for_function("count => document.querySelectorAll('#messages li').length >= count", arg=count)
    return tab.locator("#messages li").all_inner_texts()


def broadcast(port, text):
    urllib.request.urlopen(f"http://127.0.0.1:{port}/broadcast", text.encode(), timeout=10).close()


def test_what_one_tab_sends_is_shown_in_both(serve, browser) -> None:
    tabs = open_tabs(browser, serve("sse").port)
    tabs[0].fill("input", "<b>hello</b>")
    tabs[0].click("button")
    assert [await_messages(tab, 1) for tab in tabs] == [["<b>hello</b>"]] * 2


def test_a_cut_connection_comes_back_with_what_was_missed_and_nothing_twice(serve, relay, browser) -> None:
    served = serve("sse")
    between = relay(served.port)
    tabs = open_tabs(browser, between.port)
    broadcast(served.port, "before")
    for tab in tabs:
        await_messages(tab, 1)
    between.cut()
    for tab in tabs:
        await_state(tab, "reconnecting")
    for text in ("missed", "missed too"):
        broadcast(served.port, text)
    between.mend()
    for tab in tabs:
        await_state(tab, "connected")
    broadcast(served.port, "after")
    assert [await_messages(tab, 4) for tab in tabs] == [["before", "missed", "missed too", "after"]] * 2


def test_the_tabs_survive_a_restart_of_the_server(serve, browser) -> None:
    served = serve("sse")
    tabs = open_tabs(browser, served.port)
    broadcast(served.port, "before")
    for tab in tabs:
        await_messages(tab, 1)
    served.stop()
    for tab in tabs:
        await_state(tab, "reconnecting")
    served.start()
    broadcast(served.port, "while they were away")
    for tab in tabs:
        await_state(tab, "connected")
    broadcast(served.port, "after")
    assert [await_messages(tab, 3) for tab in tabs] == [["before", "while they were away", "after"]] * 2
