// SPDX-License-Identifier: GPL-2.0-or-later The pair style: what LAMMPS is asked for, checked and
// given. Commands and ghosts have files of their own.

#include "pair_mlff_student.h"

#include "atom.h"
#include "comm.h"
#include "compute.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "group.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cctype>
#include <cstring>
#include <thread>
#include <utility>

using namespace LAMMPS_NS;

static_assert(sizeof(int) == sizeof(int32_t), "LAMMPS' neighbor lists are handed over as they are");

namespace {

// Adds the symmetric part of nine components (row by row) to LAMMPS' six: xx, yy, zz, xy, xz, yz.
void add_virial(double factor, const double *v, double *sum)
{
  const double symmetric[6] = {
      v[0], v[4], v[8], 0.5 * (v[1] + v[3]), 0.5 * (v[2] + v[6]), 0.5 * (v[5] + v[7])};
  for (int k = 0; k < 6; k++) sum[k] += factor * symmetric[k];
}

}    // namespace

PairMLFFStudent::PairMLFFStudent(LAMMPS *lmp) : Pair(lmp)
{
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  single_enable = 0;
  restartinfo = 0;
  centroidstressflag = CENTROID_NOTAVAIL;
  // Each ghost tells its owner's rank whether it wants the row; also with newton off.
  comm_reverse = comm_reverse_off = 1;
  comm_forward = 2;
  reset_options();
}

PairMLFFStudent::~PairMLFFStudent()
{
  deallocate();
}

void PairMLFFStudent::deallocate()
{
  if (!allocated) return;
  memory->destroy(setflag);
  memory->destroy(cutsq);
  allocated = 0;
}

// For the atom types of now: pair_style may come before the box, pair_coeff may not.
void PairMLFFStudent::allocate()
{
  deallocate();
  allocated = 1;
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "mlff_student:setflag");
  memory->create(cutsq, n, n, "mlff_student:cutsq");
  // Set before pair_coeff is seen, so that LAMMPS gets as far as init_style, which says what to
  // write.
  for (int i = 0; i < n; i++) std::fill_n(setflag[i], n, 1);
}

void PairMLFFStudent::init_style()
{
  if (!calculator)
    error->all(FLERR,
               std::string("pair_style mlff_student: pair_coeff is missing: write 'pair_coeff * * "
                           "model.safetensors' followed by one element for each atom type"));
  if (comm->nprocs > 1 &&
      (options.engine == MLFF_ENGINE_TORCH || info.architecture == MLFF_ARCHITECTURE_SCRIPT))
    error->all(
        FLERR,
        "pair_style mlff_student: libtorch evaluates whole systems, on one MPI process, found " +
            std::to_string(comm->nprocs) +
            ": run one process with 'threads N', or a student with 'engine own'");
  check_settings();
  warn_about_exclusions();
  warn_about_elements();
  warn_about_minimization();
  const int types = atom->ntypes + 1;
  has_pairs.assign(types, std::vector<bool>(types, false));
  neighbor->add_request(this, NeighConst::REQ_FULL);
  // hybrid copied this number before pair_coeff knew it, and LAMMPS sizes its buffers by hybrid's.
  force->pair->comm_forward = std::max(force->pair->comm_forward, comm_forward);
  force->pair->comm_reverse = std::max(force->pair->comm_reverse, comm_reverse);
  force->pair->comm_reverse_off = std::max(force->pair->comm_reverse_off, comm_reverse_off);
  initialized = first_list = true;
  said_outside = said_overlaps = false;
}

// LAMMPS asks for the pairs of types that hybrid has left to this style, after init_style.
double PairMLFFStudent::init_one(int i, int j)
{
  has_pairs[i][j] = has_pairs[j][i] = true;
  return info.cutoff;
}

