"""Laws of names and origins: local ones need no setting, others are said, nobody else gets in."""

import pytest

from app.door.headers import answer_headers, policy_headers
from app.door.hosts import Reach, parse_origin
from app.door.routes import Join, ServerCall, find_route, parse_body
from app.door.uploads import WINDOW_S, Uploads
from diffpose.errors import InputError, SettingsError

HOME = Reach(names=frozenset({"gpu1.lab.example.edu"}))
PROXIED = Reach(origins=frozenset({"https://poses.example.org"}))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:7860", "localhost:7860", "LOCALHOST", "[::1]:7860", "192.168.1.20:7860",
        "workstation:7860", "workstation.local", "ward-3.lan:80", "gpu1.lab.example.edu:7860",
    ],
)  # fmt: skip
def test_local_names_need_no_setting(host):
    assert HOME.knows_host(host)
    assert HOME.knows_origin(f"http://{host}", host)


@pytest.mark.parametrize("host", ["evil.example.com", "127.0.0.1.nip.example", "", ":", "x.y:80"])
def test_a_name_that_anybody_can_own_is_refused(host):
    assert not HOME.knows_host(host)


@pytest.mark.parametrize(
    "origin",
    [
        "null", "", "https://evil.example.com", "http://localhost:7861", "file://", "x",
        "http://localhost:7860@evil.example.com", "http://localhost:7860.evil.example.com",
        "http://[", "http://localhost:99999", "https://poses.example.org.evil.example.com",
    ],
)  # fmt: skip
def test_another_site_is_no_origin(origin):
    assert not HOME.knows_origin(origin, "localhost:7860")
    assert not PROXIED.knows_origin(origin, "localhost:7860")


def test_a_proxy_s_address_is_said_and_then_known():
    assert PROXIED.knows_host("poses.example.org")
    assert PROXIED.knows_origin("https://poses.example.org", "127.0.0.1:7860")
    assert PROXIED.knows_origin("https://poses.example.org:443", "poses.example.org")
    assert not PROXIED.knows_origin("http://poses.example.org", "127.0.0.1:7860")


def test_a_server_answers_to_the_name_it_listens_at():
    assert Reach.of([], host="Poses.example.org").knows_host("poses.example.org:7860")
    assert not Reach.of([]).knows_host("poses.example.org:7860")


@pytest.mark.parametrize(
    "text", ["poses.example.org", "ftp://x", "https://x/path", "https://", "*"]
)
def test_an_origin_is_a_scheme_and_a_name(text):
    with pytest.raises(SettingsError, match="--allow-origin"):
        parse_origin(text)


def test_the_policy_says_who_may_frame_the_page():
    def policy(reach):
        return dict(policy_headers(reach))[b"content-security-policy"].decode()

    assert policy(HOME).endswith("frame-ancestors 'self'")
    assert policy(PROXIED).endswith("frame-ancestors 'self' https://poses.example.org")
    assert "script-src-attr 'none'" in policy(HOME)
    assert "object-src 'none'" in policy(HOME)


@pytest.mark.parametrize(
    ("is_https", "is_embedded", "name", "ending"),
    [
        (False, False, b"access-token-unsecure-x", b"SameSite=Lax"),
        (True, False, b"access-token-x", b"Secure; SameSite=Lax"),
        (True, True, b"access-token-x", b"Secure; SameSite=None"),
    ],
)
def test_one_cookie_for_the_scheme_and_no_other_site(is_https, is_embedded, name, ending):
    given = [
        (b"set-cookie", b"access-token-x=t; HttpOnly; Path=/; SameSite=none; Secure"),
        (b"set-cookie", b"access-token-unsecure-x=t; HttpOnly; Path=/; SameSite=lax"),
        (b"access-control-allow-origin", b"https://evil.example.com"),
    ]
    answered = answer_headers(given, [], is_https=is_https, is_embedded=is_embedded)
    assert answered == [(b"set-cookie", name + b"=t; HttpOnly; Path=/; " + ending)]


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/openapi.json", "/gradio_api/token", "/gradio_api/deep_link", "/monitoring",
        "/gradio_api/vibe-edit", "/gradio_api/call/x", "/gradio_api/proxy=https://x.hf.space",
        "/gradio_api/file=https://example.com/x", "/gradio_api/file=/a\0b", "/docs",
        "/gradio_api/heartbeat/" + "x" * 65, "/" + "a" * 5000, "/gradio_api/file=/\udcff",
    ],
)  # fmt: skip
def test_what_the_page_does_not_need_is_not_served(path):
    assert find_route("GET", path) is None
    assert find_route("POST", path) is None


JOIN = b'{"session_hash": "abc", "fn_index": 0, "data": [null, 1.5, "x"], "more": 1}'


def test_a_body_is_what_the_page_sends():
    body = parse_body(JOIN, Join)
    assert body.model_dump(exclude_unset=True) == {
        "session_hash": "abc", "fn_index": 0, "data": [None, 1.5, "x"]
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        b"", b"[]", b"\xff", JOIN[:-1], JOIN.replace(b"1.5", b"NaN"),
        JOIN.replace(b"1.5", b"1e999"),
        JOIN.replace(b'"x"', b'"\\ud800"'), JOIN.replace(b": 0", b": -1"),
        JOIN.replace(b": 0", b": 9999999999"), JOIN.replace(b'"abc"', b"[]"),
        JOIN.replace(b"1.5", b"[" * 40 + b"]" * 40), JOIN.replace(b"1.5", b"[" * 90_000),
        JOIN.replace(b"[null", b"[" + b"1," * 100 + b"null"),
    ],
)  # fmt: skip
def test_another_body_is_a_sentence(text):
    with pytest.raises(InputError, match=r"^Expected .*[.]$"):
        parse_body(text, Join)


def test_a_function_is_a_word():
    good = b'{"session_hash": "a", "component_id": 3, "fn_name": "review", "data": {}}'
    assert parse_body(good, ServerCall)
    with pytest.raises(InputError):
        parse_body(good.replace(b'"review"', b'["review"]'), ServerCall)


def test_uploads_have_a_bound_that_moves_on():
    now = [0.0]
    uploads = Uploads(100, most_files=3, clock=lambda: now[0])
    uploads.add("a", num_bytes=60, files=2)
    assert uploads.room("a") == (40, 1)
    assert uploads.room("b") == (100, 3)
    now[0] = WINDOW_S + 1
    assert uploads.room("a") == (100, 3)
