// SPDX-License-Identifier: GPL-2.0-or-later

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
#include "timer.h"
#include "update.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <regex>
#include <thread>
#include <utility>

using namespace LAMMPS_NS;

static_assert(sizeof(int) == sizeof(int32_t), "LAMMPS' neighbor lists are handed over as they are");

namespace {

// One meaning of a keyword's value.
struct Choice {
  const char *name;
  int32_t value;
};
constexpr Choice PRECISIONS[] = {{"mixed", MLFF_PRECISION_MIXED}, {"double", MLFF_PRECISION_DOUBLE}};
// Under hybrid, "table" would be read as the pair style of that name: hence its second name.
constexpr Choice FILTERS[] = {
    {"table", MLFF_FILTER_TABLE}, {"tabulated", MLFF_FILTER_TABLE}, {"exact", MLFF_FILTER_EXACT}};
constexpr Choice INSTRUCTION_SETS[] = {{"best", MLFF_ISA_BEST},
                                       {"portable", MLFF_ISA_PORTABLE},
                                       {"avx2", MLFF_ISA_AVX2},
                                       {"avx512", MLFF_ISA_AVX512}};
constexpr Choice ARCHITECTURES[] = {{"published", MLFF_ARCHITECTURE_PUBLISHED}, {"painn", MLFF_ARCHITECTURE_PAINN}};
constexpr Choice ENGINES[] = {{"own", MLFF_ENGINE_OWN}, {"torch", MLFF_ENGINE_TORCH}};
struct Keyword {
  const char *name, *values;
};
constexpr Keyword KEYWORDS[] = {{"device", "cpu|cuda|cuda:N"},
                                {"engine", "own|torch"},
                                {"precision", "mixed|double"},
                                {"threads", "N"},
                                {"filter", "table|exact"},
                                {"isa", "best|portable|avx2|avx512"}};

// Levenshtein distance.
size_t edits(const std::string &a, const std::string &b)
{
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); j++) row[j] = j;
  for (size_t i = 1; i <= a.size(); i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); j++) {
      const size_t change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

const Keyword &nearest_keyword(const std::string &word)
{
  return *std::min_element(std::begin(KEYWORDS), std::end(KEYWORDS), [&](const Keyword &a, const Keyword &b) {
    return edits(word, a.name) < edits(word, b.name);
  });
}

std::string usage()
{
  std::string text = "pair_style mlff_student";
  for (const auto &keyword : KEYWORDS) text += std::string(" [") + keyword.name + " " + keyword.values + "]";
  return text;
}

template <size_t N> std::string names(const Choice (&choices)[N])
{
  std::string list;
  for (size_t i = 0; i < N; i++)
    list += std::string(i == 0 ? "" : i + 1 < N ? ", " : " or ") + choices[i].name;
  return list;
}

template <size_t N> const char *name_of(const Choice (&choices)[N], int32_t value)
{
  for (const auto &choice : choices)
    if (choice.value == value) return choice.name;
  return "?";
}

// Adds the symmetric part of nine components (row by row) to LAMMPS' six: xx, yy, zz, xy, xz, yz.
void add_virial(double factor, const double *v, double *sum)
{
  const double symmetric[6] = {v[0], v[4], v[8], 0.5 * (v[1] + v[3]), 0.5 * (v[2] + v[6]),
                               0.5 * (v[5] + v[7])};
  for (int k = 0; k < 6; k++) sum[k] += factor * symmetric[k];
}

// A number for a log line: 5, not 5.000000.
std::string plain(double number)
{
  char text[32];
  std::snprintf(text, sizeof(text), "%g", number);
  return text;
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
  options.struct_size = sizeof(options);
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
  // Set before pair_coeff is seen, so that LAMMPS gets as far as init_style, which says what to write.
  for (int i = 0; i < n; i++) std::fill_n(setflag[i], n, 1);
}

// ---------------------------------------------------------------------------------------- commands

void PairMLFFStudent::settings(int narg, char **arg)
{
  options = {};
  options.struct_size = sizeof(options);
  by_rank = false;
  // A calculator has the options of its making: pair_coeff makes the next one.
  initialized = false;
  calculator.reset();
  model.reset();

  const auto choose = [&](const char *keyword, const char *value, const auto &choices) {
    for (const auto &choice : choices)
      if (std::strcmp(value, choice.name) == 0) return choice.value;
    error->all(FLERR, std::string("pair_style mlff_student: ") + keyword + " must be " +
                   names(choices) + ", found '" + value + "'");
  };

  for (int i = 0; i < narg; i += 2) {
    const std::string keyword = arg[i];
    if (keyword != nearest_keyword(keyword).name)
      error->all(FLERR, "pair_style mlff_student: unknown keyword '" + keyword + "', the nearest is '" +
                     nearest_keyword(keyword).name + "': write " + usage());
    if (i + 1 == narg)
      error->all(FLERR, "pair_style mlff_student: keyword '" + keyword + "' needs a value" +
                     (keyword == "filter"
                          ? ": table or exact (under hybrid, where LAMMPS takes the word table for "
                            "the next pair style, write 'filter tabulated', or nothing: it is the "
                            "default)"
                          : ""));
    const char *value = arg[i + 1];
    if (keyword == "device")
      set_device(value);
    else if (keyword == "engine")
      options.engine = choose("engine", value, ENGINES);
    else if (keyword == "precision")
      options.precision = choose("precision", value, PRECISIONS);
    else if (keyword == "threads")
      set_threads(value);
    else if (keyword == "filter")
      options.filter = choose("filter", value, FILTERS);
    else if (keyword == "isa")
      options.instruction_set = choose("isa", value, INSTRUCTION_SETS);
    else
      error->all(FLERR, "pair_style mlff_student: nobody reads keyword '" + keyword + "'");
  }

  check_units();
  if (domain->box_exist) allocate();
}

void PairMLFFStudent::set_device(const std::string &device)
{
  by_rank = device == "cuda";
  options.device = by_rank || device.compare(0, 5, "cuda:") == 0 ? MLFF_DEVICE_CUDA : MLFF_DEVICE_CPU;
  options.device_index = 0;
  if (options.device == MLFF_DEVICE_CPU && device != "cpu")
    error->all(FLERR, "pair_style mlff_student: device must be cpu, cuda or cuda:N, found '" + device + "'");
  if (options.device == MLFF_DEVICE_CUDA && !by_rank)
    options.device_index = utils::inumeric(FLERR, device.substr(5), false, lmp);
}

void PairMLFFStudent::set_threads(const std::string &value)
{
  const int threads = utils::inumeric(FLERR, value, false, lmp);
  if (threads < 1)
    error->all(FLERR, "pair_style mlff_student: threads must be 1 or more (threads of each MPI process), found " +
                   value);
  options.threads = threads;
}

void PairMLFFStudent::check_units()
{
  const std::string units = update->unit_style;
  if (units != "metal" && units != "real")
    error->all(FLERR, "pair_style mlff_student: expected units metal (eV) or real (kcal/mol), found "
                      "units " + units +
                   ": write 'units metal' at the top of the input, with lengths in Angstrom");
  // The factor that LAMMPS itself uses where it converts potential files.
  to_lammps =
      units == "real" ? utils::get_conversion_factor(utils::ENERGY, utils::METAL2REAL) : 1.0;
}

void PairMLFFStudent::coeff(int narg, char **arg)
{
  const int ntypes = atom->ntypes;
  if (narg < 3 || std::strcmp(arg[0], "*") != 0 || std::strcmp(arg[1], "*") != 0)
    error->all(FLERR, "pair_style mlff_student takes one pair_coeff for all types: write 'pair_coeff * * "
                      "model.safetensors' followed by one element or NULL for each of the " +
                   std::to_string(ntypes) + " atom types");
  const int given = narg - 3;
  if (given != ntypes)
    error->all(FLERR, "pair_coeff of mlff_student: expected " + std::to_string(ntypes) +
                   " elements (one element or NULL for each atom type) after " + arg[2] + ", found " +
                   std::to_string(given));

  // Also for a hybrid that read_restart made, which calls no settings.
  check_units();
  allocate();
  initialized = false;
  calculator.reset();
  model.reset();
  load(arg[2]);

  species_of.assign(ntypes + 1, 0);
  for (int type = 1; type <= ntypes; type++) {
    const char *symbol = arg[2 + type];
    if (std::strcmp(symbol, "NULL") == 0) {
      // A hybrid style is force->pair itself and calls this for its sub-style.
      if (force->pair == this)
        error->all(FLERR, "pair_coeff of mlff_student: type " + std::to_string(type) +
                       " is NULL, but no other pair style could take it: use 'pair_style hybrid "
                       "mlff_student ...' with a second style, or name its element");
      continue;
    }
    require(mlff_model_find_species(model.get(), symbol, &species_of[type]));
  }
  for (int i = 1; i <= ntypes; i++)
    for (int j = 1; j <= ntypes; j++) setflag[i][j] = species_of[i] > 0 && species_of[j] > 0;

  if (by_rank) options.device_index = gpu_of_rank();
  gpus_of_ranks.resize(comm->nprocs);
  MPI_Gather(&options.device_index, 1, MPI_INT, gpus_of_ranks.data(), 1, MPI_INT, 0, world);
  mlff_calculator *made = nullptr;
  const mlff_status status = mlff_calculator_new(model.get(), &options, &made);
  // Before another rank's failure is thrown here.
  calculator.reset(made);
  require(status);
  mlff_calculator_info calculator_info = {};
  calculator_info.struct_size = sizeof(calculator_info);
  require(mlff_calculator_get_info(made, &calculator_info));
  exchanges = calculator_info.exchanges;

  // Before each row its flag.
  comm_forward = std::max<int>(2, 1 + calculator_info.row_bytes / sizeof(double));

  if (comm->me == 0) {
    std::string mapping;
    for (int type = 1; type <= ntypes; type++)
      mapping += (type == 1 ? "type " : ", type ") + std::to_string(type) + " = " + arg[2 + type];
    utils::logmesg(lmp, std::string("mlff_student: ") + arg[2] + ": " + mapping + "\n");
    describe();
    warn_about_model();
  }
}

// Ranks on one node take its GPUs in turn. Names of nodes are all that MPI-2 and LAMMPS' own stand-in for
// MPI know of where ranks are.
int PairMLFFStudent::gpu_of_rank() const
{
  std::vector<char> mine(MPI_MAX_PROCESSOR_NAME, '\0'), all(mine.size() * comm->nprocs);
  int length = 0;
  MPI_Get_processor_name(mine.data(), &length);
  const int size = static_cast<int>(mine.size());
  MPI_Allgather(mine.data(), size, MPI_CHAR, all.data(), size, MPI_CHAR, world);
  int before = 0;
  for (int rank = 0; rank < comm->me; rank++)
    before += std::equal(mine.begin(), mine.end(), all.begin() + static_cast<std::ptrdiff_t>(rank) * size);
  uint32_t gpus = 0;
  // Where there is none, making the calculator says so.
  if (mlff_device_count(MLFF_DEVICE_CUDA, &gpus) != MLFF_OK || gpus == 0) return 0;
  return before % static_cast<int>(gpus);
}

void PairMLFFStudent::load(const char *name)
{
  // Also looks in LAMMPS_POTENTIALS; where it finds nothing, the library says so.
  std::string path = utils::get_potential_file_path(name);
  if (path.empty()) path = name;
  mlff_model *loaded = nullptr;
  const mlff_status status = mlff_model_load(path.c_str(), &loaded);
  model.reset(loaded);
  require(status);
  info.struct_size = sizeof(info);
  require(mlff_model_get_info(loaded, &info));
}

// The number of the GPU, or those of the first ranks where they differ. Called on rank 0 alone.
std::string PairMLFFStudent::gpus_by_rank() const
{
  const int first = gpus_of_ranks[0];
  if (std::count(gpus_of_ranks.begin(), gpus_of_ranks.end(), first) == comm->nprocs)
    return std::to_string(first);
  std::string list;
  const int shown = std::min(comm->nprocs, 16);
  for (int rank = 0; rank < shown; rank++)
    list += (rank > 0 ? ", " : "") + std::to_string(gpus_of_ranks[rank]);
  return list + (shown < comm->nprocs ? ", ... by rank" : " by rank");
}

// Called on rank 0 alone.
void PairMLFFStudent::describe() const
{
  const std::string device = options.device == MLFF_DEVICE_CUDA
      ? "GPU " + gpus_by_rank()
      : std::to_string(std::max(1u, options.threads)) + " thread(s)";
  if (info.architecture == MLFF_ARCHITECTURE_SCRIPT) {
    utils::logmesg(lmp, "mlff_student: a TorchScript model, evaluated by libtorch, cutoff " + plain(info.cutoff) +
                       " Angstrom; " + device + "\n");
    return;
  }
  utils::logmesg(lmp, std::string("mlff_student: ") + name_of(ARCHITECTURES, info.architecture) +
                     " architecture, " + std::to_string(info.parameters) + " parameters, " +
                     std::to_string(info.blocks) + " blocks, cutoff " + plain(info.cutoff) +
                     " Angstrom; precision " + name_of(PRECISIONS, options.precision) +
                     (options.engine == MLFF_ENGINE_TORCH
                          ? std::string(", libtorch, ")
                          : std::string(", filter ") + name_of(FILTERS, options.filter) + ", ") +
                     device + "\n");
}

// Called on rank 0 alone.
void PairMLFFStudent::warn_about_model() const
{
  // What a TorchScript model has is not known.
  if (info.architecture == MLFF_ARCHITECTURE_SCRIPT) return;
  if (!info.rotation_invariant)
    error->warning(FLERR, std::string("mlff_student: this model is not rotation-invariant: its energy and "
                                      "forces depend on how the system is turned"));
  if (!info.continuous_at_cutoff)
    error->warning(FLERR, std::string("mlff_student: this model is not continuous at its cutoff: the energy "
                                      "jumps when a pair crosses it, and a run does not conserve energy"));
}

void PairMLFFStudent::init_style()
{
  if (!calculator)
    error->all(FLERR, std::string("pair_style mlff_student: pair_coeff is missing: write 'pair_coeff * * "
                                  "model.safetensors' followed by one element for each atom type"));
  if (comm->nprocs > 1 && (options.engine == MLFF_ENGINE_TORCH || info.architecture == MLFF_ARCHITECTURE_SCRIPT))
    error->all(FLERR, "pair_style mlff_student: libtorch evaluates whole systems, on one MPI process, found " +
                   std::to_string(comm->nprocs) + ": run one process with 'threads N', or a student with 'engine own'");
  check_settings();
  warn_about_exclusions();
  const int types = atom->ntypes + 1;
  has_pairs.assign(types, std::vector<bool>(types, false));
  neighbor->add_request(this, NeighConst::REQ_FULL);
  // hybrid copied this number before pair_coeff knew it, and LAMMPS sizes its buffers by hybrid's.
  force->pair->comm_forward = std::max(force->pair->comm_forward, comm_forward);
  force->pair->comm_reverse = std::max(force->pair->comm_reverse, comm_reverse);
  force->pair->comm_reverse_off = std::max(force->pair->comm_reverse_off, comm_reverse_off);
  initialized = first_list = true;
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
    if (flux || style == "centroid/stress/atom")
      error->all(FLERR, "compute " + std::string(modify->compute[i]->id) + " has style " + style +
                     ", which would be wrong for pair_style mlff_student, whose heat flux spans "
                     "several neighbor shells: remove it (compute stress/atom and pe/atom work)");
  }
#if MLFF_LAMMPS_VERSION >= 20240417
  const bool depends = !info.rotation_invariant && info.architecture != MLFF_ARCHITECTURE_SCRIPT;
  if (domain->triclinic_general && depends && comm->me == 0)
    error->warning(FLERR, std::string("mlff_student: LAMMPS turns general triclinic cells, and this model is "
                                      "not rotation-invariant: energies differ from those of the cell as given"));
#endif
}

