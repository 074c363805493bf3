// SPDX-License-Identifier: GPL-2.0-or-later
// Registers pair_style mlff_student, but only in the LAMMPS that the plugin was built for.

#include "pair_mlff_student.h"

#include "force.h"
#include "lammps.h"
#include "lmptype.h"

#include <mpi.h>

#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <string>

namespace {

// The record and the function that LAMMPS' PLUGIN package expects, the same in every release since
// 2021. Installed LAMMPS headers do not include lammpsplugin.h.
extern "C" {
struct lammpsplugin_t {
  const char *version;
  const char *style;
  const char *name;
  const char *info;
  const char *author;
  void *(*creator)(void *);
  void *handle;
};
typedef void (*lammpsplugin_regfunc)(lammpsplugin_t *, void *);

// C functions of LAMMPS' library interface: callable in any release, before anything is known
// about the layout of its classes.
int lammps_version(void *);
int lammps_extract_setting(void *, const char *);
int lammps_config_has_mpi_support();
}

// Two builds of one release may have other symbols: those of std::string have two names. Weak ones
// that are missing are null (CMakeLists.txt), and to call them would be a crash without a message.
const char *missing_symbol()
{
#if _GLIBCXX_USE_CXX11_ABI
  const char *name =
      "_ZN9LAMMPS_NS5utils23get_potential_file_pathERKNSt7__cxx1112basic_stringIcSt11char_"
      "traitsIcESaIcEEE";
#else
  const char *name = "_ZN9LAMMPS_NS5utils23get_potential_file_pathERKSs";
#endif
  return dlsym(RTLD_DEFAULT, name) ? nullptr : name;
}

#ifndef MPI_STUBS
// MPIs share their functions' names, but not their constants and handles. This function has neither
// in its arguments.
std::string mpi_mismatch()
{
  char text[1 << 14] = "";    // more than any MPI writes
  int length = 0;
  MPI_Get_library_version(text, &length);
  const bool found = std::strstr(text, "Open MPI") != nullptr;
#ifdef OPEN_MPI
  const bool built = true;
#else
  const bool built = false;
#endif
  if (found == built) return "";
  return std::string("it was built ") + (built ? "with" : "without") +
         " Open MPI, this LAMMPS runs with " +
         std::string(text).substr(0, std::strcspn(text, ",\n"));
}
#endif

// Empty where this LAMMPS is the one that the plugin was compiled for, else what differs.
std::string mismatch(void *lmp)
{
  const int version = lammps_version(lmp);
  if (version != MLFF_LAMMPS_VERSION)
    return "it was built for LAMMPS " + std::to_string(MLFF_LAMMPS_VERSION) + ", this is LAMMPS " +
           std::to_string(version);
#ifdef MPI_STUBS
  const bool mpi = false;
#else
  const bool mpi = true;
#endif
  // LAMMPS' own stand-in for MPI (STUBS) has other constants.
  if ((lammps_config_has_mpi_support() != 0) != mpi)
    return std::string("it was built ") + (mpi ? "with" : "without") + " MPI, this LAMMPS " +
           (mpi ? "has none (give CMAKE_FLAGS=-DMPI_INCLUDE_DIR= of its src/STUBS)" : "has it");
  const struct {
    const char *name;
    int built;
  } sizes[] = {{"bigint", sizeof(LAMMPS_NS::bigint)},
               {"tagint", sizeof(LAMMPS_NS::tagint)},
               {"imageint", sizeof(LAMMPS_NS::imageint)}};
  for (const auto &size : sizes) {
    const int found = lammps_extract_setting(lmp, size.name);
    if (found != size.built)
      return std::string("it was built for ") + std::to_string(size.built) + " byte " + size.name +
             ", this LAMMPS has " + std::to_string(found) + " bytes";
  }
  if (const char *name = missing_symbol())
    return std::string(
               "it was built for another C++ library or build of this release, this LAMMPS has "
               "no ") +
           name;
#ifdef MPI_STUBS
  return "";
#else
  return mpi_mismatch();
#endif
}

// The folder of the LAMMPS library in use, for the command to type.
std::string lammps_folder()
{
  Dl_info info;
  if (!dladdr(reinterpret_cast<void *>(lammps_version), &info) || !info.dli_fname)
    return "/path/to/this/lammps";
  const std::string file = info.dli_fname;
  const auto slash = file.rfind('/');
  return slash == std::string::npos ? "." : file.substr(0, slash);
}

// A library with another major version, or older than the header, has other functions.
bool library_fits()
{
  const uint32_t found = mlff_abi_version(), built = MLFF_ABI_VERSION;
  return found >> 16 == built >> 16 && found >= built;
}

void refuse(void *lmp, const std::string &reason, const std::string &remedy)
{
  if (lammps_extract_setting(lmp, "world_rank") != 0) return;
  std::fprintf(stdout,
               "ERROR: mlff_studentplugin.so is not loaded: %s.\n"
               "       Nothing of it was registered, so pair_style mlff_student stays unknown.\n"
               "       %s\n",
               reason.c_str(), remedy.c_str());
  std::fflush(stdout);
}

LAMMPS_NS::Pair *create_pair(LAMMPS_NS::LAMMPS *lmp)
{
  return new LAMMPS_NS::PairMLFFStudent(lmp);
}

}    // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle,
                                                                         void *regfunc)
{
  const std::string difference = mismatch(lmp);
  if (!difference.empty())
    return refuse(lmp, difference,
                  "Build it for this LAMMPS, in the folder of mlff-student: "
                  "make plugin LAMMPS=" +
                      lammps_folder());
  if (!library_fits())
    return refuse(lmp,
                  std::string("it was built for another libmlff_student than the one found, ") +
                      mlff_version(),
                  "Build both in the folder of mlff-student: make");

  lammpsplugin_t plugin;
  // The date with its update number; the release itself was compared above.
  plugin.version = static_cast<LAMMPS_NS::LAMMPS *>(lmp)->version;
  plugin.style = "pair";
  plugin.name = "mlff_student";
  plugin.info = "mlff_student pair style " MLFF_PLUGIN_VERSION;
  plugin.author = "the mlff-student developers";
  // LAMMPS calls it by its true type.
  plugin.creator = reinterpret_cast<void *(*)(void *)>(create_pair);
  plugin.handle = handle;
  reinterpret_cast<lammpsplugin_regfunc>(regfunc)(&plugin, lmp);
  // LAMMPS keeps one list of plugins for all instances in a process, and does nothing for the
  // second one.
  (*static_cast<LAMMPS_NS::LAMMPS *>(lmp)->force->pair_map)["mlff_student"] = create_pair;
}
