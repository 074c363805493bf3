// Energy, forces and stress of three water molecules in a periodic cell.
//
//     ./water MODEL
//
// The C and Fortran examples print the same text.
#include <cstddef>
#include <cstdio>
#include <exception>
#include <mlff_student.hpp>

int main(int argc, char **argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s MODEL\n", argv[0]);
        return 2;
    }
    try {
        mlff::Structure water;
        water.species = {8, 1, 1, 8, 1, 1, 8, 1, 1};
        // Å, x y z of each atom
        water.positions = {
            0.353, 3.390, 1.450, 0.647, 2.473, 1.340, 0.064, 3.661, 0.565,  // water 1
            2.058, 3.727, 3.670, 2.910, 4.178, 3.557, 1.949, 3.207, 2.859,  // water 2
            4.188, 1.116, 3.662, 3.955, 1.003, 4.597, 4.954, 1.711, 3.673,  // water 3
        };
        // Å, one lattice vector per row
        water.cell = {4.6, 0.0, 0.0, 0.3, 4.5, 0.0, 0.2, -0.2, 4.4};
        water.periodic = {true, true, true};

        const mlff::Model model(argv[1]);
        // Float64 for comparing with the other languages; leave the options out for speed.
        auto options = mlff::zeroed<mlff_options>();
        options.precision = MLFF_PRECISION_DOUBLE;
        mlff::Calculator calculator(model, options);
        const mlff::Results &results = calculator.compute_structure(water);

        std::printf("energy %24.16E eV\n", results.energy);
        for (std::size_t i = 0; i < water.species.size(); ++i) {
            const double *f = &results.forces[3 * i];
            std::printf("force %zu %24.16E %24.16E %24.16E eV/A\n", i + 1, f[0], f[1], f[2]);
        }
        for (std::size_t row = 0; row < 3; ++row) {
            const double *s = &results.stress[3 * row];
            std::printf("stress %zu %24.16E %24.16E %24.16E eV/A^3\n", row + 1, s[0], s[1], s[2]);
        }
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
