"""Servers on this machine: one of plain files, and one that speaks the protocol of the Hugging Face hub."""

import contextlib
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`, path -> bytes, and counts what it was asked for."""

    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}  # of files, beside the usual
        self.asked: list[tuple[str, str, str | None]] = []  # method, path, range
        self.statuses: dict[str, int] = {}  # answers of files that are refused
        self.cuts: list[int] = []  # after so many bytes each, the next connections that bring a file break
        self.extra = b""  # what comes behind a file's last byte, against all promises
        self.knows_ranges = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def gets(self, part: str = "") -> list[tuple[str, str | None]]:
        """Path and range of what was fetched."""
        return [(path, span) for method, path, span in self.asked if method == "GET" and part in path]

    def handle_error(self, request, client_address):
        """Clients may leave."""


class FileHandler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        path, span = self.path.partition("?")[0], self.headers.get("Range")
        self.server.asked.append((self.command, path, span))
        if path in self.server.statuses:
            self.send(self.server.statuses[path], b"", {}, with_body)
        elif path in self.server.files:
            self.send_file(path, self.server.files[path], {}, span, with_body)
        else:
            self.send(404, b"", {}, with_body)

    def send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def send_file(self, path: str, body: bytes, headers: dict[str, str], span: str | None, with_body: bool) -> None:
        status, start = 200, 0
        headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', **headers, **self.server.headers.get(path, {})}
        if span and self.server.knows_ranges:
            status, start = 206, int(re.fullmatch(r"bytes=(\d+)-", span)[1])
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        headers.setdefault("Content-Length", str(len(body) - start))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            end = start + self.server.cuts.pop(0) if self.server.cuts else len(body)
            self.wfile.write(body[start:end] + (self.server.extra if end >= len(body) else b""))


class HubHandler(FileHandler):
    """What `huggingface_hub` asks for: a repository's description, the list of its files, and files."""

    server: "HubServer"

    def answer(self, with_body: bool) -> None:
        path, _, _ = self.path.partition("?")
        self.server.asked.append((self.command, path, self.headers.get("Range")))
        self.server.tokens.append(self.headers.get("Authorization"))
        if self.server.down:
            return self.send(self.server.down, b"", {}, with_body)
        if match := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)(?:/(revision|tree)/([\w%.-]+))?", path):
            repository, what, revision = match[1], match[2], match[3] or "main"
        elif match := re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([\w%.-]+)/(.+)", path):
            repository, revision, what = match[1], match[2], "file"
        else:
            return self.send(404, b"", {}, with_body)
        if repository not in self.server.repositories:
            return self.refuse(401, "RepoNotFound", with_body)
        if repository in self.server.gated and self.headers.get("Authorization") != "Bearer hf_sesame":
            return self.refuse(401, "GatedRepo", with_body)
        commit, files = self.server.repositories[repository]
        if revision not in ("main", commit):
            return self.refuse(404, "RevisionNotFound", with_body)
        if what == "file":
            if match[3] not in files:
                return self.refuse(404, "EntryNotFound", with_body)
            headers = {"X-Repo-Commit": commit, **self.server.headers.get(match[3], {})}
            return self.send_file(path, files[match[3]], headers, self.headers.get("Range"), with_body)
        if what == "tree":
            content = [{"type": "file", "oid": "0" * 40, "size": len(data), "path": n} for n, data in files.items()]
        else:
            card = {"license": "apache-2.0"}
            siblings = [{"rfilename": name} for name in files]
            content = {"id": repository, "sha": commit, "siblings": siblings, "cardData": card, "tags": []}
        return self.send(200, json.dumps(content).encode(), {"Content-Type": "application/json"}, with_body)

    def refuse(self, status: int, code: str, with_body: bool) -> None:
        self.send(status, b"", {"X-Error-Code": code, "X-Error-Message": code}, with_body)


class HubServer(Server):
    """A hub with `repositories`, name -> (commit, {file: bytes})."""

    def __init__(self):
        super().__init__(HubHandler)
        self.repositories: dict[str, tuple[str, dict[str, bytes]]] = {}
        self.gated: set[str] = set()
        self.tokens: list[str | None] = []
        self.down = 0  # the status that everything is answered with


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
