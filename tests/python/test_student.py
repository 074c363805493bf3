"""The package without ASE: finding the library, errors, batches, memory, and the structs of the
header.
"""

import ctypes
import functools
import inspect
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from places import ROOT, SHIPPED, TARGET

from mlff_student import (
    Calculator,
    Error,
    Findings,
    OutsideError,
    OutsideWarning,
    Structure,
    Student,
    library,
)
from mlff_student import library as lib

BUILT = TARGET / "release" / "libmlff_student.so"
WATER = Structure([8, 1, 1], [[0.0, 0.0, 0.1], [0.0, 0.76, -0.5], [0.0, -0.76, -0.5]])


def python(code, **environment):
    """A fresh interpreter that sees nothing of this one's settings of the library."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CARGO_TARGET_DIR", library.VARIABLE)
    }
    return subprocess.run(
        [sys.executable, "-c", code], env=inherited | environment, text=True, capture_output=True
    )


def test_structs_are_those_of_the_header():
    header = re.sub(r"/\*.*?\*/", "", (ROOT / "include" / "mlff_student.h").read_text(), flags=re.S)
    size = {"int32_t": 4, "uint32_t": 4, "uint64_t": 8, "double": 8}
    for name, struct in {
        "mlff_model_info": library.ModelInfo,
        "mlff_options": library.Options,
        "mlff_check": library.Check,
        "mlff_structure": library.StructureInput,
        "mlff_results": library.ResultsOutput,
    }.items():
        body = re.search(rf"typedef struct {name} {{(.*?)}} {name};", header, flags=re.S)[1]
        declared = [
            (field, 8 if "*" in kind else size[kind.split()[-1]] * int(count or 1))
            for kind, field, count in re.findall(r"([\w ]+?[ *]+)(\w+)(?:\[(\d+)\])?;", body)
        ]
        assert declared == [(field, ctypes.sizeof(kind)) for field, kind in struct._fields_], name
    version = re.search(r"#define MLFF_ABI_VERSION \((\d+) << 8\)", header)
    assert int(version[1]) << 8 >> 16 == library.ABI_MAJOR


def test_another_version_of_the_library_is_refused():
    library.check_version(1 << 8, "0.1.0")
    with pytest.raises(
        Error, match=r"for version 0\.x of the C API, but the library loaded is 7\.2\.0"
    ):
        library.check_version(7 << 16 | 2 << 8, "7.2.0")


def test_library_is_found_by_argument_variable_and_place(tmp_path, smooth):
    here = str(ROOT / "python")
    code = f"import sys; sys.path.insert(0, {here!r}); from mlff_student import Student; "
    make = f"Student({str(smooth)!r}"
    assert python(code + make + f", library={str(BUILT)!r})").returncode == 0
    assert python(code + make + ")", **{library.VARIABLE: str(BUILT)}).returncode == 0
    package = shutil.copytree(ROOT / "python" / "mlff_student", tmp_path / "mlff_student")
    beside = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from mlff_student import Student; "
    )
    missing = python(beside + make + ")")
    assert missing.returncode != 0
    for word in ("cannot load the library", "make", library.VARIABLE, str(tmp_path)):
        assert word in missing.stderr
    (package / library.NAME).symlink_to(BUILT.resolve())
    assert python(beside + make + ")").returncode == 0


def test_a_wrong_library_is_refused(tmp_path, smooth):
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(Error, match=r"cannot load the library .*text\.so"):
        Student(smooth, library=tmp_path / "text.so")
    with pytest.raises(Error, match="has no function mlff_abi_version"):
        Student(smooth, library="libc.so.6")


def test_ase_is_not_needed(smooth):
    code = f"""
