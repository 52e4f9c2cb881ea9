# ruff: noqa: E501 - tables of programs
"""The warm javac says what javac says, whatever it is given."""

import pytest
from builds import sample

LANGUAGE = "java"
PLAIN = (
    "import java.util.*;\nclass Problem { List<Integer> f() { return new ArrayList<>(); } class Inner {} }"
)

SAME = {
    "several types": "interface I { int f(); }\nenum E { A, B { } }\nrecord R(int x) {}\nclass Problem implements I { public int f() { return new Object() { int y = 1; }.y; } }",
    "two public types": "public class A {}\npublic class B {}",
    "public type of another name": "public final class Main { }",
    "a package": "package a.b.c; class Problem {}",
    "names that differ in case": "class a {} class A {}",
    "a wrong type": 'class Problem { int f() { return "a"; } }',
    "does not parse": "class Problem { int f( { }",
    "three errors": "class Problem { int f() { return x; } Foo g() { return 1 } }",
    "150 errors": "class Problem {" + "".join(f"Foo{i} f{i};\n" for i in range(150)) + "}",
    "an error and a note": "import java.util.*; class Problem { List f() { List x = new ArrayList(); x.add(1); return y; } }",
    "notes": "import java.util.*; class Problem { List f() { List x = new ArrayList(); x.add(new Integer(1)); return x; } }",
    "empty": "",
    "a comment": "// nothing",
    "an open comment": "/* class Problem {}",
    "a module": "module m { requires java.base; }",
    "an open module": "open module m { }",
    "an annotation processor": """import javax.annotation.processing.*; import javax.lang.model.*; import javax.lang.model.element.*; import java.util.*;
@SupportedAnnotationTypes("*")
public class P extends AbstractProcessor {
  public boolean process(Set<? extends TypeElement> a, RoundEnvironment r) { throw new Error("ran"); } }
@Deprecated class Problem {}""",
    "unicode escapes": '\\u0063lass Problem { String s = "\\u0022; }',
    "other letters": 'public class Größe { String ключ = "日本😀"; int \u200b; }',
    "a type of other letters": 'public class Größe { String ключ = "日本😀"; }',
    "half a character": 'class Problem { String s = "\ud800"; }',
    "a null character": "class Problem { char c = '\0'; }",
    "a byte order mark": "\ufeffclass Problem {}",
    "other line ends": "class Problem {\r int x = y;\r\n int z = y;\n}\x1a",
    "right to left": "class Problem { /* \u202e } \u2066 */ int f() { return x; } }",
    "a method that is too long": "class Problem { int f(int x) {"
    + "x += 123456789;" * 12000
    + "return x; } }",
    "many methods": "class Problem {" + "".join(f"int f{i}() {{ return {i}; }}\n" for i in range(3000)) + "}",
    "many types": "class Problem {}" + "".join(f"class C{i} {{}}" for i in range(60)),
    "a long name": f"class Problem {{}} class {'x' * 240} {{}}",
    "a name that is too long": f"class Problem {{}} class {'x' * 300} {{}}",
    "the compiler's classes": "class Problem { com.sun.tools.javac.main.Main m; sun.misc.Unsafe u; jdk.internal.misc.Unsafe v; }",
    "classes of ours": "class Problem { JavaCompiler c; }",
    "the launcher": "import rewardranker.*; class Problem { Launcher l; }",
    "the launcher by name": "class Problem { rewardranker.Launcher l; }",
    "files of the sandbox": "import static proc.self.environ.*; class Problem { }",
    "nested": "class Problem { int x = " + "(" * 300 + "1" + ")" * 300 + "; }",
    "a sum of many": 'class Problem { String s = ""' + ' + "a"' * 500 + "; }",
}

LEFT_TO_THE_COLD_ONE = {
    "a type in the launcher's package": "package rewardranker; class Problem { }",
    "a launcher of its own": "package rewardranker; final class Launcher { public static void main(String[] a) {} }",
    "nested too deep": "class Problem { int x = " + "(" * 20000 + "1" + ")" * 20000 + "; }",
    "a sum of too many": 'class Problem { String s = ""' + " + s" * 20000 + "; }",
    "blocks in blocks": "class Problem { void f() " + "{" * 20000 + "}" * 20000 + " }",
    "a type without an end": "interface N<Z> {}\nclass C<X> implements N<N<? super C<C<X>>>> { N<? super C<Byte>> f(C<Byte> c) { return c; } }",
}


@pytest.mark.parametrize("program", SAME)
def test_the_same_as_a_cold_compiler(compare, program):
    assert compare(SAME[program], against_cold=program in sample(SAME)) is not None


@pytest.mark.parametrize("program", LEFT_TO_THE_COLD_ONE)
def test_what_is_left_to_the_cold_compiler(compare, program):
    assert compare(LEFT_TO_THE_COLD_ONE[program]) is None
