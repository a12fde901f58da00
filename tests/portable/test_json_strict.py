"""One verdict and one place of the error on every interpreter."""

import json_strict
from check import raises
from json_strict import JSONError


def refused(text, line, column, words):
    with raises(JSONError, words) as caught:
        json_strict.loads(text if isinstance(text, bytes) else text.encode())
    assert (caught.error.line, caught.error.column) == (line, column), (text, caught.error)
    assert str(caught.error).startswith("line %d, column %d: " % (line, column))


def test_every_kind_of_value():
    text = '{"a": [1, -2, 0, 1.5, 1e3, -2.5E-1], "b": {"c": true, "d": false, "e": null}, "": "", "l": [], "o": { }}'
    assert json_strict.loads(text.encode()) == {
        "a": [1, -2, 0, 1.5, 1000.0, -0.25],
        "b": {"c": True, "d": False, "e": None},
        "": "",
        "l": [],
        "o": {},
    }
    assert json_strict.loads(b" \t\r\n 7 \n") == 7


def test_whole_numbers_stay_whole():
    value = json_strict.loads(b"[70, 70.0]")
    assert type(value[0]) is int and type(value[1]) is float


def test_text_with_escapes_and_other_scripts():
    text = rb'["\"\\\/\b\f\n\r\t", "\u00e9\u4F60", "\ud83d\ude00", "' + "é小鸟".encode() + rb'\n"]'
    assert json_strict.loads(text) == ['"\\/\b\f\n\r\t', "é你", "\U0001f600", "é小鸟\n"]


def test_a_byte_order_mark_is_no_content():
    assert json_strict.loads(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    refused(b"\xef\xbb\xbf{a}", 1, 2, "straight double quotes")


def test_a_file_that_was_cut_off_is_refused_at_every_byte():
    text = b'{"name": "x\\u00e9", "list": [1, -2.5], "flag": true}'
    for n in range(len(text)):
        with raises(JSONError):
            json_strict.loads(text[:n])
    json_strict.loads(text)


def test_an_empty_file():
    refused("", 1, 1, "empty")
    refused(" \n\n ", 3, 2, "empty")


def test_the_place_is_counted_in_characters():
    refused('{\n  "é小鸟": 1,\n  "b": x}', 3, 8, "expected a value")
    refused('{"é" 1}', 1, 6, "colon")


def test_what_people_write_by_mistake():
    refused('{"a": 1,}', 1, 8, "one too many")
    refused("[1,\n2,\n]", 2, 2, "one too many")
    refused('{"a": 1 "b": 2}', 1, 9, "comma or }")
    refused("[1 2]", 1, 4, "comma or ]")
    refused('{"a": 1; "b": 2}', 1, 8, "comma or }")
    refused('{"a" 1}', 1, 6, "colon")
    refused("{'a': 1}", 1, 2, "straight double quotes")
    refused("{“a”: 1}", 1, 2, "straight double quotes")
    refused('{"a": “x”}', 1, 7, "straight double quotes")
    refused("{a: 1}", 1, 2, "straight double quotes")
    refused('{"a": 1, // why\n"b": 2}', 1, 10, "no comments")
    refused('{"a": True}', 1, 7, "lower case")
    refused('{"a": }', 1, 7, "a value is missing")
    refused('{"a": 1} x', 1, 10, "should end here")
    refused('{"a": 1}\x00', 1, 9, "should end here")
    refused('{"a": "x\n"}', 1, 7, "no closing quote")
    refused('{"a": "x\ty"}', 1, 9, "control character")
    refused('{"a": "C:\\x"}', 1, 10, "backslash is written twice")
    refused('{"a": 1, "b": 2, "a": 3}', 1, 18, "twice")


def test_numbers_that_are_none():
    for text in ("01", "-", "1.", ".5", "+1", "1e", "1e+", "0x10", "NaN", "Infinity", "-Infinity", "1e999", "1" * 30):
        with raises(JSONError):
            json_strict.loads(("[%s]" % text).encode())


def test_half_a_character():
    refused(rb'["\ud83d"]', 1, 3, "surrogate")
    refused(rb'["\ud83d\u0041"]', 1, 3, "surrogate")
    refused(rb'["\ude00"]', 1, 3, "surrogate")
    refused(rb'["\u12"]', 1, 3, "four hexadecimal")
    refused(rb'["\u12g4"]', 1, 3, "four hexadecimal")
    refused(b'{"a": 1,\n "b": "\xff"}', 2, 1, "UTF-8")


def test_deep_nesting_is_bounded():
    json_strict.loads(b"[" * 16 + b"]" * 16)
    refused(b"[" * 100000, 1, 18, "nested deeper")


def test_no_error_quotes_the_file():
    for text in ('{"token": "SECRET', '{"token": "SECRET" x}', '{"token" "SECRET"}', '{"token": SECRET}', '"SECRET" 1'):
        with raises(JSONError) as caught:
            json_strict.loads(text.encode())
        assert "SECRET" not in str(caught.error)
