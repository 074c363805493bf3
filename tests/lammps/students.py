"""Students with random weights, written as docs/src/reference/model-files.md describes them."""

import json

import numpy as np

# Å, by atomic number: larger than those of real students, so that bonds are inside the repulsion.
RADII = {1: 0.4, 6: 0.99, 7: 0.92, 8: 0.86}


def write_smooth(path, hidden=32, blocks=2, functions=20, cutoff=5.0, seed=1, scale=1.0):
    """A `painn` student with polynomial envelope, shifted norm and repulsion; `scale`: of its energies."""
    random = np.random.default_rng(seed)
    tensors = {
        "embedding": random.uniform(-0.5, 0.5, (9, hidden)),
        "reference_energies": -0.5 * np.arange(9.0),
        "basis.frequencies": np.pi * np.arange(1, functions + 1) / cutoff,
        "repulsion.radii": np.array([RADII.get(number, 0.0) for number in range(9)]),
    }

    def linear(name, inputs, outputs, bias=True):
        scale = np.sqrt(3.0 / inputs)
        tensors[f"{name}.weight"] = random.uniform(-scale, scale, (outputs, inputs))
        if bias:
            tensors[f"{name}.bias"] = random.uniform(-0.2, 0.2, outputs)

    for b in range(blocks):
        linear(f"blocks.{b}.filter.0", functions, 3 * hidden)
        linear(f"blocks.{b}.sender.first", hidden, hidden)
        linear(f"blocks.{b}.sender.second", hidden, 3 * hidden)
        linear(f"blocks.{b}.update.first", 2 * hidden, hidden)
        linear(f"blocks.{b}.update.second", hidden, 3 * hidden)
        linear(f"blocks.{b}.update.channel_mix", hidden, 2 * hidden, bias=False)
        tensors[f"blocks.{b}.update.epsilon"] = np.array(0.1)
    linear("head.0", hidden, hidden // 2)
    linear("head.1", hidden // 2, 1)
    tensors["head.1.weight"] *= scale
    metadata = {
        "format": "mlff-student",
        "format_version": 1,
        "architecture": "painn",
        "hidden": hidden,
        "blocks": blocks,
        "basis": "bessel",
        "cutoff": cutoff,
        "softening": 0,
        "envelope": "polynomial",
        "envelope_power": 6,
        "envelope_place": "filter",
        "norm": "shifted",
        "species": "H C N O",
        "units": "angstrom, electronvolt",
    }
    header = {"__metadata__": {name: str(value) for name, value in metadata.items()}}
    end = 0
    for name, values in tensors.items():
        begin, end = end, end + values.nbytes
        header[name] = {"dtype": "F64", "shape": list(values.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(values.tobytes() for values in tensors.values()))
    return path