void PairMLFFStudent::warn_about_exclusions() const
{
  // fix gcmc and fix widom exclude the atoms they remove on trial; is_excluded takes care of those.
  bool others = neighbor->nex_type > 0 || neighbor->nex_mol > 0 || neighbor->includegroup > 0;
  for (int i = 0; i < neighbor->nex_group; i++)
    // Their groups have a colon in the name, which users' groups cannot have.
    others |= std::strchr(group->names[neighbor->ex1_group[i]], ':') == nullptr;
  if (others && comm->me == 0)
    error->warning(FLERR, std::string("mlff_student: neigh_modify exclude or include removes pairs from the "
                                      "model, which was not trained without them"));
}

// In plain hybrid the last pair_coeff has a pair of types to itself.
void PairMLFFStudent::warn_about_lost_pairs() const
{
  std::string lost;
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = i; j <= atom->ntypes; j++)
      if (species_of[i] > 0 && species_of[j] > 0 && !has_pairs[i][j])
        lost += (lost.empty() ? "" : ", ") + std::to_string(i) + "-" + std::to_string(j);
  if (!lost.empty() && comm->me == 0)
    error->warning(FLERR, "mlff_student: a later pair_coeff took pairs of types " + lost +
                       " from the model, which was not trained without them: use hybrid/overlay, write the "
                       "pair_coeff of mlff_student last, or NULL for types that are not the model's");
}

