"""Who may come in, by address: a list that changes while the server runs, and an office that alone may change it."""

import os

from vanilla.toolkit.composition import compose
from vanilla.toolkit.forwarded import TrustedProxies, read_address
from vanilla.toolkit.ip_lists import IpList, ip_filter
from vanilla.toolkit.refusals import MalformedError
from vanilla.toolkit.routing import Router

PROXIES = TrustedProxies(os.environ.get("PROXIES", "").split())
OFFICE = IpList(os.environ.get("OFFICE", "127.0.0.0/8 ::1").split())
BLOCKED_MAX = 10_000


class Blocklist:
    """Networks from the start, and addresses since. Looking is one look into a set, so nothing is locked."""

    def __init__(self, networks):
        self.networks = IpList(networks)
        self.addresses = set()

    def __contains__(self, address):
        return address in self.addresses or address in self.networks


blocklist = Blocklist(["192.0.2.0/24", "2001:db8::/32"])


def welcome(request, response, worker):
    response.reply(200, b"allowed\n", content_type="text/plain")


def block(request, response, worker):
    address = to_address(request)
    if len(blocklist.addresses) >= BLOCKED_MAX:
        response.reply(507)
    else:
        blocklist.addresses.add(address)
        response.reply(204)


def unblock(request, response, worker):
    blocklist.addresses.discard(to_address(request))
    response.reply(204)


def to_address(request):
    """The one spelling of the address in the path: of IPv6 there are many."""
    text = request.params["address"].decode("latin-1")
    address = read_address(text)
    if address is None:
        raise MalformedError(f"{text!r} is no address")
    return str(address)


router = Router()
router.get("/", welcome)
admin = router.group("/blocked", ip_filter(allow=OFFICE, trusted=PROXIES))
admin.put("/:address", block)
admin.delete("/:address", unblock)

handle = compose(router, ip_filter(block=blocklist, trusted=PROXIES))
