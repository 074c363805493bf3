# SPDX-License-Identifier: MIT OR Apache-2.0
"""libmlff_student.so: where it is, its functions and structs as mlff_student.h declares them.

Units, shapes and owners of what the structs hold are documented in that header.
"""

import ctypes
import functools
import os
from ctypes import POINTER, c_char_p, c_double, c_int32, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

NAME = "libmlff_student.so"
VARIABLE = "MLFF_STUDENT_LIBRARY"
# The upper 16 bits of MLFF_ABI_VERSION, and of the SONAME.
ABI_MAJOR = 0
# MLFF_ERROR_OUTSIDE.
OUTSIDE = 13


class Error(RuntimeError):
    """A failed call; the text says what was expected, what was found and what to do."""

    def __init__(self, message: str, status: Optional[str] = None) -> None:
        super().__init__(message)
        #: The name of the status, such as "MLFF_ERROR_SPECIES"; None where the library was not
        #: found or does not fit this package.
        self.status = status


class OutsideError(Error):
    """Raised with check="strict": atoms are far outside of the training data, or overlap."""


class Sized(ctypes.Structure):
    """A struct of the C API: filled with zeros, but for `struct_size` and the given values."""

    def __init__(self, **values: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), **values)


class ModelInfo(Sized):
    """mlff_model_info."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("architecture", c_int32),
        ("hidden", c_uint32),
        ("blocks", c_uint32),
        ("basis", c_uint32),
        ("species_count", c_uint32),
        ("parameters", c_uint64),
        ("cutoff", c_double),
        ("rotation_invariant", c_int32),
        ("continuous_at_cutoff", c_int32),
        ("energy_range", c_int32),
        ("reserved", c_int32),
        ("architecture_name", c_char_p),
    ]


class Options(Sized):
    """mlff_options."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("device", c_int32),
        ("device_index", c_int32),
        ("precision", c_int32),
        ("filter", c_int32),
        ("threads", c_uint32),
        ("instruction_set", c_int32),
        ("engine", c_int32),
        ("check", c_int32),
        ("further", c_int32 * 7),
    ]


class OptionInfo(Sized):
    """mlff_option_info."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("name", c_char_p),
        ("values", c_char_p),
        ("default_value", c_char_p),
        ("about", c_char_p),
    ]


class Check(Sized):
    """mlff_check."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("structures", c_uint32),
        ("structure", c_uint32),
        ("reserved", c_uint32),
        ("outside", c_uint64),
        ("overlaps", c_uint64),
        ("atoms", c_int32 * 8),
        ("pairs", c_int32 * 16),
    ]


class StructureInput(Sized):
    """mlff_structure. It points to arrays that the caller keeps alive."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("atoms", c_int32),
        ("species", c_void_p),
        ("positions", c_void_p),
        ("cell", c_void_p),
        ("periodic", c_int32 * 3),
        ("reserved", c_uint32),
    ]


class ResultsOutput(Sized):
    """mlff_results. It points to arrays that the caller keeps alive."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("energy", c_double),
        ("virial", c_double * 9),
        ("stress", c_double * 9),
        ("atomic_energies", c_void_p),
        ("forces", c_void_p),
        ("atomic_virials", c_void_p),
    ]


# Result and arguments of each function used here.
FUNCTIONS = {
    "mlff_abi_version": (c_uint32, []),
    "mlff_version": (c_char_p, []),
    "mlff_last_error": (c_char_p, []),
    "mlff_status_name": (c_char_p, [c_int32]),
    "mlff_model_load": (c_int32, [c_char_p, POINTER(c_void_p)]),
    "mlff_model_free": (None, [c_void_p]),
    "mlff_model_get_info": (c_int32, [c_void_p, POINTER(ModelInfo)]),
    "mlff_model_get_species": (c_int32, [c_void_p, c_uint32, POINTER(c_int32), POINTER(c_uint32)]),
    "mlff_options_set": (c_int32, [POINTER(Options), c_char_p, c_char_p]),
    "mlff_options_get": (c_int32, [POINTER(Options), c_char_p, c_char_p, c_uint32]),
    "mlff_options_describe": (c_int32, [c_uint32, POINTER(OptionInfo)]),
    "mlff_calculator_new": (c_int32, [c_void_p, POINTER(Options), POINTER(c_void_p)]),
    "mlff_calculator_free": (None, [c_void_p]),
    "mlff_calculator_get_check": (c_int32, [c_void_p, POINTER(Check)]),
    "mlff_calculator_compute_batch": (
        c_int32,
        [c_void_p, c_uint32, POINTER(StructureInput), POINTER(ResultsOutput)],
    ),
}


