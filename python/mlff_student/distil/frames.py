"""The kinds of structures. Each function labels the frames of one job and yields (frame, or reason
to drop it).

All randomness comes from the job's generator, so a job gives the same frames whenever it runs.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from ase import units
from ase.data import covalent_radii, vdw_radii
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.optimize import BFGS
from rdkit import Chem

from . import geometry, packing
from .dataset import SHARED_KINDS
from .molecules import ELEMENTS, molecules, order_key
from .teachers import FAILURES, Dropped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeVar

    from ase import Atoms

    from .dataset import Frame
    from .molecules import Molecule
    from .teachers import Teacher

    T = TypeVar("T")


PAIRS = [(a, b) for a in ELEMENTS for b in ELEMENTS if a <= b]
# SMILES and density (g/cm³) near room temperature.
LIQUIDS = {
    "O": 0.997, "CO": 0.79, "CCO": 0.79, "CC#N": 0.78, "CC(C)=O": 0.78, "CS(C)=O": 1.10,
    "CN(C)C=O": 0.94, "C1CO1": 0.88, "ClC(Cl)Cl": 1.49, "ClCCl": 1.33, "CC(=O)O": 1.05,
    "OCCO": 1.11, "COC": 0.74, "CCOCC": 0.71, "CS": 0.87, "NC=O": 1.13, "C[N+](=O)[O-]": 1.14,
    "S=C=S": 1.26, "c1ccccc1": 0.88, "N": 0.68, "CCC": 0.50, "O=CO": 1.22, "CC=O": 0.78, "CF": 0.7,
}  # fmt: skip
STEP = 0.75 * units.fs
FRICTION = 0.02 / units.fs
# Molecules pushed into each other are above their energy apart, but for new bonds. Where the
# teacher finds more than this (eV; once it was 190), its self-consistency found another electronic
# state.
BINDING = 10.0


class Job:
    """What one job works with: the teacher, what moves atoms, random numbers, split, and names of
    frames.

    For training, a student may move atoms instead of the teacher: it then decides which structures
    come up, and the teacher labels them.
    """

    def __init__(
        self, name: str, seed: int, split: str, teacher: Teacher, mover: Teacher | None = None
    ) -> None:
        self.name, self.split, self.teacher = name, split, teacher
        self.mover = mover if mover and split == "train" else teacher
        self.rng = np.random.default_rng(order_key(seed, name))
        self.count = 0

    def label(
        self, atoms: Atoms, kind: str, mols: list[Molecule], temperature: float = np.nan
    ) -> Frame | str:
        """Labels an ASE structure made of `mols`: a frame, or the reason why there is none.
        Temperature in K.
        """
        self.count += 1
        if kind not in SHARED_KINDS and any(m.split != self.split for m in mols):
            return "molecule in the wrong split"
        try:
            return self.teacher.label(
                atoms,
                name=f"{self.name}-{self.count:02d}",
                kind=kind,
                temperature=float(temperature),
                molecule=".".join(m.smiles for m in mols),
                scaffold=".".join(m.scaffold for m in mols),
                split=self.split,
            )
        except Dropped as reason:
            return str(reason)

    def pick(self, pool: Sequence[T]) -> T:
        """A random one of several."""
        return pool[int(self.rng.integers(len(pool)))]


@functools.cache
def pool(split: str, max_atoms: int = 40) -> list[Molecule]:
    """Molecules of a split with at most this many atoms, hydrogen included."""
    return [m for m in molecules() if m.split == split and m.atoms <= max_atoms]


def optimised(job: Job, mol: Chem.Mol, steps: int) -> tuple[Atoms, list[Atoms]]:
    """The relaxed structure of an RDKit molecule, and the path to it; raises Dropped where the
    calculator fails.
    """
    atoms = geometry.to_atoms(mol)
    atoms.calc = job.mover.calculator()
    path = [atoms.copy()]
    try:
        optimiser = BFGS(atoms, logfile=None, maxstep=0.1)
        for _ in optimiser.irun(fmax=0.05, steps=steps):
            path.append(bare(atoms))
    except FAILURES as error:
        raise Dropped("unconverged") from error
    return path[-1], path


def bare(atoms: Atoms) -> Atoms:
    """A copy without calculator and velocities."""
    copy = atoms.copy()
    copy.calc = None
    return copy


def dynamics(
    job: Job, start: Atoms, temperature: float, wait: int, every: int, frames: int
) -> Iterator[Atoms]:
    """Structures of Langevin dynamics at a temperature (K): after `wait` steps, one each `every`
    steps.
    """
    atoms = start.copy()
    atoms.calc = job.mover.calculator()
    thermalize_momenta(atoms, temperature, rng=job.rng)
    Stationary(atoms)
    # Angular momentum and total momentum stay as they are: single molecules may turn.
    motion = Langevin(
        atoms, STEP, temperature_K=temperature, friction=FRICTION, fixcm=False, rng=job.rng
    )
    motion.run(wait)
    for _ in range(frames):
        motion.run(every)
        yield bare(atoms)


def trajectory(job: Job, molecule: Molecule) -> Iterator[Frame | str]:
    """Frames of one molecule.

    For training: the path of a relaxation, thermal displacements and a short trajectory. For tests
    and validation: one frame each of the teacher's trajectories at 300, 600 and 900 K.
    """
    mol = geometry.embed(molecule.smiles, job.rng)
    relaxed, path = optimised(job, mol, 25)
    modes = geometry.modes(mol)

    def hot(temperature: float) -> Atoms:
        return geometry.displaced(relaxed, modes, temperature, job.rng)

    if job.split != "train":
        for temperature in (300.0, 600.0, 900.0):
            try:
                # 110 fs: displacements start thermal, and friction forgets within 50 fs how.
                for atoms in dynamics(
                    job, hot(temperature), temperature, wait=0, every=150, frames=1
                ):
                    yield job.label(atoms, "trajectory", [molecule], temperature)
            except FAILURES:
                yield "unconverged"
        return
    for atoms in (path[len(path) // 2], relaxed):
        yield job.label(atoms, "displaced", [molecule])
    for _ in range(3):
        temperature = job.rng.uniform(300, 1000)
        yield job.label(hot(temperature), "displaced", [molecule], temperature)
    temperature = job.rng.uniform(300, 1000)
    try:
        # Both halves of the energy start thermal, so nothing needs to settle.
        for atoms in dynamics(job, hot(temperature), temperature, wait=5, every=20, frames=3):
            yield job.label(atoms, "trajectory", [molecule], temperature)
    except FAILURES:
        yield "unconverged"


def small(job: Job, molecule: Molecule) -> Iterator[Frame | str]:
    """Frames of a small molecule: one job of three turns a bond, if there is one to turn; the
    others move all atoms.
    """
    bonds = geometry.rotatable_bonds(geometry.embed(molecule.smiles, np.random.default_rng(0)))
    return (
        torsion(job, molecule) if bonds and job.rng.random() < 1 / 3 else trajectory(job, molecule)
    )


def torsion(job: Job, molecule: Molecule | None) -> Iterator[Frame | str]:
    """Twelve angles about one bond, relaxed with the angle held, or turned rigidly and displaced.

    The bond is one of the molecule, or, if that is None, one of a random kind of bond.
    """
    from ase.constraints import FixInternals

    bond = None
    if molecule is None:
        # Frequent kinds (C–C, amides) would else leave none for rare ones (S–S, N–N), which turn
        # each in its own way.
        molecule, bond = job.pick(job.pick(list(turnable_bonds(job.split).values())))
    mol = geometry.embed(molecule.smiles, job.rng)
    bonds = [bond] if bond else geometry.rotatable_bonds(mol)
    if not bonds:
        yield "no bond to turn"
        return
    relaxed, _ = optimised(job, mol, 25)
    a, b, c, d = job.pick(bonds)
    mask = geometry.side_of(mol, b, c)
    modes = geometry.modes(mol)
    held = job.rng.random() < 0.5
    start = job.rng.uniform(0, 30)
    for angle in start + np.arange(0, 360, 30):
        atoms = relaxed.copy()
        atoms.set_dihedral(a, b, c, d, angle, mask=mask)
        if held:
            atoms.calc = job.mover.calculator()
            atoms.set_constraint(
                FixInternals(dihedrals_deg=[[atoms.get_dihedral(a, b, c, d), [a, b, c, d]]])
            )
            try:
                BFGS(atoms, logfile=None, maxstep=0.1).run(fmax=0.05, steps=12)
            except FAILURES:
                yield "unconverged"
                continue
            atoms.set_constraint()
            yield job.label(bare(atoms), "torsion", [molecule])
        else:
            temperature = job.rng.uniform(50, 400)
            shaken = geometry.displaced(relaxed, modes, temperature, job.rng)
            shaken.set_dihedral(a, b, c, d, angle, mask=mask)
            yield job.label(shaken, "torsion", [molecule], temperature)


@functools.cache
def turnable_bonds(
    split: str,
) -> dict[tuple[str, ...], list[tuple[Molecule, tuple[int, int, int, int]]]]:
    """Kind of bond (element, hybridisation and aromaticity at both ends) → (molecule, four atoms of
    the torsion) of each bond of that kind.
    """
    found = {}
    for molecule in pool(split, 16):
        mol = Chem.AddHs(Chem.MolFromSmiles(molecule.smiles))
        for torsion in geometry.rotatable_bonds(mol):
            ends = (mol.GetAtomWithIdx(i) for i in torsion[1:3])
            kind = sorted(
                f"{x.GetSymbol()} {x.GetHybridization()} {x.GetIsAromatic()}" for x in ends
            )
            found.setdefault(tuple(kind), []).append((molecule, torsion))
    return found


def transfer(job: Job, _: None) -> Iterator[Frame | str]:
    """A hydrogen atom on its way to another N, O or S of its molecule or, a third of the time, of a
    second one.

    Six distances, each relaxed with the distance held, and a moment of dynamics later. Students
    that were trained without let hydrogen atoms go over at 600 K.
    """
    from ase.constraints import FixInternals

    mol, mols, h, acceptor = hydrogen_bond(job)
    atoms, _ = optimised(job, mol, 25)
    near = 0.95 * covalent_radii[atoms.numbers[[h, acceptor]]].sum()
    far = np.clip(atoms.get_distance(h, acceptor), near + 0.4, 2.4)
    for distance in np.linspace(far, near, 6) + job.rng.uniform(-0.05, 0.05, 6):
        atoms.set_distance(acceptor, h, distance, fix=0)
        atoms.calc = job.mover.calculator()
        atoms.set_constraint(FixInternals(bonds=[[distance, [acceptor, h]]]))
        temperature = job.rng.uniform(300, 1000)
        try:
            BFGS(atoms, logfile=None, maxstep=0.1).run(fmax=0.05, steps=15)
            atoms.set_constraint()
            later = list(
                dynamics(
                    job,
                    bare(atoms),
                    temperature,
                    wait=5,
                    every=int(job.rng.integers(1, 20)),
                    frames=1,
                )
            )
        except FAILURES:
            yield "unconverged"
            return
        yield job.label(bare(atoms), "transfer", mols)
        yield job.label(later[0], "transfer", mols, temperature)


def hydrogen_bond(job: Job) -> tuple[Chem.Mol, list[Molecule], int, int]:
    """A random hydrogen bond: conformer or pair as one RDKit molecule, its molecules, and the
    indices of H and acceptor.
    """
    # S–H is rare and gives its hydrogen atom away most easily.
    donor = job.pick(("N", "O", "S"))
    for _ in range(20):
        if job.rng.random() < 2 / 3:
            mols = [job.pick(donors(job.split, donor, 30))]
            mol = geometry.embed(mols[0].smiles, job.rng)
        else:
            mols = [job.pick(donors(job.split, donor, 14)), job.pick(pool(job.split, 14))]
            mol = packed_pair(job, [geometry.embed(m.smiles, job.rng) for m in mols])
        if found := geometry.hydrogen_bonds(mol, 3.2, [donor]):
            return mol, mols, *job.pick(found)
    raise Dropped("no hydrogen bond")


@functools.cache
def donors(split: str, element: str, max_atoms: int) -> list[Molecule]:
    """Molecules of a split that have a hydrogen atom at an element."""
    return [m for m in pool(split, max_atoms) if element in bearers(m)]


@functools.cache
def bearers(molecule: Molecule) -> set[str]:
    """Chemical symbols of the elements of a molecule that have hydrogen atoms."""
    return {
        atom.GetSymbol()
        for atom in Chem.MolFromSmiles(molecule.smiles).GetAtoms()
        if atom.GetTotalNumHs()
    }


def packed_pair(job: Job, mols: list[Chem.Mol]) -> Chem.Mol:
    """Two RDKit molecules, packed next to each other, as one."""
    packed = packing.cluster(
        [packing.Rigid(geometry.to_atoms(m), geometry.charges(m)) for m in mols], job.rng
    )
    both = Chem.CombineMols(*mols)
    both.GetConformer().SetPositions(np.ascontiguousarray(packed.x))
    return both


@functools.cache
def with_element(split: str, number: int, max_atoms: int = 14) -> list[Molecule]:
    """Small molecules of a split that contain an element (atomic number)."""
    return [m for m in pool(split, max_atoms) if number in numbers(m)]


@functools.cache
def numbers(molecule: Molecule) -> set[int]:
    """The atomic numbers that occur in a molecule."""
    return {a.GetAtomicNum() for a in Chem.AddHs(Chem.MolFromSmiles(molecule.smiles)).GetAtoms()}


def contact(job: Job, pair: tuple[int, int]) -> Iterator[Frame | str]:
    """Six lengths of a bond between two elements, 0.7 to 1.8 times its own, and eight distances
    between atoms of them in two molecules, from collision to contact.
    """
    yield from stretch(
        job, "contact", pair, lambda: np.exp(job.rng.uniform(np.log(0.7), np.log(1.8), 6))
    )
    far = vdw_radii[list(pair)].sum()
    yield from approach(job, "contact", pair, 0.75 * covalent_radii[list(pair)].sum(), far, 8)


def collision(job: Job, pair: tuple[int, int]) -> Iterator[Frame | str]:
    """Lengths of a bond and distances between molecules below those of `contact`.

    Four lengths of 0.5 to 0.85 times that of the bond, and four distances of 0.5 to 0.8 times the
    sum of the covalent radii. Students that were trained without found holes there, of thousands of
    eV.
    """
    apart = functools.cache(lambda molecule: energy_apart(job.teacher, molecule))
    for result in compressed(job, pair):
        lost = not isinstance(result, str) and result.energy < apart(result.molecule) - BINDING
        yield "another electronic state" if lost else result


def compressed(job: Job, pair: tuple[int, int]) -> Iterator[Frame | str]:
    """Short bonds and close atoms of a pair of elements, labelled whatever their energy."""
    yield from stretch(job, "collision", pair, lambda: job.rng.uniform(0.5, 0.85, 4))
    covalent = covalent_radii[list(pair)].sum()
    yield from approach(job, "collision", pair, 0.5 * covalent, 0.8 * covalent, 4)


def energy_apart(teacher: Teacher, molecule: str) -> float:
    """The energy (eV) of molecules, their SMILES joined by `.`, far from each other and near their
    minima.
    """
    energy = 0.0
    for smiles in molecule.split("."):
        atoms = geometry.to_atoms(geometry.embed(smiles, np.random.default_rng(0)))
        energy += teacher.label(atoms).energy
    return energy


@functools.cache
def bonds(split: str) -> dict[tuple[int, int], list[tuple[Molecule, int, int]]]:
    """Pair of atomic numbers → (molecule, i, j) of each of their bonds outside of rings."""
    found = {}
    for molecule in pool(split, 16):
        for bond in Chem.AddHs(Chem.MolFromSmiles(molecule.smiles)).GetBonds():
            if not bond.IsInRing():
                ends = bond.GetBeginAtom(), bond.GetEndAtom()
                (a, i), (b, j) = sorted((x.GetAtomicNum(), x.GetIdx()) for x in ends)
                found.setdefault((a, b), []).append((molecule, i, j))
    return found


def stretch(
    job: Job, kind: str, pair: tuple[int, int], draw: Callable[[], np.ndarray]
) -> Iterator[Frame | str]:
    """A bond between two elements, if there is one: its length times each factor that `draw` gives,
    the other atoms displaced as by heat.
    """
    bonded = bonds(job.split).get(pair)
    if not bonded:
        return
    molecule, i, j = job.pick(bonded)
    factors = draw()
    mol = geometry.embed(molecule.smiles, job.rng)
    relaxed, _ = optimised(job, mol, 25)
    modes = geometry.modes(mol)
    mask = geometry.side_of(mol, i, j)
    for factor in factors:
        temperature = job.rng.uniform(0, 500)
        atoms = geometry.displaced(relaxed, modes, temperature, job.rng)
        bond = atoms.positions[j] - atoms.positions[i]
        atoms.positions[mask] += (factor - 1) * bond
        yield job.label(atoms, kind, [molecule], temperature)


def approach(
    job: Job, kind: str, pair: tuple[int, int], near: float, far: float, count: int
) -> Iterator[Frame | str]:
    """Two molecules with atoms of a pair of elements at random distances from `near` to `far`
    (Å).
    """
    pools = [with_element(job.split, number) for number in pair]
    if not all(pools):
        yield "no molecule with the element"
        return
    first, second = map(job.pick, pools)
    mols = [geometry.embed(m.smiles, job.rng) for m in (first, second)]
    x, y = (geometry.to_atoms(m) for m in mols)
    mx, my = map(geometry.modes, mols)
    for _ in range(count):
        temperature = job.rng.uniform(50, 500)
        left, right = (
            geometry.displaced(s, m, temperature, job.rng) for s, m in ((x, mx), (y, my))
        )
        i, j = (
            int(job.pick(np.flatnonzero(m.numbers == z)))
            for m, z in zip((left, right), pair, strict=True)
        )
        placed = facing(left, right, i, j, job.rng.uniform(near, far), job.rng)
        yield job.label(placed, kind, [first, second], temperature)


def facing(
    left: Atoms, right: Atoms, i: int, j: int, distance: float, rng: np.random.Generator
) -> Atoms:
    """Two molecules with atoms i and j at a distance (Å), turned so that other atoms are as far
    apart as can be found.
    """
    from scipy.spatial.transform import Rotation

    best, widest = None, -np.inf
    for _ in range(30):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        moved = Rotation.random(random_state=rng).apply(right.positions - right.positions[j])
        moved += left.positions[i] + distance * direction
        d = np.linalg.norm(left.positions[:, None] - moved[None], axis=2)
        reach = covalent_radii[left.numbers][:, None] + covalent_radii[right.numbers]
        d = d / reach
        d[i, j] = np.inf
        if d.min() > widest:
            widest = d.min()
            best = moved
    both = left + right
    both.positions[len(left) :] = best
    return both


def rigid(job: Job, molecule: Molecule) -> tuple[packing.Rigid, tuple[np.ndarray, np.ndarray]]:
    """A random conformer as a rigid body, and its vibrational modes (see geometry.modes)."""
    mol = geometry.embed(molecule.smiles, job.rng)
    atoms = geometry.to_atoms(mol)
    return packing.Rigid(atoms, geometry.charges(mol)), geometry.modes(mol)


def shaken(
    job: Job, packed: packing.Packing, modes: list[tuple[Atoms, tuple]], temperature: float
) -> Atoms:
    """A packing's structure with each molecule displaced along its own modes, as at a temperature
    (K).

    `modes`: of each molecule its original ASE structure and modes; both are turned as it lies in
    the packing.
    """
    atoms = packed.atoms()
    for members, (original, mode) in zip(packed.members, modes, strict=True):
        moved = (
            geometry.displaced(original, mode, temperature, job.rng).positions - original.positions
        )
        atoms.positions[members] += moved @ superposition(original.positions, packed.x[members])
    return atoms


def superposition(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The rotation R (3, 3) with a @ R ≈ b, both (n, 3) relative to their centres (Kabsch)."""
    u, _, vt = np.linalg.svd((a - a.mean(axis=0)).T @ (b - b.mean(axis=0)))
    u[:, -1] *= np.sign(np.linalg.det(u @ vt))
    return u @ vt


