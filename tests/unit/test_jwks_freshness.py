"""What a response says about its freshness, by honest, sloppy and hostile servers."""

import calendar
import datetime
import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.keys.fetcher import freshness, parse_http_date

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT
LATER = "Sun, 06 Nov 1994 08:59:37 GMT"  # 600 s after


def told(**fields):
    """Freshness of a response with these fields, names with underscores; a list is several lines."""
    return freshness(
        {name.replace("_", "-"): value if isinstance(value, list) else [value] for name, value in fields.items()},
        now=NOW,
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("max-age=60", 60),
        ("public, max-age=60, must-revalidate", 60),
        ("MAX-AGE=60", 60),
        (" max-age=60 ,, ", 60),
        ('max-age="60"', 60),
        ("max-age=60, max-age=30", 30),
        ("max-age=0", 0),
        ("no-store", 0),
        ("no-cache, max-age=60", 0),
        ('no-cache="set-cookie", max-age=60', 60),
        ("s-maxage=5, max-age=60", 60),
        ("max-age=9999999999", 2**31),
        ("max-age=" + "9" * 5000, 2**31),
        ("max-age=-1", 0),
        ("max-age=1e9", 0),
        ("max-age=1.5", 0),
        ("max-age=0x10", 0),
        ("max-age=", 0),
        ("max-age", 0),
        ("max-age=٣", 0),
        ("max-age=60 s", 0),
        ("max-age=NaN", 0),
        ("max-age=60;", 0),
        ("public", None),
        ("", None),
        ("xmax-age=60", None),
        ("," * 8000, None),
        ('"' * 8000, None),
    ],
)
def test_cache_control(value, seconds):
    """The shortest valid lifetime counts; nonsense is an answer that is stale already (RFC 9111 section 4.2.1)."""
    assert told(cache_control=value) == seconds


def test_several_field_lines_are_one_list():
    """Cache-Control may be split over lines."""
    assert told(cache_control=["public", "max-age=70"]) == 70
    assert told(cache_control=["max-age=70", "no-store"]) == 0


@pytest.mark.parametrize(
    ("age", "left"),
    [
        ("0", 600),
        ("100", 500),
        ("600", 0),
        ("99999999999", 0),
        ("-5", 600),
        ("x", 600),
        ("", 600),
        (["50", "900"], 550),
    ],
)
def test_the_age_of_a_cached_response_is_taken_off(age, left):
    """A cache in between says how old its copy is; nonsense says nothing."""
    assert told(cache_control="max-age=600", age=age) == left


@pytest.mark.parametrize(
    ("expires", "seconds"),
    [
        (LATER, 600),
        ("Sunday, 06-Nov-94 08:59:37 GMT", 600),
        ("Sun Nov  6 08:59:37 1994", 600),
        ("Sun, 06 Nov 1994 08:49:30 GMT", 0),
        ("0", 0),
        ("-1", 0),
        ("never", 0),
        ("", 0),
        ([LATER, "0"], 0),
    ],
)
def test_expires_counts_from_the_date_of_the_response(expires, seconds):
    """In all three forms of a date; nonsense is over already."""
    assert told(expires=expires, date="Sun, 06 Nov 1994 08:49:37 GMT") == seconds
    assert told(expires=expires) == seconds


def test_expires_of_a_server_with_a_wrong_clock():
    """Both dates are the server's, so its clock does not matter; Age is taken off as well."""
    assert told(expires="Mon, 01 Jan 2035 00:10:00 GMT", date="Mon, 01 Jan 2035 00:00:00 GMT", age="60") == 540
    assert told(expires="Mon, 01 Jan 2035 00:10:00 GMT", date="nonsense") == pytest.approx(2_051_223_000 - NOW)


def test_max_age_goes_before_expires():
    """RFC 9111 section 5.3."""
    assert told(cache_control="max-age=5", expires=LATER) == 5
    assert told(cache_control="public", expires=LATER) == 600


def test_a_response_that_says_nothing():
    """Is for the caller to judge."""
    assert freshness({}, now=NOW) is None
    assert told(age="5", date=LATER) is None


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        " Sun, 06 Nov 1994 08:49:37 GMT\t",
    ],
)
def test_the_three_forms_of_a_date(text):
    """The examples of RFC 9110 section 5.6.7."""
    assert parse_http_date(text) == NOW


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "784111777",
        "",
        "\0",
    ],
)
def test_what_is_no_date(text):
    """None, and no exception."""
    assert parse_http_date(text) is None


@given(st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(9999, 12, 31)))
def test_every_date_that_python_writes_is_read(moment):
    """An independent writer, and an independent calendar."""
    moment = moment.replace(microsecond=0)
    text = email.utils.format_datetime(moment.replace(tzinfo=datetime.UTC), usegmt=True)
    assert parse_http_date(text) == calendar.timegm(moment.timetuple())


FIELD = st.lists(
    st.text(max_size=60) | st.sampled_from(["max-age=60", "max-age=-1", "no-store", LATER, "0", "17"]), max_size=3
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("cache-control", "expires", "age", "date"), FIELD)))
def test_no_field_raises_anything(fields):
    """Whatever comes: no word, or a finite number that is not negative."""
    seconds = freshness(fields, now=NOW)
    assert seconds is None or 0 <= seconds < 1e12
