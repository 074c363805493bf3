// SPDX-License-Identifier: GPL-2.0-or-later
// pair_style mlff_student: distilled (student) force fields through the C API of libmlff_student.

#ifndef PAIR_MLFF_STUDENT_H
#define PAIR_MLFF_STUDENT_H

#include "pair.h"

#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "mlff_student.h"

namespace LAMMPS_NS {

class PairMLFFStudent : public Pair {
 public:
  // What is done where the model is taken for what it did not learn. The library is only asked,
  // since messages need atom IDs and steps.

  explicit PairMLFFStudent(LAMMPS *);
  ~PairMLFFStudent() override;

  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  void compute(int, int) override;
  double memory_usage() override;

  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;

 private:
  struct FreeModel {
    void operator()(mlff_model *model) const { mlff_model_free(model); }
  };
  struct FreeCalculator {
    void operator()(mlff_calculator *calculator) const { mlff_calculator_free(calculator); }
  };

  mlff_options options = {};
  int32_t check = MLFF_CHECK_WARN;    // as the user gave it
  bool by_rank = false;               // device cuda: GPUs are shared out among the ranks of a node
  std::vector<int> gpus_of_ranks;     // on rank 0
  std::unique_ptr<mlff_model, FreeModel> model;
  std::unique_ptr<mlff_calculator, FreeCalculator> calculator;
  mlff_model_info info = {};
  uint32_t exchanges = 0;                      // calls of the exchange callback in each compute
  double to_lammps = 1.0;                      // eV in the energy unit of the unit style
  std::vector<int32_t> species_of;             // atomic number by atom type, 0 for NULL
  std::vector<std::vector<bool>> has_pairs;    // by two atom types

  bool initialized = false;          // init_style ran for this model
  bool elements_compared = false;    // with masses and labels, since pair_coeff
  bool first_list = true;            // no neighbor list was taken since init_style
  bool said_outside = false, said_overlaps = false;    // warned of in this run
  bigint list_number = -1;                             // neighbor->ncalls when the list was taken
  bigint list_step = -1;                               // neighbor->lastcall then
  NeighList *list_taken = nullptr;
  std::string ghosts_reported;

  // A neighbor list as LAMMPS keeps it: atoms that have one, and by atom its length and entries.
  struct Neighbors {
    const int *ilist, *numneigh;
    int *const *firstneigh;
  };
  bool trimmed = false;               // the list is the one below, not LAMMPS'
  std::vector<int> near_entries;      // of all atoms
  std::vector<size_t> near_starts;    // by place in ilist: where an atom's entries begin
  std::vector<int> near_counts;       // by atom
  std::vector<int *> near_first;      // by atom

  std::vector<int32_t> species;        // by atom, as the calculator has them
  std::vector<int32_t> species_now;    // by atom, at this step
  std::vector<bool> excluded;          // by atom, when the list was taken
  std::vector<int32_t> owner;          // by ghost: the owned atom it is an image of, or -1
  std::vector<double> energies, forces, virials;

  // What a forward communication carries.
  enum class Freight { ORIGINS, ROWS } freight = Freight::ORIGINS;
  std::vector<double> origins;    // by atom: rank and index of the owned atom
  std::vector<char> wanted;       // by atom: its row is needed here or where it is passed on to
  std::unordered_map<const int *, std::vector<char>> wanted_of_swap;    // by send list of LAMMPS
  double *rows = nullptr;                                               // the rows being exchanged
  int row_width = 0;                                                    // doubles in each
  std::exception_ptr thrown;    // out of LAMMPS within the callback

  // commands.cpp
  void reset_options();
  void set_option(const std::string &, const char *);
  std::string option(const char *) const;
  bool checks() const { return check == MLFF_CHECK_WARN || check == MLFF_CHECK_STRICT; }
  void check_units();
  void load(const char *);
  std::string coeff_line(const std::string &, const std::string &) const;
  int gpu_of_rank() const;
  std::string gpus_by_rank() const;
  void describe() const;
  void describe_check() const;
  void warn_about_model() const;

  // warnings.cpp
  void warn_about_elements();
  void warn_about_minimization() const;
  void warn_about_exclusions() const;
  void warn_about_lost_pairs() const;

  // neighbors.cpp
  Neighbors neighbors() const;
  double reach() const;
  void trim_list();

  // ghosts.cpp
  double ghost_shell() const;
  void find_owners();
  void find_wanted_rows();
  void report_ghosts();
  int exchange(void *, uint32_t) noexcept;

  // pair_mlff_student.cpp
  void allocate();
  void deallocate();
  void check_settings();
  bool has_special(int k) const;
  void check_special_bonds();
  void find_species();
  bool is_excluded(int) const;
  void find_excluded();
  void check_groups();
  bool has_list(int) const;
  void check_types();
  void take_list();
  void set_neighbor_list();
  void check_positions();
  void tally();
  void check_findings();
  void tell(const std::string &, bool &);
  void require(mlff_status);
  [[noreturn]] void fail_here();
  [[noreturn]] void stop(const std::string &);
  static std::string plain(double);
  std::string last_error() const;
};

}    // namespace LAMMPS_NS

#endif
