#pragma once

/// Reads Python pickles (protocols 0 to 5) without running anything: the result describes what Python would build.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/io/pickle/pickle_machine.hpp"
#include "flowfar/io/pickle/pickle_text.hpp"
#include "flowfar/io/pickle/pickle_value.hpp"

namespace flowfar::io {

/// A pickle that was read to its end. It refers to the bytes that it was read from, and they must outlive it.
///
/// Memory stays in proportion to the pickle: at most some 200 bytes for each of its bytes, within the limits. Throws
/// `Error` for damaged or cut pickles, for ones that exceed a limit, and for ones that mention a name which runs code,
/// such as os.system, or call a function that is not known to put data together. Classes it does not know, such as
/// argparse.Namespace, become objects that describe how they were made.
///
///     const io::Pickle pickle(bytes, "data.pkl");
///     const io::PickleValue root = pickle.root();
class Pickle : private detail::PickleMachine {
   public:
    /// Reads the pickle at the beginning of `bytes`; what follows it is left alone.
    explicit Pickle(std::span<const std::byte> bytes, const std::string& label, const PickleLimits& limits = {})
        : PickleMachine(bytes, label, limits) {
        while (step()) {
        }
        memo_ = {};
        names_.clear();
    }

    [[nodiscard]] PickleValue root() const { return {graph_, root_}; }
    /// Length of the pickle in bytes.
    [[nodiscard]] std::size_t size() const { return reader_.position(); }
    /// Number of distinct values.
    [[nodiscard]] std::size_t value_count() const { return graph_.nodes.size(); }
    /// The value with identity `i`, below `value_count()`, whether or not the root leads to it.
    [[nodiscard]] PickleValue value(std::size_t i) const {
        require(i < value_count(), graph_.label, ": the pickle has no value ", i);
        return {graph_, static_cast<Index>(i)};
    }

   private:
    /// Executes one instruction; false after the last.
    bool step() {
        const auto code = reader_.take_text(1).front();
        return code == '.' ? stop()
                           : text_step(code) || number_step(code) || container_step(code) || frame_step(code) ||
                                 memo_step(code) || call_step(code);
    }

    bool stop() {
        root_ = pop();
        if (!stack_.empty()) {
            damaged(stack_.size(), " values are left over");
        }
        return false;
    }

    bool text_step(char code) {
        switch (code) {
            case 'X':  // BINUNICODE
                push(add(PickleKind::string, reader_.take_text(reader_.little<std::uint32_t>())));
                return true;
            case '\x8c':  // SHORT_BINUNICODE
                push(add(PickleKind::string, reader_.take_text(reader_.little<std::uint8_t>())));
                return true;
            case '\x8d':  // BINUNICODE8
                push(add(PickleKind::string, reader_.take_text(reader_.little<std::uint64_t>())));
                return true;
            case 'U':  // SHORT_BINSTRING
                push(add(PickleKind::string, reader_.take_text(reader_.little<std::uint8_t>())));
                return true;
            case 'T':  // BINSTRING
                push(add(PickleKind::string, reader_.take_text(signed_length())));
                return true;
            case 'C':  // SHORT_BINBYTES
                push(add(PickleKind::bytes, reader_.take_text(reader_.little<std::uint8_t>())));
                return true;
            case 'B':  // BINBYTES
                push(add(PickleKind::bytes, reader_.take_text(reader_.little<std::uint32_t>())));
                return true;
            case '\x8e':  // BINBYTES8
            case '\x96':  // BYTEARRAY8
                push(add(PickleKind::bytes, reader_.take_text(reader_.little<std::uint64_t>())));
                return true;
            case 'V':  // UNICODE
                push(add_text(PickleKind::string, detail::unescape_unicode(reader_.line(), graph_.label)));
                return true;
            case 'S':  // STRING
                push(add_text(PickleKind::string, detail::unescape_quoted(reader_.line(), graph_.label)));
                return true;
            default:
                return false;
        }
    }

    bool number_step(char code) {
        switch (code) {
            case 'N':
                push(none_index);
                return true;
            case '\x88':  // NEWTRUE
                push(true_index);
                return true;
            case '\x89':  // NEWFALSE
                push(false_index);
                return true;
            case 'J':  // BININT
                push(add_integer(reader_.little<std::int32_t>()));
                return true;
            case 'K':  // BININT1
                push(add_integer(reader_.little<std::uint8_t>()));
                return true;
            case 'M':  // BININT2
                push(add_integer(reader_.little<std::uint16_t>()));
                return true;
            case 'I':
            case 'L':
                push(decimal(reader_.line()));
                return true;
            case '\x8a':  // LONG1
                push(binary(reader_.take(reader_.little<std::uint8_t>())));
                return true;
            case '\x8b':  // LONG4
                push(binary(reader_.take(signed_length())));
                return true;
            case 'G':  // BINFLOAT
                push(add_number(PickleKind::real, reader_.big<std::uint64_t>()));
                return true;
            case 'F':
                push(add_number(PickleKind::real, std::bit_cast<std::uint64_t>(parse<double>(reader_.line()))));
                return true;
            default:
                return false;
        }
    }

    bool container_step(char code);
    bool frame_step(char code);
    bool memo_step(char code);
    bool call_step(char code);
    Index legacy_instance(char code);

