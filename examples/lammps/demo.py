#!/usr/bin/env python3
"""Molecular dynamics of a droplet of ethanol and water in LAMMPS with a student: what `make demo`
runs.

Makes the droplet, relaxes it, keeps it at 300 K and then lets it move freely; prints what was done,
the speed, and how well the energy was conserved.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase.data import atomic_masses, atomic_numbers

HERE = Path(__file__).resolve().parent
# In the order of the atom types, as in droplet.in.
TYPES = ["C", "H", "O"]
# Angstrom.
WATER = [("O", (0, 0, 0)), ("H", (0.96, 0, 0)), ("H", (-0.24, 0.93, 0))]
ETHANOL = [
    ("C", (1.1682, -0.4004, 0.0)), ("C", (0.0, 0.5595, 0.0)), ("O", (-1.1901, -0.2277, 0.0)),
    ("H", (-1.9466, 0.3815, 0.0)),
    ("H", (0.0426, 1.2075, 0.8869)), ("H", (0.0426, 1.2075, -0.8869)), ("H", (2.1159, 0.1448, 0.0)),
    ("H", (1.1286, -1.0372, 0.8859)), ("H", (1.1286, -1.0372, -0.8859)),
]  # fmt: skip
DISTANCE = 2.0  # between atoms of different molecules, Angstrom


def droplet(molecules, seed=1):
    """Elements and positions of randomly turned molecules, each put near the middle where there is
    room.
    """
    random = np.random.default_rng(seed)
    elements, placed = [], np.empty((0, 3))
    for molecule in random.permutation(np.array(molecules, dtype=object)):
        shape = np.array([position for _, position in molecule], float)
        shape = (shape - shape.mean(axis=0)) @ np.linalg.qr(random.normal(size=(3, 3)))[0]
        # Tries on growing shells.
        for radius in np.arange(0.0, 60.0, 0.02):
            direction = random.normal(size=3)
            there = shape + radius * direction / np.linalg.norm(direction)
            if not len(placed) or np.linalg.norm(placed[:, None] - there, axis=2).min() > DISTANCE:
                break
        elements += [element for element, _ in molecule]
        placed = np.concatenate([placed, there])
    return elements, placed


def data_file(elements, positions, title):
    """A LAMMPS data file; atom types are those of TYPES, counted from 1."""
    low, high = positions.min(axis=0) - 20.0, positions.max(axis=0) + 20.0
    lines = [title, "", f"{len(positions)} atoms", f"{len(TYPES)} atom types", ""]
    lines += [f"{low[k]:.3f} {high[k]:.3f} {axis}lo {axis}hi" for k, axis in enumerate("xyz")]
    lines += ["", "Masses", ""]
    for number, element in enumerate(TYPES, start=1):
        lines.append(f"{number} {atomic_masses[atomic_numbers[element]]}  # {element}")
    lines += ["", "Atoms  # atomic", ""]
    for number, (element, (x, y, z)) in enumerate(zip(elements, positions), start=1):
        lines.append(f"{number} {TYPES.index(element) + 1} {x:.6f} {y:.6f} {z:.6f}")
    return "\n".join(lines) + "\n"


def run_lammps(arguments, folder, steps):
    """Runs droplet.in, showing LAMMPS' progress as it comes; returns all of its output."""
    prefix = Path(arguments.venv).absolute()
    command = [str(prefix / "bin" / "lmp"), "-in", str(HERE / "droplet.in"), "-log", "log.lammps"]
    for name, value in (
        ("plugin", Path(arguments.plugin).absolute()),
        ("model", Path(arguments.model).absolute()),
        ("steps", steps),
    ):
        command += ["-var", name, str(value)]
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": f"{prefix / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        print("   ", line, end="", flush=True)
    output = "".join(lines)
    if process.wait() != 0:
        sys.exit(failure(process.returncode, output, arguments.model, folder))
    return output


# What LAMMPS and the plugin say where atoms fly apart or fall into each other.
APART = (
    "Fix halt condition|Lost atoms|Too many neighbor bins|Non-numeric|Out of range atoms"
    "|Failed to (re)?allocate|Domain too large|position of atom ID|not a finite number"
    "|at the same place|WARNING: mlff_student: atoms"
)


def signal_of(code):
    """The signal that ended a process, if one did."""
    # The wheel's lmp and shells give its number as an exit status.
    for number in (-code, 256 - code, code - 128):
        if number in {s.value for s in signal.Signals}:
            return signal.Signals(number)
    return None


def failure(code, output, model, folder):
    """What ended LAMMPS, the likely cause, and a way on."""
    errors = [line.strip() for line in output.splitlines() if "ERROR" in line]
    ended_by = signal_of(code)
    if errors:
        what = f"LAMMPS stopped with: {errors[-1]}"
    elif ended_by:
        name = f"{ended_by.name}: {signal.strsignal(ended_by)}"
        what = f"LAMMPS was ended by signal {ended_by.value} ({name})."
    else:
        what = f"LAMMPS ended with status {code}."
    text = f"The demo failed. {what}\n"
    if "this model knows only" in output:
        text += (
            "The demo is a droplet of ethanol and water: it needs a student that knows H, C and O, "
            f"which {model} does not.\n"
        )
    elif (ended_by and not errors) or re.search(APART, output):
        text += (
            "The likely cause: atoms flew apart or fell into each other (LAMMPS then loses them, "
            f"or runs out of memory),\nbecause {model} was not trained on molecules like ethanol "
            "and water.\n"
        )
    return text + (
        "What to do: run the demo with a student that ships (make demo), or this student on a "
        "system that it was\ntrained for (inputs to copy: examples/lammps/nve_molecule.in and "
        "npt_water.in). What it knows:\n"
        f"  target/release/mlff-student inspect {model}\n"
        f"The log: {folder}/log.lammps"
    )


def tables(output):
    """The thermo tables of all runs, one array for each."""
    found = []
    for block in re.findall(r"\n *Step .*?\n((?: *-?[\d.]+.*\n)+)", output):
        found.append(
            np.array([[float(word) for word in line.split()] for line in block.splitlines()])
        )
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--venv", default=".venv")
    parser.add_argument("--plugin", default="target/plugin/mlff_studentplugin.so")
    parser.add_argument("--folder", default="target/demo")
    parser.add_argument("--water", type=int, default=45, help="molecules of water")
    parser.add_argument("--ethanol", type=int, default=15, help="molecules of ethanol")
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()

    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    title = f"{arguments.ethanol} molecules of ethanol and {arguments.water} of water"
    elements, positions = droplet([WATER] * arguments.water + [ETHANOL] * arguments.ethanol)
    (folder / "droplet.data").write_text(data_file(elements, positions, title))
    output = run_lammps(arguments, folder, arguments.steps)

    atoms = len(positions)
    free = tables(output)[-1]
    step, temperature, energy = free[:, 0], free[:, 1], free[:, 3]
    time = (step - step[0]) * 2.5e-4  # ps, the timestep of droplet.in
    seconds = float(re.findall(r"Loop time of ([\d.]+) on \d+ procs for \d+ steps", output)[-1])
    drift = np.polyfit(time, energy, 1)[0] / atoms
    kinetic = 1.5 * 8.617333e-5 * temperature.mean()
    each = 1e6 * seconds / atoms / arguments.steps
    per_day = arguments.steps * 2.5e-7 / seconds * 86400
    fluctuation = 1000 * energy.std() / atoms
    print(f"""
What was done
  {Path(arguments.model).name} in LAMMPS: a droplet of {title} ({atoms} atoms),
  one process, one thread: relaxed, {arguments.steps // 2} steps at 300 K (NVT, Langevin),
  then {arguments.steps} steps of 0.25 fs without a thermostat (NVE).
Speed
  {each:.1f} microseconds per atom and step; {per_day:.2f} ns per day
Energy (NVE part)
  {energy[0]:.8f} eV at the start, {energy[-1]:.8f} eV at the end
  drift {1000 * drift:+.3f} meV per atom and ps; fluctuation {fluctuation:.3f} meV per atom
  (kinetic energy: {1000 * kinetic:.1f} meV per atom,
  temperature {temperature[0]:.0f} K at the start, {temperature[-1]:.0f} K at the end)
Files
  {folder}/log.lammps, {folder}/droplet.lammpstrj""")
    if "not continuous at its cutoff" in output:
        print("""Note
  The energy of this student jumps where pairs cross its cutoff, and it depends on how the system
  is turned: the drift is the model's, not the integrator's.""")
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plot
    except ImportError:
        return
    figure, axes = plot.subplots(2, sharex=True)
    axes[0].plot(time, 1000 * (energy - energy[0]) / atoms)
    axes[0].set_ylabel("energy - start (meV/atom)")
    axes[1].plot(time, temperature)
    axes[1].set(xlabel="time (ps)", ylabel="temperature (K)")
    figure.savefig(folder / "demo.png")
    print(f"  {folder}/demo.png")


if __name__ == "__main__":
    main()
