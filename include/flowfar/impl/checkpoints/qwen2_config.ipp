#pragma once

/// The definitions of qwen2_config.hpp.

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

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
    const auto value = [](const Json& object, const char* name) {
        const auto found = object.find(name);
        return found == object.end() ? Json() : *found;
    };
    const auto shown = [](const Json& found) {
        return found.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80);
    };
    const Json kind = value(config, "model_type");
    require(kind == "qwen2" || kind == "qwen2_vl" || kind == "qwen2_vl_text", where,
            ": \"model_type\": expected \"qwen2\" or \"qwen2_vl\", found ", shown(kind));
    const Json activation = value(config, "hidden_act");
    require(activation.is_null() || activation == "silu", where, ": \"hidden_act\": expected \"silu\", found ",
            shown(activation));
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
    const Json window = value(config, "use_sliding_window");
    require(window.is_null() || window == false, where, ": \"use_sliding_window\": expected false, found ",
            shown(window));
    const Json parameters = value(config, "rope_parameters");
    const bool newer = !parameters.is_null();
    for (const char* name : {"rope_scaling", "rope_parameters"}) {
        const Json rope = value(config, name);
        if (rope.is_null()) {
            continue;
        }
        const Json type = rope.is_object() ? value(rope, "type") : Json();
        const Json rope_type = rope.is_object() ? value(rope, "rope_type") : Json();
        const bool named = !type.is_null() || !rope_type.is_null() || std::string_view(name) == "rope_parameters";
        const auto plain = [](const Json& one) { return one.is_null() || one == "default" || one == "mrope"; };
        require(rope.is_object() && named && plain(type) && plain(rope_type), where, ": \"", name,
                "\": expected the type \"default\" or \"mrope\", found ", shown(rope));
    }
    return {number("vocab_size"),
            number("hidden_size"),
            number("num_hidden_layers"),
            number("num_attention_heads"),
            number("num_key_value_heads"),
            number("intermediate_size"),
            real(newer ? parameters : config, "rope_theta"),
            real(config, "rms_norm_eps")};
}

}  // namespace flowfar::io
