"""A single-page application: its bundle read at the start, and its API beside it."""

import pathlib

from vanilla.toolkit.routing import Router
from vanilla.toolkit.static_assets import static_assets


def time_zone(request, response, worker):
    response.reply(200, b'{"zone": "UTC"}', content_type="application/json")


router = Router()
router.get("/api/zone", time_zone)
router.mount("/", static_assets(pathlib.Path(__file__).with_name("bundle"), fallback="index.html"))
handle = router
