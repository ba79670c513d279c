"""Convert a model folder for a runtime into a new folder with its own provenance.json."""

import importlib.metadata
import json
import time
from pathlib import Path

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.files import atomic, sha256_of
from asrmeter.runtimes.base import Conversion, UnsupportedError
from asrmeter.sources import integrity


def convert(source: Path, runtime: str, conversion: Conversion, target: Path, key: str | None = None) -> str | None:
    """Convert a model folder for a runtime into the folder `target`; return why this is impossible, None on success.

    `key` is the fingerprint of its sources, for the record. A model that cannot be converted also gets a folder, with
    the reason, because its cells are not an error of the run.

    Raises:
        AsrmeterError: the model folder is damaged, or the converter fails.
    """
    provenance = integrity.check_model_folder(source)
    refused = None
    with atomic(target) as folder:
        folder.mkdir()
        begin_s = time.perf_counter()
        try:
            runtimes.convert(runtime, source, provenance["family"], conversion.settings, folder)
        except UnsupportedError as error:
            refused = one_line(error)
        except AsrmeterError:
            raise
        except ImportError as error:
            raise AsrmeterError(
                f"{source.name}: {conversion.format} needs a package that is not installed ({one_line(error)}); "
                "`make runtimes` installs all packages for runtimes"
            ) from error
        conversion_s = time.perf_counter() - begin_s
        files = [] if refused else sorted(path for path in folder.iterdir() if path.is_file())
        record = {
            "model": source.name,
            "format": conversion.format,
            "key": key,
            "source_sha256": provenance["weights_sha256"],
            "settings": dict(conversion.settings),
            "versions": {name: importlib.metadata.version(name) for name in conversion.packages},
            "refused": refused,
            "conversion_s": conversion_s,
            "bytes": sum(path.stat().st_size for path in files),
            "sha256": {path.name: sha256_of(path) for path in files},
        }
        (folder / integrity.PROVENANCE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return refused
