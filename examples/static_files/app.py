"""Files of a folder, with all that browsers, players and caches ask for."""

import pathlib

from vanilla.toolkit.static_files import static_files

handle = static_files(
    pathlib.Path(__file__).with_name("public"),
    listing=True,
    cache_control={"*.css": "public, max-age=3600", "*": "no-cache"},
)
