"""Downloads: whole, verified, unpacked safely, or nothing at all."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from made_up_files import write_beir

from retrieval_bench.datasets import load_dataset
from retrieval_bench.datasets._download import unpack
from retrieval_bench.errors import CardError, DataError, UnavailableError


class Server:
    """Files served over HTTP on this machine; ``cut`` promises more bytes than it sends."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut = False
        files, server = self.files, self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content) + 100 * server.cut))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


def zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"top/{file.relative_to(folder)}")
    return buffer.getvalue()


def tarred(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(folder, "top")
    return buffer.getvalue()


def write_card(home: Path, **keys: str) -> None:
    folder = home / "cards" / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    lines = {"name": "birds", "summary": "x", "reader": "beir", **keys}
    (folder / "birds.toml").write_text("".join(f'{key} = "{value}"\n' for key, value in lines.items()))


def left_behind(home: Path) -> list[Path]:
    downloads = home / "downloads"
    return sorted(downloads.iterdir()) if downloads.exists() else []


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_an_archive_is_fetched_verified_and_unpacked(
    tmp_path: Path, home_folder: Path, server: Server, suffix: str
) -> None:
    folder = write_beir(tmp_path / "birds")
    content = zipped(folder) if suffix == ".zip" else tarred(folder)
    server.files[f"/birds{suffix}"] = content
    write_card(
        home_folder,
        url=f"{server.url}/birds{suffix}",
        sha256=hashlib.sha256(content).hexdigest(),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
    )
    data = load_dataset("birds", progress=True)
    assert data.fingerprint == load_dataset(str(folder)).fingerprint
    assert [path.name for path in left_behind(home_folder)] == ["birds"]
    server.files.clear()
    assert load_dataset("birds").fingerprint == data.fingerprint  # from the copy


def test_sets_of_one_archive_are_fetched_together(tmp_path: Path, home_folder: Path, server: Server) -> None:
    birds = write_beir(tmp_path / "animals" / "birds")
    write_beir(tmp_path / "animals" / "fish")
    server.files["/animals.zip"] = zipped(tmp_path / "animals")
    write_card(home_folder, url=f"{server.url}/animals.zip", file="animals/birds")
    assert load_dataset("birds").fingerprint == load_dataset(str(birds)).fingerprint
    assert [path.name for path in left_behind(home_folder)] == ["animals"]
    server.files.clear()
    write_card(home_folder, url=f"{server.url}/animals.zip", file="animals/fish")
    assert len(load_dataset("birds").corpus) == 3  # came with the others
    write_card(home_folder, url=f"{server.url}/animals.zip", file="animals/snakes")
    with pytest.raises(CardError, match="holds no 'snakes'"):
        load_dataset("birds")


def test_a_plain_file_is_kept_under_its_name(home_folder: Path, server: Server, tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "a.npy", np.arange(80, dtype=np.float32).reshape(20, 4))
    server.files["/v1/vectors.npy"] = (tmp_path / "a.npy").read_bytes()
    write_card(home_folder, url=f"{server.url}/v1/vectors.npy", reader="npy")
    assert load_dataset("birds").corpus.dim == 4
    assert [path.name for path in left_behind(home_folder)] == ["vectors.npy"]


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_wrong_checksum_leaves_nothing(tmp_path: Path, home_folder: Path, server: Server, kind: str) -> None:
    server.files["/birds.zip"] = zipped(write_beir(tmp_path / "birds"))
    write_card(home_folder, url=f"{server.url}/birds.zip", **{kind: "00"})
    with pytest.raises(DataError, match=f"its {kind} is .* says 00; the file was changed or damaged"):
        load_dataset("birds")
    assert left_behind(home_folder) == []


def test_a_cut_transfer_leaves_nothing(tmp_path: Path, home_folder: Path, server: Server) -> None:
    server.files["/birds.zip"] = zipped(write_beir(tmp_path / "birds"))
    server.cut = True
    write_card(home_folder, url=f"{server.url}/birds.zip")
    with pytest.raises(DataError, match=r"ended after \d+ of \d+ bytes; try again"):
        load_dataset("birds")
    assert left_behind(home_folder) == []


def test_a_damaged_archive_leaves_nothing(tmp_path: Path, home_folder: Path, server: Server) -> None:
    content = bytearray(zipped(write_beir(tmp_path / "birds")))
    content[60:70] = bytes(10)
    server.files["/birds.zip"] = bytes(content)
    write_card(home_folder, url=f"{server.url}/birds.zip")
    with pytest.raises(DataError, match=r"birds\.zip: the archive is damaged"):
        load_dataset("birds")
    assert left_behind(home_folder) == []


@pytest.mark.parametrize("port", ["served", "closed"])
def test_no_server_gives_one_line_that_says_what_to_do(home_folder: Path, server: Server, port: str) -> None:
    url = server.url if port == "served" else "http://127.0.0.1:9"
    write_card(home_folder, url=f"{url}/birds.zip", get="it is also on the shelf")
    with pytest.raises(UnavailableError) as caught:
        load_dataset("birds")
    message = str(caught.value)
    assert "\n" not in message
    assert f"download {url}/birds.zip yourself (it is also on the shelf)" in message
    assert f"put it at {home_folder / 'downloads' / 'birds'}" in message
    assert left_behind(home_folder) == []


def test_local_files_are_no_downloads(home_folder: Path) -> None:
    write_card(home_folder, url="file:///etc/hosts")
    with pytest.raises(CardError, match="is not http, https or ftp"):
        load_dataset("birds")


def _tar(path: Path, member: tarfile.TarInfo, content: bytes = b"x") -> Path:
    member.size = len(content) if member.isreg() else 0
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(member, io.BytesIO(content))
    return path


def _zip(path: Path, name: str, mode: int) -> Path:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, "target")
    return path


def _link(kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo("link")
    member.type, member.linkname = kind, "../../outside"
    return member


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_members_outside_the_folder_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    archive = tmp_path / f"a.{kind}"
    if kind == "tar":
        _tar(archive, tarfile.TarInfo(name))
    else:
        _zip(archive, name, stat.S_IFREG | 0o644)
    with pytest.raises(DataError, match="would land outside its folder"):
        unpack(archive, tmp_path / "deep" / "target")
    assert not (tmp_path / "evil").exists()
    assert not list((tmp_path / "deep").iterdir())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(DataError, match="is a link or a device"):
        unpack(_tar(tmp_path / "a.tar.gz", _link(kind)), tmp_path / "deep" / "target")
    assert not list((tmp_path / "deep").iterdir())


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a link or a device"):
        unpack(_zip(tmp_path / "a.zip", "link", stat.S_IFLNK | 0o777), tmp_path / "target")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_what_is_no_archive_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"neither zip nor tar")
    with pytest.raises(DataError, match="the archive is damaged"):
        unpack(path, tmp_path / "target")
    assert not (tmp_path / "target").exists()
