"""A precompiled header is used where it changes nothing, and nowhere else."""

import pytest
from builds import sample, toolchain

from rewardranker.execution.compilers.prebuilt import fill_in

ALL = "#include <bits/stdc++.h>\n"
MAIN = "int main() { std::vector<int> x{1}; assert(x.size() == 1); }\n"

WITH_HEADER = {
    "first": ALL + MAIN,
    "after others": "#include<assert.h>\n#include <cmath>\n# include <vector>\n" + ALL + MAIN,
    "after comments": "// one\n/* two\n#define x\n*/\n\t" + ALL + MAIN,
    "twice": ALL + ALL + MAIN,
    "no assertions": ALL + "#define NDEBUG\n#include <assert.h>\n" + MAIN,
    "a failed assertion": ALL + "int main() { assert(1 == 2); }",
    "a wrong type": ALL + 'int main() { int x = "a"; }',
    "an error in a template": ALL
    + "struct A {}; int main() { std::set<A> s; s.insert(A()); std::sort(1, 2); }",
    "does not link": ALL + "int f(); int main() { return f(); }",
    "two definitions": ALL + 'int x; int y __asm__("x"); int main() {}',
    "no main": ALL + "int f() { return 1; }",
    "a pragma": ALL + '#pragma GCC optimize("O3")\n#pragma GCC target("avx2")\n' + MAIN,
    "levels and lines": ALL
    + "static_assert(__INCLUDE_LEVEL__ == 0 && __LINE__ == 2 && __COUNTER__ == 0);\n"
    + MAIN,
    "deep recursion of templates": ALL
    + "template <int N> struct A { static const int x = A<N + 1>::x; }; int main() { return A<0>::x; }",
    "macros": ALL + "#define vector x\n#define private public\n" + MAIN,
    "a file": ALL + '#include "/etc/passwd"\n' + MAIN,
    "the proof of the end": ALL + 'extern "C" int __wrap_main() { return 0; }' + MAIN,
}

WITHOUT = {
    "not at all": "#include <vector>\n#include <assert.h>\n" + MAIN,
    "something is missing": "#include <vector>\nint main() { std::map<int, int> x; }",
    "a macro before it": "#define private public\n" + ALL + MAIN,
    "no assertions": "#define NDEBUG\n" + ALL + MAIN,
    "in a comment": "/* " + ALL + " */ int main() { std::vector<int> x; }",
    "in a comment of a line": "// " + ALL + "int main() { std::vector<int> x; }",
    "in a comment that goes on": "// \\\n" + ALL + "int main() { std::vector<int> x; }",
    "under a condition": "#if 0\n" + ALL + "#endif\nint main() { std::vector<int> x; }",
    "in a string": 'const char *x = R"(\n' + ALL + ')"; int main() { std::vector<int> y; }',
    "after code": "int std_vector;\n" + ALL + MAIN,
    "after another header": "#include <unistd.h>\n" + ALL + MAIN,
    "after a pragma": '#pragma GCC optimize("O3")\n' + ALL + MAIN,
    "after a file": '#include "/etc/passwd"\n' + ALL + MAIN,
    "in quotes": '#include "bits/stdc++.h"\n' + MAIN,
    "after an open comment": "/*" * 100000 + ALL,
}


@pytest.fixture(scope="module")
def cpp():
    return toolchain("cpp")


def includes_it(cpp, source):
    return "-include" in cpp.build_options(source)


@pytest.mark.parametrize("program", WITH_HEADER)
def test_with_the_header(cold, cpp, program):
    source = WITH_HEADER[program]
    assert includes_it(cpp, source)
    fast = cold.verdict(cpp, source, cpp.build_options(source))
    assert fast.strict_status in ("passed", "failed", "syntax_error")
    if program in sample(WITH_HEADER):
        slow = cold.verdict(cpp, source)
        assert (fast.status, fast.strict_status, fast.phase) == (slow.status, slow.strict_status, slow.phase)
        if "undefined reference" not in slow.reason:
            assert fast.reason == slow.reason


@pytest.mark.parametrize("program", WITHOUT)
def test_without_the_header(cold, cpp, program):
    source = WITHOUT[program]
    assert not includes_it(cpp, source)
    if program in sample(WITHOUT):
        fast, slow = (cold.verdict(cpp, source, options) for options in (cpp.build_options(source), ()))
        assert (fast.status, fast.strict_status) == (slow.status, slow.strict_status)


def test_the_header_is_really_used(cold, cpp):
    source = "#include <assert.h>\n" + ALL + "#error stop\n"
    verdict = cold.verdict(cpp, source, (*cpp.build_options(source), "-H", "-Winvalid-pch"))
    assert f"! {fill_in(['{prebuilt}'], cpp)[0]}/include/bits/stdc++.h.gch" in verdict.stderr
    assert "Winvalid-pch" not in verdict.stderr


def test_without_its_folder_the_systems_header_is_read(cold, cpp):
    source = ALL + MAIN
    options = tuple(option.replace("{prebuilt}", "/no/such/folder") for option in cpp.build_options(source))
    assert cold.verdict(cpp, source, options).strict_status == "passed"
