"""The source of a module and of the modules beside it that it imports. Nothing of it is run.

Imports are read from the text: those at the top and inside functions, and texts such as "module:function". What a
module imports under a name that it computes is not seen here; `examine.py` finds that when it imports the module.
"""

import ast
import contextlib
import hashlib
import importlib
import re
import sys
import sysconfig
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

from bakeoff.errors import ConfigError, suggest
from bakeoff.files import hash_json
from bakeoff.variables import PYTHONSAFEPATH

__all__ = ["Source", "find_module", "read_source", "searching"]

# Folders of installed packages: what lies there beside a module does not belong to it.
_INSTALLED = ("site-packages", "dist-packages")
# Python's path belongs to all threads.
_lock = threading.RLock()
_REFERENCE = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]\w*")


@dataclass(frozen=True)
class Source:
    """The files of a module and of those beside it that it imports."""

    files: dict[str, bytes]
    """Contents by path below the folder that has to be on Python's path, as in `nets/wide.py`."""
    modules: dict[str, Path]
    """The file of each module."""

    @property
    def sha256(self) -> str:
        """Hash of all of them; it does not depend on where they lie."""
        return hash_json({name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()})


@contextlib.contextmanager
def searching() -> Iterator[None]:
    """Look for modules in the current folder first, for the block, as `python -m` does: not with PYTHONSAFEPATH."""
    here = str(Path.cwd())
    with _lock:
        added = not PYTHONSAFEPATH.read() and here not in sys.path[:1]
        if added:
            sys.path.insert(0, here)
        # A file may have been written since its folder was read.
        importlib.invalidate_caches()
        try:
            yield
        finally:
            if added and here in sys.path:
                sys.path.remove(here)


def read_source(module: str, *further: str) -> Source:
    """Read the source of a module.

    Args:
        module: Its dotted name.
        further: Other modules of the same folder or package that it is known to import.

    Raises:
        ConfigError: There is no such module, or a file of it is no Python.
    """
    with searching():
        spec = find_module(module)
        if spec is None or not _has_file(spec):
            raise ConfigError(f"there is no module {module!r} in {Path.cwd()} or on Python's path{_suggest(module)}")
        top = find_module(module.partition(".")[0])
        assert top is not None
        folder = _folder(top)
        files: dict[str, bytes] = {}
        modules: dict[str, Path] = {}
        waiting = [module, *further]
        seen: set[str] = set()
        while waiting:
            parts = waiting.pop().split(".")
            for name in (".".join(parts[: count + 1]) for count in range(len(parts))):
                if name in seen:
                    continue
                seen.add(name)
                found = find_module(name)
                if found is None or not _belongs(name, module, folder):
                    break
                if not _has_file(found):
                    continue
                path = Path(str(found.origin))
                content = path.read_bytes()
                stem = name.replace(".", "/")
                files[f"{stem}/__init__{path.suffix}" if _is_package(found) else f"{stem}{path.suffix}"] = content
                modules[name] = path
                if path.suffix == ".py":
                    waiting += _imported(content, path, name, is_package=_is_package(found))
    return Source(dict(sorted(files.items())), modules)


def find_module(name: str) -> ModuleSpec | None:
    """Where a module is, without importing it or its package; None if there is none. Call it in `searching`."""
    path: list[str] | None = None
    spec: ModuleSpec | None = None
    parts = name.split(".")
    for count in range(len(parts)):
        if count and path is None:
            return None
        full = ".".join(parts[: count + 1])
        finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
        specs = (finder.find_spec(full, path) for finder in finders)
        spec = next((found for found in specs if found is not None), None)
        if spec is None:
            return None
        locations = spec.submodule_search_locations
        path = list(locations) if locations is not None else None
    return spec


def _belongs(name: str, module: str, folder: Path | None) -> bool:
    """Whether a module is of the same package as another, or lies in its folder, which has none but its user's own."""
    own, its = (each.partition(".")[0] for each in (module, name))
    if own == its:
        return True
    if its == "bakeoff" or folder is None or folder.name in _INSTALLED or _is_standard(folder):
        return False
    top = find_module(its)
    return top is not None and _folder(top) == folder


def _is_standard(folder: Path) -> bool:
    return folder in {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}


def _folder(top: ModuleSpec) -> Path | None:
    """The folder that a module at top level lies in."""
    if _is_package(top):
        return Path(next(iter(top.submodule_search_locations or ()))).parent
    return Path(str(top.origin)).parent if _has_file(top) else None


def _is_package(spec: ModuleSpec) -> bool:
    return spec.submodule_search_locations is not None


def _has_file(spec: ModuleSpec) -> bool:
    return bool(spec.has_location and spec.origin)


def _imported(content: bytes, path: Path, module: str, *, is_package: bool) -> Iterator[str]:
    """The names of modules, and perhaps of other things in them, that a file imports or refers to."""
    try:
        tree = ast.parse(content, str(path))
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ConfigError(f"{path}{line} is no Python: {getattr(error, 'msg', error)}; correct it") from error
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=base, names=names, level=level):
                origin = base or ""
                if level:
                    parts = package.split(".")
                    above = ".".join(parts[: len(parts) - level + 1])
                    origin = ".".join(filter(None, (above, base)))
                if origin:
                    yield from (origin, *(f"{origin}.{alias.name}" for alias in names if alias.name != "*"))
            case ast.Constant(value=str(text)) if found := _REFERENCE.fullmatch(text):
                yield found[1]


def _suggest(module: str) -> str:
    here = [path.stem for path in Path.cwd().glob("*.py")]
    hint = suggest(module.partition(".")[0], here, "")
    return f"; {hint}" if hint else "; start bakeoff in the folder that it is in, or set PYTHONPATH"
