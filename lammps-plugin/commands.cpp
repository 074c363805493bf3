// SPDX-License-Identifier: GPL-2.0-or-later
// The commands pair_style and pair_coeff: keywords, the model, and what the log says of it.

#include "elements.h"
#include "pair_mlff_student.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "update.h"

#include <algorithm>
#include <cstring>
#include <iterator>

using namespace LAMMPS_NS;

namespace {

// The library's options, which are the keywords of pair_style.
std::vector<mlff_option_info> keywords()
{
  std::vector<mlff_option_info> all;
  mlff_option_info info = {};
  info.struct_size = sizeof(info);
  while (mlff_options_describe(all.size(), &info) == MLFF_OK && info.name) all.push_back(info);
  return all;
}

bool is_keyword(const std::string &word)
{
  for (const auto &keyword : keywords())
    if (word == keyword.name) return true;
  return false;
}

std::string usage()
{
  std::string text = "pair_style mlff_student";
  for (const auto &keyword : keywords())
    text += std::string(" [") + keyword.name + " " + keyword.values + "]";
  return text;
}

// Whether a word is the name of a file rather than one of LAMMPS' or a chemical symbol.
bool names_a_file(const std::string &word)
{
  return word.find_first_of("./") != std::string::npos ||
         !utils::get_potential_file_path(word).empty();
}

bool is_symbol(const std::string &word)
{
  const auto same = [&](const Element &element) { return word == element.symbol; };
  return word == "NULL" || std::any_of(std::begin(ELEMENTS), std::end(ELEMENTS), same);
}

}    // namespace

void PairMLFFStudent::reset_options()
{
  options = {};
  options.struct_size = sizeof(options);
  options.check = MLFF_CHECK_REPORT;
  check = MLFF_CHECK_WARN;
  by_rank = false;
}

void PairMLFFStudent::settings(int narg, char **arg)
{
  reset_options();
  options.check = check;
  // A calculator has the options of its making: pair_coeff makes the next one.
  initialized = false;
  calculator.reset();
  model.reset();

  for (int i = 0; i < narg; i += 2) {
    const std::string keyword = arg[i];
    const bool known = is_keyword(keyword);
    // Other machine-learned pair styles want their model here.
    if (!known && names_a_file(keyword)) {
      std::string elements = "El1 El2 ...";
      if (domain->box_exist) {
        elements = "El1";
        for (int type = 2; type <= atom->ntypes; type++) elements += " El" + std::to_string(type);
      }
      error->all(FLERR,
                 "pair_style mlff_student: found '" + keyword +
                     "' where a keyword belongs: pair_style takes no model, pair_coeff does: "
                     "write '" +
                     coeff_line(keyword, elements) + "' with the element of each atom type");
    }
    // The library says what is wrong with a word.
    if (!known) set_option(keyword, "");
    if (i + 1 == narg)
      error->all(FLERR,
                 "pair_style mlff_student: keyword '" + keyword + "' needs a value" +
                     (keyword == "filter"
                          ? ": table or exact (under hybrid, where LAMMPS takes the word table for "
                            "the next pair style, write 'filter tabulated', or nothing: it is the "
                            "default)"
                          : ""));
    set_option(keyword, arg[i + 1]);
    // A GPU for each rank, see gpu_of_rank.
    if (keyword == "device") by_rank = std::strcmp(arg[i + 1], "cuda") == 0;
  }

  // Here it is this pair style that warns and stops, with atom IDs.
  check = options.check;
  options.check = check == MLFF_CHECK_OFF ? MLFF_CHECK_OFF : MLFF_CHECK_REPORT;
  check_units();
  if (domain->box_exist) allocate();
}

// Sets an option, or stops with what the library says of it.
void PairMLFFStudent::set_option(const std::string &keyword, const char *value)
{
  if (mlff_options_set(&options, keyword.c_str(), value) == MLFF_OK) return;
  error->all(FLERR,
             std::string("pair_style mlff_student: ") + mlff_last_error() + ": write " + usage());
}

// The word that an option was given, which for check is not what the library was told.
std::string PairMLFFStudent::option(const char *keyword) const
{
  mlff_options given = options;
  given.check = check;
  char word[32] = "";
  mlff_options_get(&given, keyword, word, sizeof(word));
  return word;
}

void PairMLFFStudent::check_units()
{
  const std::string units = update->unit_style;
  if (units != "metal" && units != "real")
    error->all(FLERR,
               "pair_style mlff_student: expected units metal (eV) or real (kcal/mol), found "
               "units " +
                   units +
                   ": write 'units metal' at the top of the input, with lengths in Angstrom");
  // The factor that LAMMPS itself uses where it converts potential files.
  to_lammps =
      units == "real" ? utils::get_conversion_factor(utils::ENERGY, utils::METAL2REAL) : 1.0;
}

// The pair_coeff command to write.
std::string PairMLFFStudent::coeff_line(const std::string &file, const std::string &elements) const
{
  const bool hybrid = force->pair && utils::strmatch(force->pair_style, "^hybrid");
  return std::string("pair_coeff * * ") + (hybrid ? "mlff_student " : "") + file + " " + elements;
}

