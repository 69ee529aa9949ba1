"""Tables in Markdown: made from rows, printed, and put between their markers in docs/benchmarks.md."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import prepare

PAGE = prepare.ROOT / "docs" / "benchmarks.md"


@dataclass
class Table:
    """One measurement's table and the notes below it.

    Attributes:
        name: of the markers around it in the page.
        missing: why a server has no row of figures, by its name.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def render(self, preamble: str) -> str:
        empty = [""] * (len(self.columns) - 2)
        absent = [[name, f"not measured: {reason}", *empty] for name, reason in self.missing.items()]
        alignment = ["---", *["---:"] * (len(self.columns) - 1)]
        lines = [self.columns, alignment, *self.rows, *absent]
        body = "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
        notes = "".join(f"\n- {note}" for note in self.notes)
        return f"**{self.title}.** {preamble}\n\n{body}\n" + (notes + "\n" if notes else "")


def publish(table: Table, python: str, *, print_only: bool) -> None:
    """Print the table and, unless `print_only`, replace the one of its name in the page."""
    text = table.render(_preamble(python))
    print(f"\n{text}", flush=True)
    if print_only:
        return
    page = PAGE.read_text() if PAGE.exists() else "# Benchmarks\n"
    begin, end = f"<!-- begin {table.name} -->", f"<!-- end {table.name} -->"
    block = f"{begin}\n{text}{end}"
    if begin in page:
        page = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: block, page, flags=re.DOTALL)
    else:
        page = f"{page.rstrip()}\n\n{block}\n"
    PAGE.write_text(page)


def _preamble(python: str) -> str:
    """When, on what, and by which command: what a reader needs to repeat it."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    command = shlex.join(["python", "benchmarks/measure.py", *(_portable(word) for word in sys.argv[1:])])
    machine = (
        f"{os.cpu_count()} cores of {_processor()}, Linux {platform.release()}, Python {prepare.python_version(python)}"
    )
    return f"{today}, {machine}; `{command}`"


def _portable(word: str) -> str:
    """An argument without the directories of this machine."""
    option, equals, value = word.rpartition("=")
    if not os.path.isabs(value):
        return word
    path = Path(value)
    shown = str(path.relative_to(prepare.ROOT)) if path.is_relative_to(prepare.ROOT) else path.name
    return f"{option}{equals}{shown}"


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
    return found[1] if found else platform.machine()