def candidates() -> list[Path]:
    """Paths where the library is looked for if nobody says where it is, in this order."""
    package = Path(__file__).resolve().parent
    places, source = [package / NAME], package.parents[1]
    if (source / "Cargo.toml").exists():
        places.append(
            Path(os.environ.get("CARGO_TARGET_DIR") or source / "target") / "release" / NAME
        )
    return places


def find(path: Union[str, "os.PathLike[str]", None] = None) -> str:
    """The library's path: as given, as MLFF_STUDENT_LIBRARY says, or the first candidate there is.

    Where there is none, the name alone is returned, which the system's loader looks up.
    """
    if path is not None:
        return os.fspath(path)
    if os.environ.get(VARIABLE):
        return os.environ[VARIABLE]
    return next((str(place) for place in candidates() if place.exists()), f"{NAME}.{ABI_MAJOR}")


@functools.cache
def load(path: str) -> ctypes.CDLL:
    """Loads the library at a path that `find` gave; each path once in a process.

    Raises Error where the file is no library, lacks a function or has another ABI version.
    """
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        places = ", ".join(map(str, candidates()))
        raise Error(
            f"cannot load the library {path}: {error}. Build it with `make` in the source tree, "
            f"then give its path as library=... or in {VARIABLE}; otherwise it is sought in "
            f"{places}, and by the system's loader"
        ) from None
    for name, (result, arguments) in FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise Error(
                f"{path} has no function {name}: expected libmlff_student.so {ABI_MAJOR}.x"
            ) from None
        function.restype, function.argtypes = result, arguments
    check_version(library.mlff_abi_version(), library.mlff_version().decode())
    return library


def check_version(abi: int, version: str) -> None:
    """Raises Error where the library's ABI (as MLFF_ABI_VERSION counts) is not this module's."""
    if abi >> 16 != ABI_MAJOR:
        raise Error(
            f"this package is for version {ABI_MAJOR}.x of the C API, but the library loaded is "
            f"{version} (C API {abi >> 16}.x): install the package and the library of one version"
        )


def check(library: ctypes.CDLL, status: int) -> None:
    """Raises Error, or OutsideError, with the library's message where a call failed."""
    if status != 0:
        message = library.mlff_last_error().decode(errors="replace")
        kind = OutsideError if status == OUTSIDE else Error
        raise kind(message, library.mlff_status_name(status).decode())


@dataclass(frozen=True)
class Option:
    """An option of a calculator, as the library describes it."""

    name: str
    #: Words between bars, where N stands for a number.
    values: str
    #: The value that it has where nobody sets it.
    default: str
    #: What it decides.
    about: str


def options(library: ctypes.CDLL) -> list[Option]:
    """All options of the library."""
    found: list[Option] = []
    info = OptionInfo()
    while True:
        check(library, library.mlff_options_describe(len(found), ctypes.byref(info)))
        if info.name is None:
            return found
        texts = (info.name, info.values, info.default_value, info.about)
        found.append(Option(*(text.decode() for text in texts)))


def set_options(
    library: ctypes.CDLL, struct: Options, given: dict[str, Union[str, int]]
) -> dict[str, str]:
    """Sets options by name; returns the words of all of them.

    Raises TypeError for a name that is no option, ValueError for a value that it does not have.
    """
    known = [option.name for option in options(library)]
    for name, value in given.items():
        words = (os.fsencode(name), str(value).encode())
        if library.mlff_options_set(ctypes.byref(struct), *words) != 0:
            wrong = ValueError if name in known else TypeError
            raise wrong(library.mlff_last_error().decode(errors="replace"))
    values = {}
    for name in known:
        word = ctypes.create_string_buffer(32)
        check(library, library.mlff_options_get(ctypes.byref(struct), name.encode(), word, 32))
        values[name] = word.value.decode()
    return values