void PairMLFFStudent::check_special_bonds()
{
  // At this point hybrid has put this style's own factors in place (pair_modify special).
  if (atom->molecular == Atom::ATOMIC || (atom->nbonds == 0 && atom->molecular != Atom::TEMPLATE))
    return;
  for (int k = 1; k <= 3; k++)
    if (force->special_lj[k] != 1.0 || neighbor->special_flag[k] == 0)
      error->all(FLERR, "pair_style mlff_student needs all pairs, but special_bonds removes or scales those "
                        "of bonded atoms (factor " +
                     plain(force->special_lj[k]) + " for 1-" + std::to_string(k + 1) +
                     " pairs): write 'special_bonds lj/coul 1.0 1.0 1.0', or under hybrid 'special_bonds "
                     "lj/coul 0.5 0.5 0.5' with 'pair_modify pair mlff_student special lj/coul 1 1 1' and, "
                     "for each other style, 'pair_modify pair STYLE special lj/coul 0 0 0'");
}

// ----------------------------------------------------------------------------------- neighbor list

// An atom that one of LAMMPS' exclusions keeps from every other one is on trial removal by fix gcmc:
// it must not even keep the energy of a free atom.
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

void PairMLFFStudent::find_species()
{
  const int total = atom->nlocal + atom->nghost;
  species_now.resize(total);
  for (int i = 0; i < total; i++) species_now[i] = species_of[atom->type[i]];
  if (neighbor->nex_group > 0)
    for (int i = 0; i < total; i++)
      if (is_excluded(i)) species_now[i] = 0;
}

