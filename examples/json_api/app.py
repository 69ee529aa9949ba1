"""Users as JSON, with everything that is wrong said at once; and files in a form."""

from store import FullError, Users
from validation import EMAIL, InvalidError, Member, list_of, text, validate, whole

from vanilla import Limits, RefusedError, ServerConfig
from vanilla.toolkit.composition import compose
from vanilla.toolkit.json_bodies import read_json, reply_json
from vanilla.toolkit.multipart_forms import MultipartLimits, read_multipart
from vanilla.toolkit.problems import problem
from vanilla.toolkit.query import Query
from vanilla.toolkit.refusals import MalformedError
from vanilla.toolkit.routing import Router

JSON_BYTES_MAX = 64 * 1024
FILES = MultipartLimits(max_parts=20, max_file_bytes=5_000_000)
PAGE, PAGE_MAX = 20, 100
ID_DIGITS_MAX = 15

USER = {
    "name": Member(text(100)),
    "email": Member(text(254, EMAIL, "an email address")),
    "age": Member(whole(0, 150), is_required=False),
    "tags": Member(list_of(text(30), 10), is_required=False),
}

users = Users()


def with_problems(inner):
    """Whatever is refused, in one form: RFC 9457."""

    def handle(request, response, worker):
        try:
            return inner(request, response, worker)
        except InvalidError as error:
            return problem(response, 422, errors=error.errors)
        except RefusedError as error:
            return problem(response, error.status, detail=str(error))
        except FullError:
            return problem(response, 507, detail="there is no room for another user")

    return handle


def list_users(request, response, worker):
    query = Query(request.query)
    after, limit = read_whole(query, "after", 0), min(read_whole(query, "limit", PAGE), PAGE_MAX)
    found = users.page(after, limit + 1)
    following = f"/users?after={found[limit - 1]['id']}&limit={limit}" if len(found) > limit > 0 else None
    reply_json(response, {"users": found[:limit], "next": following})


def create_user(request, response, worker):
    user = users.add(validate(read_json(request, max_bytes=JSON_BYTES_MAX), USER))
    reply_json(response, user, 201, headers={"Location": router.url_for("user", id=user["id"])})


def show_user(request, response, worker):
    answer(response, users.get(read_id(request)))


def replace_user(request, response, worker):
    user = validate(read_json(request, max_bytes=JSON_BYTES_MAX), USER)
    answer(response, users.change(read_id(request), lambda old: user))


def patch_user(request, response, worker):
    """A merge patch, RFC 7396: members that are null go away. The result has to be a whole user again."""
    patch = read_json(request, max_bytes=JSON_BYTES_MAX)
    if not isinstance(patch, dict):
        validate(patch, USER)

    def merge(old):
        merged = {name: value for name, value in old.items() if name != "id"} | patch
        return validate({name: value for name, value in merged.items() if value is not None}, USER)

    answer(response, users.change(read_id(request), merge))


def delete_user(request, response, worker):
    if users.remove(read_id(request)):
        response.reply(204)
    else:
        problem(response, 404)


def upload(request, response, worker):
    with read_multipart(request, limits=FILES) as form:
        received = [
            {"field": part.name, "filename": part.file_name, "type": part.content_type, "size": part.size}
            for part in form.files
        ]
    reply_json(response, {"received": received})


def answer(response, user):
    if user is None:
        problem(response, 404)
    else:
        reply_json(response, user)


def read_id(request):
    """0, which is nobody's, for what is none."""
    text = request.params["id"]
    return int(text) if text.isdigit() and len(text) <= ID_DIGITS_MAX else 0


def read_whole(query, name, default):
    text = query.get(name)
    if text is None:
        return default
    if not text.isdigit() or len(text) > ID_DIGITS_MAX:
        raise MalformedError(f"{name}: a whole number is needed")
    return int(text)


router = Router(
    not_found=lambda request, response, worker: problem(response, 404),
    method_not_allowed=lambda request, response, worker: problem(response, 405),
)
router.get("/users", list_users)
router.post("/users", create_user)
router.get("/users/:id", show_user, name="user")
router.put("/users/:id", replace_user)
router.patch("/users/:id", patch_user)
router.delete("/users/:id", delete_user)
router.post("/upload", upload)

config = ServerConfig(compose(router, with_problems), limits=Limits(max_body_bytes=10_000_000))
