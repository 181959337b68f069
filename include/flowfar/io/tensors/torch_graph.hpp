#pragma once

/// Finds the tensors that a checkpoint's pickle describes, with their dotted names.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/pickle/pickle.hpp"
#include "flowfar/io/pickle/pickle_names.hpp"
#include "flowfar/io/tensors/element_type.hpp"
#include "flowfar/io/tensors/strided_tensor.hpp"
#include "flowfar/io/tensors/torch_tensor.hpp"

namespace flowfar::io {

namespace detail {

/// What the references of a checkpoint's pickle say about one storage.
struct TorchStorage {
    const ElementType* type = nullptr;
    std::uint64_t size = 0;  ///< bytes
};

/// Why a tensor cannot be read, though the file is whole.
struct UnreadTensor {
    std::string reason;
};

/// Walks from the root through dicts, lists and tuples. Objects of other classes are passed over, but for the fields of
/// argparse.Namespace, which are listed. Every step counts against a limit, because containers may be shared.
class TorchGraph {
   public:
    std::vector<std::string> names;  ///< of the tensors, in the pickle's order
    std::map<std::string, TorchTensor> tensors;
    std::map<std::string, TorchStorage> storages;
    std::vector<std::pair<std::string, std::string>> unread;  ///< tensors of kinds that are not read: name and reason
    std::vector<std::pair<std::string, std::string>> values;  ///< everything else: dotted name and description

    TorchGraph(const Pickle& pickle, std::string label)
        : label_(std::move(label)),
          step_limit_(2 * pickle.value_count() + 10000),
          name_limit_(16 * pickle.size() + 65536),
          scan_limit_(4 * pickle.size() + 10000),
          description_limit_(64 * pickle.size() + 65536) {
        visit(pickle.root(), "", 0);
    }
    /// Notes the storages of objects that were passed over, too: a stream cannot be read without their sizes.
    void add_all_storages(const Pickle& pickle) {
        for (std::size_t i = 0; i < pickle.value_count(); ++i) {
            if (pickle.value(i).is(PickleKind::persistent) && is_storage(pickle.value(i).id())) {
                TorchTensor unused;
                try {
                    read_storage(pickle.value(i), unused, "storages");
                } catch (const UnreadTensor& problem) {  // of unknown size, so that what follows is lost as well
                    fail(at("storages"), ": ", problem.reason);
                }
            }
        }
    }

   private:
    static constexpr std::size_t depth_limit = 64;
    // Tensors may share what describes them, so each description is short.
    static constexpr std::size_t flag_limit = 16;
    static constexpr std::size_t text_limit = 256;

    [[nodiscard]] std::string at(std::string_view name) const { return text(label_, ": \"", name, '"'); }

    /// Every name that is met or listed counts against the limits.
    void count(const std::string& name) {
        require(++steps_ <= step_limit_, label_, ": refused: containers that contain each other without end");
        name_bytes_ += name.size();
        require(name_bytes_ <= name_limit_, label_, ": refused: names longer than the whole pickle");
    }

    /// So does all that is kept about what has a name: values may be shared, what describes them is not.
    void count_description(std::size_t bytes) {
        description_bytes_ += bytes;
        require(description_bytes_ <= description_limit_, label_,
                ": refused: descriptions of tensors and objects far longer than the whole pickle");
    }
    void note(const std::string& name, std::string description) {
        count_description(description.size());
        values.emplace_back(name, std::move(description));
    }

    void visit(const PickleValue& value, const std::string& name, std::size_t depth) {
        require(depth <= depth_limit, at(name), ": containers nested deeper than ", depth_limit);
        count(name);
        std::optional<TorchTensor> tensor;
        try {
            tensor = as_tensor(value, name);
        } catch (const UnreadTensor& problem) {
            count_description(problem.reason.size());
            unread.emplace_back(name, problem.reason);
            return;
        }
        if (tensor) {
            count_description(sizeof(TorchTensor) + 2 * tensor->shape.size() * sizeof(Index) + tensor->storage.size() +
                              tensor->device.size());
            require(tensors.emplace(name, *tensor).second, at(name), ": the name occurs twice");
            names.push_back(name);
            return;
        }
        switch (value.kind()) {
            case PickleKind::dict:
                return visit_pairs(value, name, depth);
            case PickleKind::list:
            case PickleKind::tuple:
                return visit_elements(value, name, depth);
            case PickleKind::object:
                return visit_object(value, name, depth);
            default:
                note(name, to_string(value));
        }
    }

