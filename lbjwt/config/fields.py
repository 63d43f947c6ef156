"""
The annotated types of configuration values: durations, sizes, addresses, files, names.

Each reads, bounds and writes one kind of value and describes it to a JSON Schema. In a value from text (a file or flags: the validation context is
a ``Source``), a duration needs a unit and relative file names are resolved; a duration from Python may be a plain number of seconds. An invalid value
raises ``ValueError``.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from lbjwt.address import Address, check_host, is_srv, parse_srv
from lbjwt.auth.identity import HEADER_NAME, check_header_name
from lbjwt.auth.policy import SCOPE, check_scopes
from lbjwt.jose import algorithms
from lbjwt.units import (
    DURATION_PATTERN,
    PERCENT_PATTERN,
    SIZE_PATTERN,
    format_duration,
    format_percent,
    format_size,
    parse_duration,
    parse_percent,
    parse_size,
)  # fmt: skip

T = TypeVar("T")

ALGORITHMS: Final = tuple(algorithms.ALGORITHMS)
if TYPE_CHECKING:
    Algorithm = str
else:
    Algorithm = Literal[ALGORITHMS]

NOT_REPLACED: Final = "lbjwt does not replace ${…}, $(…) or {{…}}; create the file with another tool, such as envsubst"
_VARIABLE: Final = re.compile(r"\$\{[^{}]+\}|\$\([A-Za-z_][A-Za-z0-9_.]*\)|\{\{.+\}\}|^\$[A-Z_][A-Z0-9_]*$")


def is_variable(text: str) -> bool:
    """True for a text in which other programs would replace a variable."""
    return _VARIABLE.search(text) is not None


def is_hmac(algorithm: str) -> bool:
    return algorithm.startswith("HS")


@dataclass(frozen=True, slots=True)
class Source:
    """Where text values come from: relative file names are relative to ``directory``."""

    directory: Path


@dataclass(frozen=True, slots=True)
class Words:
    """The name that the reference gives to a kind of value, where its type is no help. It has no effect on the value."""

    text: str


def first_repeat(values: Iterable[T]) -> T | None:
    seen: set[T] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def distinct(values: tuple[T, ...] | None) -> tuple[T, ...] | None:
    """Refuse a list with a repeated value."""
    if (value := first_repeat(values or ())) is not None:
        raise ValueError(f'the list contains "{value}" twice')
    return values


@dataclass(frozen=True, slots=True)
class Seconds:
    """A duration in seconds within bounds, written with a unit. Use as ``Annotated[float, Seconds(0, 300)]``."""

    least: float
    most: float

    def _read(self, value: Any, info: ValidationInfo) -> float:
        if isinstance(value, str):
            seconds = parse_duration(value)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("must be a duration such as 10s")
        elif info.context is not None:
            raise ValueError(f'needs a unit (ms, s, m, h, d); did you mean "{value}s"?')
        else:
            format_duration(value)  # refuses what could not be written back
            seconds = float(value)
        if not self.least <= seconds <= self.most:
            raise ValueError(f"must be from {format_duration(self.least)} to {format_duration(self.most)}")
        return seconds

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        writer = core_schema.plain_serializer_function_ser_schema(
            format_duration, when_used="json", return_schema=core_schema.str_schema()
        )
        return core_schema.with_info_plain_validator_function(self._read, serialization=writer)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": DURATION_PATTERN}


@dataclass(frozen=True, slots=True)
class Bytes:
    """A size in bytes within bounds, written plain or with KiB, MiB, GiB. Use as ``Annotated[int, Bytes(1024, 65536)]``."""

    least: int
    most: int

    def _read(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError("must be a number of bytes or a size such as 64KiB")
        size = parse_size(value) if isinstance(value, str) else value
        if not self.least <= size <= self.most:
            raise ValueError(f"must be from {format_size(self.least)} to {format_size(self.most)}")
        return size

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        writer = core_schema.plain_serializer_function_ser_schema(
            format_size, when_used="json", return_schema=core_schema.str_schema()
        )
        return core_schema.no_info_plain_validator_function(self._read, serialization=writer)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        number = {"type": "integer", "minimum": self.least, "maximum": self.most}
        return {"anyOf": [{"type": "string", "pattern": SIZE_PATTERN}, number]}


@dataclass(frozen=True, slots=True)
class Percent:
    """A share within bounds (0 to 1), written with a percent sign. Use as ``Annotated[float, Percent(0, 1)]``."""

    least: float
    most: float

    def _read(self, value: Any, info: ValidationInfo) -> float:
        if isinstance(value, str):
            share = parse_percent(value)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("must be a percentage, such as 20%")
        elif info.context is not None:
            raise ValueError(f'needs a percent sign; did you mean "{value}%"?')
        else:
            format_percent(value)  # refuses what could not be written back
            share = float(value)
        if not self.least <= share <= self.most:
            raise ValueError(f"must be from {format_percent(self.least)} to {format_percent(self.most)}")
        return share

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        writer = core_schema.plain_serializer_function_ser_schema(
            format_percent, when_used="json", return_schema=core_schema.str_schema()
        )
        return core_schema.with_info_plain_validator_function(self._read, serialization=writer)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": PERCENT_PATTERN}


@dataclass(frozen=True, slots=True)
class OrFalse:
    """A section, or ``false`` to turn off what it describes. Use as ``Annotated[Ejection | Literal[False], OrFalse(Ejection)]``."""

    section: type[Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            lambda value, read: False if value is False else read(value),
            handler.generate_schema(self.section),
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda value, write: False if value is False else write(value),
                schema=handler.generate_schema(self.section),
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"const": False}]}


def whole(least: int, most: int) -> Any:
    """A whole number within bounds; text is none. Use as ``Annotated[int, whole(1, 1000)]``."""
    return Field(ge=least, le=most, strict=True)


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be {what}, written as text")
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("contains an invisible character; remove it")
    return value


def _path(value: Any, info: ValidationInfo) -> Path:
    """Resolve a relative name against the source's directory, without following symbolic links."""
    if isinstance(value, str):
        if not value or "\0" in value:
            raise ValueError("a file name must not be empty and must not contain a NUL character")
        value = Path(value)
    if not isinstance(value, Path):
        raise ValueError("a file name must be text")
    return Path(os.path.normpath(info.context.directory / value)) if isinstance(info.context, Source) else value


