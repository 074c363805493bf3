"""Bad input stops LAMMPS with a message that says what to write instead."""

import re
import resource
import subprocess

import numpy as np
import pytest

import harness
from harness import PLUGIN, TOOL, Structure, cases, environment, lammps_binary, run

WATER = harness.water_box()
M = harness.SMALL
COEFF = f"pair_coeff * * {M} H O"


def deck(structure, model_name=M, **options):
    return harness.deck(structure, model_name=model_name, **options)


def stopped(folder, text, structure=WATER, ranks=1, **options):
    finished = run(folder, text, structure, ranks=ranks, fails=True, timeout=30, **options)
    return next(line for line in finished.output.splitlines() if "ERROR" in line)


def with_pair(pair, **options):
    return deck(WATER, pair=pair, **options) + "run 0\n"


PAIRS = {
    "unknown keyword": (f"pair_style mlff_student precison double\n{COEFF}", "'precison' is no option, the nearest is 'precision'"),
    "unknown keyword without value": (f"pair_style mlff_student thread\n{COEFF}", "nearest is 'threads'"),
    "unknown precision": (f"pair_style mlff_student precision single\n{COEFF}", "precision must be mixed or double, found 'single'"),
    "unknown filter": (f"pair_style mlff_student filter none\n{COEFF}", "filter must be table or exact, found 'none'"),
    "missing value": (f"pair_style mlff_student threads\n{COEFF}", "keyword 'threads' needs a value"),
    "unknown instructions": (f"pair_style mlff_student isa sse9\n{COEFF}", "isa must be best, portable, avx2 or avx512, found 'sse9'"),
    "unknown engine": (f"pair_style mlff_student engine jax\n{COEFF}", "engine must be own or torch, found 'jax'"),
    "no threads": (f"pair_style mlff_student threads 0\n{COEFF}", "threads must be a number from 1 to 4096, found '0'"),
    "unknown device": (f"pair_style mlff_student device gpu\n{COEFF}", "device must be cpu, cuda or cuda: and the number of a GPU, found 'gpu'"),
    "cuda in this build": (f"pair_style mlff_student device cuda\n{COEFF}", "mlff_student: .*(CUDA|cuda)"),
    "missing pair_coeff": ("pair_style mlff_student", "pair_coeff is missing: write 'pair_coeff \\* \\*"),
    "too few elements": (f"pair_style mlff_student\npair_coeff * * {M} H", "expected 2 elements .* found 1"),
    "too many elements": (f"pair_style mlff_student\npair_coeff * * {M} H O C", "expected 2 elements .* found 3"),
    "no model": ("pair_style mlff_student\npair_coeff * *", "takes one pair_coeff for all types: write"),
    "types one by one": (f"pair_style mlff_student\npair_coeff 1 1 {M} H O", "[Pp]air_?coeff must start with \\* \\*|takes one pair_coeff for all types: write"),
    "no element": (f"pair_style mlff_student\npair_coeff * * {M} H Xx", "mlff_student: .*Xx"),
    "NULL alone": (f"pair_style mlff_student\npair_coeff * * {M} H NULL", "type 2 is NULL, but no other pair style"),
    "no such file": ("pair_style mlff_student\npair_coeff * * missing.safetensors H O", "mlff_student: .*missing.safetensors"),
    "a folder": ("pair_style mlff_student\npair_coeff * * . H O", "mlff_student: "),
    "model in pair_style": (f"pair_style mlff_student {M}\npair_coeff * *", f"found '{M}' where a keyword belongs: .*write 'pair_coeff \\* \\* {M} El1 El2'"),
    "model behind a keyword": ("pair_style mlff_student precision double a.pt b.pt\npair_coeff * * H O", "found 'a.pt' where a keyword belongs"),
    "model in pair_style of a hybrid": (f"pair_style hybrid/overlay mlff_student {M} lj/cut 5.0\npair_coeff * *", f"write 'pair_coeff \\* \\* mlff_student {M} El1 El2'"),
    "model behind elements": (f"pair_style mlff_student\npair_coeff * * H O {M}", f"found 'H' where the model's file belongs: write 'pair_coeff \\* \\* {M} H O'"),
    "elements without model": ("pair_style mlff_student\npair_coeff * * H O", "write 'pair_coeff \\* \\* model.safetensors H O'"),
    "too many threads": (f"pair_style mlff_student threads 100000\n{COEFF}", "threads must be a number from 1 to 4096, found '100000'"),
    "no such GPU": (f"pair_style mlff_student device cuda:-1\n{COEFF}", "the number of a GPU, found 'cuda:-1'"),
    "not a model": ("pair_style mlff_student\npair_coeff * * system.data H O", "mlff_student: .*system.data"),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("ranks", [1, 2])
def test_pair_commands_that_cannot_work(tmp_path, name, ranks):
    pair, message = PAIRS[name]
    # On a machine with a GPU, too.
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"}
    assert re.search(message, stopped(tmp_path, with_pair(pair), ranks=ranks, env=hidden))


def test_other_units(tmp_path):
    message = stopped(tmp_path, with_pair(f"pair_style mlff_student\n{COEFF}", units="lj"))
    assert re.search("expected units metal .*or real .*found units lj: write 'units metal'", message)


def test_filter_table_under_hybrid_where_table_is_a_pair_style(tmp_path):
    pair = f"pair_style hybrid/overlay mlff_student filter table lj/cut 4.0\npair_coeff * * mlff_student {M} H O\npair_coeff * * lj/cut 0 1"
    assert "'filter tabulated'" in stopped(tmp_path, with_pair(pair))
    run(tmp_path, with_pair(pair.replace("filter table", "filter tabulated")), WATER)


@pytest.mark.parametrize("compute", ["centroid/stress/atom NULL", "heat/flux ke pe stress"])
@pytest.mark.parametrize("hybrid", [False, True])
def test_heat_flux_and_centroid_stress(tmp_path, compute, hybrid):
    pair = f"pair_style mlff_student\n{COEFF}"
    if hybrid:
        pair = f"pair_style hybrid/overlay mlff_student lj/cut 4.0\npair_coeff * * mlff_student {M} H O\npair_coeff * * lj/cut 0 1"
    text = deck(WATER, pair=pair) + f"compute ke all ke/atom\ncompute pe all pe/atom\ncompute stress all stress/atom NULL\ncompute c all {compute}\nrun 0\n"
    assert re.search("compute c has style .* remove it", stopped(tmp_path, text))


BONDED = """
units metal
atom_style bond
plugin load {plugin}
read_data system.data extra/special/per/atom 4 extra/bond/per/atom 2
{special}
bond_style zero
bond_coeff *
pair_style mlff_student
{coeff}
run 0 post no
print "VALUE energy $(pe:%.17g)"
"""


def bonded_data(structure):
    cell = structure.cell
    text = f"\n{len(structure)} atoms\n2 atom types\n1 bond types\n{len(structure) // 3 * 2} bonds\n"
    text += "".join(f"0 {cell[k, k]} {a}lo {a}hi\n" for k, a in enumerate("xyz"))
    text += "\nMasses\n\n1 1.008\n2 15.999\n\nAtoms # bond\n\n"
    for k, (s, r) in enumerate(zip(structure.symbols, structure.positions)):
        text += f"{k + 1} {k // 3 + 1} {1 if s == 'H' else 2} " + " ".join(f"{x:.17g}" for x in r) + "\n"
    text += "\nBonds\n\n"
    oxygen = [k for k, s in enumerate(structure.symbols) if s == "O"]
    bonds = [(o, h) for o in oxygen for h in range(3 * (o // 3), 3 * (o // 3) + 3) if h != o]
    return text + "".join(f"{n + 1} 1 {o + 1} {h + 1}\n" for n, (o, h) in enumerate(bonds))


def test_special_bonds_that_remove_pairs(tmp_path):
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "system.data").write_text(bonded_data(WATER))
    message = stopped(tmp_path, BONDED.format(plugin=PLUGIN, coeff=COEFF, special=""), structure=None)
    assert re.search("special_bonds removes or scales .*write 'special_bonds lj/coul 1.0 1.0 1.0'", message)
    scaled = BONDED.format(plugin=PLUGIN, coeff=COEFF, special="special_bonds lj/coul 1.0 0.5 1.0")
    assert "factor 0.5 for 1-3" in stopped(tmp_path, scaled, structure=None)
    works = run(tmp_path, BONDED.format(plugin=PLUGIN, coeff=COEFF, special="special_bonds lj/coul 1 1 1"))
    free = run(tmp_path / "free", deck(WATER, style="") + 'run 0 post no\nprint "VALUE energy $(pe:%.17g)"\n', WATER)
    assert abs(works.values("energy") - free.values("energy")) < 1e-5 * len(WATER)


def test_lists_of_bonded_atoms_that_outlive_their_bonds_still_count(tmp_path):
    (tmp_path / "system.data").write_text(bonded_data(WATER))
    text = BONDED.replace("pair_style", "delete_bonds all multi remove {keyword}\npair_style", 1)
    message = stopped(tmp_path, text.format(plugin=PLUGIN, coeff=COEFF, special="", keyword=""), structure=None)
    assert "special_bonds removes or scales" in message
    run(tmp_path, text.format(plugin=PLUGIN, coeff=COEFF, special="", keyword="special"))


def test_a_deleted_group_in_an_exclusion_is_no_crash(tmp_path):
    commands = "group some id 1\nneigh_modify exclude group some all\nrun 0 post no\ngroup some delete\nrun 0 post no\n"
    finished = run(tmp_path, deck(WATER, style="") + commands, WATER)
    assert "neigh_modify exclude or include removes pairs" in finished.output


def test_pairs_that_hybrid_gives_to_another_style_warn(tmp_path):
    pair = f"pair_style {{kind}} mlff_student lj/cut 5.0\npair_coeff * * mlff_student {M} H O\n"
    later = "pair_coeff 1 2 lj/cut 0.0 1.0\n"
    found = run(tmp_path / "taken", with_pair(pair.format(kind="hybrid") + later), WATER).output
    assert re.search("WARNING: mlff_student: a later pair_coeff took pairs of types 1-2 from the model", found)
    shared = run(tmp_path / "shared", with_pair(pair.format(kind="hybrid/overlay") + later), WATER).output
    assert "took pairs" not in shared


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_forgotten_null_in_plain_hybrid_names_the_type(tmp_path, ranks):
    structure = Structure(WATER.symbols[:-3] + ["Ar"] * 3, WATER.positions, WATER.cell, WATER.pbc)
    types = ["H", "O", "Ar"]
    pair = f"pair_style hybrid mlff_student lj/cut 5.0\npair_coeff * * mlff_student {M} H O O\npair_coeff * 3 lj/cut 0.01 3.0"
    text = deck(structure, types=types, pair=pair) + "run 0\n"
    message = stopped(tmp_path, text, structure, ranks=ranks, types=types)
    assert re.search("maps type 3 \\(atom ID (79|80|81)\\) to an element, but a later pair_coeff .*: write NULL for type 3", message)
    assert "species" not in message
    run(tmp_path / "mended", text.replace("H O O", "H O NULL"), structure, types, ranks=ranks)


def test_types_that_change_without_a_setup_are_named(tmp_path):
    message = stopped(tmp_path, deck(WATER, style="") + "run 0\nset atom 5 type 1\nrun 1 pre no\n")
    assert re.search("atom ID 5 has type 1, but its periodic image still has type 2 at step 1: .*leave out 'pre no'", message)


def test_atoms_at_one_place_are_named_by_their_ids(tmp_path):
    structure = Structure(WATER.symbols + ["H"], np.vstack([WATER.positions, WATER.positions[4]]), WATER.cell, WATER.pbc)
    message = stopped(tmp_path, deck(structure, style="") + "run 0\n", structure)
    assert "mlff_student: atoms ID 5 and ID 82 are at the same place: move them apart or remove one (step 0)" in message


def test_an_include_group_without_all_atoms_of_the_model(tmp_path):
    text = deck(WATER) + "atom_modify first some\ngroup some id 1:40\nneigh_modify include some\nrun 0\n"
    message = stopped(tmp_path, text)
    assert re.search("neigh_modify include leaves atom ID \\d+ without neighbors", message)


@pytest.mark.parametrize("ranks", [1, 2])
def test_atoms_without_ghosts_are_an_error(tmp_path, ranks):
    text = deck(WATER) + "group some id 1:40\natom_modify first some\ncomm_modify group some\nrun 0\n"
    message = run(tmp_path, text, WATER, ranks=ranks, fails=True).output
    assert re.search("comm_modify group leaves atom ID \\d+ without neighbors", message)


def test_computes_of_pairs_are_an_error(tmp_path):
    text = deck(WATER) + "compute c all pe/tally all\nrun 0\n"
    finished = run(tmp_path, text, WATER, accept=True)
    if "Unrecognized compute style" in finished.output:
        pytest.skip("this LAMMPS lacks package TALLY")
    assert "compute c has style pe/tally, which sums pairs" in finished.output


def test_atoms_that_go_without_a_new_list(tmp_path):
    three = Structure(WATER.symbols[:9], WATER.positions[:9])
    text = deck(three) + "neigh_modify delay 100 every 100 check no\nrun 0\ngroup gone id 9\ndelete_atoms group gone compress no\nrun 1 pre no\n"
    assert "atoms came or went at step" in stopped(tmp_path, text, three)


def test_exclusions_warn(tmp_path):
    finished = run(tmp_path, deck(WATER) + "neigh_modify exclude type 1 1\nrun 0\n", WATER)
    assert re.search("WARNING: mlff_student: neigh_modify exclude", finished.output)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_nan_position_is_named_by_tag_and_step_before_it_spreads(tmp_path, ranks):
    text = deck(WATER) + "group bad id 7\nvelocity bad set 1e308 1e308 1e308\nfix 1 all nve\ntimestep 10.0\nneigh_modify delay 1000 every 1000 check no\nrun 5 post no\n"
    finished = run(tmp_path, text, WATER, ranks=ranks, fails=True, timeout=30)
    assert re.search(r"WARNING: mlff_student: the position of atom ID 7 is .*(inf|nan).* at step \d", finished.output)
    assert re.search(r"ERROR.*mlff_student: the position of atom ID 7", finished.output)


def test_published_models_warn_plainly_and_painn_does_not(tmp_path):
    finished = run(tmp_path / "p", deck(WATER, model_name="student-21k") + "run 0\n", WATER)
    assert "not rotation-invariant" in finished.output
    assert "not continuous at its cutoff" in finished.output
    finished = run(tmp_path / "q", deck(WATER, model_name="painn-32-bessel") + "run 0\n", WATER)
    assert "WARNING: mlff_student" not in finished.output


def test_mapping_is_printed(tmp_path):
    finished = run(tmp_path, deck(WATER) + "run 0\n", WATER, ranks=2)
    assert finished.output.count("type 1 = H, type 2 = O") == 1


def test_general_triclinic_cells_warn_for_models_that_depend_on_orientation(tmp_path):
    cell = cases("student-21k")["diamond-primitive-rattled"]
    turned = "\n2 atoms\n1 atom types\n" + "".join(
        " ".join(f"{x:.17g}" for x in cell.cell[k]) + f" {name}vec\n" for k, name in enumerate("abc")
    )
    turned += "0 0 0 abc origin\n\nMasses\n\n1 12.011\n\nAtoms # atomic\n\n"
    turned += "".join(f"{k + 1} 1 " + " ".join(f"{x:.17g}" for x in r) + "\n" for k, r in enumerate(cell.positions))
    for name, warns in (("student-21k", True), ("painn-32-bessel", False)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "system.data").write_text(turned)
        text = deck(Structure(["C"], np.zeros((1, 3)), cell.cell, (True, True, True)), model_name=name) + "run 0\n"
        finished = run(folder, text)
        assert ("LAMMPS turns general triclinic cells" in finished.output) == warns


def test_a_changed_model_without_a_new_setup(tmp_path):
    text = deck(WATER) + f"run 0 post no\n{COEFF}\nrun 1 pre no\n"
    assert "leave out 'pre no'" in stopped(tmp_path, text)


def bad_model(folder, kind):
    """A file, or a folder, that is no student."""
    path = folder / f"{kind}.pt"
    good = (harness.ROOT / "torch/tests/torchscript/morse.pt").read_bytes()
    if kind == "directory":
        path.mkdir()
    elif kind == "truncated":
        path.write_bytes(good[: len(good) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("a student\n")
    elif kind == "code":
        # A pickle that would call os.system.
        path.write_bytes(b"\x80\x02cos\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03.")
    return path


@pytest.mark.parametrize("kind", ["missing", "directory", "truncated", "empty", "text", "code"])
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_bad_model_file_stops_with_the_message_of_the_tool(tmp_path, kind, ranks):
    path = bad_model(tmp_path, kind)
    tool = subprocess.run([TOOL, "inspect", path], text=True, stderr=subprocess.PIPE)
    assert tool.returncode == 1
    message = stopped(tmp_path, with_pair(f"pair_style mlff_student\npair_coeff * * {path} H O"), ranks=ranks)
    assert tool.stderr.strip().removeprefix("error: ") in message


def test_running_out_of_memory_stops_with_a_message(tmp_path):
    # 21,952 atoms of the widest student need far more than the limit.
    (tmp_path / "in.lammps").write_text(f"""
plugin load {PLUGIN}
units metal
pair_style mlff_student
lattice sc 2.2
region b block 0 28 0 28 0 28
create_box 1 b
create_atoms 1 box
mass * 16.0
pair_coeff * * {harness.ROOT / "models/organics-large.safetensors"} O
neigh_modify one 5000 page 100000
run 0
""")
    limit = 500_000_000
    finished = subprocess.run(
        [lammps_binary(), "-in", "in.lammps", "-log", "none"], cwd=tmp_path, env=environment(), text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
    )
    assert finished.returncode != 0
    assert "ERROR on proc 0: mlff_student: not enough memory" in finished.stdout
