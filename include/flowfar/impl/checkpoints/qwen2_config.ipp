#pragma once

/// The definitions of qwen2_config.hpp.

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "flowfar/checkpoints/qwen2_config.hpp"
#include "flowfar/config.hpp"
#include "flowfar/core/error.hpp"

namespace flowfar::io {

FLOWFAR_INLINE std::string to_string(const Qwen2Size& size) {
    return text("vocabulary ", size.vocabulary, ", width ", size.hidden, ", ", size.layers, " layers, ", size.heads,
                " heads of queries, ", size.key_heads, " of keys, MLPs of ", size.mlp, ", rope base ", size.rope_base,
                ", epsilon ", size.epsilon);
}

FLOWFAR_INLINE Qwen2Size read_qwen2_config(const Path& path) {
    using Json = nlohmann::json;
    const std::string where = path.string();
    const MappedFile file(path);
    require(file.size() <= 1'000'000, where, ": ", file.size(), " bytes, expected a configuration");
    const auto* const begin = reinterpret_cast<const char*>(file.bytes().data());
    const auto shallow = [&](int depth, Json::parse_event_t, Json&) {
        require(depth <= 16, where, ": nested too deeply");
        return true;
    };
    const Json root = Json::parse(begin, begin + file.size(), shallow, false);
    require(root.is_object(), where, ": not a JSON object");
    const auto nested = root.find("text_config");
    const Json& config = nested != root.end() && nested->is_object() ? *nested : root;
    const auto kind = config.find("model_type");
    require(kind != config.end() && kind->is_string() && kind->get_ref<const std::string&>().starts_with("qwen2") &&
                !kind->get_ref<const std::string&>().starts_with("qwen2_5"),
            where, ": model_type ", kind == config.end() ? std::string("is missing") : kind->dump(),
            ", expected \"qwen2\" or \"qwen2_vl\"");
    const auto number = [&](const char* name) {
        const auto found = config.find(name);
        require(found != config.end() && found->is_number_unsigned() && found->get<std::uint64_t>() < 0x7FFFFFFF, where,
                ": \"", name, "\": expected a number, found ", found == config.end() ? "nothing" : found->dump());
        return static_cast<Index>(found->get<std::uint64_t>());
    };
    const auto real = [&](const Json& object, const char* name) {
        const auto found = object.find(name);
        require(found != object.end() && found->is_number() && std::isfinite(found->get<double>()), where, ": \"", name,
                "\": expected a number, found ", found == object.end() ? "nothing" : found->dump());
        return found->get<double>();
    };
    const auto window = config.find("use_sliding_window");
    require(window == config.end() || *window == false, where, ": sliding windows are not supported");
    const auto parameters = config.find("rope_parameters");
    const bool newer = parameters != config.end() && parameters->is_object();
    const auto scaling = newer ? parameters : config.find("rope_scaling");
    if (scaling != config.end() && scaling->is_object()) {
        for (const char* name : {"rope_type", "type"}) {
            const auto type = scaling->find(name);
            require(type == scaling->end() || *type == "default" || *type == "mrope", where,
                    ": rotary embeddings of type ", type == scaling->end() ? std::string() : type->dump(),
                    " are not supported");
        }
    }
    return {number("vocab_size"),
            number("hidden_size"),
            number("num_hidden_layers"),
            number("num_attention_heads"),
            number("num_key_value_heads"),
            number("intermediate_size"),
            real(newer ? *parameters : config, "rope_theta"),
            real(config, "rms_norm_eps")};
}

}  // namespace flowfar::io
