# SPDX-License-Identifier: MIT OR Apache-2.0
"""Do molecules survive hot molecular dynamics: each alone in LAMMPS, watched by a bond criterion."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np

from . import lammps, report, setting, systems, teacher
from .analysis import BondCriterion

TIMESTEP = 0.5  # fs
EVERY = 0.05  # ps between the frames that are looked at
DAMP = 0.1  # ps, of the Langevin thermostat


def run(setting):
    lammps.check(setting)
    molecules = systems.held_out(setting, setting.molecules)
    start = {smiles: teacher.from_lists(teacher.remembered(setting, f"relaxed {smiles}", lambda: minimum(smiles))) for smiles in molecules}
    found = {}
    for model in setting.models:
        for temperature in setting.temperatures:
            jobs = [(setting, model, temperature, index, smiles, start[smiles]) for index, smiles in enumerate(molecules)]
            with ThreadPoolExecutor(setting.workers) as pool:
                results = list(pool.map(lambda job: kept(*job), jobs))
            found.setdefault(model.name, {})[f"{temperature:g}"] = summary(results)
            print(f"   {model.name}, {temperature:g} K: done", flush=True)
    return report.finish(
        setting,
        "stability",
        "Stability of molecules",
        f"{len(molecules)} molecules {setting.source}, each alone, {setting.ps:g} ps of Langevin dynamics (damping {DAMP} ps, {TIMESTEP} fs), looked at every "
        f"{EVERY} ps. A molecule breaks when a bond is longer than {BondCriterion.STRETCHED} or shorter than {BondCriterion.COLLAPSED} times its length in the "
        f"teacher's minimum, or when atoms that are not bonded come closer than {BondCriterion.NEW} covalent sums. A run that LAMMPS stops counts as broken. "
        f"Required: none at 600 K.",
        tables(found),
        {"ps": setting.ps, "molecules": molecules, "models": found},
        figure(setting, found, len(molecules)),
    )


def minimum(smiles):
    return teacher.to_lists(teacher.relaxed(systems.from_smiles(smiles), fmax=0.01, steps=300))


def kept(setting, model, temperature, index, smiles, atoms):
    """The fate of a molecule; one that is known from an interrupted run is not simulated again."""
    name = hashlib.sha256(smiles.encode()).hexdigest()[:8]
    folder = setting.out / "stability" / model.folder / f"{temperature:g}K-{setting.ps:g}ps" / name
    return report.kept(folder / "result.json", lambda: survive(setting, model, folder, temperature, index, smiles, atoms))


def survive(setting, model, folder, temperature, index, smiles, atoms):
    """When (ps) and how a molecule broke; None and the time simulated where it did not."""
    folder.mkdir(parents=True, exist_ok=True)
    lammps.write_data(folder / "start.data", atoms)
    text = lammps.header(setting, model, atoms, "start.data") + f"""
velocity all create {temperature} {1000 + index} mom yes rot yes
timestep {TIMESTEP / 1000}
fix motion all nve
fix heat all langevin {temperature} {temperature} {DAMP} {2000 + index}
thermo 1000
dump frames all custom {round(1000 * EVERY / TIMESTEP)} frames.dump id x y z
dump_modify frames sort id format float %.4f
run {round(1000 * setting.ps / TIMESTEP)}
"""
    path = folder / "frames.dump"
    path.unlink(missing_ok=True)  # of a run that was killed
    stopped = None
    try:
        lammps.run(setting.venv, folder, text)
    except lammps.LammpsError as error:
        stopped = str(error)
    if not path.exists():
        # Not the molecule's fault: LAMMPS never started to move it.
        raise lammps.LammpsError(stopped)
    criterion, step, outcome = BondCriterion(atoms), 0, None
    for step, positions in lammps.frames(path, len(atoms)):
        what = criterion.broken(positions)
        if what is not None:
            outcome = what
            break
    path.unlink()
    return {"molecule": smiles, "ps": step * TIMESTEP / 1000, "broken": outcome or stopped}


def summary(results):
    broken = [result for result in results if result["broken"] is not None]
    return {"molecules": len(results), "broken": len(broken), "failures": broken, "ps": float(sum(result["ps"] for result in results))}


def tables(found):
    rows = [
        [model, f"{temperature} K", result["molecules"], result["broken"], result["ps"], report.verdict(result["broken"] == 0) if temperature == "600" else ""]
        for model, temperatures in found.items()
        for temperature, result in temperatures.items()
    ]
    first = report.table(["model", "temperature", "molecules", "broken", "intact for (ps, all together)", ""], rows)
    rows = [
        [model, f"{temperature} K", failure["molecule"], failure["ps"], failure["broken"][:70]]
        for model, temperatures in found.items()
        for temperature, result in temperatures.items()
        for failure in result["failures"]
    ]
    return [first, report.table(["model", "temperature", "broken molecule", "after (ps)", "how"], rows)] if rows else [first]


def figure(setting, found, count):
    figure, axis = plt.subplots(figsize=(7.5, 3.6))
    for index, (model, temperatures) in enumerate(found.items()):
        for style, (temperature, result) in zip(cycle(("-", "--", ":", "-.")), temperatures.items()):
            times = np.sort([failure["ps"] for failure in result["failures"]])
            x = np.concatenate([[0.0], np.repeat(times, 2), [setting.ps]])
            left = count - np.repeat(np.arange(len(times) + 1), 2)
            axis.plot(x, 100 * left / count, style, color=report.color(index), label=f"{model}, {temperature} K")
    axis.set(xlabel="time (ps)", ylabel="intact (%)", ylim=(-3, 105), xlim=(0, setting.ps), title=f"{count} molecules")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    return figure


if __name__ == "__main__":
    import sys

    setting.main(sys.modules[__name__])
