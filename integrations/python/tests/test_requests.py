"""What is sent and read, without a server."""

from __future__ import annotations

import base64
import inspect
import json
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import colbertdb
from colbertdb import AsyncClient, AsyncCollection, Client, Collection, Search, Similar, attr, errors
from colbertdb import _requests as requests
from colbertdb._call import Call, Retry, escape
from colbertdb.vectors import from_base64, matrix, wire

REPOSITORY = Path(__file__).resolve().parents[3]


def test_both_clients_have_the_same_methods() -> None:
    def shape(cls: type) -> dict[str, Any]:
        out = {}
        for name, method in inspect.getmembers(cls, inspect.isfunction):
            if name.startswith("_"):
                continue
            parameters = [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]
            out[name] = (parameters, inspect.getdoc(method))
        return out

    assert shape(Client) == shape(AsyncClient)
    assert shape(Collection) == shape(AsyncCollection)
    assert len(shape(Collection)) >= 14


def test_every_error_type_of_the_documentation_has_a_class() -> None:
    """By its word, or, one that is newer than this package, by its status."""
    page = (REPOSITORY / "docs" / "api.md").read_text()
    section = page[page.index("| status |") : page.index("## For clients of other servers")]
    words = {}
    for statuses, row in re.findall(r"^\| ([\d, ]+) \|(.*)\|$", section, re.M):
        words.update({word: int(statuses.split(",")[0]) for word in re.findall(r"`([a-z_]+)`", row)})
    assert len(words) > 30
    for word, status in words.items():
        cls = type(errors.make("m", status=status, kind=word))
        assert cls is not errors.ServerError and (word not in errors.KINDS or cls is errors.KINDS[word]), word
    assert sum(word in errors.KINDS for word in words) > 30


def test_names_in_paths_are_escaped() -> None:
    assert escape("a/b..é %") == "a%2Fb%2E%2E%C3%A9%20%25"
    assert requests.get("c", "../x", False).path == "/v1/collections/c/documents/%2E%2E%2Fx"


def test_arrays_are_sent_in_binary() -> None:
    a = np.arange(6, dtype=np.float64).reshape(2, 3)
    assert wire(a) == {"vectors_f32_b64": base64.b64encode(a.astype("<f4").tobytes()).decode(), "shape": [2, 3]}
    assert wire(a.astype(np.float16)) == {"vectors_f16_b64": base64.b64encode(a.astype("<f2").tobytes()).decode(), "shape": [2, 3]}
    assert wire(a.T)["vectors_f32_b64"] == base64.b64encode(np.ascontiguousarray(a.T, "<f4").tobytes()).decode()
    assert wire(a.tolist())["shape"] == [2, 3]
    rows = [base64.b64encode(r.astype("<f4").tobytes()).decode() for r in a]
    np.testing.assert_array_equal(from_base64(rows), a)


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((0, 3)), np.zeros((2, 0)), [[1.0], [1.0, 2.0]], [["a"]], np.zeros((1, 2, 3))])
def test_what_is_no_matrix_is_refused_before_it_is_sent(bad: Any) -> None:
    with pytest.raises(colbertdb.InputError, match="query"):
        matrix(bad, "query")


def test_a_document_of_unknown_fields_is_refused() -> None:
    with pytest.raises(colbertdb.InputError, match="year"):
        requests.document({"id": "a", "text": "t", "year": 2020})
    with pytest.raises(colbertdb.InputError, match="id"):
        requests.document({"id": "", "text": "t"})


def test_filters() -> None:
    f = (attr("year") >= 2020) & ~(attr("lang").is_in("en", "de") | attr("draft").exists())
    assert f.json == {
        "and": [{"gte": {"year": 2020}}, {"not": {"or": [{"in": {"lang": ["en", "de"]}}, {"exists": "draft"}]}}]
    }
    assert ((attr("a") == 1) & (attr("b") != "x")).json == {"and": [{"eq": {"a": 1}}, {"ne": {"b": "x"}}]}
    with pytest.raises(TypeError, match="&"):
        bool(attr("a") == 1 and attr("b") == 2)


def test_searches() -> None:
    assert requests.search_body("t", {"k": 3, "filter": attr("a") < 1}) == {"text": "t", "k": 3, "filter": {"lt": {"a": 1}}}
    assert requests.search_body(Similar("d"), {}) == {"document_id": "d"}
    both = requests.search_body(np.ones((1, 8)), {"text": "t", "mode": "hybrid"})
    assert both["text"] == "t" and both["shape"] == [1, 8]
    with pytest.raises(colbertdb.InputError):
        requests.search_body("t", {"text": "u"})
    calls = list(requests.search_batches("c", [Search("a", k=1), "b"] + ["x"] * 255, {"k": 7}))
    sent = [json.loads(c.body)["searches"] for c in calls if c.body]
    assert [len(s) for s in sent] == [256, 1]
    assert sent[0][:2] == [{"text": "a", "k": 1}, {"text": "b", "k": 7}]
    with pytest.raises(colbertdb.InputError):
        list(requests.search_batches("c", "one", {}))


