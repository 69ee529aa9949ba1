"""Routing by hand: compare the path, take its tail as a parameter, then choose by the method."""

import controllers

HOME = {b"GET": controllers.home, b"HEAD": controllers.home}
USERS = {b"POST": controllers.create_user}
USER = {
    b"GET": controllers.get_user,
    b"HEAD": controllers.get_user,
    b"PUT": controllers.update_user,
    b"DELETE": controllers.delete_user,
}


def handle(request, response, worker):
    path = request.path  # without the query
    if path == b"/":
        methods, arguments = HOME, ()
    elif path == b"/user":
        methods, arguments = USERS, ()
    elif path.startswith(b"/user/") and len(path) > len(b"/user/"):
        methods, arguments = USER, (path[len(b"/user/") :],)
    else:
        return controllers.not_found(response)
    controller = methods.get(request.method)
    if controller is None:
        return controllers.method_not_allowed(response, methods)
    return controller(request, response, *arguments)