def cluster(job: Job, _: None) -> Iterator[Frame | str]:
    """Ten frames of a dimer from contact to far beyond any cutoff, or four frames of three to six
    small molecules.
    """
    if job.rng.random() < 0.7:
        yield from dimer(job)
        return
    count = int(job.rng.integers(3, 7))
    choices = smallest(job.split, 36 // count + 3)
    kinds = [job.pick(choices) for _ in range(int(job.rng.integers(1, 3)))]
    made = {m: rigid(job, m) for m in dict.fromkeys(kinds)}
    mols = [job.pick(kinds) for _ in range(count)]
    for _ in range(4):
        packed = packing.cluster([made[m][0] for m in mols], job.rng)
        temperature = job.rng.uniform(100, 700)
        # Also clusters that come apart.
        if job.rng.random() < 0.3:
            centre = packed.x.mean(axis=0)
            for members in packed.members:
                packed.x[members] += job.rng.uniform(0, 0.6) * (
                    packed.x[members].mean(axis=0) - centre
                )
        atoms = shaken(job, packed, [(made[m][0].atoms, made[m][1]) for m in mols], temperature)
        yield job.label(atoms, "cluster", mols, temperature)


def smallest(split: str, max_atoms: int) -> list[Molecule]:
    """Molecules of a split with at most this many atoms; the ten smallest where there are fewer."""
    return sorted(pool(split), key=lambda m: m.atoms)[: max(10, len(pool(split, max_atoms)))]


def dimer(job: Job) -> Iterator[Frame | str]:
    """Ten distances of two molecules, compressed to 8 Å beyond contact."""
    choices = pool(job.split, 18)
    little = pool("train", 9) if job.split == "train" else choices
    first = job.pick(choices)
    second = (
        first if job.rng.random() < 0.2 else job.pick(little if job.rng.random() < 0.5 else choices)
    )
    mols = [first, second]
    made = [rigid(job, m) for m in mols]
    # Beyond contact (Å): compressed, in contact, within and beyond cutoffs, far apart.
    gaps = [-0.5, -0.2, 0.0, 0.0, 0.4, 0.9, 1.6, 2.5, 4.0, 8.0]
    for k, gap in enumerate(gaps):
        temperature = job.rng.uniform(100, 700)
        if k in (2, 3):
            packed = packing.cluster([m[0] for m in made], job.rng)
            atoms = shaken(job, packed, [(m[0].atoms, m[1]) for m in made], temperature)
        else:
            a, b = (m[0].turned(job.rng) for m in made)
            direction = job.rng.normal(size=3)
            direction /= np.linalg.norm(direction)
            packed = packing.Packing([m[0] for m in made], None, job.rng)
            packed.x = np.concatenate([a.positions, b.positions])
            gap_here = gap + job.rng.uniform(-0.2, 0.5)
            packed.x[len(a) :] += (packing.touch(a, b, direction) + gap_here) * direction
            atoms = shaken(job, packed, [(m[0].atoms, m[1]) for m in made], temperature)
        yield job.label(atoms, "cluster", mols, temperature)


def by_smiles(smiles: str) -> Molecule:
    """The molecule of the list with this canonical SMILES."""
    return next(m for m in molecules() if m.smiles == smiles)


def water(job: Job, _: None) -> Iterator[Frame | str]:
    """Water clusters: four arrangements, and four frames of a short trajectory from the last
    one.
    """
    molecule = by_smiles("O")
    count = int(job.rng.integers(2, 15))
    made = rigid(job, molecule)
    mols = [molecule] * count
    for _ in range(4):
        temperature = job.rng.uniform(200, 600)
        packed = packing.cluster([made[0]] * count, job.rng, temperature=temperature)
        atoms = shaken(job, packed, [(made[0].atoms, made[1])] * count, temperature)
        yield job.label(atoms, "water", mols, temperature)
    try:
        for later in dynamics(job, atoms, temperature, wait=20, every=15, frames=4):
            yield job.label(later, "water", mols, temperature)
    except FAILURES:
        yield "unconverged"


def periodic(job: Job, _: None) -> Iterator[Frame | str]:
    """Three arrangements of a liquid or a mixture in a cube with edges of at least 10 Å.

    From thin to dense, for training compressed, too. If a student moves atoms, it moves those of
    two of them.
    """
    if job.rng.random() < 0.75:
        names = sorted(LIQUIDS)
        # A third of the boxes hold water.
        kinds = ["O" if job.rng.random() < 0.33 else job.pick(names)]
        if job.rng.random() < 0.4:
            kinds.append(job.pick(names))
        kinds = [(by_smiles(s), LIQUIDS[s]) for s in kinds]
    else:
        kinds = [(job.pick(pool(job.split, 12)), 0.9)]
    made = {m: rigid(job, m) for m, _ in kinds}
    mass = {m: made[m][0].atoms.get_masses().sum() for m in made}
    edge = 10.0 + job.rng.choice([0.0, job.rng.uniform(0, 1.5)])
    densest = 1.3 if job.split == "train" else 1.1
    density = np.mean([d for _, d in kinds]) * job.rng.uniform(0.55, densest)
    left = density * edge**3 * 0.602214  # u
    mols = []
    while left > 0 and sum(m.atoms for m in mols) < 110:
        mols.append(job.pick(kinds)[0])
        left -= mass[mols[-1]]
    for number in range(3):
        temperature = job.rng.uniform(200, 600)
        packed = packing.box([made[m][0] for m in mols], edge, job.rng, temperature=temperature)
        atoms = shaken(job, packed, [(made[m][0].atoms, made[m][1]) for m in mols], temperature)
        # The teacher takes seconds for each step of a box.
        if number and job.mover is not job.teacher:
            try:
                (atoms,) = dynamics(job, atoms, temperature, wait=0, every=100, frames=1)
            except FAILURES:
                yield "unconverged"
                continue
        yield job.label(atoms, "periodic", mols, temperature)
