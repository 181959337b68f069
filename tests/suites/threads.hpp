#pragma once

/// Whether the results of a backend depend on the number of threads.

#include "twin.hpp"

namespace flowfar::testing {

/// Results must be the same bits for any number of threads.
template <class B, class F>
void check_same_for_all_threads(const std::string& what, F&& f) {
    const int before = B::threads();
    B::set_threads(1);
    const std::vector<double> alone = values_of<B>(f());
    for (const int threads : {2, 3}) {
        B::set_threads(threads);
        INFO(what, " with ", threads, " threads");
        CHECK((values_of<B>(f()) == alone));
    }
    B::set_threads(before);
}

}  // namespace flowfar::testing
