#pragma once

/// What tests of the training programs read from a run's folder.

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace flowfar::testing {

/// What a resumed run must repeat: all lines but the starts, without speed.
[[nodiscard]] inline std::vector<nlohmann::json> lines_of(const std::filesystem::path& out) {
    std::vector<nlohmann::json> lines;
    std::ifstream file(out / "log.jsonl");
    for (std::string line; std::getline(file, line);) {
        nlohmann::json value = nlohmann::json::parse(line);
        if (value["event"] != "start") {
            value.erase("images_per_second");
            lines.push_back(std::move(value));
        }
    }
    return lines;
}

/// The last step of a log that may be being written.
[[nodiscard]] inline int last_step(const std::filesystem::path& out) {
    int step = 0;
    std::ifstream file(out / "log.jsonl");
    for (std::string line; std::getline(file, line);) {
        const auto value = nlohmann::json::parse(line, nullptr, false);
        if (value.is_object() && value["event"] == "step") {
            step = value["step"].get<int>();
        }
    }
    return step;
}

}  // namespace flowfar::testing
