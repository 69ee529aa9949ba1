"""HTTP/1.1 as pure codecs: bytes in, offsets and bytes out. RFC 9112 framing, RFC 9110 fields."""
