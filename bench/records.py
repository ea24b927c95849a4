"""What single records cost over HTTP: reading and writing one by its key, hot or in a part, with keys by chance and with
a few that are asked for most; and what 100,000 records that were written one at a time cost a scan, beside the same
loaded as a file.

Writes are durable when they are answered. Peers in the same run: SQLite in this process (WAL, `synchronous=FULL`) for
records, and the same server's answer to `/healthz` for what HTTP costs with these clients.
"""

import json
import multiprocessing
import random
import socket
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import server

CLIENTS = 4
ALONE = 1_000
SECONDS = 3.0
ROWS = 100_000
LARGE = 1_000_000


def record(number):
    return json.dumps({"id": f"r{number}", "group": number % 100, "x": number * 0.5, "note": f"note {number % 977}"})


class Raw:
    """A connection that sends requests made beforehand and reads answers by their length."""

    def __init__(self, address):
        host, port = address.split(":")
        self.host = address
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def ask(self, method, path, body=""):
        head = f"{method} {path} HTTP/1.1\r\nhost: {self.host}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.socket.sendall((head + body).encode())
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.socket.recv(65_536)
        head, rest = self.rest.split(b"\r\n\r\n", 1)
        lower = head.lower()
        if b"content-length: " in lower:
            length = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0])
            while len(rest) < length:
                rest += self.socket.recv(65_536)
            self.rest = rest[length:]
        elif b"chunked" in lower:
            while not rest.endswith(b"0\r\n\r\n"):
                rest += self.socket.recv(65_536)
            self.rest = b""
        else:
            self.rest = rest
        status = int(head.split(b" ", 2)[1])
        if status >= 400:
            raise SystemExit(f"{method} {path}: {status} {rest[:300]!r}")


def one_after_another(ask):
    taken = []
    for number in range(ALONE):
        start = time.perf_counter()
        ask(number)
        taken.append((time.perf_counter() - start) * 1e3)
    taken.sort()
    return f"p50 {statistics.median(taken):.2f} ms, p99 {taken[int(len(taken) * 0.99)]:.2f} ms"


def work(address, what, first, done):
    connection, count = Raw(address), 0
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        request(connection, what, first + count)
        count += 1
    done.put(count)


def request(connection, what, number):
    if what == "health":
        connection.ask("GET", "/healthz")
    elif what == "get a hot record":
        connection.ask("GET", f"/v1/datasets/hot/records/r{number % 500}")
    elif what == "get a record of a part, keys by chance":
        connection.ask("GET", f"/v1/datasets/large/records/r{random.randrange(LARGE)}")
    elif what == "get a record of a part, skewed keys":
        # Half of the requests are for one record of 250.
        connection.ask("GET", f"/v1/datasets/large/records/r{int(LARGE * random.random() ** 8)}")
    elif what == "put":
        connection.ask("PUT", f"/v1/datasets/written/records/r{number}", record(number))


def together(address, what):
    done = multiprocessing.Queue()
    workers = [
        multiprocessing.Process(target=work, args=(address, what, (index + 1) * 10_000_000, done)) for index in range(CLIENTS)
    ]
    for worker in workers:
        worker.start()
    total = sum(done.get() for _ in workers)
    for worker in workers:
        worker.join()
    return total / SECONDS


def of_sqlite(folder):
    database = sqlite3.connect(Path(folder) / "peer.db", isolation_level=None)
    database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE record (key TEXT PRIMARY KEY, json TEXT)")
    database.executescript("CREATE TABLE large (key TEXT PRIMARY KEY, json TEXT)")
    rows = ((f"r{number}", record(number)) for number in range(LARGE))
    database.execute("BEGIN")
    database.executemany("INSERT INTO large VALUES (?, ?)", rows)
    database.execute("COMMIT")

    def put(number):
        database.execute("INSERT OR REPLACE INTO record VALUES (?, ?)", (f"r{number}", record(number)))

    def get(number):
        database.execute("SELECT json FROM record WHERE key = ?", (f"r{number}",)).fetchone()

    print(f"SQLite, put: {one_after_another(put)}")
    print(f"SQLite, get: {one_after_another(get)}")

    def get_by_chance(_):
        database.execute("SELECT json FROM large WHERE key = ?", (f"r{random.randrange(LARGE)}",)).fetchone()

    print(f"SQLite, get of {LARGE:,}, keys by chance: {one_after_another(get_by_chance)}")


def scan(client, name):
    """The median time of a scan that reads everything anew."""
    query = {"sql": f'SELECT "group", count(*) AS n, sum(x) AS sum FROM {name} GROUP BY "group"', "cache": False}
    taken = []
    for _ in range(21):
        start = time.perf_counter()
        job = client.post("/v1/query", query)
        taken.append(time.perf_counter() - start)
    rows = job["result"]["rows"]
    total = sum(row["n"] for row in rows)
    return statistics.median(taken) * 1e3, total


def settled(client, name):
    """Waits until nothing has been compacted for so long that a data set counts as left alone, and more."""
    before = None
    while True:
        version = client.request("GET", f"/v1/datasets/{name}")["version"]
        if version == before:
            return
        before = version
        time.sleep(12)


def main():
    with tempfile.TemporaryDirectory() as folder, server.running() as (address, _):
        client = server.Client(address)
        for name in ("hot", "written"):
            client.post("/v1/datasets", {"name": name, "key": "id"})
        file = Path(folder) / "records.ndjson"
        for name, rows in (("loaded", ROWS), ("large", LARGE)):
            file.write_text("\n".join(record(number) for number in range(rows)))
            server.load(client, name, file, "key=id")
        connection = Raw(address)
        for number in range(500):
            connection.ask("PUT", f"/v1/datasets/hot/records/r{number}", record(number))
        of_sqlite(folder)
        by_chance, skewed = "get a record of a part, keys by chance", "get a record of a part, skewed keys"
        # Twice: what was read once is kept.
        for what in ("health", "get a hot record", by_chance, by_chance, skewed, "put"):
            print(f"{what}: {one_after_another(lambda number: request(connection, what, number))}")
            print(f"{what}, {CLIENTS} clients: {together(address, what):,.0f} a second")
        client.post("/v1/datasets", {"name": "single", "key": "id"})
        start = time.perf_counter()
        for number in range(ROWS):
            connection.ask("PUT", f"/v1/datasets/single/records/r{number}", record(number))
        print(f"{ROWS:,} puts, one client: {ROWS / (time.perf_counter() - start):,.0f} a second")
        settled(client, "single")
        (single, rows), (loaded, same) = scan(client, "single"), scan(client, "loaded")
        assert rows == same == ROWS, (rows, same)
        print(f"scan of {ROWS:,} records: {single:.1f} ms written one by one, {loaded:.1f} ms loaded; {single / loaded:.2f} x")


if __name__ == "__main__":
    main()
