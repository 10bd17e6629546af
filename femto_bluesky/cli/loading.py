"""Classes of the user's own, which options name."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path


def loaded_class(option: str, spec: str) -> type:
    """The class that MODULE:CLASS names; MODULE may be a .py file.

    Raises `ValueError` and `FileNotFoundError`, which name the option.
    """
    module_name, _, class_name = spec.rpartition(":")
    if not module_name:
        raise ValueError(f"{option} {spec}: expected MODULE:CLASS or PATH.py:CLASS")
    if module_name.endswith(".py"):
        path = Path(module_name)
        found = importlib.util.spec_from_file_location(path.stem, path)
        if not path.is_file() or found is None or found.loader is None:
            raise FileNotFoundError(f"{option} {spec}: no file {path}")
        module = importlib.util.module_from_spec(found)
        sys.modules[path.stem] = module
        try:
            found.loader.exec_module(module)
        except SyntaxError as error:
            raise ValueError(f"{option} {spec}: {error}") from error
    else:
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"{option} {spec}: {error}; expected MODULE:CLASS with an installed module, or "
                "PATH.py:CLASS"
            ) from error
    kind = getattr(module, class_name, None)
    if not isinstance(kind, type):
        raise ValueError(f"{option} {spec}: {module_name} has no class {class_name!r}")
    return kind
