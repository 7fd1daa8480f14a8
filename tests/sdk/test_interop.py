"""Tables are Parquet that others read as it stands: DuckDB finds the rows, with types of its
own where it has such, and nothing is lost on the way."""

import duckdb

ROWS = [
    "true,-2147483648,9223372036854775807,1.5,1.100000000000000000000000000000001,0001-01-01T00:00:00Z,1.02:03:04.0000001,74be27de-1e4e-49d9-b579-fe0b331d3642,x,\"{\"\"a\"\":[1]}\"",
    "false,7,-1,-0.5,-3,2024-02-29T12:34:56.1234567Z,-00:00:01,00000000-0000-0000-0000-000000000001,\"a,b\",plain",
    "0,0,0,0,0,9999-12-31T23:59:59.9999999Z,0,00000000-0000-0000-0000-000000000002,,",
    ",,,,,,,,,",
]


def files_of(kusto, table, authority):
    """The files of a table's extents: each is named by its extent's id."""
    extents = kusto.execute_mgmt("NetDefaultDB", f".show table {table} extents").primary_results[0]
    ids = {row["ExtentId"] for row in extents}
    folder = authority.parent.parent / "extents"
    return [str(path) for path in folder.rglob("*.parquet") if path.stem in ids], len(ids)


def test_duckdb_reads_tables_as_they_stand(kusto, authority):
    kusto.execute_mgmt("NetDefaultDB", ".create table Interop (b:bool, i:int, l:long, r:real, d:decimal, t:datetime, s:timespan, g:guid, x:string, y:dynamic)")
    for row in ROWS:
        kusto.execute_mgmt("NetDefaultDB", f".ingest inline into table Interop <|\n{row}\n")
    files, count = files_of(kusto, "Interop", authority)
    assert len(files) == count == len(ROWS)
    duck = duckdb.connect()
    duck.execute("SET TimeZone = 'UTC'")
    source = f"read_parquet({files})"
    types = {name: kind for name, kind, *_ in duck.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    assert {name: types[name] for name in "bilrdtsgxy"} == {
        "b": "BOOLEAN", "i": "INTEGER", "l": "BIGINT", "r": "DOUBLE", "d": "VARCHAR", "t": "TIMESTAMP WITH TIME ZONE",
        "s": "BIGINT", "g": "VARCHAR", "x": "VARCHAR", "y": "VARCHAR"}
    # What only Kusto has stands in a column of its own: the tenth of a microsecond.
    assert set(types) - set("bilrdtsgxy") == {"t#ticks"}
    found = duck.execute(f"""
        SELECT b, i, l, r, d::DECIMAL(38, 33), strftime(t, '%Y-%m-%dT%H:%M:%S.%f') || "t#ticks", s, g::UUID::VARCHAR, x, y
        FROM {source} ORDER BY l NULLS LAST""").fetchall()
    kusto_rows = kusto.execute_query("NetDefaultDB", "Interop | order by l asc nulls last | project b, i, l, r, d, format_datetime(t, 'yyyy-MM-ddTHH:mm:ss.fffffff'), tolong(s), g, x, tostring(y)").primary_results[0]
    assert len(found) == 4
    for theirs, ours in zip(found, kusto_rows):
        mine = list(ours)
        for column, (left, right) in enumerate(zip(theirs, mine)):
            same = str(left) == str(right) or (left is None and right in (None, "")) or (column == 4 and left == right)
            same = same or (column == 9 and left == f'"{right}"')
            assert same, (column, left, right)
    assert duck.execute(f"SELECT count(*) FROM {source} WHERE t >= TIMESTAMPTZ '2024-01-01 00:00:00Z'").fetchone() == (2,)
    assert duck.execute(f"SELECT y->>'$.a[0]' FROM {source} WHERE l > 1").fetchone() == ("1",)
