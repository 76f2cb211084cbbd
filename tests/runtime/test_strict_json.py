import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.errors import ConfigError
from team5.runtime.strict_json import parse_json, to_json

text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
)  # fmt: skip


@given(values)
def test_a_value_is_read_as_it_was_written(value):
    assert parse_json(to_json(value, "value")) == value


@given(st.binary())
def test_bytes_parse_or_give_a_json_error(data):
    with contextlib.suppress(json.JSONDecodeError):
        parse_json(data)


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b'{\n "a": }', 2, 7),
        (b'{"NaN": "NaN",\n "a": NaN}', 2, 7),
        (b"[1, -Infinity]", 1, 5),
        (b'{"a":\n "\xff"}', 2, 3),
        (b"", 1, 1),
        (b"[" * 100_000, 1, 1),
        (b"1" * 5_000, 1, 1),
    ],
)
def test_a_fault_is_found_at_its_place(data, line, column):
    with pytest.raises(json.JSONDecodeError) as caught:
        parse_json(data)
    assert (caught.value.lineno, caught.value.colno) == (line, column)


def test_all_that_has_no_json_form_is_named():
    value = {"a": [1.0, math.nan], "b": {"c": {1, 2}}, "d": {3: "x"}, "e": "\udcff"}
    with pytest.raises(ConfigError) as caught:
        to_json(value, "config")
    message = str(caught.value)
    for place in ("config.a[1] is nan", "config.b.c is of type set", "config.d has the key 3"):
        assert place in message
    assert "config.e is not valid Unicode" in message
