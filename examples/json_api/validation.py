"""What a JSON object has to hold: a table of members, and every mistake at once, each where it is."""

import re
from dataclasses import dataclass

TEXT = re.compile(r"[^\x00-\x1f\x7f]+")
EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")


class InvalidError(Exception):
    """`errors` is a list of {"pointer", "detail"}: where, as the fragment of RFC 6901 section 6, and what is needed."""

    def __init__(self, errors):
        super().__init__(errors)
        self.errors = errors


@dataclass(frozen=True)
class Member:
    """`check(value)` gives what is wrong, as pairs of a pointer below the member and a detail."""

    check: object
    is_required: bool = True


def text(max_length, pattern=TEXT, what="text"):
    def check(value):
        if not isinstance(value, str) or len(value) > max_length or not pattern.fullmatch(value) or not value.strip():
            yield "", f"{what} of 1 to {max_length} characters is needed"

    return check


def whole(least, most):
    def check(value):
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            yield "", f"a whole number from {least} to {most} is needed"

    return check


def list_of(check_item, max_items):
    def check(value):
        if not isinstance(value, list) or len(value) > max_items:
            yield "", f"a list of up to {max_items} is needed"
            return
        for index, item in enumerate(value):
            for pointer, detail in check_item(item):
                yield f"/{index}{pointer}", detail

    return check


def validate(value, members):
    """The object itself. Raises: InvalidError."""
    if not isinstance(value, dict):
        raise InvalidError([{"pointer": "#", "detail": "an object is needed"}])
    errors = []
    for name, member in members.items():
        if name in value:
            errors += [{"pointer": f"#/{name}{at}", "detail": detail} for at, detail in member.check(value[name])]
        elif member.is_required:
            errors.append({"pointer": f"#/{name}", "detail": "is missing"})
    if value.keys() - members.keys():  # not by their names, which are the client's and may be anything
        errors.append({"pointer": "#", "detail": f"has members other than {', '.join(members)}"})
    if errors:
        raise InvalidError(errors)
    return value