void PairMLFFStudent::check_settings()
{
  for (int i = 0; i < modify->ncompute; i++) {
    const std::string style = modify->compute[i]->style;
    // The flux of a message-passing model has terms over several hops, which neither compute knows.
    const bool flux = style.compare(0, 9, "heat/flux") == 0 || style == "stress/tally";
    if (!flux && utils::strmatch(style, "/tally$"))
      error->all(FLERR, "compute " + std::string(modify->compute[i]->id) + " has style " + style +
                            ", which sums pairs of atoms and would leave out pair_style "
                            "mlff_student, which has none: "
                            "remove it (compute stress/atom and pe/atom work)");
    if (flux || style == "centroid/stress/atom")
      error->all(FLERR,
                 "compute " + std::string(modify->compute[i]->id) + " has style " + style +
                     ", which would be wrong for pair_style mlff_student, whose heat flux spans "
                     "several neighbor shells: remove it (compute stress/atom and pe/atom work)");
  }
#if MLFF_LAMMPS_VERSION >= 20240417
  const bool depends = !info.rotation_invariant && info.architecture != MLFF_ARCHITECTURE_SCRIPT;
  if (domain->triclinic_general && depends && comm->me == 0)
    error->warning(
        FLERR,
        std::string("mlff_student: LAMMPS turns general triclinic cells, and this model is "
                    "not rotation-invariant: energies differ from those of the cell as given"));
#endif
}

// Whether an atom of the model has another one of it among its 1-2 (k = 1), 1-3 or 1-4 neighbors.
// Lists of such neighbors outlive their bonds (delete_bonds), and LAMMPS goes by the lists.
bool PairMLFFStudent::has_special(int k) const
{
  // These lists are in the template's molecules.
  if (atom->molecular == Atom::TEMPLATE) return true;
  for (int i = 0; i < atom->nlocal; i++) {
    if (species_of[atom->type[i]] == 0) continue;
    const int begin = k == 1 ? 0 : atom->nspecial[i][k - 2], end = atom->nspecial[i][k - 1];
    for (int m = begin; m < end; m++) {
      const int j = atom->map(atom->special[i][m]);
      if (j < 0 || species_of[atom->type[j]] > 0) return true;
    }
  }
  return false;
}

void PairMLFFStudent::check_special_bonds()
{
  if (atom->molecular == Atom::ATOMIC) return;
  for (int k = 1; k <= 3; k++) {
    // At this point hybrid has put this style's own factors in place (pair_modify special).
    if (force->special_lj[k] == 1.0 && neighbor->special_flag[k] != 0) continue;
    int mine = has_special(k), any = 0;
    MPI_Allreduce(&mine, &any, 1, MPI_INT, MPI_MAX, world);
    if (any)
      error->all(
          FLERR,
          "pair_style mlff_student needs all pairs, but special_bonds removes or scales those "
          "of bonded atoms (factor " +
              plain(force->special_lj[k]) + " for 1-" + std::to_string(k + 1) +
              " pairs): write 'special_bonds lj/coul 1.0 1.0 1.0', or under hybrid 'special_bonds "
              "lj/coul 0.5 0.5 0.5' with 'pair_modify pair mlff_student special lj/coul 1 1 1' "
              "and, "
              "for each other style, 'pair_modify pair STYLE special lj/coul 0 0 0'");
  }
}

// ----------------------------------------------------------------------------------- neighbor list

// An atom that one of LAMMPS' exclusions keeps from every other one is on trial removal by fix
// gcmc: it must not even keep the energy of a free atom.
bool PairMLFFStudent::is_excluded(int i) const
{
  for (int k = 0; k < neighbor->nex_group; k++) {
    const int one = neighbor->ex1_group[k], other = neighbor->ex2_group[k];
    const int all = 0;
    if ((other == all && atom->mask[i] & group->bitmask[one]) ||
        (one == all && atom->mask[i] & group->bitmask[other]))
      return true;
  }
  return false;
}

// The list lacks the pairs of atoms that were excluded when it was made, whatever groups they are
// in now.
void PairMLFFStudent::find_excluded()
{
  excluded.assign(neighbor->nex_group > 0 ? atom->nlocal + atom->nghost : 0, false);
  for (size_t i = 0; i < excluded.size(); i++) excluded[i] = is_excluded(i);
}

void PairMLFFStudent::find_species()
{
  const int total = atom->nlocal + atom->nghost;
  species_now.resize(total);
  for (int i = 0; i < total; i++) species_now[i] = species_of[atom->type[i]];
  // Other sizes: atoms came or went, which compute refuses.
  if (excluded.size() == species_now.size())
    for (int i = 0; i < total; i++)
      if (excluded[i]) species_now[i] = 0;
}

