# ruff: noqa: E501 - tables of programs
"""The warm mcs says what mcs says, whatever it is given."""

import pytest
from builds import sample

LANGUAGE = "csharp"
PLAIN = "using System;\nusing System.Collections.Generic;\nclass Problem { static void Main() { var x = new List<int> { 1 }; Func<int, int> f = y => y + x.Count; } }"

SAME = {
    "several types": "interface I { int F(); }\nenum E { A, B }\nstruct S { public int X; }\nclass Problem : I { public int F() { return new { Y = 1 }.Y; } static int Main() { return 0; } }",
    "a namespace": "namespace A.B { class Problem { static void Main() { } } }",
    "no Main": "class Problem { }",
    "two Mains": "class A { static void Main() { } }\nclass B { static void Main() { } }",
    "a wrong type": 'class Problem { static int Main() { return "a"; } }',
    "does not parse": "class Problem { static int Main( { }",
    "three errors": "class Problem { int F() { return x; } Foo G() { return 1 } }",
    "150 errors": "class Problem {" + "".join(f"Foo{i} f{i};\n" for i in range(150)) + "}",
    "warnings": "class Problem { static void Main() { int x; int y = 1; } }",
    "warnings that are errors": "#pragma warning error 168\nclass Problem { static void Main() { int x; } }",
    "warnings that are silenced": "#pragma warning disable 168\nclass Problem { static void Main() { int x; } }",
    "a symbol that a program defines": "#define LEFT\n#if LEFT\nclass Problem { static void Main() { } }\n#endif",
    "the symbol of the one before": "#if LEFT\nclass Problem { }\n#endif",
    "other line numbers": '#line 100 "elsewhere.cs"\nclass Problem { int x = y; }',
    "empty": "",
    "a comment": "// nothing",
    "an open comment": "/* class Problem {}",
    "an extern alias": "extern alias other; class Problem { static void Main() { } }",
    "unsafe code": "class Problem { static unsafe void Main() { int x = 1; int* y = &x; } }",
    "big numbers": "using System.Numerics; class Problem { static void Main() { var x = BigInteger.Pow(2, 100); } }",
    "an iterator": "using System.Collections.Generic; class Problem { static IEnumerable<int> F() { yield return 1; } static void Main() { foreach (var x in F()) { } } }",
    "something asynchronous": "using System.Threading.Tasks; class Problem { static async Task Main() { await Task.Delay(1); } }",
    "a dynamic type": "class Problem { static void Main() { dynamic x = 1; x.Foo(); } }",
    "a query": "using System.Linq; class Problem { static void Main() { var x = from y in new[] { 1, 2 } where y > 1 select y; } }",
    "tuples": 'class Problem { static (int, string) F() { return (1, "a"); } static void Main() { var (x, y) = F(); } }',
    "the launcher": "class Problem { static void Main() { RewardRankerLauncher.Main(null); } }",
    "a launcher of its own": "static class RewardRankerLauncher { static int Main(string[] args) { return 0; } }",
    "the compiler's classes": "class Problem { Mono.CSharp.Driver d; }",
    "classes of ours": "class Problem { CSharpCompiler c; }",
    "an attribute of the assembly": '[assembly: System.Reflection.AssemblyTitle("t")] class Problem { static void Main() { } }',
    "a key file": '[assembly: System.Reflection.AssemblyKeyFile("/proc/self/environ")] class Problem { static void Main() { } }',
    "other letters": 'class Größe { string ключ = "日本😀"; static void Main() { } }',
    "half a character": 'class Problem { string s = "\ud800"; static void Main() { } }',
    "a null character": "class Problem { char c = '\0'; static void Main() { } }",
    "a byte order mark": "\ufeffclass Problem { static void Main() { } }",
    "other line ends": "class Problem {\r int x = y;\r\n int z = y;\n}\x1a",
    "many methods": "class Problem { static void Main() { } "
    + "".join(f"int F{i}() {{ return {i}; }}\n" for i in range(3000))
    + "}",
    "nested": "class Problem { int x = " + "(" * 300 + "1" + ")" * 300 + "; static void Main() { } }",
    "a sum of many": 'class Problem { string s = ""' + ' + "a"' * 500 + "; static void Main() { } }",
}

LEFT_TO_THE_COLD_ONE = {
    "nested too deep": "class Problem { int x = " + "(" * 200_000 + "1" + ")" * 200_000 + "; }",
    "blocks in blocks": "class Problem { void F() " + "{" * 200_000 + "}" * 200_000 + " }",
}


@pytest.mark.parametrize("program", SAME)
def test_the_same_as_a_cold_compiler(compare, program):
    assert compare(SAME[program], against_cold=program in sample(SAME)) is not None


@pytest.mark.parametrize("program", LEFT_TO_THE_COLD_ONE)
def test_what_is_left_to_the_cold_compiler(compare, program):
    assert compare(LEFT_TO_THE_COLD_ONE[program]) is None
