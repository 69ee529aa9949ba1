"""What is answered, appended straight to the buffer. All is `bytes`: text would be encoded anew each time."""


def home(response):
    response.reply(200, content_type=b"application/json")


def list_users(response):
    response.reply(200, content_type=b"application/json")


def create_user(response):
    response.reply(201, content_type=b"application/json")


def get_user(response, user):
    # The id is echoed as it came, not decoded: safe only because browsers do not run text/plain.
    response.reply(200, user, content_type=b"text/plain")


def not_found(response):
    response.reply(404)


def method_not_allowed(response, methods):
    response.reply(405, headers=((b"Allow", methods),))