void PairMLFFStudent::coeff(int narg, char **arg)
{
  const int ntypes = atom->ntypes;
  if (narg < 3 || std::strcmp(arg[0], "*") != 0 || std::strcmp(arg[1], "*") != 0)
    error->all(FLERR,
               "pair_style mlff_student takes one pair_coeff for all types: write 'pair_coeff * * "
               "model.safetensors' followed by one element or NULL for each of the " +
                   std::to_string(ntypes) + " atom types");
  if (is_symbol(arg[2]) && !names_a_file(arg[2])) {
    std::string file = "model.safetensors", elements;
    for (int i = 2; i < narg; i++) {
      if (names_a_file(arg[i]))
        file = arg[i];
      else
        elements += (elements.empty() ? "" : " ") + std::string(arg[i]);
    }
    error->all(FLERR, std::string("pair_coeff of mlff_student: found '") + arg[2] +
                          "' where the model's file belongs: write '" + coeff_line(file, elements) +
                          "'");
  }
  const int given = narg - 3;
  if (given != ntypes)
    error->all(FLERR, "pair_coeff of mlff_student: expected " + std::to_string(ntypes) +
                          " elements (one element or NULL for each atom type) after " + arg[2] +
                          ", found " + std::to_string(given));

  // Also for a hybrid that read_restart made, which calls no settings.
  check_units();
  allocate();
  initialized = elements_compared = false;
  calculator.reset();
  model.reset();
  load(arg[2]);

  species_of.assign(ntypes + 1, 0);
  for (int type = 1; type <= ntypes; type++) {
    const char *symbol = arg[2 + type];
    if (std::strcmp(symbol, "NULL") == 0) {
      // A hybrid style is force->pair itself and calls this for its sub-style.
      if (force->pair == this)
        error->all(FLERR,
                   "pair_coeff of mlff_student: type " + std::to_string(type) +
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

  // LAMMPS sizes its buffers by this. Before each row its flag; one process exchanges none.
  comm_forward = 2;
  if (comm->nprocs > 1)
    comm_forward = std::max<int>(2, 1 + calculator_info.row_bytes / sizeof(double));

  if (comm->me == 0) {
    std::string mapping;
    for (int type = 1; type <= ntypes; type++)
      mapping += (type == 1 ? "type " : ", type ") + std::to_string(type) + " = " + arg[2 + type];
    utils::logmesg(lmp, std::string("mlff_student: ") + arg[2] + ": " + mapping + "\n");
    describe();
    describe_check();
    warn_about_model();
  }
}

// Ranks on one node take its GPUs in turn. Names of nodes are all that MPI-2 and LAMMPS' own
// stand-in for MPI know of where ranks are.
int PairMLFFStudent::gpu_of_rank() const
{
  std::vector<char> mine(MPI_MAX_PROCESSOR_NAME, '\0'), all(mine.size() * comm->nprocs);
  int length = 0;
  MPI_Get_processor_name(mine.data(), &length);
  const int size = static_cast<int>(mine.size());
  MPI_Allgather(mine.data(), size, MPI_CHAR, all.data(), size, MPI_CHAR, world);
  int before = 0;
  for (int rank = 0; rank < comm->me; rank++)
    before += std::equal(mine.begin(), mine.end(),
                         all.begin() + static_cast<std::ptrdiff_t>(rank) * size);
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
    utils::logmesg(lmp, "mlff_student: a TorchScript model, evaluated by libtorch, cutoff " +
                            plain(info.cutoff) + " Angstrom; " + device + "\n");
    return;
  }
  utils::logmesg(lmp, std::string("mlff_student: ") + info.architecture_name + " architecture, " +
                          std::to_string(info.parameters) + " parameters, " +
                          std::to_string(info.blocks) + " blocks, cutoff " + plain(info.cutoff) +
                          " Angstrom; precision " + option("precision") +
                          (options.engine == MLFF_ENGINE_TORCH
                               ? std::string(", libtorch, ")
                               : std::string(", filter ") + option("filter") + ", ") +
                          device + "\n");
}

// Called on rank 0 alone.
void PairMLFFStudent::describe_check() const
{
  std::string what = ": atoms outside of the training data, and atoms that overlap";
  if (options.engine == MLFF_ENGINE_TORCH || info.architecture == MLFF_ARCHITECTURE_SCRIPT)
    what = ": atoms that overlap, but with libtorch none outside of the training data";
  else if (!info.energy_range)
    what =
        ": atoms that overlap, but none outside of the training data, since this model does not "
        "say which energies atoms have there";
  if (!checks()) what.clear();
  utils::logmesg(lmp, "mlff_student: check " + option("check") + what + "\n");
}

// Called on rank 0 alone.
void PairMLFFStudent::warn_about_model() const
{
  // What a TorchScript model has is not known.
  if (info.architecture == MLFF_ARCHITECTURE_SCRIPT) return;
  if (!info.rotation_invariant)
    error->warning(FLERR,
                   std::string("mlff_student: this model is not rotation-invariant: its energy and "
                               "forces depend on how the system is turned"));
  if (!info.continuous_at_cutoff)
    error->warning(
        FLERR, std::string("mlff_student: this model is not continuous at its cutoff: the energy "
                           "jumps when a pair crosses it, and a run does not conserve energy"));
}