    Index root_ = none_index;
};

inline bool Pickle::container_step(char code) {
    switch (code) {
        case '(':
            push_mark();
            return true;
        case ')':
            push_tuple(0);
            return true;
        case '\x85':
        case '\x86':
        case '\x87':
            push_tuple(static_cast<std::size_t>(static_cast<unsigned char>(code) - 0x84U));
            return true;
        case 't':
            push(add_container(PickleKind::tuple, pop_to_mark()));
            return true;
        case ']':
            push(add(PickleKind::list));
            return true;
        case 'l':
            push(add_container(PickleKind::list, pop_to_mark()));
            return true;
        case '}':
            push(add(PickleKind::dict));
            return true;
        case 'd':
            push(add_container(PickleKind::dict, pop_pairs()));
            return true;
        case '\x8f':  // EMPTY_SET
            push(add(PickleKind::set));
            return true;
        case '\x91':  // FROZENSET
            push(add_container(PickleKind::set, pop_to_mark()));
            return true;
        case 'a':  // APPEND
            extend({pop()});
            return true;
        case 'e':     // APPENDS
        case '\x90':  // ADDITEMS
            extend(pop_to_mark());
            return true;
        case 's': {  // SETITEM
            const Index value = pop();
            set_items({pop(), value});
            return true;
        }
        case 'u':  // SETITEMS
            set_items(pop_pairs());
            return true;
        case '0':  // POP
            if (!stack_.empty() && stack_.back() == mark) {
                static_cast<void>(pop_to_mark());
            } else {
                static_cast<void>(pop());
            }
            return true;
        case '1':  // POP_MARK
            static_cast<void>(pop_to_mark());
            return true;
        case '2':  // DUP
            push(top());
            return true;
        default:
            return false;
    }
}

inline bool Pickle::frame_step(char code) {
    switch (code) {
        case '\x80': {  // PROTO
            const auto protocol = reader_.little<std::uint8_t>();
            require(protocol <= 5, graph_.label, ": pickle protocol ", protocol, ", expected at most 5");
            return true;
        }
        case '\x95': {  // FRAME: a hint for streams
            const auto length = reader_.little<std::uint64_t>();
            if (length > reader_.left()) {
                damaged("a frame of ", length, " bytes, but only ", reader_.left(), " are left");
            }
            return true;
        }
        default:
            return false;
    }
}

inline bool Pickle::memo_step(char code) {
    switch (code) {
        case 'q':
            remember(reader_.little<std::uint8_t>());
            return true;
        case 'r':
            remember(reader_.little<std::uint32_t>());
            return true;
        case 'p':
            remember(memo_key());
            return true;
        case '\x94':  // MEMOIZE
            remember(memo_.size());
            return true;
        case 'h':
            recall(reader_.little<std::uint8_t>());
            return true;
        case 'j':
            recall(reader_.little<std::uint32_t>());
            return true;
        case 'g':
            recall(memo_key());
            return true;
        default:
            return false;
    }
}

/// INST names its class in the text, OBJ on the stack; the arguments lie above the mark.
inline auto Pickle::legacy_instance(char code) -> Index {
    Index callable = none_index;
    if (code == 'i') {
        const std::string_view module = reader_.line();
        callable = add_name(module, reader_.line());
    }
    std::vector<Index> items = pop_to_mark();
    if (code == 'o') {
        if (items.empty()) {
            damaged("an object without a class");
        }
        callable = items.front();
        items.erase(items.begin());
    }
    const Index args = add_container(PickleKind::tuple, std::move(items));
    return add_call(callable, args);
}

/// What calls something, or would; the last family of instructions, so that others are unknown.
inline bool Pickle::call_step(char code) {
    switch (code) {
        case 'c': {  // GLOBAL
            const std::string_view module = reader_.line();
            push(add_name(module, reader_.line()));
            return true;
        }
        case '\x93': {  // STACK_GLOBAL
            const Index name = pop();
            push(add_name(string_of(pop()), string_of(name)));
            return true;
        }
        case 'R': {  // REDUCE
            const Index args = pop();
            push(add_call(pop(), args));
            return true;
        }
        case '\x81': {  // NEWOBJ
            const Index args = pop();
            push(add_object(pop(), args));
            return true;
        }
        case '\x92': {  // NEWOBJ_EX; the keyword arguments are not kept
            static_cast<void>(pop());
            const Index args = pop();
            push(add_object(pop(), args));
            return true;
        }
        case 'i':  // INST
        case 'o':  // OBJ
            push(legacy_instance(code));
            return true;
        case 'b':
            build();
            return true;
        case 'P':
        case 'Q': {
            const Index id = code == 'P' ? add(PickleKind::string, reader_.line()) : pop();
            const Index reference = add(PickleKind::persistent);
            graph_.nodes[reference].args = id;
            push(reference);
            return true;
        }
        case '\x82':
        case '\x83':
        case '\x84':
            fail(graph_.label, ": refused: the pickle uses registered extension codes");
        case '\x97':
        case '\x98':
            fail(graph_.label, ": refused: the pickle keeps its data outside of itself");
        default:
            damaged("unknown instruction ", static_cast<int>(static_cast<unsigned char>(code)));
    }
}

}  // namespace flowfar::io
