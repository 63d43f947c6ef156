"""The messages of Envoy's authorization service, against the classes that are generated from its protocol files."""

from __future__ import annotations

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2 as auth
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from lbjwt.ext_authz._check_request import described
from lbjwt.ext_authz._check_response import allowed, denied, struct_of

REPLACE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


def request(**changes: object) -> auth.CheckRequest:
    """As Envoy asks about `GET /orders?page=2`."""
    message = auth.CheckRequest()
    message.attributes.source.address.socket_address.address = "192.0.2.1"
    message.attributes.source.address.socket_address.port_value = 4711
    message.attributes.destination.address.socket_address.address = "192.0.2.9"
    message.attributes.request.time.GetCurrentTime()
    http = message.attributes.request.http
    http.id, http.method, http.path, http.host, http.scheme = "17", "GET", "/orders?page=2", "api.example", "https"
    http.size, http.protocol = -1, "HTTP/1.1"
    http.headers[":path"] = "/orders?page=2"
    http.headers["authorization"] = "Bearer a.b.c"
    message.attributes.context_extensions["route"] = "orders"
    message.attributes.metadata_context.filter_metadata["some.filter"].update({"n": 1.5})
    for name, value in changes.items():
        setattr(http, name, value)
    return message


def test_a_request_becomes_a_head_with_its_client_and_scheme():
    """Pseudo-header fields are said apart, and what else Envoy says is skipped."""
    head = b"GET /orders?page=2 HTTP/1.1\r\nhost: api.example\r\nauthorization: Bearer a.b.c\r\n\r\n"
    assert described(request().SerializeToString()) == (head, b"192.0.2.1", True)
    assert described(request(scheme="http").SerializeToString()) == (head, b"192.0.2.1", False)


def test_raw_headers_keep_their_order_and_their_number():
    """With `encode_raw_headers`, two fields of one name stay two."""
    message = request()
    message.attributes.request.http.ClearField("headers")
    for value in (b"Bearer a", b"Bearer \xe9"):
        message.attributes.request.http.header_map.headers.add(key="authorization", raw_value=value)
    head, *_ = described(message.SerializeToString())
    assert head.endswith(b"\r\nauthorization: Bearer a\r\nauthorization: Bearer \xe9\r\n\r\n")


def test_what_is_the_proxys_own_is_left_out():
    """Fields about the body and the connection would make the question look like a request with a body."""
    message = request()
    for name in ("content-length", "transfer-encoding", "connection", "upgrade", "expect"):
        message.attributes.request.http.headers[name] = "7"
    assert described(message.SerializeToString()) == described(request().SerializeToString())


def test_a_client_on_a_unix_socket_has_no_address():
    message = request()
    message.attributes.source.address.pipe.path = "/run/edge"
    assert described(message.SerializeToString())[1] == b""


@pytest.mark.parametrize("change", [
    {"method": ""}, {"path": ""}, {"host": ""}, {"scheme": ""}, {"scheme": "ftp"}, {"method": "GET "}, {"path": "/a b"}, {"path": "/a\r\nx: y"},
])  # fmt: skip
def test_what_is_missing_or_cannot_be_is_refused(change):
    assert described(request(**change).SerializeToString()) is None


@pytest.mark.parametrize(("name", "value"), [("a b", "c"), ("", "c"), ("a", "b\r\nc: d"), ("a:", "b"), ("a", "b\0")])
def test_no_header_ends_its_line_or_its_name(name, value):
    message = request()
    message.attributes.request.http.headers[name] = value
    assert described(message.SerializeToString()) is None


def test_every_part_that_is_asked_for_has_to_be_there_once():
    whole = request()
    for path in ("attributes", "attributes.source", "attributes.source.address", "attributes.request"):
        message = request()
        *outer, last = path.split(".")
        part = message
        for name in outer:
            part = getattr(part, name)
        part.ClearField(last)
        assert described(message.SerializeToString()) is None, path
    for field in ("headers", "method", "host"):
        message = request()
        message.attributes.request.http.ClearField(field)
        assert described(message.SerializeToString()) is None, field
    assert described(whole.SerializeToString() * 2) is None
    both = request()
    both.attributes.request.http.header_map.headers.add(key="a", value="b")
    assert described(both.SerializeToString()) is None


def test_no_part_of_a_message_is_a_message():
    """Every cut is refused or has lost nothing that counts, and a byte too many is read by nobody."""
    data = request().SerializeToString()
    assert [cut for cut in range(len(data)) if described(data[:cut]) is not None] == []
    for at in range(len(data)):
        described(
            data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]
        )  # does not read beyond the end, whatever it finds


def test_an_allowed_request_gets_headers_that_replace_its_own():
    """Older versions of Envoy read `append`, newer ones `append_action`: both say replace."""
    said = auth.CheckResponse.FromString(
        allowed(
            [(b"X-Jwt-Sub", b"alice"), (b"X-Jwt-Tenant", b"")],
            [b"authorization", b"x_jwt_sub"],
            [b"access_token"],
            struct_of({"sub": "alice"}),
        )
    )
    assert said.status.code == 0
    assert said.WhichOneof("http_response") == "ok_response"
    options = said.ok_response.headers
    assert [(one.header.key, one.header.value) for one in options] == [("X-Jwt-Sub", "alice"), ("X-Jwt-Tenant", "")]
    assert all(one.HasField("append") and not one.append.value and one.append_action == REPLACE for one in options)
    assert said.ok_response.headers_to_remove == ["authorization", "x_jwt_sub"]
    assert said.ok_response.query_parameters_to_remove == ["access_token"]
    assert MessageToDict(said.dynamic_metadata) == {"sub": "alice"}
    assert not auth.CheckResponse.FromString(allowed([], [], [], b"")).HasField("dynamic_metadata")


@pytest.mark.parametrize(("status", "code"), [(400, 7), (401, 16), (403, 7), (404, 7), (429, 7), (503, 7), (302, 7)])
def test_a_refused_request_is_answered_with_status_headers_and_body(status, code):
    said = auth.CheckResponse.FromString(denied(status, [(b"www-authenticate", b"Bearer")], b"no\n" * 100))
    assert said.status.code == code
    assert said.WhichOneof("http_response") == "denied_response"
    assert said.denied_response.status.code == status
    assert [(one.header.key, one.header.value) for one in said.denied_response.headers] == [
        ("www-authenticate", "Bearer")
    ]
    assert said.denied_response.body == "no\n" * 100


def test_claims_become_a_struct():
    claims = {
        "sub": "bj\u00f6rk", "n": 3, "x": -1.5, "big": 2**53, "yes": True, "no": False, "none": None, "empty": {},
        "list": [1, "a", [True], {}], "deep": {"a": {"b": "c"}}, "long": "x" * 1000,
    }  # fmt: skip
    assert MessageToDict(Struct.FromString(struct_of(claims))) == claims


def test_what_is_nested_too_deep_for_a_struct_is_left_out():
    """Envoy reads messages recursively, and refuses the whole answer at its own limit."""
    deep: object = "x"
    for _ in range(40):
        deep = [deep]
    assert MessageToDict(Struct.FromString(struct_of({"deep": deep, "sub": "a"}))) == {"sub": "a"}
