// SPDX-License-Identifier: GPL-2.0-or-later
// The neighbor list of this style: LAMMPS' own, or, where that reaches farther than the model
// needs, a copy without the pairs beyond.

#include "pair_mlff_student.h"

#include "atom.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"

using namespace LAMMPS_NS;

// Two students of different cutoffs share a list where the same types are NULL, one of them
// trimmed. LAMMPS of August 2023 leaves gaps in the trimmed one's ilist, but it is the beginning of
// the other's. 2022 has no trimmed lists.
template <class List>
static auto centers_of(const List &list, int)
    -> decltype(list.trim, static_cast<const int *>(nullptr))
{
  return list.copy && list.trim ? list.listcopy->ilist : list.ilist;
}

template <class List> static const int *centers_of(const List &list, long)
{
  return list.ilist;
}

PairMLFFStudent::Neighbors PairMLFFStudent::neighbors() const
{
  const int *ilist = centers_of(*list, 0);
  if (trimmed) return {ilist, near_counts.data(), near_first.data()};
  return {ilist, list->numneigh, list->firstneigh};
}

// How far apart the atoms of a pair may be now, if it must stay in the list (Angstrom). LAMMPS
// makes a new list before an atom has moved by half the skin: a pair that was within cutoff plus
// skin when the list was made is within cutoff plus two skins as long as the list is used.
double PairMLFFStudent::reach() const
{
  // Positions are those of the list only at the first computation in the step of its making: fixes
  // that differentiate numerically move atoms in that step, and so do inner levels of respa.
  const bool fresh =
      neighbor->ago == 0 && neighbor->lastcall == update->ntimestep &&
      !utils::strmatch(update->integrate_style, "^respa") &&
      !(list == list_taken && neighbor->ncalls == list_number && neighbor->lastcall == list_step);
  return info.cutoff + (fresh ? 1.0 : 2.0) * neighbor->skin;
}

// LAMMPS gives the style of the smallest cutoff the list of the largest one, with eight times the
// pairs beside lj/cut 12.0. They are dropped once for each list, in the order of the list.
void PairMLFFStudent::trim_list()
{
  // Where no style needs more, LAMMPS' list is the one that is wanted.
  const double own = info.cutoff + neighbor->skin;
  trimmed = neighbor->cutneighmax > own * (1.0 + 1e-12);
  if (!trimmed) return;
  near_counts.resize(atom->nlocal);
  near_first.resize(atom->nlocal);
  near_starts.resize(list->inum);
  const int *ilist = centers_of(*list, 0);
  const double most = reach() * reach();
  // Positions lie one after the other.
  const double *const x = list->inum > 0 ? atom->x[0] : nullptr;
  size_t count = 0;
  for (int ii = 0; ii < list->inum; ii++) {
    const int i = ilist[ii], listed = list->numneigh[i];
    // Room for all of them: each is written where the next one that is kept goes.
    if (near_entries.size() < count + listed) near_entries.resize(2 * (count + listed));
    const int *entries = list->firstneigh[i];
    const double *const xi = x + 3 * static_cast<size_t>(i);
    int *const kept = near_entries.data() + count;
    int many = 0;
    for (int jj = 0; jj < listed; jj++) {
      const double *const xj = x + 3 * static_cast<size_t>(entries[jj] & NEIGHMASK);
      const double dx = xj[0] - xi[0], dy = xj[1] - xi[1], dz = xj[2] - xi[2];
      // No branch: most pairs are beyond, in no order.
      kept[many] = entries[jj];
      many += dx * dx + dy * dy + dz * dz <= most;
    }
    near_starts[ii] = count;
    near_counts[i] = many;
    count += many;
  }
  // Only now: entries have moved where more room was made.
  for (int ii = 0; ii < list->inum; ii++)
    near_first[ilist[ii]] = near_entries.data() + near_starts[ii];
}
