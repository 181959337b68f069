#pragma once

namespace flowfar::cuda {

/// Elements on their way to the host.
class Fetched {
   public:
    Fetched() = default;
    Fetched(const Fetched&) = delete;
    Fetched& operator=(const Fetched&) = delete;
    virtual ~Fetched() = default;

    /// Waits until they are there, but for nothing that was queued later. They live as long as this object.
    [[nodiscard]] virtual const void* wait() const = 0;
};

}  // namespace flowfar::cuda