import sys; sys.path.insert(0, {str(ROOT / "python")!r}); sys.modules["ase"] = None
import mlff_student
student = mlff_student.Student({str(smooth)!r}, library={str(BUILT)!r})
student.compute(mlff_student.Structure([1, 1], [[0, 0, 0], [0, 0, 0.8]]))
"""
    found = python(code)
    assert found.returncode == 0, found.stderr


def test_describes_the_student(model):
    info = Student(model).info
    assert info.cutoff > 0 and info.parameters > 1000 and {1, 6, 8} <= set(info.species)
    assert info.rotation_invariant == info.continuous_at_cutoff == (info.architecture == "painn")
    assert info.energy_range == (model in SHIPPED)


def test_batch_equals_one_by_one(model):
    student = Student(model)
    moved = Structure(
        WATER.numbers, np.array(WATER.positions) + 0.05 * np.arange(9).reshape(3, 3) ** 0.5
    )
    box = Structure(WATER.numbers, WATER.positions, 6 * np.eye(3), True)
    together = student.compute_batch([WATER, moved, box, Structure([], [])])
    for structure, found in zip([WATER, moved, box], together):
        alone = student.compute(structure)
        assert alone.energy == found.energy
        for name in ("energies", "forces", "virial"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(found, name))
    assert [results.stress is None for results in together] == [True, True, False, True]
    assert together[3].energy == 0.0 and together[3].forces.shape == (0, 3)
    assert student.compute_batch([]) == []


def test_threads_do_not_change_the_numbers(smooth):
    # 1,029 atoms, more than one thread computes as one block.
    grid = 3.1 * np.stack(np.meshgrid(*[np.arange(7)] * 3, indexing="ij"), -1).reshape(-1, 3)
    positions = (grid[:, None] + np.asarray(WATER.positions)).reshape(-1, 3)
    liquid = Structure(np.tile(WATER.numbers, len(grid)), positions, 7 * 3.1 * np.eye(3), True)
    one, two = (Student(smooth, threads=threads).compute(liquid) for threads in (1, 2))
    assert one.energy == two.energy
    for name in ("energies", "forces", "virial"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_errors_carry_the_library_s_message(tmp_path, smooth):
    with pytest.raises(Error, match=r"nowhere\.pt") as caught:
        Student(tmp_path / "nowhere.pt")
    assert caught.value.status == "MLFF_ERROR_IO"
    (tmp_path / "text.pt").write_text("no model")
    with pytest.raises(Error) as caught:
        Student(tmp_path / "text.pt")
    assert caught.value.status == "MLFF_ERROR_FORMAT"
    student = Student(smooth)
    for structure, status, words in (
        (Structure([120], [[0, 0, 0]]), "MLFF_ERROR_SPECIES", "structure 1: .*120"),
        (Structure([1, 1], [[0, 0, 0], [0, 0, 0]]), "MLFF_ERROR_NUMERIC", "structure 1"),
        (Structure([1], [[0, 0, float("nan")]]), "MLFF_ERROR_NUMERIC", "structure 1"),
        (
            Structure([1], [[0, 0, 0]], np.zeros((3, 3)), True),
            "MLFF_ERROR_INVALID_ARGUMENT",
            "zero vector",
        ),
        (
            Structure([1], [[0, 0, 0]], None, True),
            "MLFF_ERROR_INVALID_ARGUMENT",
            "give the three lattice vectors",
        ),
    ):
        with pytest.raises(Error, match=words) as caught:
            student.compute_batch([WATER, structure])
        assert caught.value.status == status
    assert np.isfinite(student.compute(WATER).energy)


@pytest.mark.parametrize(
    "structure, words",
    [
        (Structure([8, 1], [[0, 0, 0]]), r"positions must have the shape \(2, 3\), found \(1, 3\)"),
        (Structure([8.0], [[0, 0, 0]]), "one atomic number for each atom"),
        (Structure([8], [[0, 0, 0]], [1, 2, 3], True), r"cell must have the shape \(3, 3\)"),
        (Structure([8], [[0, 0, 0]], np.eye(3), "xyz"), "pbc must be True or False"),
        (
            Structure([2**32 + 8, 1, 1], WATER.positions),
            "must be atomic numbers, found 4294967304 for atom 0",
        ),
    ],
)
def test_wrong_shapes_are_refused(smooth, structure, words):
    with pytest.raises(ValueError, match=words):
        Student(smooth).compute(structure)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"precision": "single"}, "precision must be mixed or double, found 'single'"),
        ({"filter": "fast"}, "filter must be table or exact, found 'fast'"),
        ({"engine": "jax"}, "engine must be own or torch, found 'jax'"),
        ({"check": "no"}, "check must be warn, report, strict or off, found 'no'"),
        (
            {"device": "gpu"},
            "device must be cpu, cuda or cuda: and the number of a GPU, found 'gpu'",
        ),
        ({"device": "cuda:first"}, "found 'cuda:first'"),
        ({"threads": 0}, "threads must be a number from 1 to 4096, found '0'"),
        ({"threads": -1}, "found '-1'"),
        ({"threads": 1.5}, "found '1.5'"),
    ],
)
def test_wrong_options_are_refused(smooth, options, words):
    with pytest.raises(ValueError, match=words):
        Student(smooth, **options)


# Squeezed to half its size: oxygen and hydrogen overlap below 0.485 A.
SQUEEZED = Structure([8, 1, 1], [[0.0, 0.0, 0.0], [0.4, 0.0, 0.0], [-0.15, 0.5, 0.0]])


def test_warns_once_of_atoms_outside_and_once_of_overlaps(shipped):
    student = Student(shipped)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        student.compute(WATER)
        assert not caught and student.findings == Findings()
        student.compute(SQUEEZED)
        student.compute_batch([WATER, SQUEEZED, SQUEEZED])
    said = [str(warning.message) for warning in caught]
    assert [warning.category for warning in caught] == [OutsideWarning] * len(said)
    assert "nearer to each other than half of the sum of their covalent radii (0 and 1)" in said[-1]
    # Not every student has atoms outside there.
    assert len(said) == 1 + ("far outside of those of the student's training data" in said[0])
    # Of the line that called.
    assert {warning.filename for warning in caught} == {__file__}
    findings = student.findings
    assert (findings.structures, findings.structure) == (2, 1)
    assert (findings.overlaps, findings.pairs) == (1, ((0, 1),))
    assert findings.outside == len(findings.atoms) and (findings.outside > 0) == (len(said) == 2)


def test_a_student_of_two_says_which_structure_it_was(shipped):
    student = Student(shipped)
    with pytest.warns(OutsideWarning, match=r"^structure 1, the first of 2: atoms nearer"):
        student.compute_batch([WATER, SQUEEZED, SQUEEZED])
    with pytest.warns(OutsideWarning, match=r"^structure 1: atoms nearer"):
        Student(shipped).compute_batch([WATER, SQUEEZED])


def test_strict_raises_says_which_and_goes_on(shipped):
    student = Student(shipped, check="strict")
    for structures in ([SQUEEZED], [WATER, SQUEEZED]):
        with pytest.raises(OutsideError, match="atoms 0 and 1") as caught:
            student.compute_batch(structures)
        assert caught.value.status == "MLFF_ERROR_OUTSIDE"
        assert student.findings.pairs == ((0, 1),)
        assert student.findings.structure == len(structures) - 1
    assert student.compute(WATER).energy == Student(shipped).compute(WATER).energy
    assert student.findings == Findings()


def test_off_says_nothing(shipped):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        student = Student(shipped, check="off")
        student.compute(SQUEEZED)
    assert student.findings == Findings()


def test_the_library_itself_says_nothing_on_stderr(shipped):
    code = f"""
