#include "flowfar/io/pickle/pickle.hpp"

#include <cstddef>
#include <cstdint>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "folders.hpp"
#include "io_support.hpp"
#include "zip_builder.hpp"

using flowfar::Error;
using flowfar::text;
using namespace flowfar::testing;
namespace fs = std::filesystem;
namespace io = flowfar::io;
using io::Pickle;
using io::PickleKind;
using io::PickleValue;

namespace {

std::string sample(int protocol) {
    const fs::path path = flowfar::testing::source_folder() / "tests" / "io" / "data" / "torch" /
                          ("protocol" + std::to_string(protocol) + ".pkl");
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

std::string read_error(const std::string& instructions, const io::PickleLimits& limits = {}) {
    const Bytes bytes = to_bytes(instructions);
    return error_text([&] { Pickle pickle(bytes, "x.pkl", limits); });
}

/// Reads `instructions` and gives the root to `check`.
template <class Check>
void read(const std::string& instructions, Check&& check) {
    const Bytes bytes = to_bytes(instructions);
    const Pickle pickle(bytes, "x.pkl");
    check(pickle.root());
}

std::map<std::string, std::size_t> positions(const PickleValue& dict) {
    std::map<std::string, std::size_t> out;
    for (std::size_t i = 0; i < dict.size(); ++i) {
        out[std::string(dict.key(i).text())] = i;
    }
    return out;
}

}  // namespace

TEST_CASE("what Python wrote, in every protocol") {
    for (int protocol = 0; protocol <= 5; ++protocol) {
        CAPTURE(protocol);
        read(sample(protocol), [&](const PickleValue& root) {
            REQUIRE(root.is(PickleKind::dict));
            const auto at = positions(root);
            REQUIRE(at.size() == 18);
            const auto value = [&](const char* name) { return root.value(at.at(name)); };
            CHECK(value("none").is(PickleKind::none));
            CHECK(value("true").boolean());
            CHECK_FALSE(value("false").boolean());
            CHECK(value("small").integer() == 5);
            CHECK(value("medium").integer() == 70000);
            CHECK(value("negative").integer() == -3);
            CHECK(value("large").integer() == -(std::int64_t{1} << 40));
            CHECK(value("huge").is(PickleKind::big_integer));
            CHECK(value("real").real() == 0.1);
            CHECK(value("text").text() == "a\xC3\xA9\xE2\x82\xAC\n'\"\\ \xF0\x9F\x98\x80");
            CHECK(value("long text").text() == std::string(300, 'x'));
            if (protocol >= 3) {
                CHECK(value("bytes").text() == std::string_view("\x00\xff", 2));
            } else {
                CHECK(value("bytes").made_by("_codecs.encode"));
            }
            const PickleValue tuple = value("tuple");
            REQUIRE(tuple.size() == 3);
            CHECK(tuple.item(0).integer() == 1);
            CHECK(tuple.item(1).size() == 4);
            CHECK(tuple.item(1).item(3).integer() == 5);
            CHECK(tuple.item(2).size() == 0);
            const PickleValue list = value("list");
            CHECK(list.is(PickleKind::list));
            CHECK(list.item(1).item(0).integer() == 2);
            CHECK(value("same").identity() == list.identity());
            CHECK((value("set").is(PickleKind::set) || value("set").is(PickleKind::object)));
            const PickleValue ordered = value("ordered");
            CHECK(ordered.made_by("collections.OrderedDict"));
            if (protocol >= 2) {
                CHECK(ordered.key(1).text() == "b");
                CHECK(ordered.value(1).integer() == 2);
            }
            const PickleValue space = value("namespace");
            CHECK(space.is(PickleKind::object));
            CHECK(space.state().is(PickleKind::dict));
            CHECK(space.state().value(0).real() == 0.5);
        });
    }
}

TEST_CASE("numbers of all widths") {
    const auto integer = [](const std::string& instructions) {
        std::int64_t out = 0;
        read(instructions + ".", [&](const PickleValue& root) { out = root.integer(); });
        return out;
    };
    CHECK(integer("K\xFF") == 255);
    CHECK(integer("M\xFF\xFF") == 65535);
    CHECK(integer("J\xFF\xFF\xFF\xFF") == -1);
    CHECK(integer(std::string("\x8a\x00", 2)) == 0);
    CHECK(integer("\x8a\x01\x80") == -128);
    CHECK(integer(std::string("\x8a\x02\x80\x00", 4)) == 128);
    CHECK(integer("\x8a\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F") == INT64_MAX);
    CHECK(integer(std::string("\x8b\x01\x00\x00\x00\x05", 6)) == 5);
    CHECK(integer("I-42\n") == -42);
    CHECK(integer("L123L\n") == 123);
    read("F-1.5e3\n.", [](const PickleValue& root) { CHECK(root.real() == -1500.0); });
    read("Fnan\n.", [](const PickleValue& root) { CHECK(root.real() != root.real()); });
    read("L123456789012345678901234L\n.", [](const PickleValue& root) {
        CHECK(root.text() == "123456789012345678901234");
        CHECK(contains(error_text([&] { (void)root.integer(); }), "x.pkl: expected an integer"));
    });
    CHECK(contains(read_error("I1x\n."), "not a number: \"1x\""));
    CHECK(contains(read_error("F\n."), "not a number"));
}

TEST_CASE("accessors of the wrong kind throw") {
    read(
        "](K\x01K\x02"
        "e.",
        [](const PickleValue& list) {
            CHECK(contains(error_text([&] { (void)list.integer(); }), "expected an integer, found a list"));
            CHECK(contains(error_text([&] { (void)list.text(); }), "expected a string, found a list"));
            CHECK(contains(error_text([&] { (void)list.item(2); }), "a list has no element 2"));
            CHECK(contains(error_text([&] { (void)list.key(0); }), "a list has no pair 0"));
            CHECK(contains(error_text([&] { (void)list.callable(); }), "expected an object, found a list"));
            CHECK(contains(error_text([&] { (void)list.id(); }), "expected a reference"));
            CHECK(contains(error_text([&] { (void)list.item(0).size(); }), "expected a tuple, found an integer"));
            CHECK_FALSE(list.made_by("x"));
        });
}

TEST_CASE("objects of unknown classes describe how they were made") {
    // protocol 1's INST, and OBJ
    read(
        "(K\x01i__main__\nThing\n}(U\x01"
        "aK\x02ub.",
        [](const PickleValue& thing) {
            CHECK(thing.made_by("__main__.Thing"));
            CHECK(thing.args().item(0).integer() == 1);
            CHECK(thing.state().value(0).integer() == 2);
        });
    read("(c__main__\nThing\nK\x01o.", [](const PickleValue& thing) {
        CHECK(thing.made_by("__main__.Thing"));
        CHECK(thing.args().size() == 1);
    });
    read(
        "\x80\x02"
        "c__main__\nThing\n)}\x92.",
        [](const PickleValue& thing) { CHECK(thing.made_by("__main__.Thing")); });
    read("cfunctools\npartial\n(cmath\nsin\ntR.",
         [](const PickleValue& partial) { CHECK(partial.args().item(0).names("math.sin")); });
    read("Pabc\n.", [](const PickleValue& reference) { CHECK(reference.id().text() == "abc"); });
}

TEST_CASE("what could run code is refused by name") {
    for (const std::string name : {"os.system",
                                   "posix.system",
                                   "nt.system",
                                   "subprocess.run",
                                   "builtins.eval",
                                   "builtins.exec",
                                   "builtins.getattr",
                                   "builtins.__import__",
                                   "builtins.open",
                                   "__builtin__.apply",
                                   "sys.modules",
                                   "runpy._run_code",
                                   "importlib.import_module",
                                   "socket.create_connection",
                                   "shutil.rmtree",
                                   "operator.attrgetter",
                                   "ctypes.CDLL",
                                   "multiprocessing.util.os.system",
                                   "torch.hub.load",
                                   "numpy.testing._private.utils.runstring",
                                   "torch.os.system",
                                   "types.FunctionType",
                                   "webbrowser.open",
                                   "pty.spawn"}) {
        const std::size_t dot = name.rfind('.');
        CAPTURE(name);
        const std::string expected = "x.pkl: refused: the pickle mentions " + name + ", which could run code";
        CHECK(read_error("c" + name.substr(0, dot) + "\n" + name.substr(dot + 1) + "\n.") == expected);
    }
    for (const std::string name :
         {"collections.OrderedDict", "argparse.Namespace", "__main__.Config", "osprey.Thing",
          "torch.nn.modules.linear.Linear", "numpy.core.multiarray._reconstruct", "numpy.dtype", "pathlib.PosixPath",
          "builtins.set", "omegaconf.dictconfig.DictConfig", "functools.partial", "syspath.Thing"}) {
        const std::size_t dot = name.rfind('.');
        CAPTURE(name);
        CHECK(read_error("c" + name.substr(0, dot) + "\n" + name.substr(dot + 1) + "\n.") == "no error");
    }
    CHECK(contains(read_error("\x80\x02\x82\x01."), "refused: the pickle uses registered extension codes"));
    CHECK(contains(read_error("\x80\x05\x97."), "keeps its data outside"));
    CHECK(contains(read_error("c__main__\nThing\n)R)R."),
                   "refused: the pickle calls an object instead of a named class"));
}

TEST_CASE("only known functions may be called; classes of any name may be made") {
    const auto split = [](const std::string& name) {
        const std::size_t dot = name.rfind('.');
        return name.substr(0, dot) + "\n" + name.substr(dot + 1) + "\n";
    };
    for (const std::string name :
         {"math.sin", "pydoc.pipepager", "uuid._get_command_stdout", "_osx_support._read_output", "pandas.read_pickle",
          "numpy.lib.npyio.load", "torch._dynamo.guards.GuardBuilder.get", "logging.config.dictConfig",
          "site.addsitedir", "pathlib.Path.write_text", "__main__.rebuild", "__main__.\xc3\xa9tude"}) {
        CAPTURE(name);
        const std::string expected = "x.pkl: refused: the pickle calls " + name +
                                     ", which is not known to be harmless (save the tensors alone, as a state_dict)";
        CHECK(read_error("c" + split(name) + ".") == "no error");  // mentioned, as activation functions are
        CHECK(read_error("c" + split(name) + ")R.") == expected);  // REDUCE
        CHECK(read_error("(i" + split(name) + ".") == expected);   // INST
        CHECK(read_error("(c" + split(name) + "o.") == expected);  // OBJ
    }
    for (const std::string name :
         {"collections.OrderedDict", "collections.deque", "datetime.datetime", "builtins.set", "pathlib.PosixPath",
          "torch._utils._rebuild_tensor_v2", "functools.partial", "__builtin__.long", "__builtin__.xrange",
          "__builtins__.int", "torch.return_types.max", "array.array", "torch.serialization._get_layout",
          "numpy.random._pickle.__randomstate_ctor", "numpy.core.multiarray.scalar",
          "numpy._core.multiarray._reconstruct"}) {
        CAPTURE(name);
        CHECK(read_error("c" + split(name) + ")R.") == "no error");
    }
    CHECK(read_error("\x80\x02"
                     "c__main__\nsettings\n)\x81.") == "no error");  // NEWOBJ makes objects of classes only
    for (const std::string name : {"torch._tensor._rebuild_from_type_v2", "torch.tensor._rebuild_from_type"}) {
        CAPTURE(name);  // these call what they are given
        const auto given = [&](const std::string& first) {
            return read_error("c" + split(name) + "(" + first + "ctorch\nTensor\n)}tR.");
        };
        CHECK(given("ctorch._utils\n_rebuild_tensor_v2\n") == "no error");
        CHECK(given("c__main__\nMyTensor\n") == "no error");
        CHECK(contains(given("c__main__\nrun\n"), "refused: the pickle calls __main__.run, which is not known"));
        CHECK(contains(given("N"), "without the name of a function"));
        CHECK(contains(read_error("c" + split(name) + ")R."), "without the name of a function"));
        CHECK(contains(read_error("c" + split(name) + "NR."), "without the name of a function"));
    }
}

TEST_CASE("damaged pickles are refused") {
    CHECK(contains(read_error(""), "cut short"));
    CHECK(contains(read_error("N"), "cut short"));
    CHECK(contains(read_error("."), "a value is missing"));
    CHECK(contains(read_error("(."), "a value is missing"));
    CHECK(contains(read_error("NN."), "1 values are left over"));
    CHECK(contains(read_error("t."), "a container has no beginning"));
    CHECK(contains(read_error("(2."), "a value is missing"));
    CHECK(contains(read_error("(Nd."), "a key without a value"));
    CHECK(contains(read_error("K\x01K\x02"
                              "a."),
                   "elements for an integer"));
    CHECK(contains(read_error("K\x01NNs."), "keys for an integer"));
    CHECK(contains(read_error("K\x01Nb."), "a state for an integer"));
    CHECK(contains(read_error("](NN"
                              "u."),
                   "keys for a list"));
    CHECK(contains(read_error("h\x07."), "value 7 is used before it is defined"));
    CHECK(contains(read_error("gx\n."), "not a number"));
    CHECK(contains(read_error("(o."), "an object without a class"));
    CHECK(contains(read_error("\x80\x06N."), "pickle protocol 6, expected at most 5"));
    CHECK(contains(read_error("T\xFF\xFF\xFF\xFF."), "negative length -1"));
    CHECK(contains(read_error("X\xFF\xFF\xFF\xFF."), "cut short"));
    CHECK(contains(read_error("\x8d\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF."), "cut short"));
    CHECK(contains(read_error("\x95\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFN."), "a frame of"));
    CHECK(contains(read_error("V\\u12\n."), "an escape sequence that is not a character"));
    CHECK(contains(read_error("V\\U00110000\n."), "an escape sequence that is not a character"));
    CHECK(contains(read_error("Sabc\n."), "a string without quotes"));
    CHECK(contains(read_error("S'a\\\n."), "a string"));
    CHECK(contains(read_error("NK\x01\x93."), "expected a string"));
    CHECK(contains(read_error("\xFF."), "unknown instruction 255"));
    CHECK(contains(read_error("c" + std::string(600, 'a') + "\nb\n."), "a name of 601 characters"));
}

TEST_CASE("limits hold") {
    CHECK(contains(read_error(std::string(100, 'N') + ".", {.size = 50}),
                   "x.pkl: a pickle may have 50 bytes: cut short"));
    CHECK(read_error("N." + std::string(100, 'N'), {.size = 50}) == "no error");  // what follows does not count
    CHECK(contains(read_error(std::string(100, ']') + ".", {.values = 50}), "the pickle holds more than 50 values"));
    CHECK(contains(read_error(std::string(100, '(') + ".", {.depth = 50}), "nested deeper than 50"));
    CHECK(contains(read_error("N" + std::string(100, '\x94') + ".", {.values = 50}), "remembers more than 50"));
    // Nesting does not use the program's stack.
    std::string deep;
    for (int i = 0; i < 60000; ++i) {
        deep += "(";
    }
    deep += "N" + std::string(60000, 'l') + ".";
    CHECK(read_error(deep) == "no error");
    std::string chain = "]";
    for (int i = 0; i < 1000000; ++i) {
        chain += "\x85";
    }
    CHECK(read_error(chain + ".") == "no error");
}

TEST_CASE("values are remembered under any numbers") {
    const auto put = [](std::uint32_t key) {
        std::string out = "r";
        put_number(out, key, 4);
        return out;
    };
    const auto get = [](std::uint32_t key) {
        std::string out = "j";
        put_number(out, key, 4);
        return out;
    };
    // 2 comes first, before 0 and 1, and is then defined anew; so is 4,000,000,000, which stays far from the others.
    const std::string pickle = "K\x0A" + put(2) + "K\x0B" + put(0) + "K\x0C" + put(1) + get(2) + "K\x0D" + put(2) +
                               get(2) + get(0) + get(1) + "K\x0E" + put(4'000'000'000) + "K\x0F" + put(4'000'000'000) +
                               get(4'000'000'000) + "K\x10\x94" + "h\x04";
    read("(" + pickle + "l.", [](const PickleValue& list) {
        std::vector<std::int64_t> found;
        for (std::size_t i = 0; i < list.size(); ++i) {
            found.push_back(list.item(i).integer());
        }
        CHECK(found == std::vector<std::int64_t>{10, 11, 12, 10, 13, 13, 11, 12, 14, 15, 15, 16, 16});
    });
    CHECK(contains(read_error("N" + put(7) + "0" + get(6) + "."), "value 6 is used before it is defined"));
}

TEST_CASE("every cut and every changed byte of a pickle") {
    for (int protocol = 0; protocol <= 5; ++protocol) {
        const std::string whole = sample(protocol);
        REQUIRE(whole.size() > 100);
        for (std::size_t length = 0; length < whole.size(); ++length) {
            CHECK(read_error(whole.substr(0, length)) != "no error");
        }
        for (std::size_t at = 0; at < whole.size(); ++at) {
            for (const char byte : {'\0', '\x7F', '\xFF', '(', 'R', '0', 'b', 'u'}) {
                std::string changed = whole;
                changed[at] = byte;
                static_cast<void>(read_error(changed));
            }
        }
    }
}