def _log_path(value: Any, info: ValidationInfo) -> str:
    return "-" if value == "-" else str(_path(value, info))


def _any_address(value: Any, info: ValidationInfo, parse: Callable[[str], Address] = Address.parse) -> Address:
    if isinstance(value, Address):
        return value
    address = parse(_text(value, "an address"))
    if address.path is not None and isinstance(info.context, Source):
        return Address.parse("unix:" + os.path.normpath(info.context.directory / address.path))
    return address


def _port_address(value: Any, info: ValidationInfo) -> Address:
    address = _any_address(value, info)
    if address.is_unix:
        raise ValueError("only listeners can be on a Unix socket; write HOST:PORT, [IPV6]:PORT or :PORT")
    return address


def _mode(value: Any) -> Any:
    """A mode is written in octal digits, which YAML takes for a number unless they are quoted."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError('put the mode in quotes, such as "0660"')
    return value


def _endpoint_address(value: Any, info: ValidationInfo) -> Address:
    if isinstance(value, str) and is_srv(value):
        return parse_srv(value)
    address = _any_address(value, info, Address.parse_endpoint)
    if not address.is_unix and not address.srv and (not address.host or address.port == 0):
        raise ValueError("an endpoint needs a host and a port from 1 to 65535")
    if address.host in ("0.0.0.0", "::"):
        raise ValueError("lbjwt cannot connect to the address for all interfaces; write the address of the endpoint")
    return address


def _name_server(value: Any) -> Address:
    """An address with or without a port, which is 53."""
    if isinstance(value, Address):
        return value
    text = _text(value, "an address")
    try:
        ipaddress.ip_address(text)
        return Address(str(ipaddress.ip_address(text)), 53)
    except ValueError:
        address = Address.parse(text if re.search(r"[^:\]]:[0-9]+$|\]:[0-9]+$", text) else f"{text}:53")
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        raise ValueError("a name server must be an IP address, with or without a port") from None
    return address


def _network(value: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    text = _text(value, "a network")
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        sentence = (
            "must be an address with a prefix length, such as 10.0.0.0/8, and all bits after the prefix must be zero"
        )
        raise ValueError(sentence) from None


def _token_field(value: str) -> str:
    if value.lower() == "cookie":
        raise ValueError("for a token in a cookie, use from_cookies with the cookie's name")
    return value if value.lower() == "authorization" else check_header_name(value)


@dataclass(frozen=True, slots=True)
class Spelling:
    """The whole text must match the pattern; the error for any other text is the sentence. Use as ``Annotated[str, Spelling(...)]``."""

    pattern: str
    sentence: str

    def check(self, value: str) -> str:
        """Return the text, or raise ValueError."""
        if not re.fullmatch(self.pattern, value):
            raise ValueError(self.sentence)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "pattern": f"^{self.pattern}$"}


def _scope(value: str) -> str:
    check_scopes([value])
    return value


def _workers(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1024):
        return value
    quoted = ", without quotes" if isinstance(value, str) and value.isdecimal() else ""
    raise ValueError(f"must be a whole number from 1 to 1024{quoted}, or auto")


_NETWORK_SCHEMA: Final = {"type": "string", "examples": ["10.0.0.0/8", "fd00::/8"]}
_FILE_SCHEMA: Final = {"type": "string", "minLength": 1}
_HEADER_SCHEMA: Final = {"type": "string", "pattern": f"^{HEADER_NAME}$"}

File = Annotated[Path, BeforeValidator(_path), WithJsonSchema(_FILE_SCHEMA)]
Directory = Annotated[Path, BeforeValidator(_path), WithJsonSchema(_FILE_SCHEMA), Words("directory")]
LogPath = Annotated[str, BeforeValidator(_log_path), WithJsonSchema(_FILE_SCHEMA)]
_ADDRESS_WRITER: Final = PlainSerializer(str, when_used="json", return_type=str)
ListenAddress = Annotated[
    Address, BeforeValidator(_any_address), _ADDRESS_WRITER, WithJsonSchema({"type": "string", "pattern": "^(unix:.+|[^ /]*:[0-9]{1,5})$"})
]  # fmt: skip
PortAddress = Annotated[
    Address, BeforeValidator(_port_address), _ADDRESS_WRITER, WithJsonSchema({"type": "string", "pattern": "^[^ /]*:[0-9]{1,5}$"}), Words("address")
]  # fmt: skip
PathMode = Annotated[
    str, BeforeValidator(_mode), Spelling("0?[0-7]{3}", 'must be a mode in octal digits, such as "0660"'), Words("text")
]
_ENDPOINT_SCHEMA: Final = {
    "type": "string",
    "pattern": "^(unix:.+|(https\\+)?srv:.+|[^ /]+:[0-9]{1,5}|https?://[^ /]+/?)$",
}
EndpointAddress = Annotated[
    Address, BeforeValidator(_endpoint_address), _ADDRESS_WRITER, WithJsonSchema(_ENDPOINT_SCHEMA)
]  # fmt: skip
NameServer = Annotated[
    Address, BeforeValidator(_name_server), _ADDRESS_WRITER, WithJsonSchema({"type": "string", "examples": ["10.0.0.2", "10.0.0.2:5353"]}),
    Words("address"),
]  # fmt: skip
Network = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(_network), PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema(_NETWORK_SCHEMA), Words("network"),
]  # fmt: skip
HeaderName = Annotated[str, AfterValidator(check_header_name), WithJsonSchema(_HEADER_SCHEMA)]
TokenField = Annotated[str, AfterValidator(_token_field), WithJsonSchema(_HEADER_SCHEMA)]
ServerName = Annotated[str, AfterValidator(check_host), WithJsonSchema({"type": "string", "minLength": 1})]
LABEL: Final = Spelling(
    "[A-Za-z0-9][A-Za-z0-9_-]{0,62}",
    "a label must be at most 63 letters, digits, _ and -, and start with a letter or digit",
)
Label = Annotated[str, LABEL]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_printable)]
ClaimName = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_printable)]
ScopeToken = Annotated[str, AfterValidator(_scope), WithJsonSchema({"type": "string", "pattern": f"^{SCOPE}$"})]
# What may stand in a quoted-string without escapes: RFC 9110 §5.6.4.
Realm = Annotated[
    str,
    Spelling(
        r"[\x20\x21\x23-\x5B\x5D-\x7E]{1,128}",
        "must be 1 to 128 characters of printable ASCII, without quotes and backslashes",
    ),
]
_WORKERS_SCHEMA: Final = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 1024}, {"const": "auto"}]}
Workers = Annotated[
    int | Literal["auto"], BeforeValidator(_workers), WithJsonSchema(_WORKERS_SCHEMA), Words("number, 1 to 1024, or `auto`")
]  # fmt: skip