    [[nodiscard]] static std::string join(const std::string& name, std::string_view child) {
        return name.empty() ? std::string(child) : text(name, '.', child);
    }

    void visit_pair(const PickleValue& key, const PickleValue& value, const std::string& name, std::size_t depth) {
        if (key.is(PickleKind::string)) {
            visit(value, join(name, key.text()), depth + 1);
        } else if (key.is(PickleKind::integer)) {
            visit(value, join(name, std::to_string(key.integer())), depth + 1);
        } else {
            note(join(name, to_string(key)), "under a key that is no name");
            count(values.back().first);
        }
    }
    void visit_pairs(const PickleValue& dict, const std::string& name, std::size_t depth) {
        for (std::size_t i = 0; i < dict.size(); ++i) {
            visit_pair(dict.key(i), dict.value(i), name, depth);
        }
    }
    /// Python 2 gave an OrderedDict its pairs as an argument: a list of lists of two.
    void visit_given_pairs(const PickleValue& args, const std::string& name, std::size_t depth) {
        if (!args.is(PickleKind::tuple) || args.size() != 1 || !args.item(0).is(PickleKind::list)) {
            return;
        }
        const PickleValue list = args.item(0);
        for (std::size_t i = 0; i < list.size(); ++i) {
            const PickleValue pair = list.item(i);
            require((pair.is(PickleKind::list) || pair.is(PickleKind::tuple)) && pair.size() == 2, at(name),
                    ": an OrderedDict whose element ", i, " is no pair");
            visit_pair(pair.item(0), pair.item(1), name, depth);
        }
    }

    void visit_elements(const PickleValue& list, const std::string& name, std::size_t depth) {
        bool plain = true;
        scanned_ += list.size();
        require(scanned_ <= scan_limit_, label_, ": refused: long lists that occur without end");
        for (std::size_t i = 0; i < list.size(); ++i) {
            const PickleKind kind = list.item(i).kind();
            plain = plain && kind != PickleKind::object && kind != PickleKind::dict && kind != PickleKind::list &&
                    kind != PickleKind::tuple;
        }
        if (plain) {
            note(name, to_string(list));
            return;
        }
        for (std::size_t i = 0; i < list.size(); ++i) {
            visit(list.item(i), join(name, std::to_string(i)), depth + 1);
        }
    }

    void visit_object(const PickleValue& object, const std::string& name, std::size_t depth) {
        for (const std::string_view mapping : {"collections.OrderedDict", "collections.defaultdict"}) {
            if (object.made_by(mapping)) {
                visit_given_pairs(object.args(), name, depth);
                return visit_pairs(object, name, depth);
            }
        }
        note(name, to_string(object));
        const bool record = object.made_by("argparse.Namespace") || object.made_by("types.SimpleNamespace");
        if (record && object.state().is(PickleKind::dict)) {
            visit_pairs(object.state(), name, depth);
        }
    }

    // ---- tensors
    /// The tensor that a call to one of PyTorch's functions would make; nothing for any other value.
    [[nodiscard]] std::optional<TorchTensor> as_tensor(PickleValue value, const std::string& name) {
        for (std::size_t wrapped = 0; value.is(PickleKind::object); ++wrapped) {
            require(wrapped < 4, at(name), ": a tensor wrapped in too many others");
            const std::string_view callable = value.callable().text();
            const PickleValue args = value.args();
            if (callable == "torch._utils._rebuild_tensor_v2" || callable == "torch._utils._rebuild_tensor") {
                return make_tensor(args, nullptr, name);
            }
            if (callable == "torch._utils._rebuild_tensor_v3") {
                return make_tensor(args, &element_type(argument(args, 6, name), name), name);
            }
            // (function, type, arguments, state)
            if (std::ranges::find(forwarding_constructors, callable) != forwarding_constructors.end()) {
                const PickleValue function = argument(args, 0, name);
                if (function.names("torch._utils._rebuild_tensor_v2")) {
                    return make_tensor(argument(args, 2, name), nullptr, name);
                }
                refuse_kind(function.is(PickleKind::name) ? function.text() : std::string_view());
                return std::nullopt;
            }
            if (callable != "torch._utils._rebuild_parameter" &&
                callable != "torch._utils._rebuild_parameter_with_state") {
                refuse_kind(callable);
                return std::nullopt;
            }
            value = argument(args, 0, name);
        }
        return std::nullopt;
    }

