"""The whole programming model: append one complete response to the buffer that the server owns."""

HELLO = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\nHello, World!"
)


def handle(request, response, worker):
    response += HELLO
