// SPDX-License-Identifier: GPL-2.0-or-later
// What the input says that is possible, but hardly meant. Said on rank 0.

#include "elements.h"
#include "pair_mlff_student.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "group.h"
#include "input.h"
#include "neighbor.h"
#include "update.h"
#include "variable.h"

#include <cmath>
#include <cstring>
#include <iterator>

using namespace LAMMPS_NS;

namespace {

// Deuterium has 1.998 times the mass of hydrogen.
constexpr double OTHER_MASS = 2.01;

bool is_mass_of(double mass, const Element &element)
{
  return mass < OTHER_MASS * element.mass && element.mass < OTHER_MASS * mass;
}

// ", that of O", where a mass is that of an element.
std::string whose_mass(double mass)
{
  const Element *nearest = &ELEMENTS[0];
  for (const auto &element : ELEMENTS)
    if (std::fabs(element.mass - mass) < std::fabs(nearest->mass - mass)) nearest = &element;
  if (std::fabs(nearest->mass - mass) > 0.02 * mass) return "";
  return std::string(", that of ") + nearest->symbol;
}

// The atom type whose label (labelmap atom) is a chemical symbol, or 0.
int type_of_label(Input *input, const std::string &symbol)
{
#if MLFF_LAMMPS_VERSION >= 20240829
  // The class of labels has no public header; variables know them.
  const std::string label = "(atom," + symbol + ")";
  if (input->variable->compute_equal("is_typelabel" + label) != 0.0)
    return static_cast<int>(input->variable->compute_equal("label2type" + label));
#else
  (void)input;
  (void)symbol;
#endif
  return 0;
}

bool has_labels(const Atom *atom)
{
#if MLFF_LAMMPS_VERSION >= 20240829
  return atom->labelmapflag != 0;
#else
  (void)atom;
  return false;
#endif
}

}    // namespace

// The order of the elements in pair_coeff is easily another one than that of the types.
void PairMLFFStudent::warn_about_elements()
{
  if (elements_compared) return;
  elements_compared = true;
  const int known = static_cast<int>(std::size(ELEMENTS));
  std::string wrong;
  const auto add = [&](int type, const std::string &what) {
    wrong += (wrong.empty() ? "type " : "; type ") + std::to_string(type) + " is " +
             ELEMENTS[species_of[type] - 1].symbol + " there, but " + what;
  };
  for (int type = 1; type <= atom->ntypes; type++) {
    const int number = species_of[type];
    // With masses of their own, atoms have none by type.
    if (number < 1 || number > known || atom->rmass || !atom->mass_setflag[type]) continue;
    const double mass = atom->mass[type];
    if (!is_mass_of(mass, ELEMENTS[number - 1]))
      add(type, "has mass " + plain(mass) + whose_mass(mass));
  }
  for (int number = 1; number <= known && has_labels(atom); number++) {
    const char *symbol = ELEMENTS[number - 1].symbol;
    const int type = type_of_label(input, symbol);
    const int mapped = type > 0 ? species_of[type] : 0;
    if (mapped > 0 && mapped <= known && mapped != number)
      add(type, std::string("has the label ") + symbol);
  }
  if (!wrong.empty() && comm->me == 0)
    error->warning(FLERR,
                   "mlff_student: atom types do not fit the elements of pair_coeff: " + wrong +
                       ": pair_coeff takes one element for each atom type, in the order of the "
                       "types (where other masses are meant, nothing has to be done)");
}

// Float32 features round the energy of a molecule by some 1e-7 eV. Line searches compare energies,
// and find no lower one where forces (eV/Angstrom, their norm) are about these limits; fire goes by
// forces.
void PairMLFFStudent::warn_about_minimization() const
{
  const bool rounded =
      options.precision == MLFF_PRECISION_MIXED && info.architecture != MLFF_ARCHITECTURE_SCRIPT;
  // With a tolerance of energies, minimize may stop as it should before.
  if (update->whichflag != 2 || !rounded || update->etol != 0.0) return;
  const std::string style = update->minimize_style;
  double limit = -1.0;
  if (utils::strmatch(style, "^cg") || utils::strmatch(style, "^sd")) limit = 1e-3;
  if (utils::strmatch(style, "^hftn")) limit = 1e-5;
  if (update->ftol <= limit * to_lammps && comm->me == 0)
    error->warning(FLERR, "mlff_student: min_style " + style +
                              " compares energies, which precision mixed rounds: it may end with "
                              "'linesearch alpha is zero' before forces are below " +
                              plain(update->ftol) +
                              ": write 'min_style fire', or 'precision double' in pair_style");
}

void PairMLFFStudent::warn_about_exclusions() const
{
  // fix gcmc and fix widom exclude the atoms they remove on trial; is_excluded takes care of those.
  bool others = neighbor->nex_type > 0 || neighbor->nex_mol > 0 || neighbor->includegroup > 0;
  for (int i = 0; i < neighbor->nex_group; i++) {
    // Their groups have a colon in the name, which users' groups cannot have; deleted groups have
    // none.
    const char *name = group->names[neighbor->ex1_group[i]];
    others |= name == nullptr || std::strchr(name, ':') == nullptr;
  }
  if (others && comm->me == 0)
    error->warning(
        FLERR, std::string("mlff_student: neigh_modify exclude or include removes pairs from the "
                           "model, which was not trained without them"));
}

// In plain hybrid the last pair_coeff has a pair of types to itself. Types of which no pair is left
// are an error where there are such atoms (check_types).
void PairMLFFStudent::warn_about_lost_pairs() const
{
  std::string lost;
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = i; j <= atom->ntypes; j++)
      if (species_of[i] > 0 && species_of[j] > 0 && !has_pairs[i][j] && has_list(i) && has_list(j))
        lost += (lost.empty() ? "" : ", ") + std::to_string(i) + "-" + std::to_string(j);
  if (!lost.empty() && comm->me == 0)
    error->warning(
        FLERR,
        "mlff_student: a later pair_coeff took pairs of types " + lost +
            " from the model, which was not trained without them: use hybrid/overlay, write the "
            "pair_coeff of mlff_student last, or NULL for types that are not the model's");
}