import sys, warnings; sys.path.insert(0, {str(ROOT / "python")!r}); warnings.simplefilter("ignore")
from mlff_student import Student, Structure
student = Student({str(shipped)!r}, library={str(BUILT)!r})
student.compute(Structure({SQUEEZED.numbers}, {SQUEEZED.positions}))
"""
    found = python(code)
    assert (found.returncode, found.stderr) == (0, ""), found


def test_a_closed_student_refuses_to_compute(smooth):
    with Student(smooth) as student:
        student.compute(WATER)
    student.close()
    with pytest.raises(Error):
        student.compute(WATER)


# Large enough for calls to meet.
MANY = Structure(
    [8, 1, 1] * 60, [[x + 4.0 * k, y, z] for k in range(60) for x, y, z in WATER.positions]
)


def test_threads_take_turns_with_a_student(smooth):
    student, expected, found = Student(smooth), Student(smooth).compute(MANY).energy, []

    def work():
        found.extend(student.compute(MANY).energy for _ in range(200))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 600


def test_closing_waits_for_what_computes(smooth):
    code = f"""
import sys, threading, time
sys.path[:0] = {sys.path!r}
from mlff_student import Student, Structure
student = Student({str(smooth)!r}, precision="double", filter="exact")
many = Structure([1] * 400, [[3.0 * k, 0.0, 0.0] for k in range(400)])
done = []
thread = threading.Thread(target=lambda: done.append(student.compute(many).energy))
thread.start()
time.sleep(0.02)
student.close()
thread.join()
print(len(done))
# At the end of the program nothing is freed that still computes.
other = Student({str(smooth)!r}, precision="double", filter="exact")
threading.Thread(target=lambda: [other.compute(many) for _ in range(1000)], daemon=True).start()
time.sleep(0.02)
"""
    finished = python(code)
    assert (finished.returncode, finished.stdout) == (0, "1\n"), finished


def test_forked_processes_compute(smooth):
    student = Student(smooth, threads=2)
    expected = student.compute(MANY).energy
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert (
            pool.map_async(functools.partial(energy_of, student), range(4)).get(60)
            == [expected] * 4
        )
    with multiprocessing.get_context("fork").Pool(
        1, initializer=inherit, initargs=(student,)
    ) as pool:
        assert pool.apply_async(energy_inherited).get(60) == expected
        assert pool.apply_async(status_inherited).get(60) == "MLFF_ERROR_STATE"
    assert student.compute(MANY).energy == expected


def energy_of(student, _):
    return student.compute(MANY).energy


INHERITED = []


def inherit(student):
    """In a child: the object itself, with its handle, not a pickled copy."""
    INHERITED.append(student)


def energy_inherited():
    return INHERITED[0].compute(MANY).energy


def status_inherited():
    """What the library says of a calculator whose threads stayed in the parent."""
    student = Student(**INHERITED[0]._arguments)
    pid = os.fork()
    if pid == 0:
        student._process = os.getpid()
        try:
            student.compute(MANY)
        except Error as error:
            os._exit(17 if error.status == "MLFF_ERROR_STATE" and "forked" in str(error) else 1)
        os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return "MLFF_ERROR_STATE" if code == 17 else code


def test_making_and_freeing_many_keeps_no_memory(smooth):
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cycle(times):
        for _ in range(times):
            Student(smooth).compute(WATER)

    cycle(20)
    before = resident()
    cycle(200)
    # A student of 64 channels holds more than 1 MB.
    assert resident() - before < 20e6


def test_repr_says_what_it_is_and_how_it_computes(shipped):
    student = Student(shipped, precision="double")
    text = repr(student)
    assert text.startswith(f"<Student {shipped.stem}: painn of {student.info.parameters:,} ")
    for word in ("H C N O F S Cl", f"cutoff {student.info.cutoff:g} Å", "device cpu", "double"):
        assert word in text
    student.close()
    assert repr(student) == text


def test_help_names_every_option_of_the_library_with_its_words():
    options = lib.options(lib.load(lib.find()))
    assert len(options) >= 7
    for kind in (Student, Calculator):
        text = inspect.getdoc(kind)
        for option in options:
            assert re.search(rf"^{option.name}  ", text, re.MULTILINE), (kind, option)
            assert all(word in text for word in option.values.split("|")), (kind, option)
        assert re.search("^library  ", text, re.MULTILINE)
        assert "eV/Angstrom" in text and max(map(len, text.splitlines())) <= 99


def test_an_option_that_does_not_exist_is_named_with_the_nearest(shipped):
    with pytest.raises(TypeError, match="'precison' is no option, the nearest is 'precision'"):
        Student(shipped, precison="double")


def test_with_check_report_nothing_is_said_and_findings_are_there(shipped):
    student = Student(shipped, check="report")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        student.compute(Structure([8, 1, 1], [[0, 0, 0], [0.3, 0, 0], [-0.15, 0.5, 0]]))
    assert student.findings.overlaps > 0
