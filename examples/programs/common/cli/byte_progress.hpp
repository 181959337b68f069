#pragma once

// How far a program is with much data, shown on stderr.

#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"

#include "common/cli/progress.hpp"

namespace flowfar::program {

/// Told of the bytes that are done and all there are; as an `io::LoadProgress`, too. Says nothing about less data than
/// is worth a line. Copies made after the first call share the line.
class ByteProgress {
   public:
    static constexpr std::uint64_t worth_showing = 256'000'000;

    /// The label says what the megabytes are: "MB loaded".
    explicit ByteProgress(std::string label, std::FILE* file = stderr) : label_(std::move(label)), file_(file) {}

    void operator()(std::uint64_t done, std::uint64_t total) {
        if (total < worth_showing) {
            return;
        }
        const auto megabytes = [](std::uint64_t bytes) { return static_cast<Index>(bytes / 1'000'000); };
        if (bar_ == nullptr) {
            bar_ = std::make_shared<Progress>(label_, megabytes(total), megabytes(done), 10.0, file_);
        }
        bar_->update(megabytes(done), std::numeric_limits<double>::quiet_NaN(), 0);
        if (done == total) {
            bar_->finish();
        }
    }
    /// Makes room on the terminal for other text, until the next call.
    void hide() {
        if (bar_ != nullptr) {
            bar_->hide();
        }
    }
    /// Prints a line of results meanwhile, on stdout.
    template <class... Parts>
    void say(const Parts&... parts) {
        hide();
        std::puts(text(parts...).c_str());
    }

   private:
    std::string label_;
    std::FILE* file_;
    std::shared_ptr<Progress> bar_;
};

}  // namespace flowfar::program
