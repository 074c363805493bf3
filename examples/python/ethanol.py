#!/usr/bin/env python3
"""Ethanol in ASE: relaxes it, displaces its atoms, then lets them move at constant energy.

python ethanol.py MODEL
"""

import sys

from ase import units
from ase.build import molecule
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from mlff_student import Calculator

if len(sys.argv) != 2:
    sys.exit(f"usage: {sys.argv[0]} MODEL")
atoms = molecule("CH3CH2OH")
# For relaxing, float64: float32 forces carry noise of about 1e-5 eV/Å.
atoms.calc = Calculator(sys.argv[1], precision="double")
BFGS(atoms, logfile=None).run(fmax=0.01, steps=200)
print(f"relaxed: {atoms.get_potential_energy():.6f} eV, C-C {atoms.get_distance(0, 1):.4f} Å")
for symbol, energy in zip(atoms.symbols, atoms.get_potential_energies()):
    print(f"  {symbol} {energy:12.6f} eV")

atoms.calc = Calculator(sys.argv[1])
atoms.rattle(0.05)
dynamics = VelocityVerlet(atoms, timestep=0.25 * units.fs)
for _ in range(5):
    print(f"{dynamics.get_time() / units.fs:6.1f} fs: {atoms.get_total_energy():.6f} eV in total")
    dynamics.run(100)
