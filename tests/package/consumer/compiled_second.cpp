#include <array>
#include <filesystem>
#include <span>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/io/tensors/safetensors_writer.hpp"

bool second_unit_writes_a_file() {
    using Vector = flowfar::Tensor<flowfar::Cpu, flowfar::Shape<3>>;
    const std::array<float, 1> total{flowfar::sum(Vector::full({3}, 2.0)).item()};
    const std::filesystem::path path = std::filesystem::temp_directory_path() / "flowfar_consumer.safetensors";
    flowfar::io::SafetensorsWriter writer(path);
    writer.declare("total", flowfar::DType::f32, {1});
    writer.write_values("total", std::span<const float>(total));
    writer.finish();
    return total[0] == 6.0F && std::filesystem::remove(path);
}
