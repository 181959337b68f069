#pragma once

// The few best and the few worst of many things that pass by.

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace flowfar::program {

/// Keeps the `count` items with the highest and the `count` with the lowest scores; equal ones in order of arrival. An
/// item may be among both.
template <class T>
class Extremes {
   public:
    struct Entry {
        double score;
        T item;
    };

    explicit Extremes(std::size_t count) : count_(count) {}

    void add(double score, const T& item) {
        insert(best_, score, item, [](double a, double b) { return a > b; });
        insert(worst_, score, item, [](double a, double b) { return a < b; });
    }
    [[nodiscard]] const std::vector<Entry>& best() const { return best_; }    ///< highest score first
    [[nodiscard]] const std::vector<Entry>& worst() const { return worst_; }  ///< lowest score first

   private:
    template <class Before>
    void insert(std::vector<Entry>& to, double score, const T& item, Before before) {
        const auto place = std::ranges::find_if(to, [&](const Entry& entry) { return before(score, entry.score); });
        if (place == to.end() && to.size() >= count_) {
            return;
        }
        to.insert(place, Entry{score, item});
        if (to.size() > count_) {
            to.pop_back();
        }
    }

    std::size_t count_;
    std::vector<Entry> best_, worst_;
};

}  // namespace flowfar::program
