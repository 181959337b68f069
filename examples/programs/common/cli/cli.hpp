#pragma once

// Command lines: a program binds its variables to options once, and gets strict parsing, complete help and uniform
// exit codes (0 success, 1 failure, 2 wrong usage).

#include <algorithm>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdio>
#include <deque>
#include <exception>
#include <fcntl.h>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/version.hpp"

#include "common/cli/option.hpp"
#include "common/cli/printable.hpp"

namespace flowfar::program {

/// A program's command line. Bound variables hold the defaults when they are declared and the user's values after
/// parse(); they must outlive the Spec.
///
///     int steps = 25;
///     std::string input;
///     Spec spec("demo", "Shows how it is done.");
///     spec.positional("IMAGE", input, "image to read");
///     spec.option("steps", steps, "sampling steps").range(1, 1000);
///     spec.example("cat.png --steps 4", "a quick look");
///     return run_program(argc, argv, spec, [&] { … });
class Spec {
   public:
    /// `purpose` is one or two sentences.
    Spec(std::string name, std::string purpose) : name_(std::move(name)), purpose_(std::move(purpose)) {}

    /// `--name VALUE` or `--name=VALUE`. A std::vector takes a comma-separated list; a std::optional stays empty unless
    /// the option is given.
    template <class T>
        requires OptionScalar<typename detail::OptionValue<T>::Scalar>
    OptionHandle<T> option(const std::string& name, T& value, std::string help) {
        OptionHandle<T> handle = declare(options_, "--" + name, value, std::move(help));
        if (options_.back().list) {
            options_.back().placeholder += ",...";
        }
        return handle;
    }

    /// A word known by its place, required unless the handle says optional(). A std::vector takes all the remaining
    /// words and must come last.
    template <class T>
        requires OptionScalar<typename detail::OptionValue<T>::Scalar>
    OptionHandle<T> positional(const std::string& name, T& value, std::string help) {
        OptionHandle<T> handle = declare(positionals_, name, value, std::move(help));
        return handle.placeholder(name).required();
    }

    /// `--name` switches on, `--no-name` off.
    void flag(const std::string& name, bool& value, std::string help) {
        detail::Entry entry;
        entry.name = "--" + name;
        entry.help = std::move(help);
        entry.section = section_;
        entry.default_text = value ? "on" : "";
        entry.flag = true;
        entry.limits = [] { return std::string(); };
        entry.set = [&value](std::span<const std::string_view> words) { value = words.front() == "on"; };
        options_.push_back(std::move(entry));
    }

    /// Options declared from here on stand under this heading in the help text.
    void section(std::string heading) { section_ = std::move(heading); }

    /// A command line for the end of the help text, without the program's name, and what it does.
    void example(std::string arguments, std::string meaning) {
        examples_.emplace_back(std::move(arguments), std::move(meaning));
    }

    [[nodiscard]] const std::string& name() const { return name_; }

    /// Whether the last parse() met this option or positional.
    [[nodiscard]] bool given(std::string_view name) const {
        const auto match = [&](const detail::Entry& entry) {
            return entry.given && (entry.name == name || entry.name == text("--", name));
        };
        return std::ranges::any_of(options_, match) || std::ranges::any_of(positionals_, match);
    }

    /// Purpose, synopsis, every option with its default and limits, examples.
    [[nodiscard]] std::string help() const {
        std::string out = detail::wrapped(name_ + ": " + purpose_, 0) + "\n\nUsage: " + name_;
        std::string synopsis;
        for (const detail::Entry& entry : options_) {
            if (entry.required) {
                synopsis += entry.name + " " + entry.placeholder + " ";
            }
        }
        synopsis += "[options]";
        for (const detail::Entry& entry : positionals_) {
            const std::string word = entry.name + (entry.list ? "..." : "");
            synopsis += " " + (entry.required ? word : "[" + word + "]");
        }
        out += " " + detail::wrapped(synopsis, 8 + name_.size()) + "\n";
        std::string section;
        for (const detail::Entry& entry : positionals_) {
            append_entry(out, section, "Arguments", entry);
        }
        for (const detail::Entry& entry : options_) {
            append_entry(out, section, entry.section, entry);
        }
        detail::Entry common;
        common.limits = [] { return std::string(); };
        common.name = "--help";
        common.help = "print this text and exit";
        append_entry(out, section, "Common", common);
        common.name = "--version";
        common.help = "print the version and exit";
        append_entry(out, section, "Common", common);
        out += "\nExit codes:\n  " +
               detail::wrapped(
                   "0: success; 1: failure, or a result that is not complete; 2: wrong usage; 130, 143: an "
                   "orderly end by Ctrl-C or SIGTERM, with what was finished by then written.",
                   2) +
               "\n";
        if (!examples_.empty()) {
            out += "\nExamples:\n";
        }
        for (const auto& [arguments, meaning] : examples_) {
            out += "  " + name_ + " " + arguments + "\n      " + detail::wrapped(meaning, 6) + "\n";
        }
        return out;
    }

