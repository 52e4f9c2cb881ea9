# ruff: noqa: E501 - tables of programs
HEAD = 'package f_test\n\nimport (\n    "testing"\n    "fmt"\n)\n\n'
TESTS = """
func TestF(t *testing.T) {
  candidate := f
	type test struct {
		actual   interface{}
		expected interface{}
	}
   tests := []test{
     { actual: candidate(1), expected: 2 },
   }

	for i, tc := range tests {
		t.Run(fmt.Sprintf("test num % d", i), func(t *testing.T) {
			if fmt.Sprintf("%v", tc.actual) != fmt.Sprintf("%v", tc.expected) {
				t.Errorf("expected '%s', got '%s'", tc.expected, tc.actual)
			}
		})
	}
}
"""


def importing(*packages: str) -> str:
    return HEAD.replace(")", "".join(f'    "{package}"\n' for package in packages) + ")")


WRONG = "func f(x int) int { return x }\n"

ENDINGS = {
    "right": (HEAD + "func f(x int) int { return x + 1 }" + TESTS, "passed"),
    "wrong": (HEAD + "func f(x int) int { return x }" + TESTS, "failed"),
    "panics": (HEAD + 'func f(x int) int { panic("why") }' + TESTS, "failed"),
    "prints FAIL": (HEAD + 'func f(x int) int { fmt.Println("FAIL"); return x + 1 }' + TESTS, "passed"),
    "exit code": (importing("os") + "func f(x int) int { os.Exit(3); return x }" + TESTS, "failed"),
    "exit code 0": (importing("os") + "func f(x int) int { os.Exit(0); return x }" + TESTS, "failed"),
    "goexit": (importing("runtime") + "func f(x int) int { runtime.Goexit(); return x }" + TESTS, "failed"),
    "many imports": (
        importing("encoding/json", "math/big", "net/http", "regexp", "sort", "strings")
        + "var _, _, _ = json.Marshal, big.NewInt, http.Get\nvar _, _, _ = regexp.MatchString, sort.Ints, strings.Join\nfunc f(x int) int { return x + 1 }"
        + TESTS,
        "passed",
    ),
    "deadlock": (HEAD + "func f(x int) int { return <-make(chan int) }" + TESTS, "timeout"),
    "does not parse": (HEAD + "func f(x int) int {" + TESTS, "syntax_error"),
    "wrong type": (HEAD + 'func f(x int) int { return "a" }' + TESTS, "syntax_error"),
    "unused import": (importing("os") + "func f(x int) int { return x + 1 }" + TESTS, "syntax_error"),
    "what vet forbids": (
        HEAD + 'func f(x int) int { fmt.Printf("%d", "a"); return x + 1 }' + TESTS,
        "syntax_error",
    ),
    "package of another name": (
        HEAD.replace("f_test", "main") + "func main() {}\nfunc f(x int) int { return x + 1 }" + TESTS,
        "passed",
    ),
    "names of the launcher": (
        HEAD + "var key, os, flag, nil = 1, 2, 3, 4\nfunc f(x int) int { return x + key }" + TESTS,
        "passed",
    ),
    "goroutines": (
        importing("sync")
        + "func f(x int) int { var w sync.WaitGroup; for i := 0; i < 1000; i++ { w.Add(1); go w.Done() }; w.Wait(); return x + 1 }"
        + TESTS,
        "passed",
    ),
    "no tests": (HEAD + 'func f(t *testing.T) { fmt.Println("") }', "passed", "failed"),
    "too much memory": (
        HEAD
        + "func f(x int) int { s := [][]byte{}; for { s = append(s, make([]byte, 1 << 24)); for i := range s { s[i][i] = 1 } } }"
        + TESTS,
        "failed",
    ),
    "no tests are chosen": (
        importing("os") + WRONG + 'func init() { os.Args = append(os.Args, "-test.run=^$") }' + TESTS,
        "failed",
    ),
    "tests are listed": (
        importing("os")
        + WRONG
        + 'func init() { os.Args = []string{"program", "-test.list=.", "-test.v"} }'
        + TESTS,
        "failed",
    ),
    "loop": (HEAD + "func f(x int) int { for {} }" + TESTS, "timeout"),
}

FAKED_ENDINGS = {
    name: program + TESTS
    for name, program in {
        "syscall.Exit": importing("syscall") + "func f(x int) int { syscall.Exit(0); return x }",
        "exit in init": importing("os") + WRONG + "func init() { os.Exit(0) }",
        "goroutine": importing("syscall") + "func f(x int) int { go syscall.Exit(0); for {} }",
        "TestMain": HEAD + WRONG + "func TestMain(m *testing.M) {}",
        "another program": importing("syscall")
        + 'func f(x int) int { syscall.Exec("/bin/true", []string{"true"}, nil); return x }',
        "every descriptor": importing("syscall")
        + "func f(x int) int { for n := 3; n < 64; n++ { syscall.Write(n, make([]byte, 32)) }; syscall.Exit(0); return x }",
        "reads the key": importing("syscall")
        + WRONG
        + "func init() { key := make([]byte, 32); syscall.SetNonblock(63, true); syscall.Read(63, key); syscall.Write(63, key); syscall.Exit(0) }",
    }.items()
}

MESSAGES = {
    HEAD + 'func f(x int) int {\n    fmt.Println("out")\n    panic("why")\n}' + TESTS: (
        "out\n",
        "panic: why",
        "program_test.go:10",
    ),
    HEAD + "func f(x int) int {\n    return y\n}" + TESTS: ("program_test.go:9:12: undefined: y",),
}
REASONS = {
    HEAD + 'func f(x int) int { panic("why") }' + TESTS: "panic: why [recovered]",
    HEAD
    + "func f(x int) int { return x }"
    + TESTS: "program_test.go:22: expected '%!s(int=2)', got '%!s(int=1)'",
    HEAD + "func f(x int) int { return y }" + TESTS: "./program_test.go:8:28: undefined: y",
}
