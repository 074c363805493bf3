# SPDX-License-Identifier: MIT OR Apache-2.0
"""Conservation of energy in LAMMPS: drift and fluctuation of a droplet and a periodic box."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from . import analysis, lammps, report, setting, systems

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from ase import Atoms
    from matplotlib.figure import Figure

    from .setting import Model, Setting


TIMESTEP = 0.5  # fs; the fluctuation is measured at half of it as well
SAMPLE = 5.0  # fs between samples of the energy
WARM = 5.0  # ps of Langevin at 300 K before
LIMITS = {"drift_mev_atom_ps": 1e-3, "ratio": (3.5, 4.5)}


def run(setting: Setting) -> dict[str, Any]:
    """Measures drift and fluctuation of the energy. Prints tables, writes files and returns the
    values.
    """
    lammps.check(setting)
    start = {
        "droplet": systems.mixture(*setting.choose((10, 30), (2, 8))),
        "periodic box": systems.mixture(*setting.choose((8, 44), (2, 20)), periodic=True),
    }
    jobs = [(model, name) for model in setting.models for name in start]

    def conserve_or_say_why(job: tuple[Model, str]) -> tuple:
        model, name = job
        folder = (
            setting.out
            / "nve"
            / model.folder
            / f"{name.replace(' ', '-')}-{len(start[name])}-{setting.ps:g}ps"
        )
        folder.mkdir(parents=True, exist_ok=True)
        try:
            outcome = report.kept(
                folder / "result.json", lambda: conserve(setting, model, folder, start[name])
            )
        except lammps.LammpsError as error:
            outcome = {"error": str(error)}, None
        print(f"   {model.name}, {name}: done", flush=True)
        return outcome

    with ThreadPoolExecutor(setting.workers) as pool:
        outcomes = list(pool.map(conserve_or_say_why, jobs))
    found, curves = {}, {}
    for (model, name), (result, curve) in zip(jobs, outcomes):
        found.setdefault(model.name, {})[name] = {"atoms": len(start[name])} | result
        curves[model.name, name] = curve
    sizes = ", ".join(f"{name} of {len(atoms)} atoms" for name, atoms in start.items())
    return report.finish(
        setting,
        "nve",
        "Conservation of energy",
        [
            f"Ethanol and water in LAMMPS (mixed precision, tables): {sizes}; relaxed, "
            f"{warm(setting):g} ps at 300 K (Langevin), then {setting.ps:g} ps at constant energy "
            f"at {TIMESTEP} fs, and {setting.ps / 4:g} ps from the same state at {TIMESTEP / 2} "
            "fs. Drift by linear regression, ± standard error from block averages (required: "
            f"|drift| ≤ {LIMITS['drift_mev_atom_ps']} meV/atom/ps); fluctuation: standard "
            "deviation about the line; its ratio between the two timesteps is 4 for a smooth "
            f"energy (required: {LIMITS['ratio'][0]} to {LIMITS['ratio'][1]})."
        ],
        [table(found)],
        {"limits": LIMITS, "ps": setting.ps, "models": found},
        figure(setting, curves),
    )


def warm(setting: Setting) -> float:
    """Length of the run with a thermostat, before (ps)."""
    return setting.choose(WARM, 0.5)


def conserve(
    setting: Setting, model: Model, folder: Path, atoms: Atoms
) -> tuple[dict[str, float], tuple]:
    """Drift and fluctuation of one system, and time (ps), energy (meV/atom) and temperature (K) of
    the long run.
    """
    lammps.write_data(folder / "start.data", atoms)
    lammps.run(
        setting.venv,
        folder,
        lammps.header(setting, model, atoms, "start.data")
        + f"""
min_modify dmax 0.05
minimize 0.0 0.1 500 2000
reset_timestep 0
velocity all create 300.0 4711 mom yes rot {"no" if atoms.pbc.all() else "yes"}
timestep {TIMESTEP / 1000}
fix motion all nve
fix heat all langevin 300.0 300.0 0.1 815 zero yes
run {steps(warm(setting), TIMESTEP)}
unfix heat
write_data warm.data nocoeff
""",
    )
    energies = {}
    for timestep, ps in ((TIMESTEP, setting.ps), (TIMESTEP / 2, setting.ps / 4)):
        every = round(SAMPLE / timestep)
        output = lammps.run(
            setting.venv,
            folder,
            lammps.header(setting, model, atoms, "warm.data")
            + f"""