def test_answers_with_unknown_fields_are_read() -> None:
    call = requests.get_collection("c")
    told = {"name": "c", "dim": 8, "profile": "exact", "documents": 1, "tokens": 2, "seq": 3, "of_a_later_version": 1}
    assert call.result(httpx.Response(200, json=told)).documents == 1
    with pytest.raises(colbertdb.AnswerError):
        call.result(httpx.Response(200, text="<html>"))
    with pytest.raises(colbertdb.AnswerError):
        call.result(httpx.Response(200, json={"name": "c"}))


def told(kind: str, status: int, after: str | None = None) -> httpx.Response:
    headers = {"Retry-After": after} if after else {}
    return httpx.Response(status, json={"message": "m", "error_type": kind, "code": status}, headers=headers)


def error(kind: str, status: int, after: str | None = None) -> colbertdb.ServerError:
    with pytest.raises(colbertdb.ServerError) as e:
        requests.ready().result(told(kind, status, after))
    return e.value


def test_what_is_sent_again() -> None:
    retry, once, read = Retry(times=2, wait=0.1), requests.drop_collection("c"), requests.ready()
    broken = colbertdb.TransportError("m")
    # What the server did not begin, always, and no sooner than it asks.
    for kind, status in (("overloaded", 429), ("busy", 429), ("encoder_busy", 429), ("shutting_down", 503)):
        assert retry.after(once, error(kind, status), 1) == pytest.approx(0.1, rel=0.21)
        assert retry.after(once, error(kind, status), 2) == pytest.approx(0.2, rel=0.21)
        assert retry.after(once, error(kind, status), 3) is None
        wait = retry.after(once, error(kind, status, "3"), 1)
        assert wait is not None and wait >= 3
    # What it may have begun: only where a repetition does no harm.
    assert retry.after(read, broken, 1) is not None
    assert retry.after(once, broken, 1) is None
    for kind, status in (("internal", 500), ("timeout", 504), ("read_only", 503), ("invalid", 422)):
        assert retry.after(read, error(kind, status), 1) is None


class Flaky(httpx.BaseTransport):
    """Fails as it is told to, then answers."""

    def __init__(self, *script: httpx.Response | Exception) -> None:
        self.script = list(script)
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        next = self.script.pop(0)
        if isinstance(next, Exception):
            raise next
        return next


STORED = {"seq": 1, "upserted": 1}


def test_a_write_is_sent_again_with_its_key() -> None:
    t = Flaky(httpx.ReadError("gone"), told("overloaded", 429, "0"), httpx.Response(200, json=STORED))
    with Client(retry_wait=0.001, transport=t) as c:
        assert c.collection("c").upsert([{"id": "a", "text": "t"}]).seq == 1
    keys = {r.headers["Idempotency-Key"] for r in t.requests}
    assert len(t.requests) == 3 and len(keys) == 1 and keys != {""}
    assert len({r.content for r in t.requests}) == 1


def test_a_write_without_a_key_is_not() -> None:
    t = Flaky(httpx.ReadError("gone"))
    with Client(retry_wait=0.001, transport=t) as c, pytest.raises(colbertdb.TransportError, match="gone"):
        c.drop_collection("c")
    t = Flaky(told("internal", 500))
    with Client(retry_wait=0.001, transport=t) as c, pytest.raises(colbertdb.InternalError):
        c.collection("c").upsert([{"id": "a", "text": "t"}])


def lines(*told: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, text="".join(json.dumps(t) + "\n" for t in told))


def test_a_load_goes_on_where_the_connection_broke() -> None:
    def answer(n: int, seq: int) -> httpx.Response:
        return lines({"line": n, "upserted": n, "failed": 0, "seq": seq}, {"line": n, "upserted": n, "failed": 0, "seq": seq, "done": True})

    t = Flaky(answer(256, 1), httpx.ReadError("gone"), answer(256, 2), answer(88, 3))
    seen: list[colbertdb.Progress] = []
    with Client(retry_wait=0.001, transport=t) as c:
        got = c.collection("c").load(({"id": str(i), "text": "t"} for i in range(600)), progress=seen.append)
    assert got == colbertdb.Progress(stored=600, seq=3)
    assert [p.stored for p in seen] == [256, 512, 600]
    sent = [[json.loads(line)["id"] for line in r.content.splitlines()] for r in t.requests]
    assert sent[1] == sent[2]
    assert [id for i in (0, 2, 3) for id in sent[i]] == [str(i) for i in range(600)]


def test_a_load_that_was_cut_off_says_so() -> None:
    t = Flaky(lines({"line": 2, "upserted": 2, "failed": 0, "seq": 1}))
    with Client(transport=t) as c, pytest.raises(colbertdb.LoadError, match="cut off") as e:
        c.collection("c").load([{"id": "a", "text": "t"}, {"id": "b", "text": "t"}, {"id": "c", "text": "t"}])
    assert e.value.progress.stored == 2


def test_call_is_generic() -> None:
    call: Call[None] = requests.ready()
    assert call.result(httpx.Response(200, json={"status": "ok"})) is None