// What follows from the list alone. All ranks get here in the same step: it communicates.
void PairMLFFStudent::take_list()
{
  if (first_list && ghost_shell() < info.cutoff + neighbor->skin)
    error->all(FLERR, "pair_style mlff_student: the ghost shell reaches " + plain(ghost_shell()) +
                          " Angstrom, but cutoff plus skin are " +
                          plain(info.cutoff + neighbor->skin) + ": write 'comm_modify cutoff " +
                          plain(info.cutoff + neighbor->skin) + "'");
  if (first_list) warn_about_lost_pairs();
  check_special_bonds();
  find_owners();
  trim_list();
  if (comm->nprocs > 1) find_wanted_rows();
  if (first_list) report_ghosts();
  first_list = false;
  list_taken = list;
  list_number = neighbor->ncalls;
  list_step = neighbor->lastcall;
}

// The group whose atoms alone have ghosts, which LAMMPS shows to its own classes only.
static int group_of_ghosts(Comm *comm)
{
  struct Shown : Comm {
    static int group(Comm *comm) { return comm->*(&Shown::bordergroup); }
  };
  return Shown::group(comm);
}

// With an include group, LAMMPS lists neighbors of the first nfirst atoms alone; with a group of
// ghosts, others have no images.
void PairMLFFStudent::check_groups()
{
  const bool ghosts = group_of_ghosts(comm) > 0;
  if (neighbor->includegroup == 0 && !ghosts) return;
  for (int i = atom->nfirst; i < atom->nlocal; i++)
    if (species_now[i] > 0)
      stop(std::string("mlff_student: ") + (ghosts ? "comm_modify group" : "neigh_modify include") +
           " leaves atom ID " + std::to_string(atom->tag[i]) +
           " without neighbors, but it is part of the model: write '" +
           (ghosts ? "comm_modify group all" : "neigh_modify include none") +
           "', or map its type to NULL");
}

// Whether LAMMPS lists neighbors of this type's atoms for this style: hybrid leaves out types of
// which it has no pair.
bool PairMLFFStudent::has_list(int type) const
{
  return std::find(has_pairs[type].begin(), has_pairs[type].end(), true) != has_pairs[type].end();
}

// What LAMMPS cannot list as the model needs it.
void PairMLFFStudent::check_types()
{
  for (int i = 0; i < atom->nlocal; i++) {
    const int type = atom->type[i];
    if (species_now[i] > 0 && !has_list(type))
      stop("mlff_student: pair_coeff maps type " + std::to_string(type) + " (atom ID " +
           std::to_string(atom->tag[i]) +
           ") to an element, but a later pair_coeff gives all of its pairs to another style: write "
           "NULL for type " +
           std::to_string(type) + " in the pair_coeff of mlff_student, or use hybrid/overlay");
  }
  for (int ghost = 0; ghost < atom->nghost; ghost++) {
    const int own = owner[ghost], image = atom->nlocal + ghost;
    if (own >= 0 && species_now[own] != species_now[image])
      stop("mlff_student: atom ID " + std::to_string(atom->tag[own]) + " has type " +
           std::to_string(atom->type[own]) + ", but its periodic image still has type " +
           std::to_string(atom->type[image]) + " at step " + std::to_string(update->ntimestep) +
           ": a command changed types since the last setup; leave out 'pre no' in the run command");
  }
}

void PairMLFFStudent::set_neighbor_list()
{
  check_groups();
  check_types();
  static const int32_t none = 0;
  static const int32_t *const no_list = &none;
  mlff_neighbor_list neighbor_list = {};
  neighbor_list.struct_size = sizeof(neighbor_list);
  neighbor_list.owned = atom->nlocal;
  neighbor_list.ghosts = atom->nghost;
  neighbor_list.centers = list->inum;
  // A rank without atoms may have no arrays at all.
  neighbor_list.species = species_now.empty() ? &none : species_now.data();
  const Neighbors near = neighbors();
  neighbor_list.ilist = list->inum > 0 ? near.ilist : &none;
  neighbor_list.numneigh = list->inum > 0 ? near.numneigh : &none;
  neighbor_list.firstneigh = list->inum > 0 ? near.firstneigh : &no_list;
  neighbor_list.owner = owner.empty() ? nullptr : owner.data();
  neighbor_list.list_cutoff = info.cutoff + neighbor->skin;
  neighbor_list.neighbor_mask = NEIGHMASK;
  if (mlff_calculator_set_neighbor_list(calculator.get(), &neighbor_list) != MLFF_OK) fail_here();
  species = species_now;
}

// ------------------------------------------------------------------------------------- computation