// What follows from the list alone. All ranks get here in the same step: it communicates.
void PairMLFFStudent::take_list()
{
  if (first_list && ghost_shell() < info.cutoff + neighbor->skin)
    error->all(FLERR, "pair_style mlff_student: the ghost shell reaches " + plain(ghost_shell()) +
                   " Angstrom, but cutoff plus skin are " + plain(info.cutoff + neighbor->skin) +
                   ": write 'comm_modify cutoff " + plain(info.cutoff + neighbor->skin) + "'");
  if (first_list) warn_about_lost_pairs();
  check_special_bonds();
  find_owners();
  if (comm->nprocs > 1) find_wanted_rows();
  if (first_list) report_ghosts();
  first_list = false;
  list_taken = list;
  list_number = neighbor->ncalls;
}

// How far ghosts reach (Angstrom), as LAMMPS has set it up.
double PairMLFFStudent::ghost_shell() const
{
  // Cutoffs by type or collection are made from those of the pair styles.
  if (comm->mode != Comm::SINGLE) return comm->get_comm_cutoff();
  const double *h = domain->h_inv;
  // In a triclinic box, in units of the distance between opposite faces.
  const double lengths[3] = {domain->triclinic ? std::hypot(h[0], std::hypot(h[5], h[4])) : 1.0,
                             domain->triclinic ? std::hypot(h[1], h[3]) : 1.0,
                             domain->triclinic ? h[2] : 1.0};
  double least = comm->cutghost[0] / lengths[0];
  for (int k = 1; k < domain->dimension; k++) least = std::min(least, comm->cutghost[k] / lengths[k]);
  // The product and the quotient of a length leave a rounding.
  return least * (1.0 + 1e-12);
}

