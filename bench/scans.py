"""What a scan costs over HTTP when one row of a hundred is deleted, spread evenly, or when 10,000 records were written
behind it: medians beside the same data set untouched, asked by turns. DuckDB (`pip install duckdb`) in this process, the
same rows in a table of its own with the same ones deleted, shows what deletions cost elsewhere.

The argument is the number of rows: 1,000,000 by default.
"""

import json
import pathlib
import statistics
import sys
import tempfile
import time

import duckdb
import server

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
WRITTEN = 10_000
ROUNDS = 40
TABLE = "SELECT i AS id, i % 100 AS g, (i * 7 % 1000) / 8.0 AS x, 'name ' || (i * 31 % 5000) AS t FROM range({}) r(i)"
QUERIES = [
    "SELECT count(*) AS n, sum(x) AS s FROM {}",
    "SELECT g, avg(x) AS a FROM {} GROUP BY g ORDER BY g",
    "SELECT max(t) AS m FROM {} WHERE x > 50",
    "SELECT count(*) AS n FROM {} WHERE id BETWEEN 500000 AND 600000",
]


def medians(ask, query, names):
    """Milliseconds of the query on each data set, asked by turns."""
    times = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            begin = time.perf_counter()
            ask(query.format(name))
            times[name].append(1_000 * (time.perf_counter() - begin))
    return [statistics.median(times[name]) for name in names]


def main():
    peer = duckdb.connect()
    with tempfile.TemporaryDirectory() as folder, server.running() as (address, _):
        file = pathlib.Path(folder, "rows.parquet")
        peer.execute(f"COPY ({TABLE.format(ROWS)}) TO '{file}'")
        for name in ("whole", "deleted"):
            peer.execute(f"CREATE TABLE {name} AS FROM '{file}'")
        peer.execute("DELETE FROM deleted WHERE g = 7")
        client = server.Client(address)
        for name in ("whole", "deleted", "written"):
            server.load(client, name, file, "key=id")
        assert client.post("/v1/datasets/deleted/delete?g=eq.7", {})["deleted"] == ROWS // 100
        lines = "".join(
            json.dumps({"id": ROWS + number, "g": number % 100, "x": number / 8, "t": f"name {number}"}) + "\n"
            for number in range(WRITTEN)
        )
        client.request("POST", "/v1/datasets/written/records", lines, content_type="application/x-ndjson")

        def ask(sql):
            return client.post("/v1/query", {"sql": sql, "cache": False})

        print(f"{ROWS:,} rows; DuckDB {duckdb.__version__}")
        for query in QUERIES:
            for name in ("whole", "deleted"):
                rows = [tuple(row.values()) for row in ask(query.format(name))["result"]["rows"]]
                assert rows == peer.execute(query.format(name)).fetchall(), query
            whole, deleted, written = medians(ask, query, ("whole", "deleted", "written"))
            peer_whole, peer_deleted = medians(lambda sql: peer.execute(sql).fetchall(), query, ("whole", "deleted"))
            print(
                f"{query.format('…')}\n  {whole:.1f} ms, 1 % deleted {deleted / whole:.2f}x, {WRITTEN:,} written"
                f" {written / whole:.2f}x; DuckDB {peer_whole:.1f} ms, 1 % deleted {peer_deleted / peer_whole:.2f}x"
            )


if __name__ == "__main__":
    main()
