#pragma once

/// The working parts of the pickle reader: its values, its stack and its memory, each with their limits.

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/byte_reader.hpp"
#include "flowfar/io/pickle/pickle_names.hpp"
#include "flowfar/io/pickle/pickle_value.hpp"

namespace flowfar::io {

/// Bounds on what a pickle may ask for. A checkpoint with a thousand tensors takes 0.3 MB and 50,000 values.
struct PickleLimits {
    std::uint64_t size = std::uint64_t{1} << 26;    ///< bytes of the pickle
    std::uint64_t values = std::uint64_t{1} << 22;  ///< numbers, texts, containers and objects; about 64 bytes each
    std::uint64_t depth = std::uint64_t{1} << 16;   ///< unfinished containers inside each other
};

namespace detail {

/// What a pickle remembers under numbers of its own. Writers count from 0; other numbers cost a search, but never more
/// than that, whatever numbers a hostile file chooses.
class PickleMemo {
   public:
    [[nodiscard]] std::size_t size() const { return counted_.size() + others_.size(); }
    void set(std::size_t key, PickleIndex value) {
        if (key < counted_.size()) {
            counted_[key] = value;
        } else if (key == counted_.size()) {
            counted_.push_back(value);
            others_.erase(key);
        } else {
            others_[key] = value;
        }
    }
    /// Null if nothing is remembered under this number.
    [[nodiscard]] const PickleIndex* find(std::size_t key) const {
        if (key < counted_.size()) {
            return &counted_[key];
        }
        const auto found = others_.find(key);
        return found == others_.end() ? nullptr : &found->second;
    }

   private:
    std::vector<PickleIndex> counted_;
    std::map<std::size_t, PickleIndex> others_;
};

/// What the instructions of a pickle work on. Every access is checked; nothing here knows what the values mean.
class PickleMachine {
   public:
    PickleMachine(std::span<const std::byte> bytes, const std::string& label, const PickleLimits& limits)
        : limits_(limits),
          reader_(bytes.first(std::min<std::uint64_t>(bytes.size(), limits.size)),
                  bytes.size() <= limits.size ? label : text(label, ": a pickle may have ", limits.size, " bytes")) {
        graph_.label = label;
        static_cast<void>(add(PickleKind::none));
        static_cast<void>(add_number(PickleKind::boolean, 0));
        static_cast<void>(add_number(PickleKind::boolean, 1));
    }
    PickleMachine(const PickleMachine&) = delete;
    PickleMachine& operator=(const PickleMachine&) = delete;

   protected:
    using Index = PickleIndex;
    using Node = PickleNode;
    static constexpr Index mark = std::numeric_limits<Index>::max();
    static constexpr Index none_index = 0;
    static constexpr Index false_index = 1;
    static constexpr Index true_index = 2;

    ~PickleMachine() = default;

    template <class... Parts>
    [[noreturn]] void damaged(const Parts&... parts) const {
        fail(graph_.label, ": damaged pickle near byte ", reader_.position(), ": ", parts...);
    }

    // ---- values
    Index add(PickleKind kind, std::string_view characters = {}) {
        require(graph_.nodes.size() < limits_.values, graph_.label, ": the pickle holds more than ", limits_.values,
                " values");
        Node& node = graph_.nodes.emplace_back();
        node.kind = kind;
        node.text = characters;
        return static_cast<Index>(graph_.nodes.size() - 1);
    }
    Index add_number(PickleKind kind, std::uint64_t bits) {
        const Index index = add(kind);
        graph_.nodes[index].bits = bits;
        return index;
    }
    Index add_integer(std::int64_t value) {
        return add_number(PickleKind::integer, std::bit_cast<std::uint64_t>(value));
    }
    Index add_container(PickleKind kind, std::vector<Index> items) {
        const Index index = add(kind);
        graph_.nodes[index].items = std::move(items);
        return index;
    }
    Index add_object(Index callable, Index args) {
        const PickleKind kind = graph_.nodes[callable].kind;
        if (kind != PickleKind::name) {
            fail(graph_.label, ": refused: the pickle calls ", name_of(kind), " instead of a named class");
        }
        const Index index = add(PickleKind::object);
        graph_.nodes[index].callable = callable;
        graph_.nodes[index].args = args;
        return index;
    }
    /// An object that Python would make by calling a function, if `callable` is one. Throws `Error` for functions that
    /// are not known to be harmless.
    Index add_call(Index callable, Index args) {
        const Index index = add_object(callable, args);
        std::string_view name = graph_.nodes[callable].text;
        if (std::ranges::find(forwarding_constructors, name) != forwarding_constructors.end()) {
            const Node& given = graph_.nodes[args];
            const bool named = given.kind == PickleKind::tuple && !given.items.empty() &&
                               graph_.nodes[given.items.front()].kind == PickleKind::name;
            require(named, graph_.label, ": refused: the pickle calls ", name, " without the name of a function");
            name = graph_.nodes[given.items.front()].text;
        }
        require(!is_unknown_function(name), graph_.label, ": refused: the pickle calls ", name,
                ", which is not known to be harmless (save the tensors alone, as a state_dict)");
        return index;
    }
    Index add_text(PickleKind kind, std::string characters) {
        return add(kind, graph_.texts.emplace_back(std::move(characters)));
    }
    /// The name of a class or function. Throws `Error` if it runs code.
    Index add_name(std::string_view module, std::string_view name) {
        require(module.size() + name.size() <= 512, graph_.label, ": a name of ", module.size() + name.size(),
                " characters, expected at most 512");
        std::string full = text(module, '.', name);
        if (const auto found = names_.find(full); found != names_.end()) {
            return found->second;
        }
        require(!runs_code(module, name, full), graph_.label, ": refused: the pickle mentions ", full,
                ", which could run code");
        name_bytes_ += full.size();
        require(name_bytes_ <= (std::uint64_t{1} << 20), graph_.label, ": more than 1 MiB of class names");
        const Index index = add_text(PickleKind::name, full);
        names_.emplace(std::move(full), index);
        return index;
    }
    [[nodiscard]] std::string_view string_of(Index index) const { return PickleValue(graph_, index).text(); }