    /// Sets the bound variables from the words after the program's name. `--` ends the options. Throws UsageError.
    void parse(std::span<const std::string> arguments) {
        for (std::deque<detail::Entry>* entries : {&options_, &positionals_}) {
            for (detail::Entry& entry : *entries) {
                entry.given = false;
            }
        }
        warnings_.clear();
        std::vector<std::string_view> words;
        bool options_ended = false;
        for (std::size_t i = 0; i < arguments.size(); ++i) {
            const std::string_view word = arguments[i];
            if (options_ended || word.size() < 2 || word.front() != '-') {
                words.push_back(word);
            } else if (word == "--") {
                options_ended = true;
            } else {
                i += parse_option(word, arguments.subspan(i + 1));
            }
        }
        parse_positionals(words);
        for (const detail::Entry& entry : options_) {
            if (entry.required && !entry.given) {
                throw UsageError(text(entry.name, " is required"));
            }
        }
    }

    /// What the last parse() met and should be written otherwise.
    [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

   private:
    template <class T>
    OptionHandle<T> declare(std::deque<detail::Entry>& entries, const std::string& name, T& value, std::string help) {
        auto constraint = std::make_shared<detail::Constraint<typename detail::OptionValue<T>::Scalar>>();
        entries.push_back(detail::make_entry<T>(name, value, std::move(help), constraint));
        entries.back().section = section_;
        return OptionHandle<T>(entries.back(), std::move(constraint));
    }

    static void append_entry(std::string& out, std::string& section, const std::string& heading,
                             const detail::Entry& entry) {
        constexpr std::size_t column = 26;
        if (std::exchange(section, heading) != heading) {
            out += "\n" + heading + ":\n";
        }
        std::string line = "  " + (entry.alias.empty() ? "" : entry.alias + ", ") + entry.name;
        if (entry.alias.starts_with("--")) {
            line = text("  ", entry.name, ", ", entry.alias, " ", entry.name);
        }
        if (entry.name.starts_with("--") && !entry.placeholder.empty()) {
            line += " " + entry.placeholder;
        }
        line = line.size() + 2 > column ? line + "\n" + std::string(column, ' ')
                                        : line + std::string(column - line.size(), ' ');
        std::string notes = entry.limits();
        if (entry.required && entry.name.starts_with("--")) {
            notes += notes.empty() ? "required" : "; required";
        } else if (!entry.required && !entry.default_text.empty()) {
            notes += (notes.empty() ? "default " : "; default ") + entry.default_text;
        }
        if (entry.flag && entry.default_text == "on") {
            notes += "; --no-" + entry.name.substr(2) + " switches it off";
        }
        out += line + detail::wrapped(entry.help + (notes.empty() ? "" : " (" + notes + ")"), column) + "\n";
    }

    /// Reads the option `word`; returns how many of the words that follow it were its value.
    std::size_t parse_option(std::string_view word, std::span<const std::string> following) {
        const std::size_t equals = word.find('=');
        const std::string_view name = word.substr(0, equals);
        const auto find = [&](std::string_view wanted) -> detail::Entry* {
            for (std::deque<detail::Entry>* entries : {&options_, &positionals_}) {
                for (detail::Entry& entry : *entries) {
                    if (entry.name == wanted || entry.alias == wanted || entry.former == wanted) {
                        return &entry;
                    }
                }
            }
            return nullptr;
        };
        detail::Entry* entry = find(name);
        std::string_view value = "on";
        if (entry == nullptr && name.starts_with("--no-")) {
            entry = find(text("--", name.substr(5)));
            value = "off";
            if (entry != nullptr && !entry->flag) {
                entry = nullptr;
            }
        }
        if (entry == nullptr) {
            std::vector<std::string> names = {"--help", "--version"};
            for (const detail::Entry& known : options_) {
                names.push_back(known.name);
            }
            for (const detail::Entry& known : positionals_) {
                names.push_back(known.alias);
            }
            const std::string near = nearest_word(name, names);
            throw UsageError(text("unknown option ", name, near.empty() ? "" : "; did you mean " + near + "?"));
        }
        if (name == entry->former) {
            warnings_.push_back(text(name, " is now called ", entry->name, "; the next version does not know ", name));
        }
        if (std::exchange(entry->given, true)) {
            throw UsageError(text(name, " is given twice"));
        }
        std::size_t used = 0;
        if (entry->flag) {
            if (equals != std::string_view::npos) {
                throw UsageError(text(name, " takes no value"));
            }
        } else if (equals != std::string_view::npos) {
            value = word.substr(equals + 1);
        } else if (following.empty() || following.front().starts_with("--")) {
            throw UsageError(text(name, " needs a value (", entry->placeholder, ")"));
        } else {
            value = following.front();
            used = 1;
        }
        std::vector<std::string_view> parts;
        for (std::size_t begin = 0; entry->list && begin <= value.size();) {
            const std::size_t end = std::min(value.find(',', begin), value.size());
            parts.push_back(value.substr(begin, end - begin));
            begin = end + 1;
        }
        if (!entry->list) {
            parts.push_back(value);
        }
        entry->set(parts);
        return used;
    }

    void parse_positionals(std::span<const std::string_view> words) {
        for (detail::Entry& entry : positionals_) {
            if (entry.given) {  // as an option
                continue;
            }
            entry.given = !words.empty();
            if (words.empty()) {
                if (entry.required) {
                    throw UsageError(text(entry.name, " is missing (", entry.help, ")"));
                }
                continue;
            }
            const std::size_t taken = entry.list ? words.size() : 1;
            entry.set(words.first(taken));
            words = words.subspan(taken);
        }
        if (!words.empty()) {
            throw UsageError(text("unexpected argument \"", words.front(), "\""));
        }
    }

    std::string name_, purpose_, section_ = "Options";
    std::deque<detail::Entry> options_, positionals_;  // a deque, so that handles stay valid
    std::vector<std::pair<std::string, std::string>> examples_;
    std::vector<std::string> warnings_;
};

namespace detail {

/// Opens /dev/null in place of standard streams that are closed: else the next file that is opened would take their
/// number, and a message would end in a log or a model.
inline void occupy_standard_streams() {
    for (const int number : {0, 1, 2}) {
        if (::fcntl(number, F_GETFD) == -1) {
            static_cast<void>(::open("/dev/null", number == 0 ? O_RDONLY : O_WRONLY));  // takes the lowest free number
        }
    }
}

#if defined(__OPTIMIZE__)
inline constexpr bool optimized = true;
#else
inline constexpr bool optimized = false;
#endif

}  // namespace detail

/// The whole of a main(): answers --help and --version, parses, runs `body()` and turns exceptions into one line on
/// `err` and an exit code. `body` returns an exit code or nothing.
template <class Body>
int run_program(int argc, const char* const* argv, Spec& spec, Body&& body, std::FILE* out = stdout,
                std::FILE* err = stderr) {
    const auto report = [&](const char* what) {  // which may name what a file holds
        std::fprintf(err, "%s: %s\n", spec.name().c_str(), printable(what, LineBreaks::indented).c_str());
    };
    detail::occupy_standard_streams();
    const auto ended = [&](int code) {  // output that never arrived is no success
        const bool lost = std::fflush(out) != 0 || std::ferror(out) != 0;
        if (lost) {
            report(text("the output could not be written: ", std::generic_category().message(errno)).c_str());
        }
        return lost && code == 0 ? 1 : code;
    };
    try {
        const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
        for (const std::string& word : arguments) {
            if (word == "--") {
                break;
            }
            if (word == "--help" || word == "-h") {
                std::fputs(spec.help().c_str(), out);
                return ended(0);
            }
            if (word == "--version") {
                std::fprintf(out, "%s (flowfar %s)\n", spec.name().c_str(), version_string);
                return ended(0);
            }
        }
        spec.parse(arguments);
        for (const std::string& warning : spec.warnings()) {
            report(warning.c_str());
        }
        if (!detail::optimized && ::isatty(::fileno(err)) != 0) {  // for people; logs stay as they are
            report("built without optimization, about nine times as slow; configure with --preset release");
        }
        if constexpr (std::same_as<decltype(body()), void>) {
            body();
            return ended(0);
        } else {
            return ended(body());
        }
    } catch (const UsageError& error) {
        report(error.what());
        std::fprintf(err, "Try '%s --help'.\n", spec.name().c_str());
        return 2;
    } catch (const std::bad_alloc&) {
        report("out of memory");
        return 1;
    } catch (const std::system_error& error) {
        report(error.code() == std::errc::resource_unavailable_try_again
                   ? "the system starts no more threads: ask for fewer with --threads, or allow more memory"
                   : error.what());
        return 1;
    } catch (const std::exception& error) {
        report(error.what());
        return 1;
    }
}

}  // namespace flowfar::program
