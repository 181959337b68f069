#pragma once

/// What a pickle describes, as plain data: numbers, texts, containers, and objects that nobody has constructed.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/core/error.hpp"

namespace flowfar::io {

enum class PickleKind : std::uint8_t {
    none,
    boolean,
    integer,      ///< fits into 64 bits
    big_integer,  ///< text() holds its digits, or its bytes with the lowest first
    real,
    string,
    bytes,
    tuple,
    list,
    dict,
    set,
    name,        ///< a class or function, as "module.name"; never looked up
    persistent,  ///< a reference to something outside of the pickle: id()
    object       ///< what calling callable() with args() would give; never called
};

[[nodiscard]] constexpr std::string_view name_of(PickleKind kind) {
    switch (kind) {
        case PickleKind::none:
            return "None";
        case PickleKind::boolean:
            return "a boolean";
        case PickleKind::integer:
        case PickleKind::big_integer:
            return "an integer";
        case PickleKind::real:
            return "a number";
        case PickleKind::string:
            return "a string";
        case PickleKind::bytes:
            return "bytes";
        case PickleKind::tuple:
            return "a tuple";
        case PickleKind::list:
            return "a list";
        case PickleKind::dict:
            return "a dict";
        case PickleKind::set:
            return "a set";
        case PickleKind::name:
            return "a name";
        case PickleKind::persistent:
            return "a reference";
        case PickleKind::object:
            return "an object";
    }
    return "?";
}

namespace detail {

/// Values refer to each other by number, because a pickle may describe any graph, cycles included.
using PickleIndex = std::uint32_t;

struct PickleNode {
    PickleKind kind = PickleKind::none;
    PickleIndex callable = 0;        // of an object
    PickleIndex args = 0;            // of an object; the id of a persistent reference
    PickleIndex state = 0;           // of an object; 0, which is None, if it has none
    std::uint64_t bits = 0;          // of a number
    std::string_view text;           // in the pickle itself or in `PickleGraph::texts`
    std::vector<PickleIndex> items;  // of a dict or an object: key, value, key, value, …
};

struct PickleGraph {
    std::vector<PickleNode> nodes;
    std::deque<std::string> texts;
    std::string label;
};

}  // namespace detail

/// One value of a `Pickle`, which must outlive it. Accessors throw `Error` for values of another kind.
class PickleValue {
   public:
    PickleValue(const detail::PickleGraph& graph, detail::PickleIndex index) : graph_(&graph), index_(index) {}

    [[nodiscard]] PickleKind kind() const { return node().kind; }
    [[nodiscard]] bool is(PickleKind kind) const { return node().kind == kind; }
    /// Tells values apart: equal numbers are the same value, met twice.
    [[nodiscard]] std::size_t identity() const { return index_; }

    [[nodiscard]] bool boolean() const { return expect(PickleKind::boolean).bits != 0; }
    [[nodiscard]] std::int64_t integer() const { return std::bit_cast<std::int64_t>(expect(PickleKind::integer).bits); }
    [[nodiscard]] double real() const { return std::bit_cast<double>(expect(PickleKind::real).bits); }
    /// The characters of a string or a name, the bytes of bytes or of a big integer.
    [[nodiscard]] std::string_view text() const {
        const bool has_text =
            is(PickleKind::string) || is(PickleKind::bytes) || is(PickleKind::name) || is(PickleKind::big_integer);
        return has_text ? node().text : expect(PickleKind::string).text;
    }
    /// Whether this is the name `name`.
    [[nodiscard]] bool names(std::string_view name) const { return is(PickleKind::name) && node().text == name; }

    /// Elements of a tuple, list or set; pairs of a dict; pairs that were put into an object.
    [[nodiscard]] std::size_t size() const {
        switch (kind()) {
            case PickleKind::tuple:
            case PickleKind::list:
            case PickleKind::set:
                return node().items.size();
            case PickleKind::dict:
            case PickleKind::object:
                return node().items.size() / 2;
            default:
                return expect(PickleKind::tuple).items.size();
        }
    }
    [[nodiscard]] PickleValue item(std::size_t i) const {
        require(i < size() && !pairs(), graph_->label, ": ", name_of(kind()), " has no element ", i);
        return at(node().items[i]);
    }
    [[nodiscard]] PickleValue key(std::size_t i) const {
        require(i < size() && pairs(), graph_->label, ": ", name_of(kind()), " has no pair ", i);
        return at(node().items[2 * i]);
    }
    [[nodiscard]] PickleValue value(std::size_t i) const {
        require(i < size() && pairs(), graph_->label, ": ", name_of(kind()), " has no pair ", i);
        return at(node().items[2 * i + 1]);
    }

    /// What would be called to make an object, its arguments, and what it would be given afterwards (often None).
    [[nodiscard]] PickleValue callable() const { return at(expect(PickleKind::object).callable); }
    [[nodiscard]] PickleValue args() const { return at(expect(PickleKind::object).args); }
    [[nodiscard]] PickleValue state() const { return at(expect(PickleKind::object).state); }
    /// Whether this is an object made by calling `name`.
    [[nodiscard]] bool made_by(std::string_view name) const { return is(PickleKind::object) && callable().names(name); }
    /// What a persistent reference refers to.
    [[nodiscard]] PickleValue id() const { return at(expect(PickleKind::persistent).args); }

   private:
    [[nodiscard]] const detail::PickleNode& node() const { return graph_->nodes[index_]; }
    [[nodiscard]] PickleValue at(detail::PickleIndex index) const { return {*graph_, index}; }
    [[nodiscard]] bool pairs() const { return is(PickleKind::dict) || is(PickleKind::object); }
    [[nodiscard]] const detail::PickleNode& expect(PickleKind kind) const {
        if (!is(kind)) {
            fail(graph_->label, ": expected ", name_of(kind), ", found ", name_of(this->kind()));
        }
        return node();
    }

    const detail::PickleGraph* graph_;
    detail::PickleIndex index_;
};

/// A short description for listings: the number, up to 60 characters of text, or what kind of thing it is.
[[nodiscard]] inline std::string to_string(const PickleValue& value) {
    switch (value.kind()) {
        case PickleKind::boolean:
            return value.boolean() ? "True" : "False";
        case PickleKind::integer:
            return std::to_string(value.integer());
        case PickleKind::real:
            return flowfar::detail::number_text(value.real());
        case PickleKind::string:
            return '"' + std::string(value.text().substr(0, 60)) + (value.text().size() > 60 ? "…\"" : "\"");
        case PickleKind::name:
            return std::string(value.text());
        case PickleKind::tuple:
        case PickleKind::list:
        case PickleKind::set:
        case PickleKind::dict:
            return text(name_of(value.kind()), " of ", value.size());
        case PickleKind::object:
            return value.callable().is(PickleKind::name) ? text("object of ", value.callable().text()) : "an object";
        default:
            return std::string(name_of(value.kind()));
    }
}

}  // namespace flowfar::io