// Ghosts of this rank's own atoms need no exchange.
void PairMLFFStudent::find_owners()
{
  const int nlocal = atom->nlocal, nghost = atom->nghost;
  origins.resize(2 * static_cast<size_t>(nlocal + nghost));
  for (int i = 0; i < nlocal; i++) {
    origins[2 * i] = comm->me;
    origins[2 * i + 1] = i;
  }
  freight = Freight::ORIGINS;
  comm->forward_comm(this);
  owner.resize(nghost);
  for (int ghost = 0; ghost < nghost; ghost++) {
    const double *origin = &origins[2 * static_cast<size_t>(nlocal + ghost)];
    owner[ghost] = origin[0] == comm->me ? static_cast<int32_t>(origin[1]) : -1;
  }
}

// Which ghosts' rows are needed: those in this style's list, not those that a longer-ranged style
// beside it brought. LAMMPS passes ghosts on from rank to rank, so wishes travel back the same way.
void PairMLFFStudent::find_wanted_rows()
{
  const int nlocal = atom->nlocal;
  wanted.assign(nlocal + atom->nghost, 0);
  wanted_of_swap.clear();
  // Positions are those of the list only in the step of its making; inner levels of respa move them
  // before the next list.
  const bool fresh = neighbor->ago == 0 && neighbor->lastcall == update->ntimestep;
  const double reach = fresh ? info.cutoff + neighbor->skin : std::numeric_limits<double>::infinity();
  for (int ii = 0; ii < list->inum; ii++) {
    const int i = list->ilist[ii];
    const double *xi = atom->x[i];
    for (int jj = 0; jj < list->numneigh[i]; jj++) {
      const int j = list->firstneigh[i][jj] & NEIGHMASK;
      if (j < nlocal || owner[j - nlocal] >= 0) continue;
      const double *xj = atom->x[j];
      const double dx = xj[0] - xi[0], dy = xj[1] - xi[1], dz = xj[2] - xi[2];
      if (dx * dx + dy * dy + dz * dz < reach * reach) wanted[j] = 1;
    }
  }
  comm->reverse_comm(this);
}

