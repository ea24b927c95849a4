"""How long a scan takes where objects lie: in a folder, in Redis, in a bucket, and in a bucket with copies nearby.

One data set of 10 million rows, loaded into each place; the argument is another number of rows. The bucket is that of
the server of `moto` (`pip install "moto[server]"`), which is written in Python: what it costs is not what S3 costs.
"""

import contextlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import server

QUERIES = {
    "count and sum": "SELECT count(*) AS n, sum(x) AS s FROM t",
    "group": "SELECT g, avg(x) AS a FROM t GROUP BY g ORDER BY g",
    "a narrow range": "SELECT sum(x) AS s FROM t WHERE id BETWEEN 5000 AND 6000",
}
TIMES = 5
MOTO = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").disabled = True
moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
moto.start()
print(*moto.get_host_and_port(), flush=True)
sys.stdin.read()
"""


def write(path, rows):
    with path.open("w") as file:
        file.write("id,g,x\n")
        for start in range(0, rows, 100_000):
            numbers = range(start, min(rows, start + 100_000))
            file.writelines(f"{number},{number % 100},{number * 7 % 1000 / 8}\n" for number in numbers)


@contextlib.contextmanager
def bucket():
    """Sets the variables that lead to a bucket `lab`."""
    child = subprocess.Popen([sys.executable, "-c", MOTO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    host, port = child.stdout.readline().split()
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://{host}:{port}",
        AWS_ALLOW_HTTP="true",
        AWS_ACCESS_KEY_ID="assay",
        AWS_SECRET_ACCESS_KEY="assay",
    )
    server.Client(f"{host}:{port}").connection.request("PUT", "/lab")
    try:
        yield "s3://lab/t"
    finally:
        child.stdin.close()
        child.wait(30)


def seconds(client, sql):
    """The first time, and the median of those after it."""
    taken = []
    for _ in range(1 + TIMES):
        begin = time.perf_counter()
        client.post("/v1/query", {"sql": sql, "cache": False})
        taken.append(time.perf_counter() - begin)
    return taken[0], statistics.median(taken[1:])


def measure(name, file, objects, cache_size):
    with tempfile.TemporaryDirectory() as folder:
        options = ("--objects", objects) if objects else ()
        with server.running(folder + "/store", "--cache-size", cache_size, *options) as (address, _):
            client = server.Client(address)
            begin = time.perf_counter()
            server.load(client, "t", file)
            print(f"{name}: loaded in {time.perf_counter() - begin:.1f} s", flush=True)
            for label, sql in QUERIES.items():
                first, later = seconds(client, sql)
                print(f"{name}, {label}: {first * 1e3:.0f} ms at first, then {later * 1e3:.0f} ms", flush=True)


def main(rows):
    with tempfile.TemporaryDirectory() as folder, server.Redis() as redis, bucket() as s3:
        file = pathlib.Path(folder, "t.csv")
        write(file, rows)
        measure("folder", file, None, "0")
        measure("Redis", file, redis.url("scan"), "0")
        measure("Redis, copies nearby", file, redis.url("copies"), "10GiB")
        measure("bucket", file, s3, "0")
        measure("bucket, copies nearby", file, s3 + "-copies", "10GiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
