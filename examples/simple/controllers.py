"""What is answered once it is known who is meant. Nothing is stored: put your database here."""


def home(request, response):
    response.reply(200, content_type="application/json")


def create_user(request, response):
    response.reply(201, content_type="application/json")


def get_user(request, response, user):
    # The id is echoed as it came, not decoded: safe only because browsers do not run text/plain.
    response.reply(200, user, content_type="text/plain")


def update_user(request, response, user):
    response.reply(200, user, content_type="text/plain")


def delete_user(request, response, user):
    response.reply(204)


def not_found(response):
    response.reply(404)


def method_not_allowed(response, methods):
    response.reply(405, headers={"Allow": b", ".join(methods)})
