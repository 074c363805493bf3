// SPDX-License-Identifier: MIT OR Apache-2.0
/**
 * C++17 on top of mlff_student.h: handles that free themselves, errors as exceptions, an exchange
 * callback that may throw. Header only; units, shapes and thread safety are those of
 * mlff_student.h.
 *
 *     mlff::Model model("water.safetensors");
 *     mlff::Calculator calculator(model);
 *     const mlff::Results &results = calculator.compute_structure(structure);
 */
#ifndef MLFF_STUDENT_HPP
#define MLFF_STUDENT_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "mlff_student.h"

namespace mlff {

/// A failed call; what() says what was expected, what was found and what to do. @since 0.1.0
class Error : public std::runtime_error {
public:
    Error(mlff_status status, const std::string &message, std::vector<std::int32_t> atoms = {})
        : std::runtime_error(message), status_(status), atoms_(std::move(atoms)) {}

    /// MLFF_ERROR_*.
    mlff_status status() const noexcept { return status_; }

    /// The atoms that the message names, see mlff_last_error_atoms().
    const std::vector<std::int32_t> &atoms() const noexcept { return atoms_; }

private:
    mlff_status status_;
    std::vector<std::int32_t> atoms_;
};

namespace detail {

inline void check(mlff_status status) {
    if (status != MLFF_OK) {
        std::vector<std::int32_t> atoms(mlff_last_error_atoms(nullptr, 0));
        mlff_last_error_atoms(atoms.data(), static_cast<std::uint32_t>(atoms.size()));
        throw Error(status, mlff_last_error(), std::move(atoms));
    }
}

/// Refuses a library whose structs and functions are not those of this header.
inline void check_version() {
    const std::uint32_t header = MLFF_ABI_VERSION;
    const std::uint32_t library = mlff_abi_version();
    if (library >> 16 != header >> 16) {
        throw Error(MLFF_ERROR_UNSUPPORTED,
                    "compiled for version " + std::to_string(header >> 16) +
                        ".x of mlff_student.h, but the library loaded is " + mlff_version() +
                        ": compile again, or load the version compiled for");
    }
}

inline std::int32_t count(std::size_t size, const char *what) {
    if (size > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
        throw Error(MLFF_ERROR_INVALID_ARGUMENT,
                    std::to_string(size) + " " + what + ": expected less than 2^31");
    }
    return static_cast<std::int32_t>(size);
}

struct Free {
    void operator()(mlff_model *model) const noexcept { mlff_model_free(model); }
    void operator()(mlff_calculator *calculator) const noexcept {
        mlff_calculator_free(calculator);
    }
};

}  // namespace detail

/// A zero-filled struct of mlff_student.h that knows its size. @since 0.1.0
template <typename Struct> Struct zeroed() noexcept {
    Struct value{};
    value.struct_size = static_cast<std::uint32_t>(sizeof(Struct));
    return value;
}

/// Sets an option by its name, see mlff_options_set(). @since 0.1.0
inline void set(mlff_options &options, const std::string &name, const std::string &value) {
    detail::check(mlff_options_set(&options, name.c_str(), value.c_str()));
}

/// A student. Can be moved, not copied; any number of threads may use one. @since 0.1.0
class Model {
public:
    /// Reads a file, see mlff_model_load().
    explicit Model(const std::string &path) {
        detail::check_version();
        mlff_model *model = nullptr;
        detail::check(mlff_model_load(path.c_str(), &model));
        handle_.reset(model);
    }

    mlff_model_info info() const {
        auto info = zeroed<mlff_model_info>();
        detail::check(mlff_model_get_info(get(), &info));
        return info;
    }

    /// Atomic numbers that the model knows, ascending.
    std::vector<std::int32_t> species() const {
        std::uint32_t count = 0;
        detail::check(mlff_model_get_species(get(), 0, nullptr, &count));
        std::vector<std::int32_t> species(count);
        detail::check(mlff_model_get_species(get(), count, species.data(), &count));
        return species;
    }