void PairMLFFStudent::report_ghosts()
{
  // ghosts, ghosts needed from other ranks, rows sent
  bigint mine[3] = {atom->nghost, 0, 0}, all[3];
  if (comm->nprocs > 1) {
    for (int ghost = atom->nlocal; ghost < atom->nlocal + atom->nghost; ghost++)
      mine[1] += wanted[ghost];
    for (const auto &swap : wanted_of_swap)
      mine[2] += std::count(swap.second.begin(), swap.second.end(), 1);
  }
  MPI_Reduce(mine, all, 3, MPI_LMP_BIGINT, MPI_SUM, 0, world);
  if (comm->me != 0) return;
  std::string text = "mlff_student: " + std::to_string(all[0]) + " ghosts within " +
      plain(comm->get_comm_cutoff()) + " Angstrom";
  if (comm->nprocs == 1)
    text += ", all of own atoms: no exchange\n";
  else
    text += ", " + std::to_string(all[1]) + " of them needed from other ranks; " +
        std::to_string(all[2]) + " rows in each of " + std::to_string(exchanges) + " exchanges\n";
  // Once, not for each of many short runs.
  if (text != ghosts_reported) utils::logmesg(lmp, text);
  ghosts_reported = text;
}

void PairMLFFStudent::set_topology()
{
  // With an include group, LAMMPS lists neighbors of the first nfirst atoms alone.
  if (neighbor->includegroup > 0)
    for (int i = atom->nfirst; i < atom->nlocal; i++)
      if (species_now[i] > 0)
        stop("mlff_student: neigh_modify include leaves atom ID " + std::to_string(atom->tag[i]) +
             " without neighbors, but it is part of the model: write 'neigh_modify include none', or map its "
             "type to NULL");
  static const int32_t none = 0;
  static const int32_t *const no_list = &none;
  mlff_topology topology = {};
  topology.struct_size = sizeof(topology);
  topology.owned = atom->nlocal;
  topology.ghosts = atom->nghost;
  topology.centers = list->inum;
  // A rank without atoms may have no arrays at all.
  topology.species = species_now.empty() ? &none : species_now.data();
  topology.ilist = list->inum > 0 ? list->ilist : &none;
  topology.numneigh = list->inum > 0 ? list->numneigh : &none;
  topology.firstneigh = list->inum > 0 ? list->firstneigh : &no_list;
  topology.owner = owner.empty() ? nullptr : owner.data();
  topology.list_cutoff = info.cutoff + neighbor->skin;
  topology.neighbor_mask = NEIGHMASK;
  if (mlff_calculator_set_topology(calculator.get(), &topology) != MLFF_OK) fail_here();
  species = species_now;
}

