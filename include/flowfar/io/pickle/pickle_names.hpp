#pragma once

/// Which names a pickle may mention, and which functions it may call. Nothing is ever called here, so this is a second
/// line of defense: a file that would run code elsewhere is not a file to take weights from.

#include <algorithm>
#include <array>
#include <string_view>

namespace flowfar::io::detail {

/// Modules that run code, start programs, or reach files, networks and the interpreter. Their submodules count too.
inline constexpr std::array<std::string_view, 74> refused_modules{
    "os",
    "posix",
    "nt",
    "posixpath",
    "ntpath",
    "subprocess",
    "sys",
    "runpy",
    "importlib",
    "imp",
    "socket",
    "socketserver",
    "shutil",
    "ctypes",
    "_ctypes",
    "cffi",
    "pty",
    "commands",
    "popen2",
    "code",
    "codeop",
    "pickle",
    "_pickle",
    "cPickle",
    "pickletools",
    "marshal",
    "shelve",
    "dill",
    "joblib",
    "cloudpickle",
    "multiprocessing",
    "_posixsubprocess",
    "threading",
    "_thread",
    "webbrowser",
    "http",
    "urllib",
    "urllib2",
    "requests",
    "httplib",
    "aiohttp",
    "ftplib",
    "smtplib",
    "telnetlib",
    "poplib",
    "imaplib",
    "asyncio",
    "signal",
    "tempfile",
    "pdb",
    "bdb",
    "timeit",
    "trace",
    "cProfile",
    "profile",
    "pip",
    "setuptools",
    "distutils",
    "pkgutil",
    "zipimport",
    "operator",
    "_operator",
    "gc",
    "inspect",
    "atexit",
    "ssl",
    "fileinput",
    "linecache",
    "io",
    "_io",
    "idlelib",
    "doctest",
    "venv",
    "ensurepip",
};

/// Built-in types that only hold data; every other built-in name is refused.
inline constexpr std::array<std::string_view, 19> plain_builtins{
    "set",       "frozenset", "list",  "dict",  "tuple",  "int",     "float", "bool",   "str",      "bytes",
    "bytearray", "complex",   "slice", "range", "object", "unicode", "long",  "xrange", "Ellipsis",
};

/// Functions and modules of otherwise harmless packages that load, compile or run things.
inline constexpr std::array<std::string_view, 20> refused_names{
    "torch.load",
    "torch.save",
    "torch.hub",
    "torch.serialization",
    "torch.storage._load_from_bytes",
    "torch.jit",
    "torch.package",
    "torch.compile",
    "torch.utils.cpp_extension",
    "torch.utils.collect_env",
    "torch.distributed.rpc",
    "torch.multiprocessing",
    "numpy.load",
    "numpy.f2py",
    "numpy.distutils",
    "numpy.testing",
    "numpy.fromfile",
    "numpy.memmap",
    "functools.reduce",
    "types.FunctionType",
};

/// Functions, and classes named like functions, that only put data together: the only ones that a pickle may call.
inline constexpr std::array<std::string_view, 36> known_constructors{
    "torch.device",
    "torch.serialization._get_layout",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.numeric._frombuffer",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.ma.core._mareconstruct",
    "numpy.random._pickle.__randomstate_ctor",
    "numpy.random._pickle.__generator_ctor",
    "numpy.random._pickle.__bit_generator_ctor",
    "_codecs.encode",
    "copyreg._reconstructor",
    "copy_reg._reconstructor",
    "collections.defaultdict",
    "collections.deque",
    "functools.partial",
    "datetime.date",
    "datetime.time",
    "datetime.datetime",
    "datetime.timedelta",
    "datetime.timezone",
    "dateutil.tz.tz.tzutc",
    "dateutil.tz.tz.tzlocal",
    "pytz._UTC",
    "pytz._p",
    "time.struct_time",
    "array.array",
    "array._array_reconstructor",
    "itertools.count",
    "itertools.repeat",
    "logging.getLogger",
    "re._compile",
};

/// PyTorch's functions that call their first argument with the third: harmless if that one is.
inline constexpr std::array<std::string_view, 3> forwarding_constructors{
    "torch._tensor._rebuild_from_type",
    "torch._tensor._rebuild_from_type_v2",
    "torch.tensor._rebuild_from_type",
};

/// Whether `name` is `prefix` or lies below it.
[[nodiscard]] constexpr bool lies_in(std::string_view name, std::string_view prefix) {
    return name.starts_with(prefix) && (name.size() == prefix.size() || name[prefix.size()] == '.');
}

[[nodiscard]] constexpr bool is_builtin(std::string_view module) {
    return module == "builtins" || module == "__builtin__" || module == "__builtins__";
}

/// Whether "module.name" stands for something that runs code. Attribute paths are followed: "torch.os.system" counts.
[[nodiscard]] constexpr bool runs_code(std::string_view module, std::string_view name, std::string_view full) {
    const auto within = [](std::string_view what) {
        return [what](std::string_view prefix) { return lies_in(what, prefix); };
    };
    if (std::ranges::find(known_constructors, full) != known_constructors.end()) {
        return false;
    }
    if (std::ranges::any_of(refused_modules, within(full)) || std::ranges::any_of(refused_names, within(full)) ||
        full == "types.CodeType" || full == "codecs.open" || full == "bz2.BZ2File") {
        return true;
    }
    if (is_builtin(module)) {
        return std::ranges::find(plain_builtins, name) == plain_builtins.end();
    }
    for (std::size_t dot = full.find('.'); dot != full.npos; dot = full.find('.', dot + 1)) {
        const std::string_view rest = full.substr(dot + 1);
        const std::string_view part = rest.substr(0, rest.find('.'));
        if (part.starts_with("__") || part == "os" || part == "sys" || part == "subprocess" || part == "builtins" ||
            part == "importlib" || part == "eval" || part == "exec" || part == "system" || part == "popen") {
            return true;
        }
    }
    return false;
}

/// Whether calling "module.name", which does not run code by its mere name, might do so: functions of which nobody here
/// knows what they do. By custom the names of classes begin with a capital letter, and no others do.
[[nodiscard]] constexpr bool is_unknown_function(std::string_view full) {
    const std::size_t dot = full.rfind('.');
    const std::string_view name = full.substr(dot == full.npos ? 0 : dot + 1);
    const bool is_class = !name.empty() && name.front() >= 'A' && name.front() <= 'Z';
    return !is_class && !full.starts_with("torch._utils._rebuild_") && !full.starts_with("torch.return_types.") &&
           !is_builtin(full.substr(0, dot)) && std::ranges::find(known_constructors, full) == known_constructors.end();
}

}  // namespace flowfar::io::detail
