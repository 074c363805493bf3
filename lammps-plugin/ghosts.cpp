// SPDX-License-Identifier: GPL-2.0-or-later Ghosts: which atoms they are images of, which of them
// need rows of other ranks, and the exchange of those.

#include "pair_mlff_student.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "timer.h"
#include "update.h"

#include <algorithm>
#include <cmath>

using namespace LAMMPS_NS;

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
  for (int k = 1; k < domain->dimension; k++)
    least = std::min(least, comm->cutghost[k] / lengths[k]);
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

// Which ghosts' rows are needed: those in this style's trimmed list, not those that a longer-ranged
// style beside it brought. LAMMPS passes ghosts on from rank to rank, so wishes travel back the
// same way.
void PairMLFFStudent::find_wanted_rows()
{
  const int nlocal = atom->nlocal;
  wanted.assign(nlocal + atom->nghost, 0);
  wanted_of_swap.clear();
  const Neighbors near = neighbors();
  for (int ii = 0; ii < list->inum; ii++) {
    const int i = near.ilist[ii];
    for (int jj = 0; jj < near.numneigh[i]; jj++) {
      const int j = near.firstneigh[i][jj] & NEIGHMASK;
      if (j >= nlocal && owner[j - nlocal] < 0) wanted[j] = 1;
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
            std::to_string(all[2]) + " rows in each of " + std::to_string(exchanges) +
            " exchanges\n";
  // Once, not for each of many short runs.
  if (text != ghosts_reported) utils::logmesg(lmp, text);
  ghosts_reported = text;
}

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
    for (int k = 0; k < n; k++)
      end = std::copy_n(&origins[2 * static_cast<size_t>(list[k])], 2, end);
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