// ------------------------------------------------------------------------------------- computation

void PairMLFFStudent::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  if (!initialized)
    error->all(FLERR, std::string("pair_style mlff_student: pair_coeff changed since the last setup: leave out "
                                  "'pre no' in the run command"));
  check_positions();

  find_species();
  // ncalls also tells of a list that was made in a step without forces; rerun sets it back.
  const bool new_list = first_list || neighbor->ago == 0 || list != list_taken ||
      neighbor->ncalls != list_number;
  if (new_list) take_list();
  if (!new_list && (owner.size() != static_cast<size_t>(atom->nghost) || species.size() != species_now.size()))
    stop("mlff_student: atoms came or went at step " + std::to_string(update->ntimestep) +
         " without a new neighbor list: write 'neigh_modify every 1 delay 0'");
  // Types may change while the list stays (fix atom/swap).
  if (new_list || species_now != species) set_topology();

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
  if (mlff_calculator_compute(calculator.get(), positions, exchange_rows, this, &results) != MLFF_OK)
    fail_here();

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

void PairMLFFStudent::check_positions()
{
  // Ghosts too: all ranks that have the atom say the same.
  for (int i = 0; i < atom->nlocal + atom->nghost; i++) {
    const double *x = atom->x[i];
    if (std::isfinite(x[0]) && std::isfinite(x[1]) && std::isfinite(x[2])) continue;
    const std::string text = "mlff_student: the position of atom ID " + std::to_string(atom->tag[i]) +
        " is " + plain(x[0]) + " " + plain(x[1]) + " " + plain(x[2]) + " at step " +
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
  const auto add = [&](const auto &values) {
    bytes += values.capacity() * sizeof(values[0]);
  };
  add(species);
  add(species_now);
  add(owner);
  add(energies);
  add(forces);
  add(virials);
  add(origins);
  add(wanted);
  for (const auto &swap : wanted_of_swap) add(swap.second);
  return bytes;
}

// ----------------------------------------------------------------------------------- communication

int PairMLFFStudent::exchange(void *data, uint32_t row_bytes) noexcept
{
  // An exception must not pass through the library, which is not C++.
  try {
    rows = static_cast<double *>(data);
    row_width = static_cast<int>(row_bytes / sizeof(double));
    if (row_bytes % sizeof(double) != 0 || row_width >= comm_forward)
      stop("mlff_student: rows of " + std::to_string(row_bytes) +
           " bytes do not fit the buffers of LAMMPS, made for " +
           std::to_string((comm_forward - 1) * sizeof(double)) +
           ": plugin and libmlff_student do not belong together, build both with make");
    timer->stamp(Timer::PAIR);
    freight = Freight::ROWS;
    comm->forward_comm(this);
    timer->stamp(Timer::COMM);
    return 0;
  } catch (...) {
    thrown = std::current_exception();
    return 1;
  }
}

// A row goes out behind a flag, and only where the receiver wants it: a swap of LAMMPS cannot leave
// atoms out, but its message may be shorter than its buffer.
int PairMLFFStudent::pack_forward_comm(int n, int *list, double *buf, int, int *)
{
  double *end = buf;
  if (freight == Freight::ORIGINS) {
    for (int k = 0; k < n; k++) end = std::copy_n(&origins[2 * static_cast<size_t>(list[k])], 2, end);
    return end - buf;
  }
  const auto found = wanted_of_swap.find(list);
  for (int k = 0; k < n; k++) {
    const bool send = found == wanted_of_swap.end() || found->second[k];
    *end++ = send;
    if (send) end = std::copy_n(rows + static_cast<size_t>(list[k]) * row_width, row_width, end);
  }
  return end - buf;
}

void PairMLFFStudent::unpack_forward_comm(int n, int first, double *buf)
{
  if (freight == Freight::ORIGINS) {
    std::copy_n(buf, 2 * static_cast<size_t>(n), origins.data() + 2 * static_cast<size_t>(first));
    return;
  }
  for (int i = first; i < first + n; i++) {
    if (*buf++ == 0.0) continue;
    std::copy_n(buf, row_width, rows + static_cast<size_t>(i) * row_width);
    buf += row_width;
  }
}

int PairMLFFStudent::pack_reverse_comm(int n, int first, double *buf)
{
  std::copy_n(wanted.begin() + first, n, buf);
  return n;
}

void PairMLFFStudent::unpack_reverse_comm(int n, int *list, double *buf)
{
  auto &flags = wanted_of_swap[list];
  flags.resize(std::max(flags.size(), static_cast<size_t>(n)));
  for (int k = 0; k < n; k++)
    if (buf[k] != 0.0) flags[k] = wanted[list[k]] = 1;
}

// ------------------------------------------------------------------------------------------ errors

// For calls that every rank makes: where one fails, all stop with its message.
void PairMLFFStudent::require(mlff_status status)
{
  int mine = status == MLFF_OK ? comm->nprocs : comm->me, first;
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
  stop("mlff_student: " + with_ids(mlff_last_error()) + " (step " +
       std::to_string(update->ntimestep) + ")");
}

void PairMLFFStudent::stop(const std::string &text)
{
  try {
    error->one(FLERR, text);
  } catch (...) {
    // The program ends by MPI_Abort now, at which launchers drop output that they have not read yet.
    std::fflush(nullptr);
    if (comm->nprocs > 1) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    throw;
  }
}

// The library counts atoms from 0 in the order of this rank; people know atom IDs.
std::string PairMLFFStudent::with_ids(const std::string &text) const
{
  static const std::regex mention("atoms? ([0-9]{1,9})(?: and ([0-9]{1,9}))?");
  std::string ids;
  for (std::sregex_iterator found(text.begin(), text.end(), mention), none; found != none; ++found)
    for (size_t group = 1; group < found->size(); group++) {
      if (!(*found)[group].matched) continue;
      const int index = std::stoi((*found)[group]);
      if (index >= atom->nlocal + atom->nghost) continue;
      ids += (ids.empty() ? "" : ", ") + (*found)[group].str() + " = atom ID " +
          std::to_string(atom->tag[index]);
    }
  return ids.empty() ? text : text + " [" + ids + "]";
}
