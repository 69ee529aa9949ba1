"""The routes of simple, made to cost less: the path is compared where it lies, and nothing is made on the way."""

import controllers

USER = b"/user/"
READING = (b"GET", b"HEAD")  # the server drops the content that HEAD is not sent


def handle(request, response, worker):
    path = request.path
    # What is asked for most comes first. startswith compares in place, where a slice would make another object.
    if path.startswith(USER) and len(path) > len(USER):
        if request.method in READING:
            return controllers.get_user(response, path[len(USER) :])  # a view of so little would cost more
    elif path == b"/":
        if request.method in READING:
            return controllers.home(response)
    elif path == b"/users":
        if request.method in READING:
            return controllers.list_users(response)
    elif path == b"/user":
        if request.method == b"POST":
            return controllers.create_user(response)
        return controllers.method_not_allowed(response, b"POST")
    else:
        return controllers.not_found(response)
    return controllers.method_not_allowed(response, b"GET, HEAD")
