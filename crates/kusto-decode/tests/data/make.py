"""Writes types.avro with fastavro and types.orc with pyarrow, implementations of their own: python make.py"""

import datetime
import decimal
import uuid
from pathlib import Path

import fastavro
import pyarrow
from pyarrow import orc

SCHEMA = fastavro.parse_schema({
    "type": "record", "name": "Row", "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": ["null", "string"]},
        {"name": "v", "type": "double"},
        {"name": "flag", "type": "boolean"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "attrs", "type": {"type": "map", "values": "int"}},
        {"name": "inner", "type": {"type": "record", "name": "Inner", "fields": [{"name": "x", "type": "int"}]}},
        {"name": "key", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "either", "type": ["null", "long", "string"]},
    ]})


def row(n):
    return {
        "id": n, "name": None if n == 2 else f"n{n}", "v": n / 2, "flag": n % 2 == 0,
        "at": datetime.datetime(2024, 1, n, 1, 2, 3, 456789, tzinfo=datetime.timezone.utc), "day": datetime.date(2024, 1, n),
        "price": decimal.Decimal(n) + decimal.Decimal("0.25"), "kind": "AB"[n % 2], "tags": ["a", "b"][:n], "attrs": {"k": n},
        "inner": {"x": n}, "key": uuid.UUID(int=n), "either": [None, 7, "seven"][n % 3],
    }


with open(Path(__file__).with_name("types.avro"), "wb") as file:
    fastavro.writer(file, SCHEMA, [row(n) for n in range(1, 4)], codec="deflate", sync_marker=b"kin-test-data-01")

FAR = datetime.datetime(9999, 12, 31, 23, 59, 59, 999999)
TABLE = pyarrow.table({
    "id": pyarrow.array([1, 2, 3], pyarrow.int64()),
    "name": ["n1", None, "n3"],
    "v": [0.5, 1.0, 1.5],
    "flag": [False, True, False],
    "at": pyarrow.array([FAR, datetime.datetime(1, 1, 1), None], pyarrow.timestamp("us")),
    "exact": pyarrow.array([1704070923456789100, None, 1], pyarrow.timestamp("ns", "UTC")),
    "day": [datetime.date(2024, 1, n) for n in (1, 2, 3)],
    "price": pyarrow.array([decimal.Decimal("1.25"), None, decimal.Decimal("-3.25")], pyarrow.decimal128(10, 2)),
    "tags": [["a"], [], None],
    "attrs": pyarrow.array([[("k", 1)], [], None], pyarrow.map_(pyarrow.string(), pyarrow.int32())),
    "inner": [{"x": 1}, {"x": None}, None],
    "raw": pyarrow.array([b"text", b"\xff\x00", None], pyarrow.binary()),
    "small": pyarrow.array([1, -2, None], pyarrow.int8()),
})
orc.write_table(TABLE, Path(__file__).with_name("types.orc"), compression="zlib")
