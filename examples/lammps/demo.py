#!/usr/bin/env python3
"""Molecular dynamics of a water droplet in LAMMPS with a student: what `make demo` runs.

Makes the droplet, relaxes it, brings it to 300 K and lets it move freely; prints what was done, the
speed, and how well the energy was conserved.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
BOND, ANGLE, SPACING = 0.97, np.radians(104.5), 3.1  # Angstrom; one molecule for each cell of liquid water


def droplet(molecules, seed=1):
    """Positions (O, H, H, O, ...) of randomly turned molecules, the nearest to the middle of a grid."""
    random = np.random.default_rng(seed)
    side = int(np.ceil(molecules ** (1 / 3))) + 2
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) - (side - 1) / 2
    centers = SPACING * grid[np.argsort((grid**2).sum(axis=1), kind="stable")[:molecules]]
    water = BOND * np.array([[0, 0, 0], [1, 0, 0], [np.cos(ANGLE), np.sin(ANGLE), 0]])
    turned = [water @ np.linalg.qr(random.normal(size=(3, 3)))[0] for _ in centers]
    return np.concatenate([center + molecule for center, molecule in zip(centers, turned)])


def data_file(positions, title):
    low, high = positions.min(axis=0) - 20.0, positions.max(axis=0) + 20.0
    lines = [title, "", f"{len(positions)} atoms", "2 atom types", ""]
    lines += [f"{low[k]:.3f} {high[k]:.3f} {axis}lo {axis}hi" for k, axis in enumerate("xyz")]
    lines += ["", "Masses", "", "1 15.999  # O", "2 1.008  # H", "", "Atoms  # atomic", ""]
    lines += [f"{k + 1} {1 if k % 3 == 0 else 2} {x:.6f} {y:.6f} {z:.6f}" for k, (x, y, z) in enumerate(positions)]
    return "\n".join(lines) + "\n"


def run_lammps(arguments, folder, steps):
    """Runs droplet.in, showing LAMMPS' progress as it comes; returns all of its output."""
    prefix = Path(arguments.venv).absolute()
    command = [str(prefix / "bin" / "lmp"), "-in", str(HERE / "droplet.in"), "-log", "log.lammps"]
    for name, value in (("plugin", Path(arguments.plugin).absolute()), ("model", Path(arguments.model).absolute()), ("steps", steps)):
        command += ["-var", name, str(value)]
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{prefix / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        print("   ", line, end="", flush=True)
    if process.wait() != 0:
        sys.exit("The demo failed: LAMMPS stopped with the error above.")
    return "".join(lines)


def tables(output):
    """The thermo tables of all runs, one array for each."""
    found = []
    for block in re.findall(r"\n *Step .*?\n((?: *-?[\d.]+.*\n)+)", output):
        found.append(np.array([[float(word) for word in line.split()] for line in block.splitlines()]))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--venv", default=".venv")
    parser.add_argument("--plugin", default="target/plugin/mlff_studentplugin.so")
    parser.add_argument("--folder", default="target/demo")
    parser.add_argument("--molecules", type=int, default=64)
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()

    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    positions = droplet(arguments.molecules)
    (folder / "droplet.data").write_text(data_file(positions, f"{arguments.molecules} water molecules"))
    output = run_lammps(arguments, folder, arguments.steps)

    atoms = len(positions)
    free = tables(output)[-1]
    step, temperature, energy = free[:, 0], free[:, 1], free[:, 3]
    time = (step - step[0]) * 2.5e-4  # ps, the timestep of droplet.in
    seconds = float(re.findall(r"Loop time of ([\d.]+) on \d+ procs for \d+ steps", output)[-1])
    drift = np.polyfit(time, energy, 1)[0] / atoms
    kinetic = 1.5 * 8.617333e-5 * temperature.mean()
    print(f"""
What was done
  {Path(arguments.model).name} in LAMMPS: a droplet of {arguments.molecules} water molecules ({atoms} atoms), one process, one thread:
  relaxed, {arguments.steps // 2} steps at 300 K (Langevin), then {arguments.steps} steps of 0.25 fs without a thermostat (NVE).
Speed
  {1e6 * seconds / atoms / arguments.steps:.1f} microseconds per atom and step; {arguments.steps * 2.5e-7 / seconds * 86400:.2f} ns per day
Energy (NVE part)
  drift {1000 * drift:+.3f} meV per atom and ps; fluctuation {1000 * energy.std() / atoms:.3f} meV per atom
  (kinetic energy: {1000 * kinetic:.1f} meV per atom, temperature {temperature[0]:.0f} K at the start, {temperature[-1]:.0f} K at the end)
Files
  {folder}/log.lammps, {folder}/droplet.lammpstrj""")
    if "not continuous at its cutoff" in output:
        print("""Note
  The energy of this student jumps where pairs cross its cutoff, and it depends on how the system is turned:
  the drift is the model's, not the integrator's.""")
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