velocity all zero linear
timestep {timestep / 1000}
fix motion all nve
thermo {every}
thermo_style custom step temp etotal
thermo_modify format float %.9f
run {steps(ps, timestep)}
""",
        )
        rows = lammps.thermo(output)[-1]
        energies[timestep] = (
            rows["Step"] * timestep / 1000,
            1000 * rows["TotEng"] / len(atoms),
            rows["Temp"],
        )
    long, short = energies[TIMESTEP], energies[TIMESTEP / 2]
    slope, error = analysis.drift(*long[:2])
    # Over the same length of time, or the longer run would have more room to wander.
    same = long[0] <= short[0][-1]
    fluctuations = (
        analysis.fluctuation(long[0][same], long[1][same]),
        analysis.fluctuation(*short[:2]),
    )
    return {
        "drift_mev_atom_ps": slope,
        "drift_error": error,
        "fluctuation_mev_atom": fluctuations[0],
        "fluctuation_half_step": fluctuations[1],
        "ratio": fluctuations[0] / fluctuations[1],
        "temperature": float(long[2].mean()),
        "temperature_end": float(long[2][-len(long[2]) // 10 :].mean()),
    }, long


def steps(ps: float, timestep: float) -> int:
    """Number of time steps (fs) of a run (ps)."""
    return round(1000 * ps / timestep)


def table(found: dict[str, Any]) -> str:
    """The table, as aligned text."""
    rows = []
    for model, kinds in found.items():
        for name, result in kinds.items():
            if "error" in result:
                rows.append([model, name, result["error"][:60], *[None] * 4, report.verdict(False)])
                continue
            low, high = LIMITS["ratio"]
            fine = (
                abs(result["drift_mev_atom_ps"]) <= LIMITS["drift_mev_atom_ps"]
                and low <= result["ratio"] <= high
            )
            drift = f"{result['drift_mev_atom_ps']:+.5f} ± {result['drift_error']:.5f}"
            temperature = f"{result['temperature']:.0f}, {result['temperature_end']:.0f}"
            rows.append(
                [
                    model,
                    name,
                    drift,
                    result["fluctuation_mev_atom"],
                    result["fluctuation_half_step"],
                    result["ratio"],
                    temperature,
                    report.verdict(fine),
                ]
            )
    return report.table(
        [
            "model",
            "system",
            "drift (meV/atom/ps)",
            f"fluctuation at {TIMESTEP} fs",
            f"at {TIMESTEP / 2} fs (meV/atom)",
            "ratio",
            "mean, last K",
            "",
        ],
        rows,
    )


def figure(setting: Setting, curves: dict[tuple[str, str], Any]) -> Figure:
    """Energies over time, a panel for each system."""
    systems_shown = list(dict.fromkeys(name for _, name in curves))
    figure, grid = plt.subplots(1, len(systems_shown), figsize=(11, 3.8), squeeze=False)
    for axis, name in zip(grid[0], systems_shown):
        for index, model in enumerate(setting.models):
            curve = curves[model.name, name]
            if curve is None:
                continue
            time, energy, _ = map(np.array, curve)
            t, means = block_means(time, energy - energy[0])
            axis.plot(t, means, color=report.color(index), label=model.name)
        axis.axhline(0, color="0.85", lw=0.8, zorder=0)
        # A student that conserves and one that does not fit into one figure.
        axis.set_yscale("symlog", linthresh=0.1)
        axis.yaxis.set_major_formatter("{x:.2g}")
        axis.set(title=f"{name}, {TIMESTEP} fs, NVE", xlabel="time (ps)")
    grid[0, 0].set_ylabel("total energy − start (meV/atom)\nlinear within ± 0.1")
    grid[0, 0].legend()
    return figure


def block_means(time: np.ndarray, values: np.ndarray, points: int = 400) -> tuple[np.ndarray, ...]:
    """Means of consecutive samples, about `points` of them: they show the drift, not each
    vibration.
    """
    size = max(1, len(time) // points)
    count = len(time) // size
    return tuple(
        array[: count * size].reshape(count, size).mean(axis=1) for array in (time, values)
    )


if __name__ == "__main__":
    import sys

    setting.main(sys.modules[__name__])
