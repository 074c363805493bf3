// What mlff_student.hpp adds to the C API.
//
//     ./faces MODEL
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mlff_student.hpp>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

static_assert(!std::is_copy_constructible_v<mlff::Model> &&
              std::is_move_constructible_v<mlff::Model>);
static_assert(!std::is_copy_assignable_v<mlff::Calculator> &&
              std::is_nothrow_move_constructible_v<mlff::Model>);

static int failures = 0;

static void require(bool holds, const std::string &what) {
    if (!holds) {
        std::printf("FAILED %s\n", what.c_str());
        ++failures;
    }
}

template <typename Call> static void throws(mlff_status status, const std::string &words,
                                            Call call) {
    try {
        call();
        require(false, words + ": nothing was thrown");
    } catch (const mlff::Error &error) {
        require(error.status() == status, words + ": " + mlff_status_name(error.status()));
        require(std::string(error.what()).find(words) != std::string::npos, error.what());
    }
}

struct Stop : std::runtime_error {
    using std::runtime_error::runtime_error;
};

int main(int argc, char **argv) {
    if (argc != 2) {
        return 2;
    }
    throws(MLFF_ERROR_IO, "missing.pt", [] { mlff::Model("missing.pt"); });

    mlff::Model first(argv[1]);
    mlff::Model model = std::move(first);
    require(model.info().cutoff == 5.0 && model.info().blocks == 2, "info of the 21k student");
    const std::vector<std::int32_t> species = model.species();
    require(species.size() == model.info().species_count && species.front() == 1, "species");
    require(model.find_species("Cl") == 17, "find_species");
    throws(MLFF_ERROR_SPECIES, "Og", [&] { model.find_species("Og"); });

    auto options = mlff::zeroed<mlff_options>();
    options.device = MLFF_DEVICE_CUDA;
    mlff::set(options, "precision", "double");
    require(options.precision == MLFF_PRECISION_DOUBLE, "an option by its name");
    throws(MLFF_ERROR_INVALID_ARGUMENT, "mixed or double",
           [&] { mlff::set(options, "precision", "single"); });
    throws(MLFF_ERROR_UNSUPPORTED, "device cpu", [&] { mlff::Calculator(model, options); });
    options.device = MLFF_DEVICE_CPU;
    mlff::Calculator calculator(model, options);
    require(calculator.info().threads == 1, "threads");

    mlff::Structure water;
    water.species = {8, 1, 1};
    water.positions = {0.0, 0.0, 0.0, 0.96, 0.0, 0.0, -0.24, 0.93, 0.0};
    const mlff::Results alone = calculator.compute_structure(water);
    require(alone.forces.size() == 9 && alone.atomic_energies.size() == 3, "sizes");
    require(alone.stress[0] == 0.0, "no stress without a cell");
    double sum = 0.0;
    for (double energy : alone.atomic_energies) sum += energy;
    require(std::fabs(sum - alone.energy) < 1e-12, "atomic energies sum to the energy");
    for (std::size_t k = 0; k < 9; ++k) {
        double part = 0.0;
        for (std::size_t i = 0; i < 3; ++i) part += alone.atomic_virials[9 * i + k];
        require(std::fabs(part - alone.virial[k]) < 1e-12, "atomic virials sum to the virial");
    }

    require(model.info().energy_range == 1, "the student knows the energies of its training data");
    options.check = MLFF_CHECK_STRICT;
    mlff::Calculator strict(model, options);
    // Oxygen and the first hydrogen, 0.4 angstrom apart: half of the sum of their radii is 0.485.
    mlff::Structure near = water;
    near.positions[3] = 0.4;
    throws(MLFF_ERROR_OUTSIDE, "atoms 0 and 1", [&] { strict.compute_structure(near); });
    const mlff_check found_near = strict.check();
    require(found_near.overlaps == 1 && found_near.pairs[0] == 0 && found_near.pairs[1] == 1 &&
                found_near.pairs[2] == -1,
            "the check after a strict failure");
    const double again = strict.compute_structure(water).energy;
    require(again == alone.energy, "usable after a strict failure");
    require(strict.check().structures == 0, "nothing is found in water");

    mlff::Structure boxed = water;
    boxed.cell = {9.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 9.0};
    boxed.periodic = {true, true, true};
    const std::vector<mlff::Results> both = calculator.compute_batch({water, boxed});
    require(both.size() == 2 && both[0].energy == alone.energy, "batch, first");
    require(both[0].forces == alone.forces, "batch, forces");
    require(both[1].energy == calculator.compute_structure(boxed).energy, "batch, second");
    require(both[1].stress[0] != 0.0, "stress in a cell");
    water.positions.pop_back();
    throws(MLFF_ERROR_INVALID_ARGUMENT, "3 atoms", [&] { calculator.compute_structure(water); });

    // A ghost of another process within the list, but beyond the cutoff.
    const std::int32_t with_ghost[] = {8, 1, 1, 8};
    const std::int32_t lists[3][3] = {{1, 2, 0}, {0, 2, 3}, {0, 1, 0}};
    const std::int32_t numneigh[] = {2, 3, 2};
    const std::int32_t *const firstneigh[] = {lists[0], lists[1], lists[2]};
    auto list = mlff::zeroed<mlff_neighbor_list>();
    list.owned = list.centers = 3;
    list.ghosts = 1;
    list.species = with_ghost;
    list.numneigh = numneigh;
    list.firstneigh = firstneigh;
    list.list_cutoff = 6.0;
    std::vector<double> positions = {0.0,   0.0,  0.0, 0.96, 0.0, 0.0,
                                     -0.24, 0.93, 0.0, 6.5,  0.0, 0.0};
    throws(MLFF_ERROR_STATE, "set_neighbor_list", [&] {
        mlff::Calculator fresh(model);
        fresh.compute({});
    });
    calculator.set_neighbor_list(list);
    throws(MLFF_ERROR_INVALID_ARGUMENT, "exchange", [&] { calculator.compute(positions); });

    std::uint32_t calls = 0;
    const mlff::Exchange exchange = [&](void *rows, std::uint32_t row_bytes) {
        std::memcpy(static_cast<char *>(rows) + 3 * std::size_t{row_bytes}, rows, row_bytes);
        ++calls;
    };
    const mlff::Results &found = calculator.compute(positions, exchange);
    require(calls == calculator.info().exchanges, "number of exchanges");
    require(std::fabs(found.energy - alone.energy) < 1e-10, "energy with a list");
    for (std::size_t i = 0; i < 9; ++i) {
        require(std::fabs(found.forces[i] - alone.forces[i]) < 1e-10, "forces with a list");
    }
    require(found.atomic_virials.empty(), "no virials of atoms unless asked for");
    const std::vector<double> virials =
        calculator.compute(positions, exchange, true).atomic_virials;
    require(virials.size() == alone.atomic_virials.size(), "virials of atoms");
    for (std::size_t i = 0; i < virials.size(); ++i) {
        require(std::fabs(virials[i] - alone.atomic_virials[i]) < 1e-10, "virials with a list");
    }
    const double before = found.energy;
    try {
        calculator.compute(positions,
                           [](void *, std::uint32_t) { throw Stop("from the callback"); });
        require(false, "an exception of the callback was lost");
    } catch (const Stop &stop) {
        require(std::string(stop.what()) == "from the callback", "the same exception");
    }
    require(calculator.compute(positions, exchange).energy == before, "usable after an exception");
    positions.push_back(0.0);
    throws(MLFF_ERROR_INVALID_ARGUMENT, "4 owned atoms and ghosts",
           [&] { calculator.compute(positions, exchange); });

    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
