"""A compressed DeePMD-kit model of water, to be timed beside students: of the size and settings of
the water example that comes with DeePMD-kit (se_e2_a, 6 Å, float64). How fast it is does not depend
on how well it is trained, so it is trained for a moment only, on labels of a student.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from .water import water

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
from mlff_student import Structure, Student

FRAMES, STEPS = 20, 200
INPUT = {
    "model": {
        "type_map": ["H", "O"],
        "descriptor": {
            "type": "se_e2_a", "sel": [92, 46], "rcut": 6.0, "rcut_smth": 0.5,
            "neuron": [25, 50, 100], "axis_neuron": 16, "resnet_dt": False, "type_one_side": True,
            "precision": "float64", "seed": 1,
        },
        "fitting_net": {
            "neuron": [240, 240, 240], "resnet_dt": True, "precision": "float64", "seed": 1,
        },
    },
    "learning_rate": {"type": "exp", "start_lr": 1e-3, "stop_lr": 1e-5, "decay_steps": 20},
    "loss": {
        "start_pref_e": 0.02, "limit_pref_e": 1, "start_pref_f": 1000, "limit_pref_f": 1,
        "start_pref_v": 0, "limit_pref_v": 0,
    },
    "training": {
        "training_data": {"systems": ["data"], "batch_size": 1},
        "numb_steps": STEPS, "seed": 1, "disp_freq": 100, "save_freq": STEPS,
    },
}  # fmt: skip


def write_frames(student, folder):
    """Boxes of 192 atoms, shaken, with the student's labels."""
    student, random = Student(student), np.random.default_rng(1)
    atoms = water(192)
    positions = [
        atoms.positions + random.normal(scale=0.05, size=atoms.positions.shape)
        for _ in range(FRAMES)
    ]
    found = [
        student.compute(Structure(atoms.numbers, x, atoms.cell.array, atoms.pbc)) for x in positions
    ]
    (folder / "data/set.000").mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "data/type.raw", np.where(atoms.numbers == 1, 0, 1), fmt="%d")
    (folder / "data/type_map.raw").write_text("H\nO\n")
    arrays = {
        "coord": np.reshape(positions, (FRAMES, -1)),
        "box": np.tile(atoms.cell.array.reshape(1, 9), (FRAMES, 1)),
        "energy": np.array([result.energy for result in found]),
        "force": np.reshape([result.forces for result in found], (FRAMES, -1)),
    }
    for name, values in arrays.items():
        np.save(folder / f"data/set.000/{name}.npy", values)


def make(student, folder, venv):
    """The path of the model, made in the folder unless it is there; `venv` holds deepmd-kit."""
    model = folder.absolute() / "compressed.pb"
    if model.exists():
        return model
    folder.mkdir(parents=True, exist_ok=True)
    write_frames(student, folder)
    (folder / "input.json").write_text(json.dumps(INPUT))
    for command in (
        "train input.json",
        "freeze -o frozen.pb",
        "compress -i frozen.pb -o compressed.pb",
    ):
        subprocess.run(
            [venv.absolute() / "bin/dp", "--tf", *command.split()], cwd=folder, check=True
        )
    return model
