#pragma once

// Training logs as JSON lines: one object per line, written so that a killed run leaves at most one torn line and a
// resumed run continues without repeating steps.

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <istream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/file.hpp"

#include "common/files/escaped.hpp"

namespace flowfar::program {

using Json = nlohmann::ordered_json;  // keys stay in the order they were written

/// JSON knows no infinities: "inf", "-inf" and "nan" stand for them, as Python's float() reads.
[[nodiscard]] inline Json json_number(double value) {
    return std::isfinite(value) ? Json(value) : Json(std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

/// The text of a JSON value; what is not UTF-8 becomes U+FFFD.
[[nodiscard]] inline std::string dumped(const Json& value, int indent = -1) {
    return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

/// Writes JSON to people's liking; the file is replaced as a whole.
inline void write_json(const io::Path& path, const Json& json) {
    const std::string written = dumped(json, 2) + "\n";
    io::write_atomically(path, std::as_bytes(std::span(written)));
}

/// Sets a name of any bytes; one that is not UTF-8 exactly, too, under KEY_escaped (see escaped.hpp).
inline void set_name(Json& object, const std::string& key, const std::string& name) {
    object[key] = name;
    if (!is_utf8(name)) {
        object[key + "_escaped"] = escaped(name);
    }
}

/// All lines of a log. An unfinished last line, as a killed run leaves it, is ignored; any other malformed line throws
/// Error with `name` and line number, as does one that nests deeper than 32 levels: copying and printing recurse.
[[nodiscard]] inline std::vector<Json> parse_jsonl(std::istream& file, const std::string& name) {
    constexpr int depth_limit = 32;
    std::vector<Json> lines;
    std::string line;
    for (Index number = 1; std::getline(file, line); ++number) {
        const bool torn = file.eof();  // getline met the end before a newline
        if (line.find_first_not_of(" \t\r") == std::string::npos) {
            continue;
        }
        const auto check_depth = [&](int depth, Json::parse_event_t, const Json&) {
            require(depth <= depth_limit, name, ", line ", number, ": nested deeper than ", depth_limit, " levels");
            return true;
        };
        Json value = Json::parse(line, check_depth, false);
        if (value.is_object()) {
            lines.push_back(std::move(value));
        } else if (!torn) {
            fail(name, ", line ", number, ": expected a JSON object, found \"", line.substr(0, 60), "\"");
        }
    }
    require(!file.bad(), name, ": cannot be read");
    return lines;
}

/// Reads the lines of a file; throws Error if it cannot be read.
[[nodiscard]] inline std::vector<Json> read_jsonl(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    require(file.is_open(), path.string(), ": cannot be opened");
    return parse_jsonl(file, path.string());
}

/// The lines that a run continued after `step` steps keeps: those without a "step", or with one that is not larger.
[[nodiscard]] inline std::string kept_lines(const std::vector<Json>& lines, Index step) {
    std::string kept;
    for (const Json& line : lines) {
        // Compared as double: a stranger's "step" may be any number, and 2^53 steps are enough.
        const bool later =
            line.contains("step") && line["step"].is_number() && line["step"].get<double>() > static_cast<double>(step);
        if (!later) {
            kept += dumped(line) + '\n';
        }
    }
    return kept;
}

/// Two columns of a log, for a curve.
struct Curve {
    std::vector<double> x = {}, y = {};
};

/// The lines that hold both keys. JSON has no NaN, so a null counts as one.
[[nodiscard]] inline Curve curve_of(const std::vector<Json>& lines, const std::string& x_key,
                                    const std::string& y_key) {
    const auto number = [](const Json& value) {
        return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
    };
    Curve curve;
    for (const Json& line : lines) {
        if (line.contains(x_key) && line.contains(y_key)) {
            curve.x.push_back(number(line[x_key]));
            curve.y.push_back(number(line[y_key]));
        }
    }
    return curve;
}

/// Appends objects to a log and flushes each line.
class JsonlWriter {
   public:
    /// A new run: replaces what is there by an empty file.
    [[nodiscard]] static JsonlWriter create(const std::filesystem::path& path) {
        io::write_atomically(path, {});
        return JsonlWriter(path);
    }

    /// A run continued after `step` steps: drops lines whose "step" is larger, and a torn last line. Lines without
    /// "step" stay. The file is replaced as a whole, and need not exist.
    [[nodiscard]] static JsonlWriter resume(const std::filesystem::path& path, Index step) {
        if (std::filesystem::exists(path)) {
            const std::string kept = kept_lines(read_jsonl(path), step);
            io::write_atomically(path, std::as_bytes(std::span(kept)));
        }
        return JsonlWriter(path);
    }

    /// Writes one line. NaN and infinities become null.
    void write(const Json& object) {
        const std::string line = dumped(object) + '\n';
        const bool good = std::fwrite(line.data(), 1, line.size(), file_.get()) == line.size();
        require(good && std::fflush(file_.get()) == 0, path_, ": cannot be written");
    }

   private:
    explicit JsonlWriter(const std::filesystem::path& path)
        : path_(path.string()), file_(std::fopen(path_.c_str(), "ab")) {
        require(file_ != nullptr, path_, ": cannot be opened for writing");
    }

    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    std::string path_;
    std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace flowfar::program
