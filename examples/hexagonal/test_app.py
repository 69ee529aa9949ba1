"""hexagonal: the ports, the use cases and the web over each adapter, called by hand and over sockets."""

import asyncio
import base64
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest

from vanilla import Request, Response, ServerConfig, Worker
from vanilla.testing import Round, Script, Session, ask, drive, eof, repeat

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

from shop.adapters.memory import MemoryProducts, MemoryUsers  # noqa: E402
from shop.adapters.scrypt import ScryptPasswords  # noqa: E402
from shop.adapters.sqlite import Database, SqliteProducts, SqliteUsers  # noqa: E402
from shop.adapters.web import PAGE, routes  # noqa: E402
from shop.domain import InvalidError, Product, TakenError, User  # noqa: E402
from shop.use_cases import Shop  # noqa: E402

sys.path.remove(str(HERE))

ADA = {"username": "ada", "email": "Ada@example.com", "password": "correct horse"}


class PlainPasswords:
    """A fake that takes no time, and remembers what it was asked."""

    def __init__(self) -> None:
        self.verified: list[str] = []

    def hash(self, password: str) -> str:
        return f"hash of {password}"

    def verify(self, password: str, password_hash: str) -> bool:
        self.verified.append(password_hash)
        return password_hash == f"hash of {password}"


@pytest.fixture(params=["memory", "sqlite"])
def storage(request, tmp_path):
    """The adapters behind both ports: (users, products)."""
    if request.param == "memory":
        yield MemoryUsers(), MemoryProducts()
    else:
        with contextlib.closing(Database(str(tmp_path / "shop.db"))) as database:
            yield SqliteUsers(database), SqliteProducts(database)


@pytest.fixture
def shop(storage):
    numbers = iter(range(1000))
    return Shop(*storage, PlainPasswords(), lambda: f"id-{next(numbers):03}")


def user(number: int) -> User:
    return User(f"id-{number}", f"user{number}", f"user{number}@example.com", "hash")


# The contract of the ports: whatever is behind them keeps it.


def test_who_was_added_is_found(storage) -> None:
    users, _ = storage
    assert users.find("user1") is None
    users.add(user(1))
    assert (users.find("user1"), users.find("User1"), users.find("' OR '1'='1")) == (user(1), None, None)


@pytest.mark.parametrize("other", [User("x", "user1", "x@example.com", ""), User("x", "x", "user1@example.com", "")])
def test_nobody_takes_what_another_has(storage, other: User) -> None:
    users, _ = storage
    users.add(user(1))
    with pytest.raises(TakenError):
        users.add(other)
    assert users.page("", 10) == [user(1)]


def test_pages_go_on_where_the_last_one_ended(storage) -> None:
    users, products = storage
    for number in (3, 1, 2):
        users.add(user(number))
        products.add(Product(f"id-{number}", "tea", 5))
    assert users.page("", 2) == [user(1), user(2)]
    assert users.page("id-2", 2) == [user(3)]
    assert products.page("", 2) == [Product("id-1", "tea", 5), Product("id-2", "tea", 5)]
    assert products.page("id-3", 2) == []


def test_of_many_threads_one_gets_the_name(storage) -> None:
    users, _ = storage
    lost = []

    def add(number: int) -> None:
        try:
            users.add(User(f"id-{number}", "ada", f"{number}@example.com", ""))
        except TakenError:
            lost.append(number)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 7
    assert len(users.page("", 10)) == 1


def test_what_sqlite_has_is_there_when_it_is_opened_again(tmp_path) -> None:
    for expected in ([], [user(1)]):
        with contextlib.closing(Database(str(tmp_path / "shop.db"))) as database:
            users = SqliteUsers(database)
            assert users.page("", 10) == expected
            if not expected:
                users.add(user(1))


# The use cases.


def test_who_registers_can_log_in(shop) -> None:
    registered = shop.register(**ADA)
    assert (registered.username, registered.email) == ("ada", "ada@example.com")
    assert shop.log_in("ada", "correct horse") == registered
    assert shop.log_in("ada", "wrong horse") is None
    assert shop.log_in("eve", "correct horse") is None
    assert shop.list_users("", 10) == [registered]


def test_nobodys_password_is_verified_too(storage) -> None:
    passwords = PlainPasswords()
    assert Shop(*storage, passwords).log_in("nobody", "password") is None
    assert len(passwords.verified) == 1  # it takes as long as a wrong password


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"username": "Ada"}, ["username"]),
        ({"username": "ad"}, ["username"]),
        ({"username": "ada\n"}, ["username"]),
        ({"username": None}, ["username"]),
        ({"email": "ada"}, ["email"]),
        ({"email": "ada@example"}, ["email"]),
        ({"email": "a@b@example.com"}, ["email"]),
        ({"email": "ada@" + "x" * 250 + ".com"}, ["email"]),
        ({"password": "short"}, ["password"]),
        ({"password": "x" * 1001}, ["password"]),
        ({"password": "\ud800" * 8}, ["password"]),
        ({"password": 12345678, "email": []}, ["email", "password"]),
    ],
)
def test_who_cannot_be_registered_is_told_everything_that_is_wrong(shop, change: dict, wrong: list[str]) -> None:
    with pytest.raises(InvalidError) as caught:
        shop.register(**(ADA | change))
    assert list(caught.value.reasons) == wrong
    assert shop.list_users("", 10) == []


@pytest.mark.parametrize("price", [-1, 1.5, "1", True, None, 100_000_001])
def test_a_product_needs_a_price(shop, price: object) -> None:
    with pytest.raises(InvalidError, match=r"^price_cents$"):
        shop.add_product("tea", price)


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\0b", "\ud800", None])
def test_a_product_needs_a_name(shop, name: object) -> None:
    with pytest.raises(InvalidError, match=r"^name$"):
        shop.add_product(name, 5)