void PairMLFFStudent::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  if (!initialized)
    error->all(
        FLERR,
        std::string("pair_style mlff_student: pair_coeff changed since the last setup: leave out "
                    "'pre no' in the run command"));
  check_positions();

  // ncalls also tells of a list that was made in a step without forces; rerun sets it back.
  const bool new_list =
      first_list || neighbor->ago == 0 || list != list_taken || neighbor->ncalls != list_number;
  if (new_list) find_excluded();
  find_species();
  if (new_list) take_list();
  if (!new_list &&
      (owner.size() != static_cast<size_t>(atom->nghost) || species.size() != species_now.size()))
    stop("mlff_student: atoms came or went at step " + std::to_string(update->ntimestep) +
         " without a new neighbor list: write 'neigh_modify every 1 delay 0'");
  // Types may change while the list stays (fix atom/swap).
  if (new_list || species_now != species) set_neighbor_list();

  const int nlocal = atom->nlocal;
  forces.resize(3 * static_cast<size_t>(nlocal));
  if (eflag_atom) energies.resize(nlocal);
  if (vflag_atom) virials.resize(9 * static_cast<size_t>(nlocal));
  mlff_results results = {};
  results.struct_size = sizeof(results);
  results.forces = forces.data();
  results.atomic_energies = eflag_atom ? energies.data() : nullptr;
  results.atomic_virials = vflag_atom ? virials.data() : nullptr;

  static const double nowhere[3] = {0.0, 0.0, 0.0};
  const double *positions = nlocal + atom->nghost > 0 ? atom->x[0] : nowhere;
  const auto callback = [](void *user, void *rows, uint32_t row_bytes) noexcept -> int32_t {
    return static_cast<PairMLFFStudent *>(user)->exchange(rows, row_bytes);
  };
  // Every rank of several exchanges, also one without atoms.
  const mlff_exchange_fn exchange_rows = comm->nprocs > 1 ? +callback : nullptr;
  if (mlff_calculator_compute(calculator.get(), positions, exchange_rows, this, &results) !=
      MLFF_OK)
    fail_here();
  check_findings();

  if (eflag_global) eng_vdwl += to_lammps * results.energy;
  if (vflag_global) add_virial(to_lammps, results.virial, virial);
  tally();
}

void PairMLFFStudent::tally()
{
  for (int i = 0; i < atom->nlocal; i++) {
    const double *force_i = &forces[3 * static_cast<size_t>(i)];
    for (int k = 0; k < 3; k++) atom->f[i][k] += to_lammps * force_i[k];
    if (eflag_atom) eatom[i] += to_lammps * energies[i];
    if (vflag_atom) add_virial(to_lammps, &virials[9 * static_cast<size_t>(i)], vatom[i]);
  }
}

// Atoms where the model learned nothing, and atoms that overlap. What ranks find is their own: none
// waits for another one here.
void PairMLFFStudent::check_findings()
{
  if (!checks()) return;
  mlff_check found = {};
  found.struct_size = sizeof(found);
  if (mlff_calculator_get_check(calculator.get(), &found) != MLFF_OK) fail_here();
  const auto id = [&](int32_t index) { return std::to_string(atom->tag[index]); };
  const auto of = [&](uint64_t count, const char *what, const std::string &ids) {
    const std::string step = " at step " + std::to_string(update->ntimestep) + ": ";
    return step + std::to_string(count) + what + ids + (count > 8 ? ", ..." : "");
  };
  if (found.overlaps > 0) {
    std::string ids;
    for (int k = 0; k < 16 && found.pairs[k] >= 0; k += 2)
      ids += (k > 0 ? ", " : "") + id(found.pairs[k]) + " and " + id(found.pairs[k + 1]);
    tell("atoms are nearer to each other than half of the sum of their covalent radii" +
             of(found.overlaps, " pair(s), atom IDs ", ids) +
             ": remove one of the two or move them apart",
         said_overlaps);
  }
  if (found.outside > 0) {
    std::string ids;
    for (int k = 0; k < 8 && found.atoms[k] >= 0; k++)
      ids += (k > 0 ? ", " : "") + id(found.atoms[k]);
    tell("atoms have energies far outside of those of the model's training data" +
             of(found.outside, " atom(s), IDs ", ids) +
             ": its forces there are guesses; look at what surrounds these atoms, or train on "
             "structures like this one",
         said_outside);
  }
}

