#include "../../examples/programs/common/cli/cli.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "flowfar/core/error.hpp"

#include "../../examples/programs/common/files/escaped.hpp"
#include "contents.hpp"

namespace {

using flowfar::program::nearest_word;
using flowfar::program::run_program;
using flowfar::program::Spec;
using flowfar::program::UsageError;
using flowfar::testing::contents;
using Words = std::vector<std::string>;

struct Settings {
    int steps = 25;
    std::int64_t seed = 7;
    std::uint32_t threads = 1;
    float rate = 1e-4F;
    double guidance = 1.5;
    std::string preset = "lo";
    std::string output;
    std::optional<std::string> title;
    std::optional<double> clip;
    std::vector<int> ladder = {1, 4, 25};
    bool resume = false;
    bool shuffle = true;
    std::string input;
    Words more;
};

Spec make_spec(Settings& s) {
    Spec spec("demo", "Shows every kind of option. It has two sentences.");
    spec.positional("INPUT", s.input, "image to read");
    spec.positional("MORE", s.more, "further images").optional();
    spec.option("steps", s.steps, "sampling steps").range(1, 1000);
    spec.option("seed", s.seed, "seed of the noise");
    spec.option("threads", s.threads, "worker threads");
    spec.option("rate", s.rate, "learning rate").above(0.0F);
    spec.section("Sampling");
    spec.option("guidance", s.guidance, "strength of guidance").range(0, 10);
    spec.option("preset", s.preset, "model").choices({"lo", "hi", "micro"});
    spec.option("output", s.output, "file to write").placeholder("FILE");
    spec.option("title", s.title, "words above it").may_be_empty();
    spec.option("clip", s.clip, "limit of the gradient's norm").at_least(0);
    spec.option("ladder", s.ladder, "step counts to compare").range(1, 100);
    spec.flag("resume", s.resume, "continue the last run");
    spec.flag("shuffle", s.shuffle, "new order in every epoch");
    spec.example("cat.png --steps 4", "a quick look");
    return spec;
}

Settings parsed(const Words& words) {
    Settings settings;
    Spec spec = make_spec(settings);
    spec.parse(words);
    return settings;
}

/// The message of the usage error that `words` cause; empty if there is none.
std::string complaint(const Words& words) {
    try {
        static_cast<void>(parsed(words));
    } catch (const UsageError& error) {
        return error.what();
    }
    return {};
}

struct Outcome {
    int code;
    std::string out, err;
};

template <class Body>
Outcome outcome(std::vector<const char*> words, Body&& body) {
    Settings settings;
    Spec spec = make_spec(settings);
    words.insert(words.begin(), "./demo");
    std::FILE* out = std::tmpfile();
    std::FILE* err = std::tmpfile();
    REQUIRE(out != nullptr);
    REQUIRE(err != nullptr);
    const int code = run_program(static_cast<int>(words.size()), words.data(), spec, body, out, err);
    return {code, contents(out), contents(err)};
}

TEST_CASE("options: defaults hold, both spellings set") {
    const Settings untouched = parsed({"a.png"});
    CHECK(untouched.steps == 25);
    CHECK(untouched.input == "a.png");
    CHECK(!untouched.clip.has_value());
    CHECK(untouched.shuffle);

    const Settings s = parsed({"--steps", "4", "a.png", "--seed=-3", "--rate=2.5e-3", "--preset", "hi", "--clip=0.5",
                               "--ladder", "2,8", "--resume", "--no-shuffle", "--guidance", "0"});
    CHECK(s.steps == 4);
    CHECK(s.seed == -3);
    CHECK(s.rate == 2.5e-3F);
    CHECK(s.guidance == 0.0);
    CHECK(s.preset == "hi");
    CHECK(s.clip == 0.5);
    CHECK(s.ladder == std::vector<int>{2, 8});
    CHECK(s.resume);
    CHECK(!s.shuffle);
    CHECK(complaint({"a", "--output="}) == "--output: expected something, found an empty word");
    CHECK(complaint({""}) == "INPUT: expected something, found an empty word");
    CHECK(parsed({"a", "--seed", "-3"}).seed == -3);
    CHECK(parsed({"a", "--title="}).title->empty());
    CHECK(parsed({"a", "--title", ""}).title->empty());
}

TEST_CASE("positionals: order, lists, and -- before odd names") {
    const Settings s = parsed({"a", "b,c", "--steps", "1", "--", "--steps", "-x"});
    CHECK(s.input == "a");
    CHECK(s.more == Words{"b,c", "--steps", "-x"});
    CHECK(parsed({"-"}).input == "-");
    CHECK(complaint({}) == "INPUT is missing (image to read)");

    std::string only;
    Spec spec("one", "Takes one word.");
    spec.positional("ONLY", only, "the word");
    CHECK_THROWS_WITH_AS(spec.parse(Words{"a", "b"}), "unexpected argument \"b\"", UsageError);
}

TEST_CASE("given() tells a value from a default") {
    Settings settings;
    Spec spec = make_spec(settings);
    spec.parse(Words{"a", "--steps", "25"});
    CHECK(spec.given("steps"));
    CHECK(spec.given("INPUT"));
    CHECK(!spec.given("seed"));
    CHECK(!spec.given("MORE"));
}

TEST_CASE("numbers are read strictly and ranges are named") {
    CHECK(complaint({"a", "--steps", "0"}) == "--steps: 0 is out of range (allowed: 1 to 1000)");
    CHECK(complaint({"a", "--steps", "1001"}) == "--steps: 1001 is out of range (allowed: 1 to 1000)");
    CHECK(complaint({"a", "--steps=4x"}) == "--steps: \"4x\" is not a whole number (allowed: 1 to 1000)");
    CHECK(complaint({"a", "--threads", "-1"}) == "--threads: \"-1\" is not a whole number (allowed: 0 to 4294967295)");
    CHECK(complaint({"a", "--rate", "0"}) == "--rate: 0 is out of range (allowed: above 0)");
    CHECK(complaint({"a", "--clip", "-0.1"}) == "--clip: -0.1 is out of range (allowed: at least 0)");
    CHECK(complaint({"a", "--ladder", "1,,2"}) == "--ladder: \"\" is not a whole number (allowed: 1 to 100)");
    CHECK(complaint({"a", "--ladder", "1,101"}) == "--ladder: 101 is out of range (allowed: 1 to 100)");
    for (const char* word : {"", " 4", "4 ", "+4", "4.0", "1e2", "0x10", "99999999999999999999"}) {
        CAPTURE(word);
        CHECK(complaint({"a", std::string("--steps=") + word}) != "");
    }
    for (const char* word : {"nan", "NaN", "-nan", "inf", "-inf", "1e999", "1,5", "1.5f", ""}) {
        CAPTURE(word);
        CHECK(complaint({"a", std::string("--guidance=") + word}).starts_with("--guidance: "));
        CHECK(complaint({"a", std::string("--guidance=") + word}).ends_with("(allowed: 0 to 10)"));
    }
}

TEST_CASE("wrong words are named and the nearest right one suggested") {
    CHECK(complaint({"a", "--setps", "3"}) == "unknown option --setps; did you mean --steps?");
    CHECK(complaint({"a", "--quality=3"}) == "unknown option --quality");
    CHECK(complaint({"a", "-s"}) == "unknown option -s");
    CHECK(complaint({"a", "--no-steps"}) == "unknown option --no-steps; did you mean --steps?");
    CHECK(complaint({"a", "--steps"}) == "--steps needs a value (N)");
    CHECK(complaint({"a", "--output", "--resume"}) == "--output needs a value (FILE)");
    CHECK(complaint({"a", "--resume=yes"}) == "--resume takes no value");
    CHECK(complaint({"a", "--seed=1", "--seed=2"}) == "--seed is given twice");
    CHECK(complaint({"a", "--preset", "mirco"}) ==
          "--preset: \"mirco\" is not one of lo, hi, micro; did you mean micro?");

    CHECK(nearest_word("decdoe", {"encode", "decode"}) == "decode");
    CHECK(nearest_word("xyzzy", {"encode", "decode"}).empty());

    int count = 0;
    Spec spec("strict", "Needs an option.");
    spec.option("count", count, "how many").required();
    CHECK_THROWS_WITH_AS(spec.parse(Words{}), "--count is required", UsageError);
}

TEST_CASE("names of the last version work with a warning, and a positional may be an option") {
    int count = 0;
    std::string data;
    Spec spec("demo", "Has old names.");
    spec.positional("DATA", data, "images").alias("--data");
    spec.option("count", count, "how many").formerly("--limit");
    spec.parse(Words{"photos", "--limit", "3"});
    CHECK(count == 3);
    CHECK(data == "photos");
    CHECK(spec.given("count"));
    CHECK(spec.warnings() == Words{"--limit is now called --count; the next version does not know --limit"});
    spec.parse(Words{"--data=tar", "--count", "4"});
    CHECK(data == "tar");
    CHECK(spec.given("DATA"));
    CHECK(spec.warnings().empty());
    CHECK_THROWS_WITH_AS(spec.parse(Words{"a", "--limit=1", "--count=2"}), "--count is given twice", UsageError);
    CHECK_THROWS_WITH_AS(spec.parse(Words{"a", "--data=b"}), "unexpected argument \"a\"", UsageError);
    CHECK_THROWS_WITH_AS(spec.parse(Words{}), "DATA is missing (images)", UsageError);
    CHECK_THROWS_WITH_AS(spec.parse(Words{"--dta", "b"}), "unknown option --dta; did you mean --data?", UsageError);
    CHECK(spec.help().find("\n  DATA, --data DATA       images\n") != std::string::npos);
    CHECK(spec.help().find("--limit") == std::string::npos);

    std::FILE* const err = std::tmpfile();
    REQUIRE(err != nullptr);
    const char* const words[] = {"demo", "a", "--limit", "3"};
    CHECK(run_program(4, words, spec, [] {}, stdout, err) == 0);
    CHECK(contents(err) == "demo: --limit is now called --count; the next version does not know --limit\n");
}

TEST_CASE("help shows purpose, synopsis, defaults, ranges and examples") {
    Settings settings;
    const std::string help = make_spec(settings).help();
    CAPTURE(help);
    for (const char* part : {
             "demo: Shows every kind of option. It has two sentences.\n",
             "\nUsage: demo [options] INPUT [MORE...]\n",
             "\nArguments:\n  INPUT                   image to read\n",
             "\nOptions:\n  --steps N               sampling steps (1 to 1000; default 25)\n",
             "  --rate X                learning rate (above 0; default 0.0001)\n",
             "\nSampling:\n",
             "  --preset lo|hi|micro    model (default lo)\n",
             "  --output FILE           file to write\n",
             "  --clip X                limit of the gradient's norm (at least 0)\n",
             "  --ladder N,...          step counts to compare (1 to 100; default 1,4,25)\n",
             "  --resume                continue the last run\n",
             "(default on; --no-shuffle",
             "\nCommon:\n  --help                  print this text and exit\n",
             "\nExamples:\n  demo cat.png --steps 4\n      a quick look\n",
         }) {
        CAPTURE(part);
        CHECK(help.find(part) != std::string::npos);
    }
    std::size_t longest = 0;
    for (std::size_t begin = 0; begin < help.size();) {
        const std::size_t end = help.find('\n', begin);
        longest = std::max(longest, end - begin);
        begin = end + 1;
    }
    CHECK(longest <= 80);
}

TEST_CASE("run_program: somebody at a terminal is told of a build without optimization") {
    const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
    REQUIRE(terminal >= 0);
    REQUIRE((::grantpt(terminal) == 0 && ::unlockpt(terminal) == 0));
    std::FILE* err = std::fopen(::ptsname(terminal), "r+");
    REQUIRE(err != nullptr);
    Settings settings;
    Spec spec = make_spec(settings);
    const char* words[] = {"demo", "in.png"};
    CHECK(run_program(2, words, spec, [&] { std::fputs("work\n", err); }, stdout, err) == 0);
    std::fflush(err);
    char shown[200];
    const ssize_t length = ::read(terminal, shown, sizeof shown);
    REQUIRE(length > 0);
    const std::string_view text(shown, static_cast<std::size_t>(length));
#if defined(__OPTIMIZE__)
    CHECK(text.starts_with("work"));
#else
    CHECK(text.starts_with("demo: built without optimization"));
#endif
    std::fclose(err);
    ::close(terminal);
}

TEST_CASE("run_program: exit codes and where the text goes") {
    bool ran = false;
    const auto body = [&ran] { ran = true; };

    Outcome result = outcome({"a.png", "--steps", "x", "--help"}, body);
    CHECK(result.code == 0);
    CHECK(result.out.find("Usage: demo") != std::string::npos);
    CHECK(result.err.empty());
    result = outcome({"--version"}, body);
    CHECK(result.code == 0);
    CHECK(result.out.starts_with("demo (flowfar "));
    CHECK(!ran);

    result = outcome({"a.png", "--sede", "3"}, body);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    CHECK(result.err == "demo: unknown option --sede; did you mean --seed?\nTry 'demo --help'.\n");
    CHECK(!ran);

    CHECK(outcome({"a.png"}, body).code == 0);
    CHECK(ran);
    CHECK(outcome({"a.png"}, [] { return 5; }).code == 5);
    result = outcome({"a.png"}, [] { flowfar::fail("a.png: damaged"); });
    CHECK(result.code == 1);
    CHECK(result.err == "demo: a.png: damaged\n");
    // Messages may name what a file holds: only line breaks pass, and no line can pose as another message.
    result = outcome({"a.png"}, [] { flowfar::fail("a:\n  missing b\x1b[2J\xc2\x85\ndemo: \xe2\x80\x8f", "fine ü"); });
    CHECK(result.err == "demo: a:\n  missing b?[2J?\n  demo: ?fine ü\n");
    CHECK(outcome({"a.png"}, []() -> int { throw UsageError("--a needs --b"); }).code == 2);
    CHECK(outcome({"a.png"}, []() -> int { throw std::bad_alloc(); }).err == "demo: out of memory\n");
    const auto no_threads = []() -> int {
        throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
    };
    CHECK(outcome({"a.png"}, no_threads).err.find("ask for fewer with --threads") != std::string::npos);
    CHECK(outcome({"--help"}, body).out.find("Exit codes:") != std::string::npos);
}

TEST_CASE("output that does not arrive is no success, and closed streams are never reused") {
    Spec spec("demo", "Does nothing.");
    std::FILE* const full = std::fopen("/dev/full", "w");
    std::FILE* const err = std::tmpfile();
    REQUIRE(full != nullptr);
    const char* const words[] = {"demo"};
    CHECK(run_program(1, words, spec, [&] { std::fputs("lost", full); }, full, err) == 1);
    CHECK(run_program(
              1, words, spec,
              [&] {
                  std::fputs("lost", full);
                  return 3;
              },
              full, err) == 3);
    std::fclose(full);
    std::fclose(err);
    const ::pid_t child = ::fork();
    if (child == 0) {
        ::close(STDOUT_FILENO);
        ::close(STDERR_FILENO);
        int file = -1;
        run_program(1, words, spec, [&] { file = ::open("/dev/null", O_RDONLY); });
        ::_exit(file > STDERR_FILENO ? 7 : 8);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("names of any bytes have an exact text in UTF-8") {
    using flowfar::program::escaped;
    using flowfar::program::is_utf8;
    using flowfar::program::unescaped;
    for (const std::string name : {"plain", "two\nlines", "back\\slash\\n", "caf\xe9", "\xff\xfe\n", "ü€😀", ""}) {
        CHECK(is_utf8(escaped(name)));
        CHECK(escaped(name).find('\n') == std::string::npos);
        CHECK(unescaped(escaped(name)) == name);
    }
    CHECK(escaped("caf\xe9") == "caf\\xE9");
    CHECK(is_utf8("ü€😀"));
    for (const char* const bad : {"\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\x80"}) {
        CHECK_FALSE(is_utf8(bad));
    }
    const std::vector<std::string> names{"one\ntwo", "three", "caf\xe9"};
    CHECK(flowfar::program::unescaped_lines(flowfar::program::escaped_lines(names)) == names);
}

}  // namespace