    // ---- stack
    void push(Index index) { stack_.push_back(index); }
    Index pop() {
        if (stack_.empty() || stack_.back() == mark) {
            damaged("a value is missing");
        }
        const Index index = stack_.back();
        stack_.pop_back();
        return index;
    }
    [[nodiscard]] Index top() {
        const Index index = pop();
        push(index);
        return index;
    }
    void push_mark() {
        marks_.push_back(stack_.size());
        require(marks_.size() <= limits_.depth, graph_.label, ": containers nested deeper than ", limits_.depth);
        push(mark);
    }
    /// Everything above the last mark, which goes too.
    std::vector<Index> pop_to_mark() {
        if (marks_.empty()) {
            damaged("a container has no beginning");
        }
        const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
        std::vector<Index> out(begin + 1, stack_.end());
        stack_.erase(begin, stack_.end());
        marks_.pop_back();
        return out;
    }
    std::vector<Index> pop_pairs() {
        std::vector<Index> out = pop_to_mark();
        if (out.size() % 2 != 0) {
            damaged("a key without a value");
        }
        return out;
    }
    void push_tuple(std::size_t count) {
        std::vector<Index> items(count);
        for (std::size_t i = count; i-- > 0;) {
            items[i] = pop();
        }
        push(add_container(PickleKind::tuple, std::move(items)));
    }

    // ---- changes of containers
    /// Lists take elements. So do objects of classes like collections.deque, whose elements nobody here asks for.
    void extend(const std::vector<Index>& items) {
        Node& node = graph_.nodes[top()];
        if (node.kind == PickleKind::list || node.kind == PickleKind::set) {
            node.items.insert(node.items.end(), items.begin(), items.end());
        } else if (node.kind != PickleKind::object) {
            damaged("elements for ", name_of(node.kind));
        }
    }
    void set_items(const std::vector<Index>& pairs) {
        Node& node = graph_.nodes[top()];
        if (node.kind != PickleKind::dict && node.kind != PickleKind::object) {
            damaged("keys for ", name_of(node.kind));
        }
        node.items.insert(node.items.end(), pairs.begin(), pairs.end());
    }
    void build() {
        const Index state = pop();
        Node& node = graph_.nodes[top()];
        if (node.kind != PickleKind::object) {
            damaged("a state for ", name_of(node.kind));
        }
        node.state = state;
    }

    // ---- memory
    void remember(std::size_t key) {
        require(memo_.size() < limits_.values, graph_.label, ": the pickle remembers more than ", limits_.values,
                " values");
        memo_.set(key, top());
    }
    void recall(std::size_t key) {
        const Index* const found = memo_.find(key);
        if (found == nullptr) {
            damaged("value ", key, " is used before it is defined");
        }
        push(*found);
    }

    // ---- numbers
    template <class Number>
    [[nodiscard]] Number parse(std::string_view digits) const {
        Number out{};
        const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), out);
        if (result.ec != std::errc() || result.ptr != digits.data() + digits.size()) {
            damaged("not a number: \"", digits.substr(0, 32), '"');
        }
        return out;
    }
    [[nodiscard]] std::uint32_t memo_key() { return parse<std::uint32_t>(reader_.line()); }
    Index decimal(std::string_view digits) {
        if (digits == "00" || digits == "01") {  // protocol 0 writes booleans so
            return digits == "00" ? false_index : true_index;
        }
        if (digits.ends_with('L')) {
            digits.remove_suffix(1);
        }
        const bool large = digits.size() > 18 && digits.find_first_not_of("-0123456789") == digits.npos;
        return large ? add(PickleKind::big_integer, digits) : add_integer(parse<std::int64_t>(digits));
    }
    /// A two's complement number of any length, lowest byte first.
    Index binary(std::span<const std::byte> bytes) {
        if (bytes.size() > 8) {
            return add(PickleKind::big_integer, as_text(bytes));
        }
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
        }
        const auto unused = static_cast<int>(64 - 8 * bytes.size());
        return add_integer(unused == 64 ? 0 : std::bit_cast<std::int64_t>(value << unused) >> unused);
    }
    /// A length that a signed field holds.
    [[nodiscard]] std::uint64_t signed_length() {
        const auto length = reader_.little<std::int32_t>();
        if (length < 0) {
            damaged("negative length ", length);
        }
        return static_cast<std::uint64_t>(length);
    }

    PickleLimits limits_;
    ByteReader reader_;
    PickleGraph graph_;
    std::vector<Index> stack_;
    std::vector<std::size_t> marks_;
    PickleMemo memo_;
    std::map<std::string, Index, std::less<>> names_;
    std::uint64_t name_bytes_ = 0;
};

}  // namespace detail

}  // namespace flowfar::io