    /// Throws for functions of PyTorch that make tensors of other kinds.
    static void refuse_kind(std::string_view function) {
        constexpr std::string_view begin = "torch._utils._rebuild_";
        const auto names = [&](std::string_view part) { return function.find(part) != function.npos; };
        if (!function.starts_with(begin) && function != "torch._tensor._rebuild_from_type") {
            return;
        }
        const std::string_view kind = names("sparse")    ? "a sparse tensor: save x.to_dense()"
                                      : names("qtensor") ? "a quantized tensor: save x.dequantize()"
                                      : names("nested")  ? "a nested tensor: save its parts"
                                      : names("meta")    ? "a tensor without values (meta)"
                                      : names("numpy") || names("xla") || names("mlc") || names("maia")
                                          ? "a tensor of another device: save x.cpu()"
                                      : names("wrapper_subclass") || names("from_type")
                                          ? "a tensor of a class of its own: save a plain copy"
                                          : "";
        throw UnreadTensor{kind.empty() ? text("made by ", function.substr(0, 200)) : std::string(kind)};
    }

    [[nodiscard]] PickleValue argument(const PickleValue& args, std::size_t i, const std::string& name) const {
        require(args.is(PickleKind::tuple) && i < args.size(), at(name), ": a tensor with too few arguments");
        return args.item(i);
    }

    /// Arguments: storage, offset, extents, strides, …; with `type`, the elements are of that type whatever the
    /// storage.
    [[nodiscard]] TorchTensor make_tensor(const PickleValue& args, const ElementType* type, const std::string& name) {
        TorchTensor tensor;
        const ElementType& stored = read_storage(argument(args, 0, name), tensor, name);
        tensor.type = type == nullptr ? &stored : type;
        require(tensor.offset % static_cast<Index>(tensor.type->size) == 0, at(name), ": begins inside of an element");
        tensor.offset /= static_cast<Index>(tensor.type->size);
        const Index offset = integer(argument(args, 1, name), name, "a storage offset");
        require(offset >= 0 && !__builtin_add_overflow(tensor.offset, offset, &tensor.offset), at(name),
                ": storage offset ", offset);
        tensor.shape = integers(argument(args, 2, name), name, "extents");
        tensor.strides = integers(argument(args, 3, name), name, "strides");
        const std::size_t metadata = type == nullptr ? 6 : 7;
        if (metadata < args.size() && args.item(metadata).is(PickleKind::dict)) {
            const PickleValue flags = args.item(metadata);
            require(flags.size() <= flag_limit, at(name), ": ", flags.size(), " flags, expected at most ", flag_limit);
            for (std::size_t i = 0; i < flags.size(); ++i) {
                if (flags.value(i).is(PickleKind::boolean) && flags.value(i).boolean()) {
                    throw UnreadTensor{"a lazily negated or conjugated tensor: save a copy of it instead"};
                }
            }
        }
        return tensor;
    }

    [[nodiscard]] Index integer(const PickleValue& value, const std::string& name, std::string_view what) const {
        require(value.is(PickleKind::integer), at(name), ": expected ", what, " below 2^63, found ", to_string(value));
        return value.integer();
    }
    [[nodiscard]] std::vector<Index> integers(const PickleValue& tuple, const std::string& name,
                                              std::string_view what) const {
        const PickleValue list = tuple.made_by("torch.Size") ? argument(tuple.args(), 0, name) : tuple;
        require(list.is(PickleKind::tuple) || list.is(PickleKind::list), at(name), ": expected ", what, ", found ",
                to_string(list));
        require(list.size() <= rank_limit, at(name), ": ", list.size(), " axes, expected at most ", rank_limit);
        std::vector<Index> out;
        for (std::size_t i = 0; i < list.size(); ++i) {
            out.push_back(integer(list.item(i), name, what));
        }
        return out;
    }