    /// The atomic number of a chemical symbol, if the model knows it.
    std::int32_t find_species(const std::string &symbol) const {
        std::int32_t number = 0;
        detail::check(mlff_model_find_species(get(), symbol.c_str(), &number));
        return number;
    }

    /// For calls of mlff_student.h; still owned by this object.
    const mlff_model *get() const noexcept { return handle_.get(); }

private:
    std::unique_ptr<mlff_model, detail::Free> handle_;
};

/// Atoms, and a cell where they repeat; see mlff_structure. @since 0.1.0
struct Structure {
    /// Atomic numbers.
    std::vector<std::int32_t> species;
    /// x y z of each atom (Å).
    std::vector<double> positions;
    /// Lattice vectors, one per row (Å).
    std::optional<std::array<double, 9>> cell;
    /// Directions in which the structure repeats.
    std::array<bool, 3> periodic{{false, false, false}};
};

/// See mlff_results. @since 0.1.0
struct Results {
    double energy = 0.0;
    std::array<double, 9> virial{};
    std::array<double, 9> stress{};
    std::vector<double> atomic_energies;
    /// x y z of each owned atom.
    std::vector<double> forces;
    /// 9 values for each owned atom; empty where Calculator::compute was not asked for them.
    std::vector<double> atomic_virials;
};

/// Gives every ghost its owner's row, see mlff_exchange_fn. May throw. @since 0.1.0
using Exchange = std::function<void(void *rows, std::uint32_t row_bytes)>;

/// Evaluates one model. Can be moved, not copied; one thread at a time. @since 0.1.0
class Calculator {
public:
    /// With the default options. The model may end before the calculator.
    explicit Calculator(const Model &model) : Calculator(model, zeroed<mlff_options>()) {}

    /// See mlff_calculator_new(); begin with mlff::zeroed<mlff_options>().
    Calculator(const Model &model, const mlff_options &options) {
        mlff_calculator *calculator = nullptr;
        detail::check(mlff_calculator_new(model.get(), &options, &calculator));
        handle_.reset(calculator);
    }

    mlff_calculator_info info() const {
        auto info = zeroed<mlff_calculator_info>();
        detail::check(mlff_calculator_get_info(get(), &info));
        return info;
    }

    /// What the last compute found that the student did not learn, see mlff_check; also after one
    /// that threw MLFF_ERROR_OUTSIDE.
    mlff_check check() const {
        auto check = zeroed<mlff_check>();
        detail::check(mlff_calculator_get_check(get(), &check));
        return check;
    }

    /// Takes a neighbor list; begin with mlff::zeroed<mlff_neighbor_list>().
    void set_neighbor_list(const mlff_neighbor_list &list) {
        detail::check(mlff_calculator_set_neighbor_list(get(), &list));
        owned_ = static_cast<std::size_t>(list.owned);
        ghosts_ = static_cast<std::size_t>(list.ghosts);
        has_neighbor_list_ = true;
    }

    /// Computes with the neighbor list at `positions`, x y z of owned atoms, then of ghosts. What
    /// `exchange` throws is thrown again from here. Virials of atoms take a little time, where they
    /// are asked for. The results are valid until the next call.
    const Results &compute(const std::vector<double> &positions, const Exchange &exchange = {},
                           bool atomic_virials = false) {
        // Results have room for the atoms of that list.
        if (!has_neighbor_list_) {
            throw Error(MLFF_ERROR_STATE,
                        "no neighbor list is set: call set_neighbor_list of this object first, and "
                        "again after computing structures, which replaces the list");
        }
        if (positions.size() != 3 * (owned_ + ghosts_)) {
            throw Error(MLFF_ERROR_INVALID_ARGUMENT,
                        "expected x y z of " + std::to_string(owned_ + ghosts_) +
                            " owned atoms and ghosts of the list, found " +
                            std::to_string(positions.size()) + " values");
        }
        Call call{exchange, nullptr};
        mlff_results raw = prepare(results_, owned_, atomic_virials);
        const mlff_status status = mlff_calculator_compute(
            get(), positions.data(), exchange ? &Call::forward : nullptr, &call, &raw);
        if (call.thrown) {
            std::rethrow_exception(call.thrown);
        }
        detail::check(status);
        finish(results_, raw);
        return results_;
    }