// A warning, once in a run, or the end of it.
void PairMLFFStudent::tell(const std::string &text, bool &said)
{
  if (check == MLFF_CHECK_STRICT)
    stop("mlff_student: " + text + " (to go on all the same: check warn)");
  if (!said) error->warning(FLERR, "mlff_student: " + text + " (said once in a run)");
  said = true;
}

void PairMLFFStudent::check_positions()
{
  // Ghosts too: all ranks that have the atom say the same.
  for (int i = 0; i < atom->nlocal + atom->nghost; i++) {
    const double *x = atom->x[i];
    if (std::isfinite(x[0]) && std::isfinite(x[1]) && std::isfinite(x[2])) continue;
    const std::string text =
        "mlff_student: the position of atom ID " + std::to_string(atom->tag[i]) + " is " +
        plain(x[0]) + " " + plain(x[1]) + " " + plain(x[2]) + " at step " +
        std::to_string(update->ntimestep) +
        ": use a smaller timestep, minimize first, or check the start structure";
    error->warning(FLERR, text);
    stop(text);
  }
}

double PairMLFFStudent::memory_usage()
{
  double bytes = Pair::memory_usage();
  mlff_calculator_info calculator_info = {};
  calculator_info.struct_size = sizeof(calculator_info);
  if (calculator && mlff_calculator_get_info(calculator.get(), &calculator_info) == MLFF_OK)
    bytes += calculator_info.memory;
  const auto add = [&](const auto &values) { bytes += values.capacity() * sizeof(values[0]); };
  add(species);
  add(species_now);
  add(owner);
  add(near_entries);
  add(near_starts);
  add(near_counts);
  add(near_first);
  bytes += excluded.capacity() / 8;
  add(energies);
  add(forces);
  add(virials);
  add(origins);
  add(wanted);
  for (const auto &swap : wanted_of_swap) add(swap.second);
  return bytes;
}

// ------------------------------------------------------------------------------------------ errors

// For calls that every rank makes: where one fails, all stop with its message.
void PairMLFFStudent::require(mlff_status status)
{
  int mine = status == MLFF_OK ? comm->nprocs : comm->me, first = -1;
  MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, world);
  if (first == comm->nprocs) return;
  std::string message = status == MLFF_OK ? "" : mlff_last_error();
  int length = message.size();
  MPI_Bcast(&length, 1, MPI_INT, first, world);
  message.resize(length);
  MPI_Bcast(&message[0], length, MPI_CHAR, first, world);
  error->all(FLERR, "mlff_student: " + message);
}

// For calls that may fail on this rank alone.
void PairMLFFStudent::fail_here()
{
  if (thrown) std::rethrow_exception(std::exchange(thrown, nullptr));
  stop("mlff_student: " + last_error() + " (step " + std::to_string(update->ntimestep) + ")");
}

void PairMLFFStudent::stop(const std::string &text)
{
  try {
    error->one(FLERR, text);
  } catch (...) {
    // The program ends by MPI_Abort now, at which launchers drop output that they have not read
    // yet.
    std::fflush(nullptr);
    if (comm->nprocs > 1) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    throw;
  }
}

// A number for a message: 5, not 5.000000.
std::string PairMLFFStudent::plain(double number)
{
  char text[32];
  std::snprintf(text, sizeof(text), "%g", number);
  return text;
}

// The library's message. It counts atoms from 0 in the order of this rank; people know atom IDs.
std::string PairMLFFStudent::last_error() const
{
  std::string text = mlff_last_error();
  std::vector<int32_t> atoms(mlff_last_error_atoms(nullptr, 0));
  mlff_last_error_atoms(atoms.data(), atoms.size());
  size_t from = 0;
  for (const int32_t index : atoms) {
    if (index < 0 || index >= atom->nlocal + atom->nghost) continue;
    // They are in the order of the message.
    const std::string number = std::to_string(index), id = "ID " + std::to_string(atom->tag[index]);
    const auto in_number = [&](size_t at) {
      return at < text.size() && (std::isdigit(text[at]) || text[at] == '.');
    };
    size_t at = text.find(number, from);
    while (at != std::string::npos &&
           ((at > 0 && in_number(at - 1)) || in_number(at + number.size())))
      at = text.find(number, at + 1);
    if (at == std::string::npos) {
      text += " (atom " + number + " is atom " + id + ")";
      continue;
    }
    text.replace(at, number.size(), id);
    from = at + id.size();
  }
  return text;
}
