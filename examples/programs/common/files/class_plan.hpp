#pragma once

// Which images of which classes a program makes.

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/core/derived/classes.hpp"

#include "common/cli/option.hpp"
#include "common/draw/bounded_sheet.hpp"
#include "common/draw/class_sheet.hpp"
#include "common/files/image_folder.hpp"

namespace flowfar::program {

/// The labels to generate, image by image, and the classes' names.
struct ClassPlan {
    std::vector<Index> labels;
    std::vector<std::string> names;  // one per class asked for
};

/// The number of a class of `count` that is given by number or name. Throws Error for others.
[[nodiscard]] inline Index class_of(const std::string& word, const std::vector<std::string>& names, Index count) {
    Index number = no_class;
    const auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (status == std::errc() && end == word.data() + word.size()) {
        require(number >= no_class && number < count, "--classes: ", number, ", expected 0 to ", count - 1, " or ",
                no_class, " for no class");
        return number;
    }
    const auto found = std::ranges::find(names, word);
    if (found != names.end()) {
        return found - names.begin();
    }
    const std::string near = nearest_word(word, names);
    require(word == "any", "--classes: \"", word, "\" is no class of this model",
            near.empty() ? (names.empty() ? ", whose file has no names; give numbers" : "")
                         : text("; did you mean ", near, "?"));
    return no_class;
}

/// `each` images of the classes asked for by number or name, or of the first `shown` if none are.
[[nodiscard]] inline ClassPlan class_plan(const std::vector<std::string>& words, const std::vector<std::string>& names,
                                          Index count, Index shown, Index each) {
    std::vector<Index> classes;
    for (const std::string& word : words) {
        classes.push_back(class_of(word, names, count));
    }
    for (Index i = 0; words.empty() && i < std::min(shown, count); ++i) {
        classes.push_back(i);
    }
    ClassPlan out;
    for (const Index label : classes) {
        out.labels.insert(out.labels.end(), static_cast<std::size_t>(each), label);
        const auto at = static_cast<std::size_t>(label);
        out.names.push_back(label == no_class ? "any" : at < names.size() ? shortened(names[at]) : text(label));
    }
    return out;
}

/// The images of a run: numbers [begin, end) of a plan, without those that lie in the folder already.
struct ImageWork {
    const ClassPlan& plan;
    const std::optional<ImageFolder>& folder;
    Index begin, end;

    [[nodiscard]] bool there(Index i) const {
        return folder && folder->holds(i, plan.labels[static_cast<std::size_t>(i)]);
    }
    /// The numbers of one pass: consecutive ones that are still to be made, from `first` on.
    [[nodiscard]] std::pair<Index, Index> next(Index first, Index limit) const {
        while (first < end && there(first)) {
            ++first;
        }
        Index last = first;
        while (last < end && last - first < limit && !there(last)) {
            ++last;
        }
        return {first, last};
    }
    /// Puts the images that were there already into a sheet; gives their number.
    Index show_those_there(BoundedSheet& sheet) const {
        Index shown = 0;
        for (Index i = begin; folder && i < end; ++i) {
            const auto number = static_cast<std::size_t>(i);
            if (sheet.shows(number) && there(i)) {
                sheet.add(number, folder->read(i, plan.labels[number]));
                ++shown;
            }
        }
        return shown;
    }
    /// The labels of all images that are still to be made.
    [[nodiscard]] std::vector<Index> labels() const {
        std::vector<Index> out;
        for (Index i = begin; i < end; ++i) {
            const Index label = plan.labels[static_cast<std::size_t>(i)];
            if ((out.empty() || out.back() != label) && !there(i)) {
                out.push_back(label);
            }
        }
        return out;
    }
};

}  // namespace flowfar::program
