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
constexpr Choice CHECKS[] = {
    {"warn", PairMLFFStudent::WARN},
    {"strict", PairMLFFStudent::STRICT},
    {"off", PairMLFFStudent::OFF}};
struct Keyword {
  const char *name, *values;
};
constexpr Keyword KEYWORDS[] = {{"device", "cpu|cuda|cuda:N"},
                                {"engine", "own|torch"},
                                {"precision", "mixed|double"},
                                {"threads", "N"},
                                {"filter", "table|exact"},
                                {"isa", "best|portable|avx2|avx512"},
                                {"check", "warn|strict|off"}};

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
  check = WARN;
  by_rank = false;
}

void PairMLFFStudent::settings(int narg, char **arg)
{
  reset_options();
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
    const bool known = keyword == nearest_keyword(keyword).name;
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
                     "write '" + coeff_line(keyword, elements) + "' with the element of each atom type");
    }
    if (!known)
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
    else if (keyword == "check")
      check = choose("check", value, CHECKS);
    else
      error->all(FLERR, "pair_style mlff_student: nobody reads keyword '" + keyword + "'");
  }

  options.check = check == OFF ? MLFF_CHECK_OFF : MLFF_CHECK_REPORT;
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
  if (options.device_index < 0)
    error->all(FLERR, "pair_style mlff_student: GPUs have numbers from 0, found '" + device + "'");
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
    error->all(FLERR, "pair_style mlff_student takes one pair_coeff for all types: write 'pair_coeff * * "
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
    error->all(FLERR,
               std::string("pair_coeff of mlff_student: found '") + arg[2] +
                   "' where the model's file belongs: write '" + coeff_line(file, elements) + "'");
  }
  const int given = narg - 3;
  if (given != ntypes)
    error->all(FLERR, "pair_coeff of mlff_student: expected " + std::to_string(ntypes) +
                   " elements (one element or NULL for each atom type) after " + arg[2] + ", found " +
                   std::to_string(given));

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

  // LAMMPS sizes its buffers by this. Before each row its flag; one process exchanges none.
  comm_forward = 2;
  if (comm->nprocs > 1) comm_forward = std::max<int>(2, 1 + calculator_info.row_bytes / sizeof(double));

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
void PairMLFFStudent::describe_check() const
{
  std::string what = ": atoms outside of the training data, and atoms that overlap";
  if (options.engine == MLFF_ENGINE_TORCH || info.architecture == MLFF_ARCHITECTURE_SCRIPT)
    what = ": atoms that overlap, but with libtorch none outside of the training data";
  else if (!info.energy_range)
    what = ": atoms that overlap, but none outside of the training data, since this model does not "
           "say which energies atoms have there";
  if (check == OFF) what.clear();
  utils::logmesg(lmp, std::string("mlff_student: check ") + name_of(CHECKS, check) + what + "\n");
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
