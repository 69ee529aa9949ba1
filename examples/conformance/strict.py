"""What RFC 9110, 9112 and 3986 let a server pass over, and this one does not: one rule each, with its clause."""

UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
SUB_DELIMITERS = b"!$&'()*+,;="
TARGET = UNRESERVED + SUB_DELIMITERS + b":@/?%"  # RFC 3986 section 3.3 and 3.4
AUTHORITY_TOO = TARGET + b"[]"  # an IPv6 address, in absolute-form and authority-form
HEXADECIMAL = b"0123456789abcdefABCDEF"

# Fields whose value is not a list, so that a second line leaves open which one is meant: RFC 9110 section 5.3.
SINGLE = frozenset(
    b"authorization content-length content-location content-type date from host if-modified-since if-range"
    b" if-unmodified-since max-forwards proxy-authorization range referer user-agent".split()
)


def find_fault(request):
    """What is wrong with a request that the server has let through; None where nothing is."""
    return find_fault_in_target(request.target) or find_fault_in_fields(request.headers())


def find_fault_in_target(target):
    allowed = TARGET if target.startswith(b"/") else AUTHORITY_TOO
    if target.translate(None, allowed):
        return b"RFC 3986 section 3.3: a byte in the target that has to be escaped"
    for escape in target.split(b"%")[1:]:
        if len(escape) < 2 or escape[:2].translate(None, HEXADECIMAL):
            return b"RFC 3986 section 2.1: a % without two hexadecimal digits"
    return None


def find_fault_in_fields(fields):
    seen = set()
    for name, value in fields:
        lowered = name.lower()
        if lowered in SINGLE and lowered in seen:
            return b"RFC 9110 section 5.3: two lines of a field that is no list"
        seen.add(lowered)
        if lowered == b"content-length" and b"," in value:
            return b"RFC 9112 section 6.3: a list in Content-Length"
        if lowered == b"host" and b"," in value:
            return b"RFC 9110 section 7.2: a list in Host"  # a comma may stand in a registered name, but in no real one
    return None