def test_a_password_is_kept_as_a_hash_of_its_own() -> None:
    passwords = ScryptPasswords(cost=16)
    first, second = passwords.hash("s\u00e9same"), passwords.hash("s\u00e9same")
    assert first != second
    assert passwords.verify("s\u00e9same", first)
    assert ScryptPasswords().verify("s\u00e9same", second)  # with the cost that it was made by
    assert not passwords.verify("sesame", first)


@pytest.mark.parametrize("stored", ["", "x", "scrypt$16$8$1$!$!", "scrypt$15$8$1$AA==$AA==", "md5$16$8$1$AA==$AA=="])
def test_what_is_no_hash_is_nobodys_password(stored: str) -> None:
    assert not ScryptPasswords().verify("", stored)


# Over HTTP.


def wire(line: str, content: object = None, *fields: str) -> bytes:
    body = b"" if content is None else json.dumps(content).encode()
    lines = [f"{line} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *fields]
    if content is not None:
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + body


def basic(username: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def answer(shop, raw: bytes) -> Response:
    response = Response()
    result = routes(shop)(Request(raw), response, Worker())
    if result is not None:
        asyncio.run(result)
    return response


def test_registering_and_logging_in_never_show_the_password(shop) -> None:
    created = answer(shop, wire("POST /users", ADA))
    expected = {"id": "id-001", "username": "ada", "email": "ada@example.com"}
    assert (created.status, json.loads(created.content)) == (201, expected)
    welcomed = answer(shop, wire("POST /login", None, basic("ada", "correct horse")))
    assert (welcomed.status, json.loads(welcomed.content)) == (200, expected)
    assert json.loads(answer(shop, wire("GET /users")).content) == {"items": [expected], "next": None}


@pytest.mark.parametrize(
    "field",
    [basic("ada", "wrong"), basic("eve", "correct horse"), "Authorization: Basic !", "Authorization: Bearer x", "X: y"],
)
def test_others_are_challenged(shop, field: str) -> None:
    answer(shop, wire("POST /users", ADA))
    refused = answer(shop, wire("POST /login", None, field))
    assert (refused.status, refused.header("www-authenticate")) == (401, b'Basic realm="shop", charset="UTF-8"')


def test_what_the_core_refuses_is_a_problem(shop) -> None:
    refused = answer(shop, wire("POST /users", ADA | {"password": "x"}))
    assert (refused.status, refused.header("content-type")) == (422, b"application/problem+json")
    assert json.loads(refused.content)["errors"] == {"password": "8 to 1000 characters are needed"}
    answer(shop, wire("POST /users", ADA))
    assert answer(shop, wire("POST /users", ADA)).status == 409
    assert answer(shop, wire("POST /products", {"name": "tea"})).status == 422


def test_products_come_in_pages(shop) -> None:
    for number in range(PAGE + 1):
        assert answer(shop, wire("POST /products", {"name": f"tea {number}", "price_cents": number})).status == 201
    first = json.loads(answer(shop, wire("GET /products")).content)
    assert [item["price_cents"] for item in first["items"]] == list(range(PAGE))
    second = json.loads(answer(shop, wire(f"GET {first['next']}")).content)
    assert (second["items"], second["next"]) == (
        [{"id": f"id-{PAGE + 1:03}", "name": f"tea {PAGE}", "price_cents": PAGE}],
        None,
    )


def test_over_sockets(shop) -> None:
    with Session(ServerConfig(routes(shop), workers=2)) as session:
        created = session.fire(repeat(8, ask(wire("POST /users", ADA)))).results
        assert sorted(result.statuses for result in created) == [[201]] + [[409]] * 7
        others = [
            (wire("POST /login", None, basic("ada", "correct horse")), 200),
            (wire("POST /login"), 401),
            (wire("POST /users", [ADA]), 400),
            (wire("POST /users", ADA).replace(b"/json", b"/xml"), 415),
            (wire("POST /users", ADA | {"email": "x" * 20_000}), 413),
            (wire("GET /users?after=%"), 400),
            (wire("DELETE /users"), 405),
            (wire("GET /nothing"), 404),
            (b"garbage\r\n\r\n", 400),
        ]
        answered = session.fire([ask(raw) for raw, _ in others]).results
        assert [result.statuses for result in answered] == [[status] for _, status in others]
        cut = Script(rounds=[Round(send=wire("POST /users", ADA)[:-1], half_close=True, until=eof)])
        assert session.fire([cut]).results[0].statuses == []
        assert session.stop().in_flight == 0


@pytest.mark.parametrize("database", ["", "shop.db"])
def test_the_composition_root_wires_what_it_is_told(database: str, tmp_path) -> None:
    code = "import app; print(type(app.users).__name__)"
    environment = {**os.environ, "PYTHONPATH": str(HERE), "DATABASE": database}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ended.stdout.strip(), ended.stderr) == ("SqliteUsers" if database else "MemoryUsers", "")
    assert (tmp_path / "shop.db").exists() == bool(database)


def test_the_whole_shop_with_real_hashes() -> None:
    config = ServerConfig(routes(Shop(MemoryUsers(), MemoryProducts(), ScryptPasswords())), workers=1)
    login = wire("POST /login", None, basic("ada", "correct horse"))
    script = Script(rounds=[Round(send=wire("POST /users", ADA)), Round(send=login)])
    assert drive(config, [script])[0].statuses == [201, 200]