    /// Computes a structure without a neighbor list; replaces the list. The results are valid
    /// until the next call.
    const Results &compute_structure(const Structure &structure) {
        const mlff_structure input = describe(structure);
        mlff_results raw = prepare(results_, structure.species.size());
        has_neighbor_list_ = false;
        detail::check(mlff_calculator_compute_structure(get(), &input, &raw));
        finish(results_, raw);
        return results_;
    }

    /// Computes several structures, all or none; replaces the list.
    std::vector<Results> compute_batch(const std::vector<Structure> &structures) {
        std::vector<Results> results(structures.size());
        std::vector<mlff_structure> inputs;
        std::vector<mlff_results> raw;
        for (std::size_t i = 0; i < structures.size(); ++i) {
            inputs.push_back(describe(structures[i]));
            raw.push_back(prepare(results[i], structures[i].species.size()));
        }
        const auto count = static_cast<std::uint32_t>(detail::count(inputs.size(), "structures"));
        has_neighbor_list_ = false;
        detail::check(mlff_calculator_compute_batch(get(), count, inputs.data(), raw.data()));
        for (std::size_t i = 0; i < structures.size(); ++i) {
            finish(results[i], raw[i]);
        }
        return results;
    }

    /// For calls of mlff_student.h; still owned by this object. Neighbor lists are set through
    /// set_neighbor_list above.
    mlff_calculator *get() const noexcept { return handle_.get(); }

private:
    /// An exception must not cross the library: it waits here until the call has returned.
    struct Call {
        const Exchange &exchange;
        std::exception_ptr thrown;

        static std::int32_t forward(void *user, void *rows, std::uint32_t row_bytes) noexcept {
            auto &call = *static_cast<Call *>(user);
            try {
                call.exchange(rows, row_bytes);
                return 0;
            } catch (...) {
                call.thrown = std::current_exception();
                return 1;
            }
        }
    };

    static mlff_results prepare(Results &results, std::size_t owned, bool atomic_virials = true) {
        results.atomic_energies.resize(owned);
        results.forces.resize(3 * owned);
        results.atomic_virials.resize(atomic_virials ? 9 * owned : 0);
        auto raw = zeroed<mlff_results>();
        raw.atomic_energies = results.atomic_energies.data();
        raw.forces = results.forces.data();
        raw.atomic_virials = atomic_virials ? results.atomic_virials.data() : nullptr;
        return raw;
    }

    static void finish(Results &results, const mlff_results &raw) noexcept {
        results.energy = raw.energy;
        for (std::size_t i = 0; i < 9; ++i) {
            results.virial[i] = raw.virial[i];
            results.stress[i] = raw.stress[i];
        }
    }

    static mlff_structure describe(const Structure &structure) {
        if (structure.positions.size() != 3 * structure.species.size()) {
            throw Error(MLFF_ERROR_INVALID_ARGUMENT,
                        "expected x y z of " + std::to_string(structure.species.size()) +
                            " atoms, found " + std::to_string(structure.positions.size()) +
                            " values");
        }
        auto raw = zeroed<mlff_structure>();
        raw.atoms = detail::count(structure.species.size(), "atoms");
        raw.species = structure.species.data();
        raw.positions = structure.positions.data();
        raw.cell = structure.cell ? structure.cell->data() : nullptr;
        for (std::size_t i = 0; i < 3; ++i) {
            raw.periodic[i] = structure.periodic[i] ? 1 : 0;
        }
        return raw;
    }

    std::unique_ptr<mlff_calculator, detail::Free> handle_;
    bool has_neighbor_list_ = false;
    std::size_t owned_ = 0;
    std::size_t ghosts_ = 0;
    Results results_;
};

}  // namespace mlff

#endif  // MLFF_STUDENT_HPP
