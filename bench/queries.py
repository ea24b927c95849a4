"""Ten group-by queries over one Parquet file, against DuckDB (`pip install duckdb`) in the same run.

The argument is the number of rows in millions, 10 by default. Assay is asked over HTTP and answers from a version of its
own that was loaded from the file; DuckDB reads the file itself. Both answers of each query are compared.
"""

import math
import pathlib
import statistics
import sys
import tempfile
import time

import duckdb
import server

TIMES = 5

# The shape of the h2o.ai db-benchmark: keys of few and of many values, integers and doubles, some of them missing.
GENERATE = """
COPY (
    SELECT 'id' || lpad((hash(i) % 100)::VARCHAR, 3, '0') AS id1,
           'id' || lpad((hash(i + 1) % 100)::VARCHAR, 3, '0') AS id2,
           'id' || lpad((hash(i + 2) % {many})::VARCHAR, 10, '0') AS id3,
           (hash(i + 3) % 100)::BIGINT AS id4,
           (hash(i + 4) % 100)::BIGINT AS id5,
           (hash(i + 5) % {many})::BIGINT AS id6,
           (hash(i + 6) % 5 + 1)::BIGINT AS v1,
           CASE WHEN hash(i + 7) % 20 > 0 THEN (hash(i + 7) % 15 + 1)::BIGINT END AS v2,
           (hash(i + 8) % 100000000) / 1000000.0 AS v3
    FROM range({rows}) AS t(i)
) TO '{file}' (FORMAT parquet, COMPRESSION zstd)
"""

QUERIES = [
    "SELECT id1, sum(v1) AS v1 FROM t GROUP BY id1 ORDER BY id1",
    "SELECT id1, id2, sum(v1) AS v1 FROM t GROUP BY id1, id2 ORDER BY id1, id2 LIMIT 100",
    "SELECT id3, sum(v1) AS v1, avg(v3) AS v3 FROM t GROUP BY id3 ORDER BY id3 LIMIT 100",
    "SELECT id4, avg(v1) AS v1, avg(v2) AS v2, avg(v3) AS v3 FROM t GROUP BY id4 ORDER BY id4",
    "SELECT id6, sum(v1) AS v1, sum(v2) AS v2, sum(v3) AS v3 FROM t GROUP BY id6 ORDER BY id6 LIMIT 100",
    "SELECT id4, id5, median(v3) AS m, stddev(v3) AS sd FROM t GROUP BY id4, id5 ORDER BY id4, id5 LIMIT 100",
    "SELECT id3, max(v1) - min(v2) AS spread FROM t GROUP BY id3 ORDER BY spread DESC, id3 LIMIT 100",
    "SELECT id2, id4, corr(v1, v3) AS r FROM t GROUP BY id2, id4 ORDER BY id2, id4 LIMIT 100",
    "SELECT id1, count(DISTINCT id6) AS n FROM t GROUP BY id1 ORDER BY id1",
    "SELECT id4, count(*) AS n, avg(v3) AS v3 FROM t WHERE v3 < 10 AND id1 = 'id042' GROUP BY id4 ORDER BY id4",
]


def best(work):
    times, answer = [], None
    for _ in range(TIMES):
        start = time.perf_counter()
        answer = work()
        times.append(time.perf_counter() - start)
    return min(times), answer


def same(ours, theirs):
    if isinstance(ours, float) or isinstance(theirs, float):
        return math.isclose(float(ours), float(theirs), rel_tol=1e-9, abs_tol=1e-12)
    return ours == theirs


def compare(ours, theirs, query):
    assert len(ours) == len(theirs), query
    for left, right in zip(ours, theirs):
        assert all(map(same, left, right)), (query, left, right)


def main():
    rows = int(float(sys.argv[1] if len(sys.argv) > 1 else 10) * 1_000_000)
    with tempfile.TemporaryDirectory() as name, server.running() as (address, _):
        file = pathlib.Path(name) / "t.parquet"
        duckdb.sql(GENERATE.format(rows=rows, many=max(rows // 100, 1), file=file))
        client = server.Client(address)
        start = time.perf_counter()
        job = server.load(client, "t", file)
        print(f"{rows} rows, {file.stat().st_size / 1e6:.0f} MB of Parquet: loaded in {time.perf_counter() - start:.1f} s")
        assert job["result"]["summary"]["rows"] == rows, job
        connection = duckdb.connect()
        connection.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet('{file}')")
        ratios = []
        for query in QUERIES:
            peer, expected = best(lambda: connection.execute(query).fetchall())
            ours, job = best(lambda: server.finished(client, client.post("/v1/query", {"sql": query, "cache": False})))
            found = [list(row.values()) for row in job["result"]["rows"]]
            compare(found, expected, query)
            ratios.append(ours / peer)
            print(f"assay {ours * 1e3:6.0f} ms, DuckDB {peer * 1e3:6.0f} ms, ratio {ours / peer:.2f}: {query}")
        print(f"geometric mean of the ratios: {statistics.geometric_mean(ratios):.2f}")


if __name__ == "__main__":
    main()