    [[nodiscard]] const ElementType& element_type(const PickleValue& value, const std::string& name) const {
        const std::string_view full = value.is(PickleKind::name) ? value.text() : "";
        const ElementType* const type =
            full.starts_with("torch.") ? find_element_type(&ElementType::torch, full.substr(6)) : nullptr;
        require(!full.empty(), at(name), ": unknown element type ", to_string(value));
        if (type == nullptr) {
            throw UnreadTensor{text("elements of the unknown type ", full.substr(0, 200))};
        }
        return *type;
    }

    /// Other references are to the source texts of pickled modules.
    [[nodiscard]] static bool is_storage(const PickleValue& id) {
        return id.is(PickleKind::tuple) && id.size() > 0 && id.item(0).is(PickleKind::string) &&
               id.item(0).text() == "storage";
    }

    /// The reference ("storage", class, key, device, elements), and in old files a view (key, offset, elements) of it.
    /// Sets the storage's key, the device, and the offset in bytes; returns the class's element type.
    const ElementType& read_storage(const PickleValue& reference, TorchTensor& tensor, const std::string& name) {
        require(reference.is(PickleKind::persistent) && reference.id().is(PickleKind::tuple), at(name),
                ": expected a reference to a storage, found ", to_string(reference));
        const PickleValue id = reference.id();
        require(is_storage(id) && id.size() >= 5 && id.item(2).is(PickleKind::string), at(name),
                ": a reference to something other than a storage");
        const ElementType& type = storage_type(id.item(1), name);
        const std::string_view device = id.item(3).is(PickleKind::string) ? id.item(3).text() : std::string_view();
        require(id.item(2).text().size() <= text_limit && device.size() <= text_limit, at(name),
                ": a storage's key or device of more than ", text_limit, " characters");
        tensor.storage = std::string(id.item(2).text());
        tensor.device = std::string(device);
        const Index count = integer(id.item(4), name, "a storage's size");
        std::uint64_t size = 0;
        require(count >= 0 && !__builtin_mul_overflow(static_cast<std::uint64_t>(count), type.size, &size), at(name),
                ": a storage of ", count, " elements");
        const TorchStorage storage{&type, size};
        const auto [entry, inserted] = storages.emplace(tensor.storage, storage);
        require(inserted || (entry->second.type == &type && entry->second.size == size), at(name), ": storage \"",
                tensor.storage, "\" is described in two ways");
        if (id.size() > 5 && id.item(5).is(PickleKind::tuple)) {
            const Index begin = integer(argument(id.item(5), 1, name), name, "a view's offset");
            require(begin >= 0 && !__builtin_mul_overflow(begin, static_cast<Index>(type.size), &tensor.offset),
                    at(name), ": a view of a storage at ", begin);
        }
        return type;
    }

    [[nodiscard]] const ElementType& storage_type(const PickleValue& value, const std::string& name) const {
        constexpr std::string_view suffix = "Storage";
        std::string_view full = value.is(PickleKind::name) ? value.text() : "";
        if (full == "torch.storage.UntypedStorage" || full == "torch.UntypedStorage" ||
            full == "torch.storage._UntypedStorage") {
            return stored_as(DType::u8);
        }
        const ElementType* type = nullptr;
        if (full.starts_with("torch.") && full.ends_with(suffix)) {
            full.remove_prefix(full.starts_with("torch.cuda.") ? 11 : 6);
            type = find_element_type(&ElementType::storage, full.substr(0, full.size() - suffix.size()));
        }
        require(!full.empty(), at(name), ": unknown storage type ", to_string(value));
        if (type == nullptr) {
            throw UnreadTensor{text("elements of the unknown type ", value.text().substr(0, 200))};
        }
        return *type;
    }

    std::string label_;
    std::uint64_t step_limit_;
    std::uint64_t name_limit_;
    std::uint64_t scan_limit_;  ///< elements of lists; each takes a byte of the pickle, and few lists occur twice
    std::uint64_t description_limit_;
    std::uint64_t steps_ = 0;
    std::uint64_t scanned_ = 0;
    std::uint64_t name_bytes_ = 0;
    std::uint64_t description_bytes_ = 0;
};

}  // namespace detail

}  // namespace flowfar::io
