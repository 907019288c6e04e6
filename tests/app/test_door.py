"""Laws of the door, asked of the app as it is served: logins, sites, sizes, routes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.door.attempts import Attempts
from app.logins import hash_password
from app.settings import Settings
from tests.app.figures import serving
from tests.hostile.endpoints import Page

API = "/gradio_api"
EVIL = "https://evil.example.com"


@pytest.fixture(scope="module")
def server(clip_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("door")
    logins = folder / "logins"
    lines = [f"{name}:{hash_password(f'{name} secret')}\n" for name in ("ada", "bob", "cyd")]
    logins.write_text("".join(lines))
    settings = Settings(
        examples=clip_path.parent, work=folder, auth=logins, max_upload_mb=1, quota_mb=3
    )
    with serving(settings) as app:
        yield Page.of(app)


@pytest.fixture
def stranger(server: Page) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def log_in(client: httpx.Client, name: str) -> httpx.Response:
    return client.post("/login", data={"username": name, "password": f"{name} secret"})


@pytest.fixture
def ada(server: Page) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        assert log_in(client, "ada").status_code == 200
        yield client


@pytest.fixture
def bob(server: Page) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        assert log_in(client, "bob").status_code == 200
        yield client


def test_no_route_but_the_login_page_is_open_to_strangers(
    server: Page, stranger: httpx.Client
) -> None:
    public = {"/", "/login", "/logout", "/theme.css", "/favicon.ico", "/robots.txt"}
    public |= {"/manifest.json", "/pwa_icon", f"{API}/theme.css", f"{API}/startup-events"}
    asked = 0
    included = [getattr(route, "original_router", None) for route in server.app.routes]
    routes = [*server.app.routes, *(r for router in included if router for r in router.routes)]
    for route in routes:
        path = getattr(route, "path", "").rstrip("/") or "/"
        if path in public or path.startswith(("/static/", "/assets/", "/svelte/", "/pwa_icon/")):
            continue
        for method in getattr(route, "methods", ()):
            answer = stranger.request(method, path.replace("{", "").replace("}", ""))
            assert answer.status_code == (403 if method == "OPTIONS" else 401), (method, path)
            asked += 1
    assert asked > 30
    for path in ("cancel", "reset", "openapi.json", "queue/join", "component_server"):
        assert stranger.post(f"{API}/{path}", json={}).status_code == 401
    assert stranger.get(f"{API}/openapi.json").status_code == 401
    assert stranger.get("/").status_code == 200
    assert "components" not in stranger.get("/config").text


def test_who_is_logged_in_gets_the_page_and_no_more(ada: httpx.Client) -> None:
    assert "components" in ada.get("/config").json()
    for path in ("openapi.json", "token", "deep_link?session_hash=x", "vibe-code", "call/x/y"):
        assert ada.get(f"{API}/{path}").status_code == 404


def test_the_cookie_is_for_this_site_only(stranger: httpx.Client) -> None:
    answer = log_in(stranger, "ada")
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 1
    assert "SameSite=Lax" in cookies[0]
    assert "HttpOnly" in cookies[0]

    answer = stranger.post(
        "/login",
        data={"username": "ada", "password": "ada secret"},
        headers={"x-forwarded-proto": "https"},
    )
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 1
    assert "Secure" in cookies[0]


@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:1", "https://127.0.0.1"])
def test_another_site_cannot_act_as_the_user(ada: httpx.Client, origin: str) -> None:
    headers = {"origin": origin}
    posts = [
        ada.post(f"{API}/{path}", json={}, headers=headers)
        for path in ("queue/join", "component_server", "cancel", "reset")
    ]
    posts.append(ada.post(f"{API}/upload", files={"files": b"x"}, headers=headers))
    posts.append(log_in_as_site(ada, headers))
    posts.append(ada.get("/logout", headers=headers))
    posts.append(ada.options(f"{API}/queue/join", headers={**headers, **PREFLIGHT}))
    read = ada.get("/config", headers=headers)
    for answer in posts:
        assert answer.status_code == 403, answer.request.url
    for answer in [*posts, read]:
        assert not [name for name in answer.headers if name.startswith("access-control-allow")]
    assert ada.get("/config").status_code == 200


PREFLIGHT = {"access-control-request-method": "POST"}


def log_in_as_site(client: httpx.Client, headers: dict[str, str]) -> httpx.Response:
    return client.post("/login", data={"username": "a", "password": "b"}, headers=headers)


def test_a_browser_that_says_no_origin_says_its_site(ada: httpx.Client) -> None:
    headers = {"sec-fetch-site": "cross-site"}
    assert ada.post(f"{API}/reset", json={"event_id": "x"}, headers=headers).status_code == 403
    assert ada.get("/logout", headers=headers).status_code == 403


def test_the_page_itself_may(server: Page, ada: httpx.Client) -> None:
    for headers in ({"origin": server.url}, {}):
        assert ada.post(f"{API}/reset", json={"event_id": "x"}, headers=headers).status_code == 200


def test_a_foreign_name_of_this_machine_is_refused(ada: httpx.Client) -> None:
    for path in ("/", "/config"):
        assert ada.get(path, headers={"host": "rebound.evil.example.com"}).status_code == 403


def test_every_answer_has_the_headers(ada: httpx.Client) -> None:
    for path in ("/", "/config", f"{API}/nothing", "/assets/none.js"):
        headers = ada.get(path).headers
        assert "frame-ancestors 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["x-frame-options"] == "SAMEORIGIN"


def test_a_session_of_another_login_is_refused(
    server: Page, ada: httpx.Client, bob: httpx.Client
) -> None:
    ada_page = server.open(ada, "adapage")
    ask = {"session": ada_page, "do": "list"}
    assert server.call(ada, "adapage", "projects", ask).json()["ok"]

    answer = server.call(bob, "bobpage", "projects", ask).json()
    assert not answer["ok"]
    assert "reload the page" in answer["words"]
    rename = {**ask, "do": "rename", "project": "x", "name": "y"}
    assert not server.call(bob, "bobpage", "projects", rename).json()["ok"]


def test_the_page_of_another_login_is_refused(
    server: Page, ada: httpx.Client, bob: httpx.Client
) -> None:
    server.open(ada, "herpage")
    ask = {"session_hash": "herpage", "fn_index": 0, "data": []}
    assert bob.post(f"{API}/queue/join", json=ask).status_code == 403
    assert bob.get(f"{API}/queue/data", params={"session_hash": "herpage"}).status_code == 403
    assert bob.get(f"{API}/heartbeat/herpage").status_code == 403
    stop = {"session_hash": "herpage", "fn_index": 0, "event_id": "x"}
    assert bob.post(f"{API}/cancel", json=stop).status_code == 403
    assert server.call(bob, "herpage", "projects", {}).status_code == 403


def test_a_link_to_a_picture_allows_to_read_and_no_more(
    server: Page, ada: httpx.Client, bob: httpx.Client
) -> None:
    session = server.open(ada, "linked")
    folder = server.workspace._sessions[session].folder
    picture = folder / "picture.json"
    picture.write_text("{}")
    link = f"{API}/file={picture}"

    assert ada.get(link).status_code == 200
    for part in Path(link).parts:
        answer = server.call(bob, "bobpage", "projects", {"session": part, "do": "list"}).json()
        assert not answer["ok"]
    with httpx.Client(base_url=server.url) as stranger:
        assert stranger.get(link).status_code == 401
    assert session not in link


def test_logging_in_wrongly_gets_slower_and_slower(server: Page, stranger: httpx.Client) -> None:
    server.app.middleware_stack._attempts = Attempts(clock=lambda: 0.0)  # time stands still
    wrong = {"username": "cyd", "password": "guess"}
    statuses = [stranger.post("/login", data=wrong).status_code for _ in range(6)]
    assert statuses[:5] == [400] * 5
    assert statuses[5] == 429
    answer = stranger.post("/login", files={"username": (None, "cyd"), "password": (None, "x")})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert "try again in" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["component_server", "queue/join", "cancel"])
def test_a_body_has_a_bound(ada: httpx.Client, path: str) -> None:
    big = json.dumps({"data": "x" * (2 << 20)}).encode()
    json_type = {"content-type": "application/json"}
    assert ada.post(f"{API}/{path}", content=big, headers=json_type).status_code == 413
    streamed = (big[i : i + 65536] for i in range(0, len(big), 65536))
    try:
        status = ada.post(f"{API}/{path}", content=streamed, headers=json_type).status_code
    except httpx.TransportError:  # the server need not read what it refuses
        status = 413
    assert status == 413
    assert ada.get("/config").status_code == 200


def upload(client: httpx.Client, *contents: bytes) -> httpx.Response:
    files = [("files", (f"{n}.json", content)) for n, content in enumerate(contents)]
    return client.post(f"{API}/upload", files=files)


def test_uploads_have_a_bound_for_each_visitor(server: Page, bob: httpx.Client) -> None:
    assert upload(bob, b"x").status_code == 200
    assert upload(bob, bytes(2 << 20)).status_code == 413  # one file's own bound
    refused = [upload(bob, bytes(900_000)) for _ in range(4)][-1]
    assert refused.status_code == 413
    assert "within an hour" in refused.json()["detail"]
    with httpx.Client(base_url=server.url) as client:
        log_in(client, "ada")
        assert upload(client, *[bytes([n % 250]) * 9 for n in range(400)]).status_code == 413
        assert upload(client, b"y").status_code in (200, 413)


def test_a_site_that_is_allowed_may_call(server: Page, clip_path: Path, tmp_path: Path) -> None:
    settings = replace(
        server.workspace.settings, work=tmp_path, allow_origin=("https://poses.example.org",),
        auth=None,
    )  # fmt: skip
    with serving(settings) as app, httpx.Client(base_url=app.url) as client:
        headers = {"origin": "https://poses.example.org"}
        answer = client.post(f"{API}/reset", json={"event_id": "x"}, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == headers["origin"]
        answer = client.options(f"{API}/reset", headers={**headers, **PREFLIGHT})
        assert answer.status_code == 204
        answer = client.get("/", headers={"host": "poses.example.org"})
        assert "https://poses.example.org" in answer.headers["content-security-policy"]
        headers = {"origin": EVIL}
        answer = client.post(f"{API}/reset", json={"event_id": "x"}, headers=headers)
        assert answer.status_code == 403
