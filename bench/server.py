"""Starts the release binary, or that of `ASSAY_PROGRAM`, for the benchmarks."""

import contextlib
import http.client
import json
import os
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("ASSAY_PROGRAM", ROOT / "target" / "release" / "assay"))


class Client:
    """One connection to the server, kept open."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=600, blocksize=1 << 20)

    def request(self, method, path, body=None, **headers):
        data = json.dumps(body) if isinstance(body, dict) else body
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, data, headers)
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        if response.status >= 400 or answer.get("state") == "failed":
            raise RuntimeError(answer)
        return answer

    def job(self, path, **headers):
        """The job and its entity tag, or the job that is known when it has not changed."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request("GET", path, headers=headers)
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 304:
            self.known = json.loads(body)
        return self.known, response.headers["etag"]

    def post(self, path, body, **headers):
        return self.request("POST", path, body, **{"content-type": "application/json", **headers})


def finished(client, job):
    """The job once it has ended."""
    while job["state"] not in ("succeeded", "failed", "canceled"):
        job = client.request("GET", job["links"]["self"], prefer="wait=60")
    return job


def load(client, name, file, query=""):
    """The finished job that loaded a file as the data set `name`."""
    path, size = f"/v1/datasets/{name}/import?{query}", str(file.stat().st_size)
    with file.open("rb") as body:
        return finished(client, client.request("POST", path, body, prefer="wait=60", content_length=size))


def start(store, *options):
    """A server over the store, once it listens, and its address."""
    line = [PROGRAM, "serve", "--listen", "127.0.0.1:0", "--store", store, *options]
    child = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    words = child.stdout.readline().split()
    url = next(word for word in words if word.startswith("http://"))
    return child, url.removeprefix("http://")


def work(store, *options):
    """A worker on the store, once it works."""
    line = [PROGRAM, "work", "--store", store, *options]
    child = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout.readline(), "the worker did not start"
    return child


def stop(child):
    child.terminate()
    child.wait(30)


@contextlib.contextmanager
def running(store=None, *options):
    """The address and the process id of a server over the store, an empty one by default, which ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        child, address = start(store or folder, *options)
        try:
            yield address, child.pid
        finally:
            stop(child)


class Redis:
    """A `redis-server` at a socket in a temporary folder, which ends with the block. Its append-only file is written
    once a second."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.socket = pathlib.Path(self.folder.name, "redis.sock")
        line = ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "", "--appendonly", "yes"]
        self.child = subprocess.Popen(line, cwd=self.folder.name, stdout=subprocess.PIPE, text=True)
        while "eady to accept connections" not in self.child.stdout.readline():
            assert self.child.poll() is None, "redis-server did not start"
        return self

    def __exit__(self, *_):
        stop(self.child)
        self.folder.cleanup()

    def url(self, prefix):
        return f"redis+unix://{self.socket}?prefix={prefix}"

    def cli(self, *words):
        return subprocess.run(["redis-cli", "-s", self.socket, *words], capture_output=True, text=True, check=True).stdout

    def info(self, name):
        lines = (line.strip().split(":", 1) for line in self.cli("INFO", "everything").splitlines() if ":" in line)
        return float(dict(lines)[name])

    def cpu(self):
        """Seconds of processor time that it has used."""
        return self.info("used_cpu_user") + self.info("used_cpu_sys")
